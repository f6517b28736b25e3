"""Where a value would mislead: unusable bars, broken series, flat prices, pools without trades.

Belongs here: deciding which bars count and which values to withhold. Does not: any formula of an indicator.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import Bars, BoolMatrix, FloatMatrix, IntArray
from metapulse_assets.indicators.state import BAR_COUNT, CLOSES, VOLUMES

CountMatrix = npt.NDArray[np.int32]

PRICE_LIMIT = 1e100
"""No price or volume is larger; keeps squares and sums of what is accepted far from overflow."""

QUIET_BARS = 14
"""So many bars without a change, or without a trade, hide what would be noise: the window of RSI, ADX and stochastic."""

_ROWS_AT_A_TIME = 16_384
"""Elements judged together, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class Series:
    """A group of b tokens ready for the formulas. Every matrix is (K, b) and free of NaN, except unknown volumes.

    close, high, low, volume: unusable bars and padding are 0; volume NaN means unknown.
    bar_count: bars since the chain (re)started, 1 for its first, 0 for an unusable bar and for padding.
    flat, idle: no change of the close, no trade, in the last QUIET_BARS bars; None where that is nowhere so.
    length: (b,). start: (STATE_WIDTH, b), the memory from before the first bar.
    """

    close: FloatMatrix
    high: FloatMatrix
    low: FloatMatrix
    volume: FloatMatrix
    bar_count: CountMatrix
    flat: BoolMatrix | None
    idle: BoolMatrix | None
    length: IntArray
    start: FloatMatrix


def guard(bars: Bars, tokens: slice, start: FloatMatrix) -> Series:
    """The bars of some tokens, cleaned and counted. start: (STATE_WIDTH, b), their states, transposed."""
    close, high, low, volume = (m[:, tokens] for m in (bars.close, bars.high, bars.low, bars.volume))
    usable = _usable_bars(bars.open[:, tokens], high, low, close, volume)
    if usable is not None:
        close, high, low, volume = (np.where(usable, m, 0.0) for m in (close, high, low, volume))
    bar_count = _bars_since_restart(usable, bars.gap_before[:, tokens], start[BAR_COUNT], close.shape)
    return Series(
        close=close,
        high=high,
        low=low,
        volume=volume,
        bar_count=bar_count,
        flat=_quiet(_changes(close, start[CLOSES])),
        idle=_quiet(np.concatenate([start[VOLUMES][1 - QUIET_BARS :] != 0.0, volume != 0.0])),
        length=bars.length[tokens],
        start=start,
    )


def _usable_bars(
    open: FloatMatrix, high: FloatMatrix, low: FloatMatrix, close: FloatMatrix, volume: FloatMatrix
) -> BoolMatrix | None:
    """Which bars have positive, finite, consistent prices and no impossible volume; None when all have."""
    usable = np.empty(close.shape, dtype=np.bool_)
    step = max(1, _ROWS_AT_A_TIME // max(1, close.shape[1]))
    for first in range(0, close.shape[0], step):
        rows = slice(first, first + step)
        o, h, lo, c, v = open[rows], high[rows], low[rows], close[rows], volume[rows]
        # Comparisons with NaN are false, so a hole fails the first six and an unknown volume passes the last.
        good = np.greater(lo, 0.0, out=usable[rows])
        good &= h < PRICE_LIMIT
        good &= lo <= o
        good &= lo <= c
        good &= o <= h
        good &= c <= h
        good &= ~((v < 0.0) | (v >= PRICE_LIMIT))
    return None if usable.all() else usable


def _bars_since_restart(
    usable: BoolMatrix | None, gap_before: BoolMatrix, before: FloatMatrix, shape: tuple[int, ...]
) -> CountMatrix:
    count = np.empty(shape, dtype=np.int32)
    running = before.astype(np.int32)
    if usable is None and not gap_before.any():
        np.add(np.arange(1, shape[0] + 1, dtype=np.int32)[:, None], running, out=count)
        return count
    for k in range(shape[0]):
        np.add(running, 1, out=count[k])
        running = count[k]
        running[gap_before[k]] = 1
        if usable is not None:
            running *= usable[k]
    return count


def _changes(close: FloatMatrix, closes_before: FloatMatrix) -> BoolMatrix:
    """Whether the close differs from the one before, for the QUIET_BARS - 1 bars before the first and for each bar."""
    changed = np.empty((QUIET_BARS - 1 + close.shape[0], close.shape[1]), dtype=np.bool_)
    past = closes_before[-QUIET_BARS:]
    np.not_equal(past[1:], past[:-1], out=changed[: QUIET_BARS - 1])
    recent = changed[QUIET_BARS - 1 :]
    if recent.shape[0]:
        np.not_equal(close[0], past[-1], out=recent[0])
        np.not_equal(close[1:], close[:-1], out=recent[1:])
    return changed


def _quiet(happened: BoolMatrix) -> BoolMatrix | None:
    """Whether nothing happened in QUIET_BARS bars; the input starts QUIET_BARS - 1 bars early. None if never so."""
    two = happened[1:] | happened[:-1]
    four = two[2:] | two[:-2]
    eight = four[4:] | four[:-4]
    quiet = ~(eight[6:] | eight[:-6])
    return quiet if quiet.any() else None
