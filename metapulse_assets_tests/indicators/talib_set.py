"""The standard set from TA-Lib, every parameter given, under our names."""

import numpy as np
import numpy.typing as npt
import pytest

Column = npt.NDArray[np.float64]


def talib_set(high: Column, low: Column, close: Column, volume: Column) -> dict[str, Column]:
    """The columns of one series. Its OBV starts at the first volume, ours at 0: the difference is taken off."""
    talib = pytest.importorskip("talib")
    h, lo, c, v = (np.ascontiguousarray(column) for column in (high, low, close, volume))
    macd, signal, histogram = talib.MACD(c, fastperiod=12, slowperiod=26, signalperiod=9)
    upper, middle, lower = talib.BBANDS(c, timeperiod=20, nbdevup=2.0, nbdevdn=2.0, matype=0)
    slow_k, slow_d = talib.STOCH(h, lo, c, fastk_period=14, slowk_period=3, slowk_matype=0, slowd_period=3, slowd_matype=0)
    return {
        "rsi_14": talib.RSI(c, timeperiod=14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "sma_20": talib.SMA(c, timeperiod=20),
        "sma_50": talib.SMA(c, timeperiod=50),
        **{f"ema_{period}": talib.EMA(c, timeperiod=period) for period in (12, 26, 50, 200)},
        "bb_lower": lower,
        "bb_middle": middle,
        "bb_upper": upper,
        "atr_14": talib.ATR(h, lo, c, timeperiod=14),
        "adx_14": talib.ADX(h, lo, c, timeperiod=14),
        "plus_di_14": talib.PLUS_DI(h, lo, c, timeperiod=14),
        "minus_di_14": talib.MINUS_DI(h, lo, c, timeperiod=14),
        "stoch_k": slow_k,
        "stoch_d": slow_d,
        "obv": talib.OBV(c, v) - v[0],
        "roc_10": talib.ROC(c, timeperiod=10),
        "mom_10": talib.MOM(c, timeperiod=10),
    }
