"""Recorded market data: published reference results, and TA-Lib on real candles. Skipped without the recordings."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from metapulse_assets.indicators.columns import DATABASE_NAMES
from metapulse_assets.indicators.csv_file import read_candles
from metapulse_assets.indicators.kernel import compute
from metapulse_assets_tests.indicators.talib_set import talib_set

REFERENCE = {
    "rsi": {"rsi": "rsi_14"},
    "macd": {"macd": "macd", "signal": "macd_signal", "histogram": "macd_histogram", "fastEma": "ema_12", "slowEma": "ema_26"},
    "sma": {"sma": "sma_20"},
    "bb": {"sma": "bb_middle", "lowerBand": "bb_lower", "upperBand": "bb_upper"},
    "atr": {"atr": "atr_14"},
    "adx": {"adx": "adx_14", "pdi": "plus_di_14", "mdi": "minus_di_14"},
    "stoch": {"k": "stoch_k", "d": "stoch_d"},
    "obv": {"obv": "obv"},
}  # fmt: skip


@pytest.mark.parametrize("indicator", list(REFERENCE))
def test_published_results_from_their_first_value_on(recordings: Path, indicator: str) -> None:
    folder = recordings / "indicators_stockindicators"
    values, _ = compute(read_candles(folder / "quotes" / "default.csv").to_bars())
    with gzip.open(folder / "results" / f"{indicator}.standard.json.gz") as file:
        rows = json.load(file)
    for theirs, ours in REFERENCE[indicator].items():
        expected = np.array([row[theirs] for row in rows], dtype=np.float64)
        assert expected.shape == (502,)
        np.testing.assert_allclose(values[ours][:, 0], expected, rtol=1e-10, atol=1e-12, err_msg=ours)


@pytest.mark.parametrize("name", ["AAVEUSDT_1h", "1000BONKUSDT_1h", "ARBUSDT_1d"])
def test_talib_on_real_candles(recordings: Path, name: str) -> None:
    candles = read_candles(recordings / "ohlcv_bybit_50tokens" / f"{name}.csv")
    values, _ = compute(candles.to_bars())
    n_bars = len(candles.timestamps)
    assert values.bar_count[-1, 0] == n_bars
    expected = talib_set(candles.high, candles.low, candles.close, candles.volume)
    for column in DATABASE_NAMES:
        scale = 1e-11 * float(candles.close[-1]) if column.startswith(("macd", "mom")) else 1e-10
        scale = 1e-6 if column == "obv" else scale
        known = slice(500, n_bars)
        np.testing.assert_allclose(values[column][known, 0], expected[column][known], rtol=1e-8, atol=scale, err_msg=column)
