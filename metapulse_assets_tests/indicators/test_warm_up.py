"""When an indicator may be used, and the report that measures it."""

import math

import numpy as np
import pytest

from metapulse_assets.indicators.bars import Bars
from metapulse_assets.indicators.columns import BY_NAME
from metapulse_assets.indicators.warm_up import REQUIRED_BARS, WarmUpRow, warm_up_report, warmed_up
from metapulse_assets_tests.indicators import series


@pytest.fixture(scope="module")
def history() -> Bars:
    return series.walk(1100, 40, seed=12)


def by_column(rows: list[WarmUpRow], bars: int) -> dict[str, WarmUpRow]:
    return {row.column: row for row in rows if row.bars == bars}


def test_required_bars_leave_little_error(history: Bars) -> None:
    lengths = sorted(set(REQUIRED_BARS.values()) - {1})
    rows = warm_up_report(history.close, history.high, history.low, history.volume, lengths)
    for name, required in REQUIRED_BARS.items():
        if name == "obv":
            continue
        row = by_column(rows, max(required, 11))[name]
        assert row.series == 40, name
        limit = 0.02 if row.error_unit == "points" else 0.05
        assert row.p95_error < limit, (name, row)


def test_short_histories_are_far_off(history: Bars) -> None:
    rows = by_column(warm_up_report(history.close, history.high, history.low, history.volume, [50, 250]), 50)
    assert rows["adx_14"].p95_error > 1.0
    assert rows["rsi_14"].p95_error > 0.1
    assert rows["sma_20"].p95_relative_error == 0.0
    assert rows["sma_20"].error_unit == "% of price"
    assert rows["ema_200"].series == 0
    assert math.isnan(rows["ema_200"].p95_error)


def test_the_error_is_that_of_the_last_bar() -> None:
    bars = series.walk(300, 1, seed=2)
    rows = by_column(warm_up_report(bars.close[:, 0], bars.high[:, 0], bars.low[:, 0], bars.volume[:, 0], [60]), 60)
    weight = 2.0 / 13.0
    means = []
    for first in (0, 240):
        mean = bars.close[first : first + 12, 0].mean()
        for close in bars.close[first + 12 :, 0]:
            mean += weight * (close - mean)
        means.append(mean)
    full, short = means
    row = rows["ema_12"]
    assert row.p95_relative_error == pytest.approx(abs(short - full) / full, rel=1e-6)
    assert row.median_relative_error == row.p95_relative_error
    assert row.p95_error == pytest.approx(100.0 * abs(short - full) / bars.close[-1, 0], rel=1e-6)


def test_lengths_beyond_the_history_are_left_out() -> None:
    bars = series.walk(100, 1)
    rows = warm_up_report(bars.close, bars.high, bars.low, bars.volume, [50, 100, 1000])
    assert {row.bars for row in rows} == {50}
    assert {row.column for row in rows} == set(BY_NAME)


def test_arrays_must_have_one_shape() -> None:
    bars = series.walk(100, 1)
    with pytest.raises(ValueError, match=r"low: expected shape \(100, 1\) as of close"):
        warm_up_report(bars.close, bars.high, bars.low[:50], bars.volume)


def test_warmed_up_is_judged_bar_by_bar() -> None:
    np.testing.assert_array_equal(warmed_up("rsi_14", [[0, 149], [150, 900]]), [[False, False], [True, True]])
    with pytest.raises(KeyError):
        warmed_up("rsi_15", 1)
