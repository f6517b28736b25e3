"""The chain of a day: who came late, and that no row knows more than could be known when its candle could be used."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.indicators import chain as chain_module
from metapulse_assets.indicators.chain import WARM_UP, analyse_from_anchor, anchor_of, came_late, run_chain, split_tokens
from metapulse_assets.indicators.warm_up import REQUIRED_BARS
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.bulk import to_datetime64
from metapulse_assets_tests.indicators.candle_streams import (
    EPOCH,
    Arrival,
    assert_equal_bits,
    candles_of,
    late_by_the_rule,
    rows_one_by_one,
)

FIVE = 300
FIVE_MINUTES = timedelta(minutes=5)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    """A few tokens' candles with holes, usable when they close, a little or much later, or in a burst."""
    stream = []
    for token in range(1, draw(st.integers(0, 3)) + 1):
        first, holes = draw(st.integers(0, 10)), draw(st.sets(st.integers(0, 45), max_size=9))
        odd = draw(st.dictionaries(st.integers(0, 45), st.sampled_from([7, 310, 2_000, 9_000]), max_size=6))
        burst = draw(st.sampled_from([0, 3_000, 12_000]))
        for n in range(first, first + draw(st.integers(0, 45))):
            if n not in holes:
                stream.append((token, n * FIVE, max((n + 1) * FIVE + odd.get(n, 0), burst)))
    return stream


@given(arrivals())
def test_came_late_is_what_a_newer_candle_was_usable_before(stream: list[Arrival]) -> None:
    candles = candles_of(stream)
    assert came_late(candles).tolist() == late_by_the_rule(candles)


def test_what_becomes_usable_together_is_in_time() -> None:
    candles = candles_of([(1, n * FIVE, 5_000) for n in range(4)])
    assert not came_late(candles).any()


def test_another_tokens_candles_make_nobody_late() -> None:
    assert not came_late(candles_of([(1, 0, 9_000), (2, FIVE, 600)])).any()


@given(stream=arrivals(), at_a_time=st.integers(1, 5))
def test_splitting_keeps_every_row_once_and_each_token_whole(stream: list[Arrival], at_a_time: int) -> None:
    candles = candles_of(stream)
    parts = list(split_tokens(candles, at_a_time))
    if not stream:
        assert parts == []
        return
    assert_equal_bits({name: np.concatenate([part[name] for part in parts]) for name in candles}, candles)
    tokens = [set(part["token_id"].tolist()) for part in parts]
    assert all(0 < len(some) <= at_a_time for some in tokens)
    assert sum(map(len, tokens)) == len(set().union(*tokens))


@settings(max_examples=60)
@given(arrivals())
def test_each_row_is_what_its_own_past_alone_gives(stream: list[Arrival]) -> None:
    candles = candles_of(stream)
    chain = analyse_from_anchor(candles, FIVE_MINUTES)
    in_time = np.flatnonzero(~np.array(late_by_the_rule(candles), bool)).tolist()
    if not in_time:
        assert not len(chain.rows["token_id"])
        return
    assert_equal_bits(chain.rows, rows_one_by_one(candles, in_time, FIVE_MINUTES, timedelta(days=3)))


@settings(max_examples=60)
@given(arrivals())
def test_the_state_left_behind_holds_all_candles_late_ones_included(stream: list[Arrival]) -> None:
    candles = candles_of(stream)
    ours, whole = analyse_from_anchor(candles, FIVE_MINUTES), run_chain(candles, FIVE_MINUTES)
    np.testing.assert_array_equal(ours.token_ids, whole.token_ids)
    np.testing.assert_array_equal(ours.last_opened_at, whole.last_opened_at)
    np.testing.assert_array_equal(ours.state.rows.view(np.uint64), whole.state.rows.view(np.uint64))


@settings(max_examples=60)
@given(arrivals(), st.integers(-1, 40))
def test_rows_of_a_later_part_are_those_of_the_whole(stream: list[Arrival], begin: int) -> None:
    candles = candles_of(stream)
    since = EPOCH + begin * FIVE_MINUTES
    whole, part = analyse_from_anchor(candles, FIVE_MINUTES), analyse_from_anchor(candles, FIVE_MINUTES, since)
    later = whole.rows["opened_at"] >= to_datetime64(since)
    assert_equal_bits(part.rows, {name: values[later] for name, values in whole.rows.items()})
    np.testing.assert_array_equal(part.last_opened_at, whole.last_opened_at)
    np.testing.assert_array_equal(part.state.rows.view(np.uint64), whole.state.rows.view(np.uint64))


def test_a_late_candle_counts_from_its_arrival_on_and_gives_no_row() -> None:
    stream = [(1, n * FIVE, (n + 1) * FIVE) for n in range(30)]
    stream[10] = (1, 10 * FIVE, 20 * FIVE)
    rows = analyse_from_anchor(candles_of(stream), FIVE_MINUTES).rows
    bars = dict(
        zip(
            (rows["opened_at"] - rows["opened_at"][0]).astype("timedelta64[m]").astype(int) // 5, rows["bar_count"], strict=True
        )
    )
    assert 10 not in bars
    assert (bars[9], bars[18], bars[19], bars[29]) == (10, 18, 20, 30)


def test_tokens_with_late_candles_are_worked_on_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: object, **keywords: object) -> object:
        calls.append(arguments)
        return run_chain(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(chain_module, "run_chain", counted)
    stream = [(token, n * FIVE, 40 * FIVE + token if n == 3 else (n + 1) * FIVE) for token in range(1, 51) for n in range(10)]
    chain = analyse_from_anchor(candles_of(stream), FIVE_MINUTES)
    assert len(calls) == 2
    assert len(chain.token_ids) == 50
    assert len(chain.rows["token_id"]) == 50 * 9


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=TIMEFRAMES)
def test_a_day_begins_with_enough_candles_for_the_slowest_indicator(timeframe: object) -> None:
    name, interval = timeframe.name, timeframe.interval  # type: ignore[attr-defined]
    assert WARM_UP[name] / interval >= max(REQUIRED_BARS.values())
    day = date(2026, 3, 4)
    assert anchor_of(name, day).date() == day - WARM_UP[name]
