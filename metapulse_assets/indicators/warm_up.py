"""How many bars an indicator needs before it may be used, and a report that measures it.

Belongs here: required lengths and their evidence. Does not: the first bar of a formula (`columns`): a value exists
long before the choice of its starting point is forgotten.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import Bars, BoolMatrix, FloatArray, FloatMatrix
from metapulse_assets.indicators.columns import BY_NAME, COLUMNS
from metapulse_assets.indicators.kernel import compute

REQUIRED_BARS: dict[str, int] = {
    **{column.name: column.first_bar for column in COLUMNS},
    # Below: the error that 95 % of hourly crypto perpetuals stay within, measured by `warm_up_report` against 960
    # bars. A window needs no more than itself.
    "rsi_14": 150,  # 0.001 points; 1.5 after 50 bars
    "macd": 150,  # 0.0001 % of the price; 0.3 % after 50 bars
    "macd_signal": 150,
    "macd_histogram": 150,
    "atr_14": 100,  # 0.0008 % of the price
    "adx_14": 150,  # 0.006 points; 6 after 50 bars
    "plus_di_14": 150,  # used together with the ADX
    "minus_di_14": 150,
    "ema_12": 60,  # five periods, as for EMA 50
    "ema_26": 130,
    "ema_50": 250,  # 0.002 % of the price
    "ema_200": 800,  # 0.015 % of the price; 2.7 % after 250 bars
}
"""Bars since the chain (re)started, by column, from which a value may be used for a signal. `warm_up_report` measures
the errors on any history. OBV has no right level at all: only its differences mean something."""

DEFAULT_LENGTHS = (50, 100, 150, 250, 500, 800)


def warmed_up(name: str, bar_count: npt.ArrayLike) -> BoolMatrix:
    """Whether a column may be used where the chain is `bar_count` bars old (any shape). KeyError: no such column."""
    ready: BoolMatrix = np.asarray(bar_count) >= REQUIRED_BARS[name]
    return ready


@dataclass(frozen=True)
class WarmUpRow:
    """How far the last value on a short history is from that on the full one.

    series: how many series had both values. The errors are NaN where none had.
    median_relative_error, p95_relative_error: |short - full| / |full|; large for a MACD near 0 means little.
    p95_error: in error_unit, "points" for columns from 0 to 100 and percent, else "% of price" or "% of value".
    """

    column: str
    bars: int
    series: int
    median_relative_error: float
    p95_relative_error: float
    p95_error: float
    error_unit: str


def warm_up_report(
    close: npt.ArrayLike,
    high: npt.ArrayLike,
    low: npt.ArrayLike,
    volume: npt.ArrayLike,
    lengths: Iterable[int] = DEFAULT_LENGTHS,
) -> list[WarmUpRow]:
    """Errors of every column at the last bar when only the last `lengths` bars are known.

    close, high, low, volume: (K,) one series or (K, n) several of the same length, oldest first. Lengths of K bars or
    more are left out. Raises ValueError naming the array whose shape differs.
    """
    arrays = {"close": close, "high": high, "low": low, "volume": volume}
    matrices = {name: _as_matrix(array) for name, array in arrays.items()}
    shape = matrices["close"].shape
    for name, matrix in matrices.items():
        if matrix.shape != shape:
            raise ValueError(f"{name}: expected shape {shape} as of close, got {matrix.shape}")
    full = _last_values(matrices, shape[0])
    rows = []
    for length in lengths:
        if not 0 < length < shape[0]:
            continue
        short = _last_values(matrices, length)
        rows += [_row(column.name, length, short[column.name], full) for column in COLUMNS]
    return rows


def _as_matrix(array: npt.ArrayLike) -> FloatMatrix:
    matrix = np.asarray(array, dtype=np.float64)
    return matrix[:, None] if matrix.ndim == 1 else matrix


def _last_values(matrices: dict[str, FloatMatrix], length: int) -> dict[str, FloatArray]:
    recent = {name: np.ascontiguousarray(matrix[-length:]) for name, matrix in matrices.items()}
    shape = recent["close"].shape
    bars = Bars(
        open=recent["close"],
        high=recent["high"],
        low=recent["low"],
        close=recent["close"],
        volume=recent["volume"],
        gap_before=np.zeros(shape, dtype=np.bool_),
        length=np.full(shape[1], shape[0], dtype=np.intp),
    )
    values, _ = compute(bars)
    return {name: matrix[-1] for name, matrix in values.items()}


def _row(name: str, length: int, short: FloatArray, full: dict[str, FloatArray]) -> WarmUpRow:
    both = np.isfinite(short) & np.isfinite(full[name])
    error = np.abs(short - full[name])[both]
    exact = np.abs(full[name])[both]
    relative = np.divide(error, exact, out=np.where(error > 0.0, np.inf, 0.0), where=exact > 0.0)
    unit = BY_NAME[name].unit
    if unit == "price":
        error, error_unit = 100.0 * error / full["close"][both], "% of price"
    elif unit == "volume":
        error, error_unit = 100.0 * relative, "% of value"
    else:
        error_unit = "points"
    return WarmUpRow(
        column=name,
        bars=length,
        series=int(both.sum()),
        median_relative_error=_percentile(relative, 50.0),
        p95_relative_error=_percentile(relative, 95.0),
        p95_error=_percentile(error, 95.0),
        error_unit=error_unit,
    )


def _percentile(errors: FloatArray, percent: float) -> float:
    return float(np.percentile(errors, percent)) if errors.size else float("nan")
