"""Five-minute bars of simulated pools: which bars trade, at what prices, how much.

A bar opens where the last traded bar closed. Minutes inside a bar belong to ``minutes``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from metapulse_assets.sandbox.synthetic.curves import evaluate
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, Keys, hashed, octave_noise, stream, uniform
from metapulse_assets.sandbox.synthetic.prices import ages, log_prices
from metapulse_assets.sandbox.synthetic.rows import BARS_PER_DAY, Rows

Flags = npt.NDArray[np.bool_]

_BARS_PER_HOUR: Final = 12
# A pool that does not trade in every bar still trades once in every clock hour, so the last trade is at most this far back.
_LOOKBACK: Final = 2 * _BARS_PER_HOUR
_VOLUME_OCTAVES: Final = (0.0, 0.35, 0.0, 0.0, 0.45, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5)
_WICK: Final = 1.1
# Chance and size (in logs) of a burst of volume that lasts one bar, one hour, one day.
_BURSTS: Final = ((1, 0.015, 2.0), (_BARS_PER_HOUR, 0.025, 1.6), (BARS_PER_DAY, 0.04, 1.3))


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of some pools; every array has the shape (pools, bars), prices are natural logarithms of USD.

    A bar without a trade has a volume of 0 and four prices equal to the last close.
    """

    first: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    buys: Floats
    sells: Floats


def five_minute_bars(rows: Rows, first: int, count: int) -> Bars:
    """Return ``count`` consecutive bars of each row from bar index ``first`` (time = index x 300 s)."""
    start = first - _LOOKBACK - 1
    positions = np.arange(start, first + count, dtype=np.int64)
    hashes = hashed(stream(rows.pool_key, "bar")[:, None], positions[None, :])
    traded = _traded(rows, positions, hashes)
    close = _closes(rows, start, traded)
    keep = slice(_LOOKBACK, None)
    open_, close, traded, hashes = close[:, :-1][:, keep], close[:, 1:][:, keep], traded[:, 1:][:, keep], hashes[:, 1:][:, keep]

    move = close - open_
    sigma = rows.sigma[:, None]
    up = _field(hashes, 16) ** 2 * sigma * _WICK
    down = _field(hashes, 32) ** 2 * sigma * _WICK
    high = np.where(traded, np.maximum(open_, close) + up, close)
    low = np.where(traded, np.minimum(open_, close) - down, close)

    surprise = move / sigma
    volume = np.where(traded, np.exp(_log_volumes(rows, first, count, surprise)), 0.0)
    trades = np.where(traded, np.maximum(1.0, np.rint(volume / rows.trade_size[:, None])), 0.0)
    share = np.clip(0.5 + 0.1 * surprise + 0.3 * (_field(hashes, 48) - 0.5), 0.05, 0.95)
    share[rows.buys_only] = 1.0
    buys = np.rint(trades * share)
    return Bars(first, open_, high, low, close, volume, buys, trades - buys)


def _traded(rows: Rows, positions: Ints, hashes: Keys) -> Flags:
    traded = (positions >= rows.opens[:, None]) & (positions < rows.closes[:, None])
    sparse = np.flatnonzero(rows.activity < 1.0)
    if len(sparse):
        chance = _field(hashes[sparse], 0) < rows.activity[sparse, None]
        hours = hashed(stream(rows.pool_key[sparse], "hour")[:, None], positions[None, :] // _BARS_PER_HOUR)
        certain = (hours % np.uint64(_BARS_PER_HOUR)).astype(np.int64) == positions % _BARS_PER_HOUR
        final = positions == rows.closes[sparse, None] - 1
        traded[sparse] &= chance | certain | final
    return traded


def _closes(rows: Rows, start: int, traded: Flags) -> Floats:
    """Return the log close of each bar from ``start``: the price at the end of the last bar that traded."""
    count = traded.shape[1]
    nodes = log_prices(rows, start, count + 1)
    close = nodes[:, 1:]
    idle = np.flatnonzero(~traded.all(axis=1))
    if not len(idle):
        return close
    last = np.maximum.accumulate(np.where(traded[idle], np.arange(1, count + 1), 0), axis=1)
    held = np.take_along_axis(nodes[idle], last, axis=1)
    over = np.arange(start, start + count) >= rows.closes[idle, None]
    outside = np.where(over, rows.last_log_price[idle, None], rows.first_log_price[idle, None])
    close = close.copy()
    close[idle] = np.where(last == 0, outside, held)
    return close


def _log_volumes(rows: Rows, first: int, count: int, surprise: Floats) -> Floats:
    positions = np.arange(first, first + count, dtype=np.int64)
    key = stream(rows.pool_key, "volume")
    result = rows.log_volume[:, None] + octave_noise(key, first, count, _VOLUME_OCTAVES)
    result += 0.45 * np.minimum(np.abs(surprise), 6.0)
    result += 0.3 * np.cos((positions % BARS_PER_DAY) * (2 * np.pi / BARS_PER_DAY) - 2 * np.pi * 15 / 24)
    for length, chance, size in _BURSTS:
        blocks = np.arange(first // length, (first + count - 1) // length + 1, dtype=np.int64)
        luck = uniform(hashed(stream(key, f"burst {length}")[:, None], blocks[None, :]))
        burst = np.where(luck < chance, size * (0.7 + 0.6 * luck / chance), 0.0)
        result += np.take(burst, positions // length - blocks[0], axis=1)
    storied = np.flatnonzero(rows.volume_curve.any(axis=1))
    if len(storied):
        lives = rows.take(storied)
        result[storied] += evaluate(ages(lives, positions[None, :]), lives.knots, lives.volume_curve)
    return result


def _field(hashes: Keys, shift: int) -> Floats:
    """Return 16 bits of each hash as a number in [0, 1)."""
    return ((hashes >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64) / 65536.0
