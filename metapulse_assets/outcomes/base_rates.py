"""What chance would have done: the share of moments, of all tokens or of one, at which an entry would have paid.

Belongs here: counting over candles. Does not: any signal (`calibration`). All times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.price_index import MomentIndex
from metapulse_assets.outcomes.resolving import FRESH, net_return
from metapulse_assets.outcomes.rows import HORIZONS, CandleRows, FloatArray, IntArray

COUNTED, BUY_HIT, SELL_HIT = 1, 2, 4
"""What a `MomentGrid` says of a moment, as a sum: that it is counted, that a buy paid, that a sell did."""


@dataclass(frozen=True)
class TokenMarket:
    """What is known of the tokens' costs and ends besides their candles.

    `kept`: by token, share of the money left after costs; `usual_kept`: for the others. `vanished_at`: by token, when a
    pool that vanished was last seen.
    """

    kept: Mapping[int, float]
    usual_kept: float
    vanished_at: Mapping[int, int]


@dataclass(frozen=True)
class MomentGrid:
    """Each moment by token and time: `codes` (tokens, slots) of COUNTED, BUY_HIT and SELL_HIT, a slot an interval long."""

    start: int
    interval: int
    codes: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MomentCounts:
    """By token: moments of the period, and how many of them would have paid for a buy and for a sell.

    `holding`: return after costs of a buy at the period's first candle held to its last; `grid`: the moments themselves.
    """

    token_id: IntArray
    moments: IntArray
    buy_hits: IntArray
    sell_hits: IntArray
    holding: FloatArray
    grid: MomentGrid

    def rates(self, token_id: IntArray, sign: FloatArray) -> FloatArray:
        """The share that paid for each token and direction; of all tokens where one is unknown; NaN if all are."""
        if not self.token_id.size:
            return np.full(token_id.shape, np.nan)
        place = np.minimum(np.searchsorted(self.token_id, token_id), self.token_id.size - 1)
        known = self.token_id[place] == token_id
        hits = np.where(sign > 0, self.buy_hits[place], self.sell_hits[place])
        rates: FloatArray = np.where(known, hits / self.moments[place], self.overall(sign))
        return rates

    def overall(self, sign: FloatArray) -> FloatArray:
        """The share of all tokens' moments that paid in each direction; NaN if there is no moment."""
        total = int(self.moments.sum())
        if not total:
            return np.full(sign.shape, np.nan)
        rates: FloatArray = np.where(sign > 0, self.buy_hits.sum() / total, self.sell_hits.sum() / total)
        return rates

    def mean_holding(self, token_id: IntArray) -> float:
        """Mean return of holding the distinct tokens among these; NaN if none is known."""
        held = self.holding[np.isin(self.token_id, token_id)]
        return float(held.mean()) if held.size else float("nan")


def count_moments(candles: CandleRows, horizon: str, period: tuple[int, int], market: TokenMarket) -> MomentCounts:
    """Take every candle's start within the period (both ends included) as an entry at its open, and leave a horizon later.

    As for a signal: leave at the close of the last candle that has closed by then and is fresh; moments without one are not
    counted, but for those whose pool vanished on the way: a buyer has lost all, a seller gains what its last close gives.
    """
    span = HORIZONS[horizon]
    rows = candles.known_at(np.iinfo(np.int64).max)
    index = MomentIndex(rows.token_id, rows.opened_at)
    entry = np.flatnonzero((rows.opened_at >= period[0]) & (rows.opened_at <= period[1]))
    token_id, entered = rows.token_id[entry], rows.opened_at[entry]
    due = entered + span
    # The candle that the entry opens may be the last one that closes in time, never one before it.
    left = np.maximum(index.last_until(token_id, due - rows.interval), entry)
    closed = rows.opened_at[left] + rows.interval
    fresh = (closed <= due) & (due - closed <= min(max(FRESH, rows.interval), span))
    tokens, place = np.unique(token_id, return_inverse=True)
    ends = np.array([market.vanished_at.get(token, np.iinfo(np.int64).max) for token in tokens.tolist()], np.int64)
    kept = np.array([market.kept.get(token, market.usual_kept) for token in tokens.tolist()], np.float64)
    lost = ~fresh & (due > ends[place])
    ratio = rows.close[left] / rows.open[entry]
    counted = fresh | lost
    buys = _paid(1.0, ratio, kept[place]) & counted & ~lost
    sells = _paid(-1.0, ratio, kept[place]) & counted
    start = int(entered.min(initial=period[1]))
    slot = (entered - start) // rows.interval
    codes = np.zeros((tokens.size, int(slot.max(initial=-1)) + 1), np.uint8)
    codes[place, slot] = counted * COUNTED + buys * BUY_HIT + sells * SELL_HIT
    holding = _holding(rows, entry, place, tokens.size, kept, ends, period)
    return _counts(tokens, place, counted, buys, sells, holding, MomentGrid(start, rows.interval, codes))


def _paid(sign: float, ratio: FloatArray, kept: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(net_return(np.full(ratio.shape, sign), ratio, kept) > 0, np.bool_)


def _counts(
    tokens: IntArray,
    place: npt.NDArray[np.intp],
    counted: npt.NDArray[np.bool_],
    buys: npt.NDArray[np.bool_],
    sells: npt.NDArray[np.bool_],
    holding: FloatArray,
    grid: MomentGrid,
) -> MomentCounts:
    moments, buy_hits, sell_hits = (
        np.bincount(place[rows], minlength=tokens.size).astype(np.int64) for rows in (counted, buys, sells)
    )
    some = moments > 0
    seen = MomentGrid(grid.start, grid.interval, grid.codes[some])
    return MomentCounts(tokens[some], moments[some], buy_hits[some], sell_hits[some], holding[some], seen)


def _holding(
    rows: CandleRows,
    entry: npt.NDArray[np.intp],
    place: npt.NDArray[np.intp],
    tokens: int,
    kept: FloatArray,
    ends: IntArray,
    period: tuple[int, int],
) -> FloatArray:
    first, last = np.full(tokens, -1, np.intp), np.full(tokens, -1, np.intp)
    # Rows are in order of time: of equal places the last written stays.
    first[place[::-1]] = entry[::-1]
    last[place] = entry
    held = rows.close[last] / rows.open[first] * kept - 1
    return np.where(ends <= period[1], -1.0, held)
