"""The rows that judging signals works on: signals, candles, snapshots, and the outcomes that come of them.

Belongs here: their columns, cutting them at a moment. Does not: any judgement (`resolving`). All times are int64
microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.price_index import MomentIndex, RangeExtremes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
StrArray = npt.NDArray[np.str_]

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
HORIZONS: Mapping[str, int] = {
    "5m": 5 * MINUTE,
    "1h": 60 * MINUTE,
    "4h": 240 * MINUTE,
    "24h": 24 * 60 * MINUTE,
    "7d": 7 * 24 * 60 * MINUTE,
}
INTERVALS: Mapping[str, int] = {"5m": 5 * MINUTE, "1h": 60 * MINUTE, "1d": 24 * 60 * MINUTE}
NEVER = np.iinfo(np.int64).max // 4


@dataclass(frozen=True)
class JudgedSignals:
    """Signals to be judged. `moment`: from when on one could act; sign: 1 buy, -1 sell; target, stop: NaN if there is none."""

    token_id: IntArray
    moment: IntArray
    sign: FloatArray
    target_usd: FloatArray
    stop_usd: FloatArray

    def __len__(self) -> int:
        return int(self.token_id.size)

    def take(self, rows: npt.NDArray[np.intp] | BoolArray) -> "JudgedSignals":
        """The rows at these positions, or where this mask is true."""
        return JudgedSignals(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class CandleRows:
    """Candles of one timeframe in any order; `available_at`: from when on each could be used."""

    interval: int
    token_id: IntArray
    opened_at: IntArray
    available_at: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray

    @cached_property
    def index(self) -> MomentIndex:
        """Where each token's candles are, by opening; of sorted rows."""
        return MomentIndex(self.token_id, self.opened_at)

    @cached_property
    def highs(self) -> RangeExtremes:
        """The highest price of any range of rows."""
        return RangeExtremes(self.high, np.maximum)

    @cached_property
    def lows(self) -> RangeExtremes:
        """The lowest price of any range of rows."""
        return RangeExtremes(self.low, np.minimum)

    @cached_property
    def last_available(self) -> RangeExtremes:
        """When all of any range of rows could be used."""
        return RangeExtremes(self.available_at.astype(np.float64), np.maximum)

    def known_at(self, as_of: int) -> "CandleRows":
        """Those that could be used by then, sorted by token and time; the same object if these are."""
        if _in_order(self.token_id, self.opened_at) and (self.available_at <= as_of).all():
            return self
        order = np.lexsort((self.opened_at, self.token_id))
        order = order[self.available_at[order] <= as_of]
        columns = {name: getattr(self, name)[order] for name in self.__dataclass_fields__ if name != "interval"}
        return CandleRows(interval=self.interval, **columns)


@dataclass(frozen=True)
class SnapshotRows:
    """Snapshots in any order; liquidity NaN: not known."""

    token_id: IntArray
    observed_at: IntArray
    available_at: IntArray
    price_usd: FloatArray
    liquidity_usd: FloatArray

    def take(self, rows: npt.NDArray[np.intp] | BoolArray) -> "SnapshotRows":
        """The rows at these positions, or where this mask is true."""
        return SnapshotRows(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    @cached_property
    def index(self) -> MomentIndex:
        """Where each token's snapshots are, by time; of sorted rows."""
        return MomentIndex(self.token_id, self.observed_at)

    def known_at(self, as_of: int) -> "SnapshotRows":
        """Those that could be used by then, sorted by token and time; the same object if these are."""
        if _in_order(self.token_id, self.observed_at) and (self.available_at <= as_of).all():
            return self
        order = np.lexsort((self.observed_at, self.token_id))
        return self.take(order[self.available_at[order] <= as_of])


@dataclass(frozen=True)
class Prices:
    """What is known of the market: candles by timeframe, snapshots, and who was asked for when.

    `looked_at`: starts of the spans of five minutes in which any token was seen, ascending. `asked`: by token, from when
    until when it was asked for; a token that is absent was not.
    """

    candles: Mapping[str, CandleRows]
    snapshots: SnapshotRows
    looked_at: IntArray
    asked: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of those signals that can be decided. `row`: which signal; times NEVER and numbers NaN where there is none."""

    row: npt.NDArray[np.intp]
    status: StrArray
    reason: StrArray
    timeframe: StrArray
    entry_at: IntArray
    entry_usd: FloatArray
    exit_at: IntArray
    exit_usd: FloatArray
    liquidity_usd: FloatArray
    cost_share: FloatArray
    market_return: FloatArray
    net_return: FloatArray
    best_return: FloatArray
    worst_return: FloatArray
    first_touch: StrArray
    available_at: IntArray

    def __len__(self) -> int:
        return int(self.row.size)


def _in_order(token_id: IntArray, moment: IntArray) -> bool:
    later = (token_id[1:] == token_id[:-1]) & (moment[1:] >= moment[:-1])
    return bool((later | (token_id[1:] > token_id[:-1])).all())
