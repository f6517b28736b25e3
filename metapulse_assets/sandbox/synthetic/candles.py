"""Candles of one simulated pool in any timeframe, aggregated from its five-minute bars (minutes from inside them)."""

from dataclasses import replace
from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import Candles
from metapulse_assets.sandbox.synthetic.bars import Bars, five_minute_bars
from metapulse_assets.sandbox.synthetic.minutes import MINUTES, minutes_of, price_within, range_until, volume_until
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints
from metapulse_assets.sandbox.synthetic.rows import BAR_SECONDS, Rows

_MINUTE: Final = 60
_HOUR: Final = 3600


def candles_of(rows: Rows, seconds: int, t: float, limit: int, before: float | None) -> Candles:
    """Return up to ``limit`` candles of ``seconds`` of one row, known at ``t`` and starting before ``before``.

    ``seconds`` is 60 or a multiple of 300. Candles without a trade are left out. Raises ValueError for other timeframes.
    """
    if seconds != _MINUTE and (seconds < BAR_SECONDS or seconds % BAR_SECONDS):
        raise ValueError(f"seconds: a timeframe of {seconds} s is neither one minute nor a multiple of five")
    newest = int(t // seconds)
    if before is not None:
        newest = min(newest, int(-(-before // seconds)) - 1)
    newest = min(newest, int((int(rows.closes[0]) * BAR_SECONDS - 1) // seconds))
    oldest = int(rows.opens[0]) * BAR_SECONDS // seconds
    # A pool with gaps trades at least once in every clock hour: so far back there are ``limit`` candles.
    oldest = max(oldest, newest + 1 - (limit + 2) * max(1, _HOUR // seconds))
    found: list[Candles] = []
    missing, end = limit, newest + 1
    while missing > 0 and end > oldest:
        begin = max(oldest, end - missing)
        part = _traded_candles(rows, seconds, t, begin, end - begin)
        found.insert(0, part)
        missing -= len(part)
        end = begin
    return _joined(found)


def _traded_candles(rows: Rows, seconds: int, t: float, first: int, count: int) -> Candles:
    start = first * seconds // BAR_SECONDS
    stop = -(-(first + count) * seconds // BAR_SECONDS)
    now = int(t // BAR_SECONDS)
    bars = five_minute_bars(rows, start, min(stop, now + 1) - start)
    if seconds == _MINUTE:
        parts = _minute_parts(rows, bars, t)
        starts = np.arange(len(parts[0]), dtype=np.int64) * _MINUTE + start * BAR_SECONDS
        group = 1
    else:
        parts = _bar_parts(rows, bars, t)
        starts = np.arange(len(parts[0]), dtype=np.int64) * BAR_SECONDS + start * BAR_SECONDS
        group = seconds // BAR_SECONDS
    open_, high, low, close, volume = parts
    edges = np.arange(0, len(open_), group)
    last = np.minimum(edges + group, len(open_)) - 1
    starts = starts[edges]
    total = np.add.reduceat(volume, edges)
    keep = (total > 0) & (starts >= first * seconds) & (starts < (first + count) * seconds) & (starts <= t)
    return Candles(
        start=starts[keep],
        open=np.exp(open_[edges][keep]),
        high=np.exp(np.maximum.reduceat(high, edges)[keep]),
        low=np.exp(np.minimum.reduceat(low, edges)[keep]),
        close=np.exp(close[last][keep]),
        volume=total[keep],
    )


def _bar_parts(rows: Rows, bars: Bars, t: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return open, high, low, close (logs) and volume of each bar; the bar that holds ``t`` only up to ``t``."""
    bars = _cut_at(rows, bars, t)
    return bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]


def _cut_at(rows: Rows, bars: Bars, t: float) -> Bars:
    column = int(t // BAR_SECONDS) - bars.first
    if not 0 <= column < bars.open.shape[1]:
        return bars
    fraction = (t - (bars.first + column) * BAR_SECONDS) / BAR_SECONDS
    minutes = minutes_of(rows, bars, np.array([column]))
    top, bottom = range_until(minutes, fraction)
    high, low, close, volume = bars.high.copy(), bars.low.copy(), bars.close.copy(), bars.volume.copy()
    high[:, column], low[:, column] = top[:, 0], bottom[:, 0]
    close[:, column] = price_within(minutes, fraction)[:, 0]
    volume[:, column] *= volume_until(minutes, fraction)[:, 0]
    return replace(bars, high=high, low=low, close=close, volume=volume)


def _minute_parts(rows: Rows, bars: Bars, t: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return open, high, low, close (logs) and volume of each minute; the minute that holds ``t`` only up to ``t``."""
    columns: Ints = np.arange(bars.open.shape[1], dtype=np.int64)
    minutes = minutes_of(rows, bars, columns)
    open_, close = minutes.nodes[0, :, :-1].ravel(), minutes.nodes[0, :, 1:].ravel()
    high, low = minutes.high[0].ravel(), minutes.low[0].ravel()
    volume = (minutes.share[0] * bars.volume[0][:, None]).ravel()
    current = int(t // _MINUTE) - bars.first * MINUTES
    if 0 <= current < len(open_):
        part = (t - (bars.first * MINUTES + current) * _MINUTE) / _MINUTE
        close[current] = open_[current] + (close[current] - open_[current]) * part
        high[current], low[current] = max(open_[current], close[current]), min(open_[current], close[current])
        volume[current] *= part
        volume[current + 1 :] = 0.0
    return open_, high, low, close, volume


def _joined(parts: list[Candles]) -> Candles:
    names = ("start", "open", "high", "low", "close", "volume")
    if not parts:
        return Candles(np.zeros(0, dtype=np.int64), *(np.zeros(0) for _ in range(5)))
    return Candles(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
