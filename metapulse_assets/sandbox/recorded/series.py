"""Recorded candles of one token in all their timeframes, and what they say at a recorded time.

Times here are recorded times (UTC epoch seconds). Nothing is interpolated or invented: gaps stay gaps, a timeframe that
was not recorded is aggregated from a finer one, and a bar is known only once it has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import Candles, Ints

_DAY: Final = 86400
_NAMES: Final = ("start", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """Candles by timeframe in seconds; ``in_dollars`` tells whether prices and volumes are in USD."""

    base: str
    quote: str
    folder: str
    frames: Mapping[int, Candles]
    in_dollars: bool
    _derived: dict[int, Candles] = field(default_factory=dict)

    @property
    def finest(self) -> int:
        """The finest recorded timeframe in seconds."""
        return min(self.frames)

    @property
    def first(self) -> int:
        """The start of the first candle of any timeframe."""
        return min(int(candles.start[0]) for candles in self.frames.values())

    @property
    def end(self) -> int:
        """The end of the last candle of the finest timeframe: a coarser last candle may be unfinished."""
        return int(self.frames[self.finest].start[-1]) + self.finest

    def last_full_day(self) -> int:
        """Return the number (days since the epoch) of the last UTC day that the finest timeframe covers to its end."""
        return max(self.end // _DAY - 1, int(self.frames[self.finest].start[0]) // _DAY)

    def close_at(self, time: float) -> float:
        """Return the last recorded close at or before the time, NaN before the first."""
        for seconds in sorted(self.frames):
            candles = self.frames[seconds]
            known = _ended(candles, seconds, time)
            if known:
                return float(candles.close[known - 1])
        return float("nan")

    def volume_in(self, start: float, end: float) -> tuple[float, float]:
        """Return the volume of the bars that end after ``start`` and at or before ``end``, and how many seconds they span.

        The finest timeframe that reaches back to ``start`` is used, else the one that reaches back furthest.
        """
        fitting = [seconds for seconds in sorted(self.frames) if seconds <= end - start]
        if not fitting:
            return 0.0, 0.0
        reaching = [seconds for seconds in fitting if self.frames[seconds].start[0] <= start]
        seconds = reaching[0] if reaching else min(fitting, key=lambda frame: int(self.frames[frame].start[0]))
        candles = self.frames[seconds]
        first, last = _ended(candles, seconds, start), _ended(candles, seconds, end)
        return float(candles.volume[first:last].sum()), float((last - first) * seconds)

    def candles(self, seconds: int, time: float, limit: int, before: float | None) -> Candles:
        """Return at most ``limit`` candles known at ``time`` that start before ``before`` (None: no bound).

        The candle in progress is made of the finest bars that have ended; a timeframe finer than every recorded one is
        empty.
        """
        whole = self._frame(seconds)
        known = _part(whole, slice(0, _ended(whole, seconds, time)))
        current = int(time // seconds) * seconds
        if self.finest < seconds:
            finest = self.frames[self.finest]
            first = int(np.searchsorted(finest.start, current))
            running = _part(finest, slice(first, _ended(finest, self.finest, time)))
            if len(running):
                known = _joined(known, _aggregated(running, seconds))
        early = known.start < before if before is not None else np.ones(len(known), dtype=bool)
        traded = np.flatnonzero(early & (known.volume > 0))
        return _part(known, traded[-limit:])

    def _frame(self, seconds: int) -> Candles:
        """Return every candle of a timeframe: the recorded ones, and aggregates where finer ones go on longer."""
        if seconds not in self._derived:
            recorded = self.frames.get(seconds)
            sources = [finer for finer in self.frames if finer < seconds and seconds % finer == 0]
            result = recorded
            if sources and recorded is None:
                source = max(sources)
                result = _aggregated(_whole_buckets(self.frames[source], seconds), seconds)
            elif sources and recorded is not None:
                finer = self.frames[min(sources)]
                later = finer.start >= int(recorded.start[-1]) + seconds
                result = _joined(recorded, _aggregated(_part(finer, np.flatnonzero(later)), seconds))
            self._derived[seconds] = result if result is not None else _part(self.frames[self.finest], slice(0, 0))
        return self._derived[seconds]


def _ended(candles: Candles, seconds: int, time: float) -> int:
    """Return how many of the candles have ended at or before the time."""
    return int(np.searchsorted(candles.start, time - seconds, side="right"))


def _whole_buckets(candles: Candles, seconds: int) -> Candles:
    """Return the candles without those of a first bucket that was recorded only in part."""
    first = -(-int(candles.start[0]) // seconds) * seconds
    return _part(candles, slice(int(np.searchsorted(candles.start, first)), None))


def _aggregated(candles: Candles, seconds: int) -> Candles:
    if not len(candles):
        return candles
    buckets = candles.start // seconds
    edges = np.concatenate([[0], np.flatnonzero(np.diff(buckets)) + 1])
    last = np.concatenate([edges[1:], [len(candles)]]) - 1
    return Candles(
        start=buckets[edges] * seconds,
        open=candles.open[edges],
        high=np.maximum.reduceat(candles.high, edges),
        low=np.minimum.reduceat(candles.low, edges),
        close=candles.close[last],
        volume=np.add.reduceat(candles.volume, edges),
    )


def _part(candles: Candles, which: slice | Ints) -> Candles:
    return Candles(*(getattr(candles, name)[which] for name in _NAMES))


def _joined(left: Candles, right: Candles) -> Candles:
    return Candles(*(np.concatenate([getattr(left, name), getattr(right, name)]) for name in _NAMES))
