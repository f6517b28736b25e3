"""What each indicator column is called, means and comes from, and from which bar of a series it exists.

Belongs here: names, units, meanings, sources. Does not: formulas (`recursive`, `windows`) or warm-up (`warm_up`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One computed column.

    name: the column in the database. pandas_ta: the name pandas-ta gives it, None for our own context columns.
    first_bar: the bar of an unbroken series (1 = the first) at which the formula has its first value.
    hidden_when_flat: no value while the close has not changed for 14 bars.
    hidden_when_idle: no value while no bar of the last 14 had a trade.
    """

    name: str
    pandas_ta: str | None
    first_bar: int
    meaning: str
    unit: str
    source: str
    hidden_when_flat: bool = False
    hidden_when_idle: bool = False


_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"
_APPEL = "Appel, The Moving Average Convergence-Divergence Method, 1979"
_BOLLINGER = "Bollinger, Bollinger on Bollinger Bands, 2001 (population standard deviation)"
_LANE = "Lane, Lane's Stochastics, 1984 (slow stochastic, simple means)"
_GRANVILLE = "Granville, New Key to Stock Market Profits, 1963"
_MURPHY = "Murphy, Technical Analysis of the Financial Markets, 1999"

_PRICE = "price"
_PERCENT = "0 to 100"

INDICATORS: tuple[Column, ...] = (
    Column("rsi_14", "RSI_14", 15, "mean gain as a share of mean gain plus mean loss", _PERCENT, _WILDER, True, True),
    Column("macd", "MACD_12_26_9", 26, "EMA 12 less EMA 26", _PRICE, _APPEL, False, True),
    Column("macd_signal", "MACDs_12_26_9", 34, "EMA 9 of the MACD", _PRICE, _APPEL, False, True),
    Column("macd_histogram", "MACDh_12_26_9", 34, "MACD less its signal", _PRICE, _APPEL, False, True),
    Column("sma_20", "SMA_20", 20, "mean close of 20 bars", _PRICE, _MURPHY),
    Column("sma_50", "SMA_50", 50, "mean close of 50 bars", _PRICE, _MURPHY),
    Column("ema_12", "EMA_12", 12, "mean of the close seeded by the SMA, weight 2/13", _PRICE, _MURPHY),
    Column("ema_26", "EMA_26", 26, "mean of the close seeded by the SMA, weight 2/27", _PRICE, _MURPHY),
    Column("ema_50", "EMA_50", 50, "mean of the close seeded by the SMA, weight 2/51", _PRICE, _MURPHY),
    Column("ema_200", "EMA_200", 200, "mean of the close seeded by the SMA, weight 2/201", _PRICE, _MURPHY),
    Column("bb_lower", "BBL_20_2.0", 20, "SMA 20 less two standard deviations", _PRICE, _BOLLINGER, False, True),
    Column("bb_middle", "BBM_20_2.0", 20, "SMA 20, the middle of the Bollinger bands", _PRICE, _BOLLINGER),
    Column("bb_upper", "BBU_20_2.0", 20, "SMA 20 plus two standard deviations", _PRICE, _BOLLINGER, False, True),
    Column("atr_14", "ATRr_14", 15, "Wilder's mean of the true range", _PRICE, _WILDER),
    Column("adx_14", "ADX_14", 28, "strength of the trend, whichever its direction", _PERCENT, _WILDER, True, True),
    Column("plus_di_14", "DMP_14", 15, "upward movement, share of the true range", _PERCENT, _WILDER, True, True),
    Column("minus_di_14", "DMN_14", 15, "downward movement, share of the true range", _PERCENT, _WILDER, True, True),
    Column("stoch_k", "STOCHk_14_3_3", 16, "place of the close in its 14-bar range, mean of 3", _PERCENT, _LANE, True, True),
    Column("stoch_d", "STOCHd_14_3_3", 18, "mean of 3 of stoch_k", _PERCENT, _LANE, True, True),
    Column("obv", "OBV", 1, "volume of rising bars less that of falling bars, from 0", "volume", _GRANVILLE),
    Column("roc_10", "ROC_10", 11, "change of the close over 10 bars", "percent", _MURPHY, False, True),
    Column("mom_10", "MOM_10", 11, "change of the close over 10 bars", _PRICE, _MURPHY, False, True),
)  # fmt: skip
"""The standard set, in the order of the CSV."""

CONTEXT: tuple[Column, ...] = (
    Column("close", None, 1, "the close of a usable bar", _PRICE, "the bar itself"),
    Column("support_20", None, 21, "lowest low of the 20 bars before this one", _PRICE, _MURPHY),
    Column("resistance_20", None, 21, "highest high of the 20 bars before this one", _PRICE, _MURPHY),
    Column("volume_mean_20", None, 21, "mean volume of the 20 bars before this one", "volume", _MURPHY),
)
"""What an analysis needs beside the indicators."""

COLUMNS: tuple[Column, ...] = INDICATORS + CONTEXT
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}
DATABASE_NAMES: tuple[str, ...] = tuple(column.name for column in INDICATORS)
PANDAS_TA_NAMES: tuple[str, ...] = tuple(column.pandas_ta for column in INDICATORS if column.pandas_ta is not None)
PANDAS_TA_TO_DATABASE: dict[str, str] = dict(zip(PANDAS_TA_NAMES, DATABASE_NAMES, strict=True))
