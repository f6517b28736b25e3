"""The numbers themselves: against hand-worked cases, exact textbook formulas, TA-Lib and pandas-ta-classic."""

import numpy as np
import pytest

from metapulse_assets.indicators.bars import Bars
from metapulse_assets.indicators.columns import COLUMNS, DATABASE_NAMES, PANDAS_TA_TO_DATABASE
from metapulse_assets.indicators.kernel import compute
from metapulse_assets_tests.indicators import series, textbook
from metapulse_assets_tests.indicators.talib_set import talib_set

WARM = 500
"""Seeds differ between libraries; after so many bars (13/14)^500 = 1e-16 of the difference is left."""


@pytest.fixture(scope="module")
def walks() -> Bars:
    return series.walk(900, 4, seed=3)


def test_every_column_equals_the_textbook_from_its_first_bar() -> None:
    bars = series.walk(260, 2, seed=11, price=0.0371)
    values, _ = compute(bars)
    for j in range(2):
        expected = textbook.standard_set(*(matrix[:, j].tolist() for matrix in (bars.high, bars.low, bars.close, bars.volume)))
        assert set(expected) == set(DATABASE_NAMES)
        for name, column in expected.items():
            scale = 1e-12 * 0.0371 if "macd" in name else 0.0
            np.testing.assert_allclose(values[name][:, j], column, rtol=1e-11, atol=scale, err_msg=name)


def test_first_bar_of_each_column_is_the_one_it_declares(walks: Bars) -> None:
    values, _ = compute(walks)
    for column in COLUMNS:
        known = np.isfinite(values[column.name])
        assert not known[: column.first_bar - 1].any(), column.name
        assert known[column.first_bar - 1 :].all(), column.name


def test_rsi_is_seeded_by_the_simple_mean() -> None:
    # 7 gains of 3 and 7 losses of 1: mean gain 21/14, mean loss 7/14, so RSI 75; one gain of 14 more:
    # gain (13 × 1.5 + 14) / 14, loss 13 × 0.5 / 14, so RSI = 100 × 33.5 / 40.
    closes = np.cumsum([100.0, *[3.0, -1.0] * 7, 14.0])
    values, _ = compute(series.of_closes(closes))
    assert values["rsi_14"][14, 0] == pytest.approx(75.0, abs=1e-12)
    assert values["rsi_14"][15, 0] == pytest.approx(83.75, abs=1e-12)


def test_straight_rise_by_hand() -> None:
    closes = 100.0 + np.arange(60.0)
    values, _ = compute(series.of_closes(closes, volume=2.0))
    assert values["rsi_14"][-1, 0] == 100.0
    # The mean of the last p closes lags (p - 1) / 2 bars; a seeded EMA of a line lags as much from its seed on.
    assert values["sma_20"][-1, 0] == pytest.approx(159.0 - 9.5, abs=1e-10)
    assert values["ema_26"][-1, 0] == pytest.approx(159.0 - 12.5, abs=1e-10)
    assert values["macd"][-1, 0] == pytest.approx(7.0, abs=1e-10)
    assert values["macd_histogram"][-1, 0] == pytest.approx(0.0, abs=1e-10)
    # Population variance of 20 successive integers: (20² - 1) / 12.
    assert values["bb_upper"][-1, 0] == pytest.approx(149.5 + 2.0 * np.sqrt(399.0 / 12.0), abs=1e-10)
    assert values["atr_14"][-1, 0] == pytest.approx(1.0, abs=1e-12)
    assert (values["plus_di_14"][-1, 0], values["minus_di_14"][-1, 0], values["adx_14"][-1, 0]) == (100.0, 0.0, 100.0)
    assert (values["stoch_k"][-1, 0], values["stoch_d"][-1, 0]) == (100.0, 100.0)
    assert values["obv"][-1, 0] == 2.0 * 59
    assert values["mom_10"][-1, 0] == 10.0
    assert values["roc_10"][-1, 0] == pytest.approx(1000.0 / 149.0, abs=1e-12)
    assert (values["support_20"][-1, 0], values["resistance_20"][-1, 0]) == (139.0, 158.0)
    assert values["volume_mean_20"][-1, 0] == 2.0
    assert values["close"][-1, 0] == 159.0


def test_support_resistance_and_mean_volume_leave_this_bar_out() -> None:
    bars = series.walk(80, 3, seed=5)
    values, _ = compute(bars)
    for k in range(20, 80):
        before = slice(k - 20, k)
        np.testing.assert_array_equal(values["support_20"][k], bars.low[before].min(axis=0))
        np.testing.assert_array_equal(values["resistance_20"][k], bars.high[before].max(axis=0))
        np.testing.assert_allclose(values["volume_mean_20"][k], bars.volume[before].mean(axis=0), rtol=1e-14)


def test_talib_agrees_after_warm_up(walks: Bars) -> None:
    values, _ = compute(walks)
    for j in range(walks.n_tokens):
        expected = talib_set(walks.high[:, j], walks.low[:, j], walks.close[:, j], walks.volume[:, j])
        assert set(expected) == set(DATABASE_NAMES)
        for name, column in expected.items():
            scale = 1e-12 * 100.0 if name.startswith(("macd", "mom")) else 0.0
            np.testing.assert_allclose(values[name][WARM:, j], column[WARM:], rtol=1e-9, atol=scale, err_msg=name)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_pandas_ta_classic_agrees_after_warm_up(walks: Bars) -> None:
    pandas = pytest.importorskip("pandas")
    pandas_ta = pytest.importorskip("pandas_ta_classic")
    close, high, low, volume = (pandas.Series(matrix[:, 0]) for matrix in (walks.close, walks.high, walks.low, walks.volume))
    expected = pandas.concat(
        [
            pandas_ta.rsi(close, length=14, talib=False),
            pandas_ta.macd(close, fast=12, slow=26, signal=9, talib=False),
            *(pandas_ta.sma(close, length=length, talib=False) for length in (20, 50)),
            *(pandas_ta.ema(close, length=length, talib=False) for length in (12, 26, 50, 200)),
            pandas_ta.bbands(close, length=20, std=2.0, ddof=0, talib=False),
            pandas_ta.atr(high, low, close, length=14, talib=False),
            pandas_ta.adx(high, low, close, length=14, talib=False),
            pandas_ta.stoch(high, low, close, k=14, d=3, smooth_k=3, talib=False),
            pandas_ta.obv(close, volume, talib=False),
            pandas_ta.roc(close, length=10, talib=False),
            pandas_ta.mom(close, length=10, talib=False),
        ],
        axis=1,
    )
    assert set(PANDAS_TA_TO_DATABASE) <= set(expected.columns)
    values, _ = compute(walks)
    for theirs, ours in PANDAS_TA_TO_DATABASE.items():
        column = expected[theirs].to_numpy()
        if ours == "obv":
            column = column - column[0]
        scale = 1e-12 * 100.0 if ours.startswith(("macd", "mom")) else 0.0
        np.testing.assert_allclose(values[ours][WARM:, 0], column[WARM:], rtol=1e-9, atol=scale, err_msg=theirs)
