"""No value where one would mislead: bad bars, gaps, flat prices, pools without trades, unknown volume."""

from dataclasses import replace

import numpy as np
import pytest

from metapulse_assets.indicators.bars import Bars
from metapulse_assets.indicators.columns import BY_NAME, COLUMNS
from metapulse_assets.indicators.kernel import Values, compute
from metapulse_assets_tests.indicators import series
from metapulse_assets_tests.indicators.series import bits

FLAT_HIDDEN = {"rsi_14", "stoch_k", "stoch_d", "adx_14", "plus_di_14", "minus_di_14"}
IDLE_HIDDEN = FLAT_HIDDEN | {"macd", "macd_signal", "macd_histogram", "roc_10", "mom_10", "bb_lower", "bb_upper"}


def assert_chain_starts_at(values: Values, bars: Bars, first: int) -> None:
    """From bar `first` on, all values are those of a series that begins there."""
    alone, _ = compute(series.piece(bars, first, bars.length))
    np.testing.assert_array_equal(values.bar_count[first:], alone.bar_count)
    for name in values:
        np.testing.assert_array_equal(bits(values[name][first:]), bits(alone[name]), err_msg=name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("close", np.nan),
        ("open", np.nan),
        ("high", np.inf),
        ("low", -np.inf),
        ("low", 0.0),
        ("low", -1.0),
        ("high", 1e-9),  # below the low
        ("close", 1e9),  # above the high
        ("open", 1e-9),  # below the low
        ("open", 1e9),  # above the high
        ("volume", np.inf),
        ("volume", -1.0),
    ],
)
def test_a_bad_bar_has_no_value_and_the_chain_starts_again_after_it(field: str, value: float) -> None:
    bars = series.walk(400, 2, seed=1)
    spoilt = getattr(bars, field).copy()
    spoilt[150, 0] = value
    values, _ = compute(replace(bars, **{field: spoilt}))
    clean, _ = compute(bars)
    for name in values:
        assert np.isnan(values[name][150, 0]), name
        np.testing.assert_array_equal(values[name][:150], clean[name][:150], err_msg=name)
        np.testing.assert_array_equal(values[name][:, 1], clean[name][:, 1], err_msg=name)
    assert values.bar_count[149:153, 0].tolist() == [150, 0, 1, 2]
    first_token = series.tokens(replace(bars, **{field: spoilt}), [0])
    assert_chain_starts_at(compute(first_token)[0], first_token, 151)


def test_the_chain_starts_again_after_a_gap() -> None:
    bars = series.walk(400, 1, seed=2)
    gap_before = bars.gap_before.copy()
    gap_before[220, 0] = True
    gapped = replace(bars, gap_before=gap_before)
    values, _ = compute(gapped)
    assert values.bar_count[219:222, 0].tolist() == [220, 1, 2]
    assert_chain_starts_at(values, bars, 220)
    assert np.isfinite(values["close"][220, 0])


@pytest.mark.parametrize("bad_bar", [True, False])
def test_nothing_of_the_old_chain_is_left_when_the_price_collapsed_meanwhile(bad_bar: bool) -> None:
    before, after = series.walk(120, 1, seed=9, price=1e6), series.walk(260, 1, seed=10, price=1e-6)
    arrays = {name: np.concatenate([getattr(before, name), getattr(after, name)]) for name in series.FIELDS}
    bars = series.whole(**arrays)
    if bad_bar:
        arrays["close"][119] = np.nan
    else:
        bars.gap_before[120] = True
    values, _ = compute(bars)
    assert_chain_starts_at(values, bars, 120)


def test_a_gap_at_the_first_bar_of_a_continuation_counts() -> None:
    bars = series.walk(60, 1)
    _, state = compute(series.piece(bars, 0, 40))
    rest = series.piece(bars, 40, 60)
    gap_before = rest.gap_before.copy()
    gap_before[0, 0] = True
    values, _ = compute(replace(rest, gap_before=gap_before), state)
    assert values.bar_count[:, 0].tolist() == list(range(1, 21))


def test_a_flat_price_is_not_oversold() -> None:
    walk = series.walk(350, 1, seed=4)
    flat = {name: getattr(walk, name).copy() for name in series.FIELDS}
    for name in ("open", "high", "low", "close"):
        flat[name][250:, 0] = walk.close[249, 0]
    values, _ = compute(series.whole(**flat))
    # Bar 250 is the first without a change, so bar 263 ends the fourteenth.
    for column in COLUMNS:
        known = np.isfinite(values[column.name][:, 0])
        assert known[column.first_bar - 1 : 263].all(), column.name
        gone_from = 263 if column.name in FLAT_HIDDEN else 268 if column.name in ("bb_lower", "bb_upper") else 350
        assert known[263:gone_from].all(), column.name
        assert not known[gone_from:].any(), column.name


def test_thirteen_bars_without_a_change_still_have_values() -> None:
    closes = np.r_[np.linspace(100, 110, 60), np.full(13, 110.0), 111.0]
    values, _ = compute(series.of_closes(closes))
    assert np.isfinite(values["rsi_14"][14:, 0]).all()


def test_a_price_that_never_moved_has_no_oscillator_at_all() -> None:
    values, _ = compute(series.of_closes(np.full(120, 1.0), volume=1e6))
    for name in FLAT_HIDDEN | {"bb_lower", "bb_upper"}:
        assert np.isnan(values[name]).all(), name
    assert values["sma_20"][-1, 0] == values["ema_50"][-1, 0] == values["bb_middle"][-1, 0] == 1.0
    assert values["macd"][-1, 0] == values["obv"][-1, 0] == values["roc_10"][-1, 0] == 0.0


def test_no_stochastic_while_the_range_of_14_bars_is_nothing() -> None:
    # The close before the pause differs, so the price is not yet "flat" at bar 74, but its 14-bar range is nothing.
    closes = np.r_[np.linspace(100, 110, 60), np.full(14, 120.0), 121.0, 122.0, 123.0, 124.0, 125.0]
    values, _ = compute(series.of_closes(closes))
    known = np.isfinite(values["stoch_k"][:, 0])
    assert not known[73:76].any()
    assert known[72]
    assert known[76:].all()
    known = np.isfinite(values["stoch_d"][:, 0])
    assert not known[73:78].any()
    assert known[78]
    assert np.isfinite(values["rsi_14"][73, 0])


def test_bands_as_narrow_as_rounding_have_no_value() -> None:
    closes = np.full(60, 3.0)
    closes[::2] = np.nextafter(3.0, 4.0)
    values, _ = compute(series.of_closes(closes))
    assert np.isnan(values["bb_lower"]).all()
    assert np.isfinite(values["bb_middle"][19:, 0]).all()


def test_a_pool_without_trades_gives_no_momentum() -> None:
    walk = series.walk(350, 1, seed=6)
    volume = walk.volume.copy()
    volume[250:280, 0] = 0.0
    values, _ = compute(replace(walk, volume=volume))
    for column in COLUMNS:
        known = np.isfinite(values[column.name][:, 0])
        hidden = column.name in IDLE_HIDDEN
        assert known[column.first_bar - 1 : 263].all(), column.name
        assert known[263:280].any() != hidden, column.name
        assert known[280:].all(), column.name
    assert values["obv"][279, 0] == values["obv"][249, 0]


def test_a_pool_that_never_traded_has_no_momentum_from_the_first_bar_on() -> None:
    walk = series.walk(30, 1, seed=6)
    values, _ = compute(replace(walk, volume=np.zeros((30, 1))))
    for name in IDLE_HIDDEN:
        assert np.isnan(values[name]).all(), name


def test_unknown_volume_is_not_the_absence_of_trades() -> None:
    walk = series.walk(300, 1, seed=8)
    values, _ = compute(replace(walk, volume=np.full((300, 1), np.nan)))
    known_volume, _ = compute(walk)
    for name in values:
        if BY_NAME[name].unit == "volume":
            assert np.isnan(values[name]).all(), name
        else:
            np.testing.assert_array_equal(values[name], known_volume[name], err_msg=name)


def test_obv_counts_from_zero_after_a_bar_of_unknown_volume() -> None:
    volume = np.array([5.0, 7.0, np.nan, 11.0, 13.0])
    values, _ = compute(series.of_closes([1.0, 2.0, 3.0, 4.0, 3.5], volume))
    np.testing.assert_array_equal(values["obv"][:, 0], [0.0, 7.0, np.nan, 11.0, -2.0])
    assert values.bar_count[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_mean_volume_needs_all_20_volumes() -> None:
    walk = series.walk(60, 1)
    volume = walk.volume.copy()
    volume[30, 0] = np.nan
    values, _ = compute(replace(walk, volume=volume))
    unknown = np.flatnonzero(np.isnan(values["volume_mean_20"][20:, 0])) + 20
    assert unknown.tolist() == list(range(31, 51))
