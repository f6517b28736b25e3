"""Analysed candles of many tokens as the rules read them: warmed-up values, and each token's previous candle.

Belongs here: which values may be used at all, and what "previous" means. Does not: any rule or threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import MAX_GAP_INTERVALS
from metapulse_assets.indicators.warm_up import REQUIRED_BARS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

WARM_UP_BARS: Mapping[str, int] = {
    name: REQUIRED_BARS[name]
    for name in (
        "rsi_14",
        "macd",
        "macd_signal",
        "sma_20",
        "sma_50",
        "ema_200",
        "bb_upper",
        "bb_lower",
        "atr_14",
        "adx_14",
        "plus_di_14",
        "minus_di_14",
        "stoch_k",
        "stoch_d",
        "roc_10",
        "support_20",
        "resistance_20",
    )
} | {"volume_ratio_20": REQUIRED_BARS["volume_mean_20"]}
"""Bars that an unbroken series needs before each value may be believed."""

VALUE_COLUMNS = ("close", *WARM_UP_BARS)


@dataclass(frozen=True)
class AnalysedCandles:
    """Rows of `technical_analyses` of one timeframe, sorted by token and time.

    values: float64 per column of VALUE_COLUMNS; NaN where unknown, not finite, or before its warm-up.
    has_previous: whether the row above is the same token's candle of at most MAX_GAP_INTERVALS intervals before.
    """

    token_id: IntArray
    opened_at: FloatArray
    values: Mapping[str, FloatArray]
    has_previous: BoolArray

    def __len__(self) -> int:
        return int(self.token_id.size)

    def previous(self, column: str) -> FloatArray:
        """The column's value at each row's previous candle; NaN where there is none."""
        values = self.values[column]
        before = np.full(values.size, np.nan)
        before[1:] = np.where(self.has_previous[1:], values[:-1], np.nan)
        return before

    def entering(self, state: BoolArray) -> BoolArray:
        """Rows that are in a state which their previous candle was not known to be in."""
        before = np.zeros(state.size, dtype=np.bool_)
        before[1:] = state[:-1] & self.has_previous[1:]
        return state & ~before


def read_analyses(columns: Mapping[str, npt.ArrayLike], interval_seconds: float) -> AnalysedCandles:
    """Checks and prepares rows sorted by (token_id, opened_at).

    columns: token_id (int), opened_at (seconds since 1970 UTC), bar_count, and VALUE_COLUMNS (float, NaN: no value).
    Raises KeyError naming a missing column; ValueError naming the column and row of a value that cannot be.
    """
    missing = [name for name in ("token_id", "opened_at", "bar_count", *VALUE_COLUMNS) if name not in columns]
    if missing:
        raise KeyError(f"analyses: missing columns {', '.join(missing)}")
    if not interval_seconds > 0:
        raise ValueError(f"interval_seconds: expected a positive number, got {interval_seconds}")
    token_id = np.asarray(columns["token_id"], dtype=np.int64)
    opened_at = _column(columns, "opened_at", token_id.size)
    bar_count = _column(columns, "bar_count", token_id.size)
    same_token = token_id[1:] == token_id[:-1]
    wait = opened_at[1:] - opened_at[:-1]
    _require_sorted(token_id, opened_at, same_token, wait)

    has_previous = np.zeros(token_id.size, dtype=np.bool_)
    has_previous[1:] = same_token & (wait <= MAX_GAP_INTERVALS * interval_seconds)
    values = {}
    for name in VALUE_COLUMNS:
        value = _column(columns, name, token_id.size)
        usable = np.isfinite(value) & (bar_count >= WARM_UP_BARS.get(name, 1))
        values[name] = np.where(usable, value, np.nan)
    values["close"] = np.where(values["close"] > 0, values["close"], np.nan)
    return AnalysedCandles(token_id, opened_at, values, has_previous)


def _column(columns: Mapping[str, npt.ArrayLike], name: str, length: int) -> FloatArray:
    column = np.asarray(columns[name], dtype=np.float64)
    if column.shape != (length,):
        raise ValueError(f"{name}: expected one value for each of {length} rows, got shape {column.shape}")
    return column


def _require_sorted(token_id: IntArray, opened_at: FloatArray, same_token: BoolArray, wait: FloatArray) -> None:
    wrong = np.flatnonzero(~np.isfinite(opened_at))
    if wrong.size:
        raise ValueError(f"opened_at: row {wrong[0]} is {opened_at[wrong[0]]}, not a time")
    wrong = np.flatnonzero((token_id[1:] < token_id[:-1]) | (same_token & (wait <= 0)))
    if wrong.size:
        row = int(wrong[0]) + 1
        raise ValueError(
            f"opened_at: row {row} (token {token_id[row]}, {opened_at[row]:.0f}) does not come after row {row - 1}"
            f" (token {token_id[row - 1]}, {opened_at[row - 1]:.0f}); rows must be sorted by token and time"
        )
