"""Laws that hold for every series: continuing equals starting over, and nothing but a token's own past matters."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.indicators.bars import Bars
from metapulse_assets.indicators.columns import COLUMNS
from metapulse_assets.indicators.kernel import Values, compute
from metapulse_assets.indicators.state import State
from metapulse_assets_tests.indicators import series
from metapulse_assets_tests.indicators.series import bits

seeds = st.integers(0, 2**32 - 1)
lengths = st.lists(st.integers(0, 260), min_size=1, max_size=5)


def assert_same(part: Values, whole: Values, bars: Bars, start: np.ndarray, token: np.ndarray) -> None:
    """The values of `part`, whose token i is token[i] of the whole from its bar start[i] on, are the whole's bits."""
    for i, j in enumerate(token):
        ours, theirs = slice(0, int(bars.length[i])), slice(int(start[i]), int(start[i] + bars.length[i]))
        np.testing.assert_array_equal(part.bar_count[ours, i], whole.bar_count[theirs, j])
        for name in whole:
            np.testing.assert_array_equal(bits(part[name][ours, i]), bits(whole[name][theirs, j]), err_msg=f"{name} {j}")


@settings(max_examples=120)
@given(seed=seeds, lengths=lengths, data=st.data())
def test_continuing_gives_the_bits_of_starting_over(seed: int, lengths: list[int], data: st.DataObject) -> None:
    bars = series.rough(seed, lengths)
    whole, whole_state = compute(bars)
    n_pieces = data.draw(st.integers(2, 4))
    cuts = [np.zeros(len(lengths), dtype=np.intp)]
    inner = [data.draw(st.tuples(*(st.integers(0, length) for length in lengths))) for _ in range(n_pieces - 1)]
    cuts += list(np.sort(np.array(inner, dtype=np.intp).reshape(n_pieces - 1, -1), axis=0))
    cuts.append(bars.length)
    state = None
    for start, stop in pairwise(cuts):
        part = series.piece(bars, start, stop)
        values, state = compute(part, state)
        assert_same(values, whole, part, start, np.arange(len(lengths)))
        state = State.from_matrix(np.frombuffer(state.to_matrix().tobytes()).reshape(len(lengths), -1))
    assert state is not None
    np.testing.assert_array_equal(bits(state.rows), bits(whole_state.rows))


def test_bar_by_bar_gives_the_bits_of_all_at_once() -> None:
    bars = series.rough(20, [230, 180, 230])
    whole, whole_state = compute(bars)
    state = State.empty(3)
    for k in range(230):
        start = np.minimum(k, bars.length)
        part = series.piece(bars, start, np.minimum(k + 1, bars.length))
        values, state = compute(part, state)
        assert_same(values, whole, part, start, np.arange(3))
    np.testing.assert_array_equal(bits(state.rows), bits(whole_state.rows))


@settings(max_examples=80)
@given(seed=seeds, lengths=lengths, data=st.data())
def test_neighbours_do_not_matter(seed: int, lengths: list[int], data: st.DataObject) -> None:
    bars = series.rough(seed, lengths)
    whole, whole_state = compute(bars)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=7)))
    part = series.tokens(bars, chosen)
    values, state = compute(part)
    assert_same(values, whole, part, np.zeros(chosen.size), chosen)
    np.testing.assert_array_equal(bits(state.rows), bits(whole_state.rows[chosen]))


def test_neighbours_do_not_matter_across_the_blocks_of_a_large_batch() -> None:
    bars = series.rough(7, [40 + i % 30 for i in range(2100)])
    whole, _ = compute(bars)
    chosen = np.array([0, 511, 1023, 1024, 2047, 2048, 2099])
    part = series.tokens(bars, chosen)
    values, _ = compute(part)
    assert_same(values, whole, part, np.zeros(chosen.size), chosen)


@settings(max_examples=80)
@given(seed=seeds, lengths=lengths, share=st.floats(0, 1))
def test_later_bars_change_nothing(seed: int, lengths: list[int], share: float) -> None:
    bars = series.rough(seed, lengths)
    whole, _ = compute(bars)
    part = series.piece(bars, 0, np.floor(bars.length * share).astype(np.intp))
    values, _ = compute(part)
    assert_same(values, whole, part, np.zeros(len(lengths)), np.arange(len(lengths)))


@settings(max_examples=80)
@given(seed=seeds, lengths=lengths, power=st.integers(-60, 60))
def test_prices_in_another_unit_give_the_same_oscillators(seed: int, lengths: list[int], power: int) -> None:
    bars = series.rough(seed, lengths)
    factor = 2.0**power
    with np.errstate(over="ignore"):
        prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    scaled = Bars(**prices, volume=bars.volume, gap_before=bars.gap_before, length=bars.length)
    before, _ = compute(bars)
    after, _ = compute(scaled)
    for column in COLUMNS:
        unit = factor if column.unit == "price" else 1.0
        np.testing.assert_array_equal(after[column.name], before[column.name] * unit, err_msg=column.name)


@settings(max_examples=80)
@given(seed=seeds, lengths=lengths)
def test_values_stay_within_their_range(seed: int, lengths: list[int]) -> None:
    bars = series.rough(seed, lengths)
    values, _ = compute(bars)
    for column in COLUMNS:
        known = values[column.name][~np.isnan(values[column.name])]
        assert np.isfinite(known).all(), column.name
        if column.unit == "0 to 100":
            assert ((known >= 0.0) & (known <= 100.0)).all(), column.name
    padding = np.arange(bars.n_bars)[:, None] >= bars.length
    assert not values.bar_count[padding].any()
    assert all(np.isnan(matrix[padding]).all() for matrix in values.values())


def test_rounding_does_not_push_a_direction_beyond_100() -> None:
    # Every bar leaps over the one before and closes a rounding below its high: movement and true range all but equal.
    rng = np.random.default_rng(5)
    leaps = 10.0 ** rng.integers(-3, 3, (120, 800)) * rng.random((120, 800))
    high = 10.0 + np.cumsum(leaps, axis=0)
    close = np.where(rng.random(high.shape) < 0.05, np.nextafter(high, 0.0), high)
    values, _ = compute(series.whole(close, high, close.copy(), close.copy(), np.ones(high.shape)))
    assert np.nanmax(values["plus_di_14"]) == 100.0


def test_more_than_the_state_of_these_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="state: has 3 tokens, the bars have 2"):
        compute(series.walk(5, 2), State.empty(3))


def test_the_state_given_is_not_changed() -> None:
    bars = series.walk(30, 2)
    _, state = compute(series.piece(bars, 0, 20))
    before = state.rows.copy()
    compute(series.piece(bars, 20, 30), state)
    np.testing.assert_array_equal(bits(state.rows), bits(before))


@pytest.mark.parametrize(("n_bars", "n_tokens"), [(0, 0), (0, 3), (5, 0)])
def test_nothing_in_nothing_out(n_bars: int, n_tokens: int) -> None:
    values, state = compute(series.walk(n_bars, n_tokens))
    assert values["rsi_14"].shape == (n_bars, n_tokens)
    np.testing.assert_array_equal(state.rows, State.empty(n_tokens).rows)
