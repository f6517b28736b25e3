"""What happened after a signal: entry, exit, return, excursions, and which of target and stop came first. Arrays in and out.

Belongs here: the judgement of signals over prices that are given. Does not: reading and storing (`store`), nor what
the outcomes say about a source (`calibration`). All times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.rows import (
    HORIZONS,
    INTERVALS,
    MINUTE,
    NEVER,
    BoolArray,
    CandleRows,
    FloatArray,
    IntArray,
    JudgedSignals,
    Outcomes,
    Prices,
    SnapshotRows,
    StrArray,
)

FALLBACKS = ("1h", "1d")
"""Candles that stand in, finest first, where there are none of five minutes; only for horizons at least as long."""

POOL_FEE = 0.003
"""Each way; Uniswap v2's, the highest of the common constant-product pools (Raydium takes 0.25 %)."""
TRADE_USD = 100.0
"""Size of the trade whose slippage is counted. Own choice: what a person tries a token with."""
GONE_LIQUIDITY_USD = 2 * TRADE_USD
"""Half of a pool's liquidity is what it pays with: below this it could not pay for the trade."""

ENTRY_WAIT = 15 * MINUTE
"""A first price later than three ticks after the signal is no entry. Own choice, as are the spans below."""
CLOSE_GRACE = MINUTE
"""A snapshot this shortly after a moment still speaks for it, as for the close of a candle."""
FRESH = 15 * MINUTE
"""An exit price at most three ticks old needs no further look (or at most a horizon old, if that is shorter)."""
QUIET = 60 * MINUTE
"""A token that did not trade for this long kept its last price, if it was seen again later."""
READY_AFTER = 10 * MINUTE
"""By two ticks after the exit its candle has been made."""
SETTLE = 60 * MINUTE
"""How long after the exit a token may stay unseen before it is decided that it vanished or cannot be resolved."""
VANISHED_AFTER_TICKS = 6
"""A pool vanished if at least so many spans of five minutes showed other tokens and not this one."""

NO_ENTRY = "no price soon after the signal"
NOT_WATCHING = "not watching when the horizon ended"
NOT_TRACKED = "the token was not asked for when the horizon ended"
NO_EXIT = "no price near the end of the horizon"
POOL_UNSEEN = "the pool was asked for and not seen again"
POOL_DRAINED = "the pool's liquidity was gone"


def judge(signals: JudgedSignals, horizon: str, prices: Prices, as_of: int) -> Outcomes:
    """The outcomes at one horizon of all signals that can be decided by `as_of`, from rows that were usable by then.

    Entry: the open of the first five-minute candle that opened at or after the signal's moment, or the first snapshot if
    that was earlier, within ENTRY_WAIT. Exit, a horizon after the entry: the close of the last candle that closed by then, or
    a snapshot if that is later by more than CLOSE_GRACE. Where five-minute prices do not decide, longer candles do alone.
    Vanished: the liquidity was below GONE_LIQUIDITY_USD at the exit and had not been at the entry; or, from before the exit
    until SETTLE after it, the token was asked for and not seen, while others were. A buyer then has lost all; a seller has
    gained no more than the last price that could be traded gives him.
    """
    span = HORIZONS[horizon]
    snapshots = prices.snapshots.known_at(as_of)
    five = _Attempt(signals, span, prices.candles["5m"].known_at(as_of), snapshots, as_of, ENTRY_WAIT)
    vanished, reason = _vanished(signals, five, prices)
    decided = [five.outcomes(five.resolved | vanished, vanished, reason, "5m")]
    left = five.final & ~five.resolved & ~vanished
    for timeframe in FALLBACKS:
        rows = np.flatnonzero(left)
        if not rows.size or INTERVALS[timeframe] > span or timeframe not in prices.candles:
            continue
        candles = prices.candles[timeframe]
        attempt = _Attempt(
            signals.take(rows), span, candles.known_at(as_of), snapshots.take(np.zeros(0, np.intp)), as_of, candles.interval
        )
        none = np.zeros(rows.size, np.bool_)
        decided.append(_shifted(attempt.outcomes(attempt.resolved, none, np.full(rows.size, ""), timeframe), rows))
        left[rows[attempt.resolved]] = False
    decided.append(_unresolvable(np.flatnonzero(left), five, reason))
    return _joined(decided)


class _Attempt:
    """Entry and exit of each signal in candles of one timeframe and snapshots."""

    def __init__(
        self, signals: JudgedSignals, span: int, candles: CandleRows, snapshots: SnapshotRows, as_of: int, entry_wait: int
    ) -> None:
        self.signals, self.candles, self.snapshots = signals, candles, snapshots
        self.opens, self.seen = candles.index, snapshots.index
        self._enter(entry_wait)
        self.due = np.where(self.entered, self.entry_at + span, signals.moment + span)
        self._leave(span)
        self.final = self.due + SETTLE <= as_of
        self.resolved = self.entered & self.left_well & (self.due + READY_AFTER <= as_of)

    def _enter(self, wait: int) -> None:
        token, moment = self.signals.token_id, self.signals.moment
        candle, snapshot = self.opens.first_from(token, moment), self.seen.first_from(token, moment)
        opened = _at(self.candles.opened_at, candle, NEVER)
        observed = _at(self.snapshots.observed_at, snapshot, NEVER)
        by_snapshot = observed < opened
        self.entry_at = np.minimum(opened, observed)
        self.entered = self.entry_at - moment <= wait
        self.entry_usd = np.where(
            by_snapshot, _at(self.snapshots.price_usd, snapshot, np.nan), _at(self.candles.open, candle, np.nan)
        )
        self.entry_known = np.where(
            by_snapshot, _at(self.snapshots.available_at, snapshot, 0), _at(self.candles.available_at, candle, 0)
        )

    def _leave(self, span: int) -> None:
        token, interval = self.signals.token_id, self.candles.interval
        candle = self.opens.last_until(token, self.due - interval)
        snapshot = self.seen.last_until(token, self.due + CLOSE_GRACE)
        closed = _at(self.candles.opened_at, candle, -NEVER) + interval
        observed = _at(self.snapshots.observed_at, snapshot, -NEVER)
        # Older snapshots are not looked at, so that none need be read between entry and exit of a long horizon.
        by_snapshot = (observed > closed + CLOSE_GRACE) & (observed >= self.due - QUIET)
        self.exit_at = np.where(by_snapshot, observed, closed)
        self.exit_usd = np.where(
            by_snapshot, _at(self.snapshots.price_usd, snapshot, np.nan), _at(self.candles.close, candle, np.nan)
        )
        exit_known = np.where(
            by_snapshot, _at(self.snapshots.available_at, snapshot, 0), _at(self.candles.available_at, candle, 0)
        )
        # A sign of life after the exit's moment, before it is decided.
        signs = [
            (self.candles.opened_at, self.candles.available_at, self.opens.first_from(token, self.due - interval + 1)),
            (self.snapshots.observed_at, self.snapshots.available_at, self.seen.first_from(token, self.due + CLOSE_GRACE + 1)),
        ]
        in_time = [_at(times, place, NEVER) <= self.due + SETTLE for times, _, place in signs]
        known = [np.where(ok, _at(usable, place, 0), NEVER) for ok, (_, usable, place) in zip(in_time, signs, strict=True)]
        self.alive_after = in_time[0] | in_time[1]
        age = self.due - self.exit_at
        fresh = age <= min(max(FRESH, interval), span)
        quiet = (age <= QUIET) & self.alive_after
        self.left_well = (self.exit_at > self.entry_at) & (fresh | quiet)
        # A price that only a later sign of life confirms is known when that is.
        confirmed = np.where(fresh | ~quiet, 0, np.minimum(known[0], known[1]))
        self.exit_known = np.maximum(exit_known, confirmed)

    def liquidity(self, moment: IntArray) -> FloatArray:
        """USD in the pool as last seen by a moment, within QUIET; NaN: not known."""
        found = self.seen.last_until(self.signals.token_id, moment + CLOSE_GRACE)
        recent = moment - _at(self.snapshots.observed_at, found, -NEVER) <= QUIET
        return np.where(recent, _at(self.snapshots.liquidity_usd, found, np.nan), np.nan)

    def last_tradable(self) -> tuple[IntArray, FloatArray]:
        """Time and price of the last snapshot in which the pool was not drained, within QUIET of the exit, else the entry's."""
        held = self.snapshots.take(~(self.snapshots.liquidity_usd < GONE_LIQUIDITY_USD))
        found = held.index.last_until(self.signals.token_id, self.due + CLOSE_GRACE)
        observed = _at(held.observed_at, found, -NEVER)
        later = (observed > self.entry_at) & (observed >= self.due - QUIET)
        return np.where(later, observed, self.entry_at), np.where(later, _at(held.price_usd, found, np.nan), self.entry_usd)

    def outcomes(self, which: BoolArray, vanished: BoolArray, reason: StrArray, timeframe: str) -> Outcomes:
        """The outcomes of some of the signals, all of which have an entry."""
        rows = np.flatnonzero(which)
        gone, sign, entry, due = vanished[rows], self.signals.sign[rows], self.entry_usd[rows], self.due[rows]
        entry_at = self.entry_at[rows]
        # An exit from before the entry is none: who entered then holds the entry's price.
        priced = self.exit_at[rows] > entry_at
        exit_at = np.where(priced, self.exit_at[rows], entry_at)
        exit_usd = np.where(priced, self.exit_usd[rows], entry)
        drained = gone & (reason[rows] == POOL_DRAINED)
        if drained.any():
            tradable_at, tradable_usd = self.last_tradable()
            exit_at = np.where(drained, tradable_at[rows], exit_at)
            exit_usd = np.where(drained, tradable_usd[rows], exit_usd)
        liquidity = self.liquidity(self.entry_at)[rows]
        leaving = np.where(gone, np.nan, self.liquidity(self.due)[rows])
        kept = kept_share(liquidity, leaving)
        ratio = exit_usd / entry
        net = np.where(gone & (sign > 0), -1.0, net_return(sign, ratio, kept))
        best, worst, touch, passed = self._way(rows, np.where(gone, exit_at, due))
        gross = sign * (ratio - 1)
        total_loss = gone & (sign > 0)
        return Outcomes(
            row=rows,
            status=np.where(gone, "vanished", "resolved"),
            reason=np.where(gone, reason[rows], ""),
            timeframe=np.full(rows.size, timeframe),
            entry_at=entry_at,
            entry_usd=entry,
            exit_at=exit_at,
            exit_usd=exit_usd,
            liquidity_usd=liquidity,
            cost_share=1 - kept,
            market_return=np.where(gone, -1.0, ratio - 1),
            net_return=net,
            best_return=np.maximum(best, np.maximum(gross, 0.0)),
            worst_return=np.where(total_loss, -1.0, np.minimum(worst, np.minimum(gross, 0.0))),
            first_touch=touch,
            available_at=np.maximum.reduce(
                [due + np.where(gone, SETTLE, READY_AFTER), self.entry_known[rows], self.exit_known[rows], passed]
            ),
        )

    def _way(self, rows: npt.NDArray[np.intp], until: IntArray) -> tuple[FloatArray, FloatArray, StrArray, IntArray]:
        """Best and worst return between entry and exit, what was touched first, and when the candles used were usable."""
        signals, candles = self.signals.take(rows), self.candles
        start, stop = self.opens.between(signals.token_id, self.entry_at[rows], until - candles.interval)
        highs, lows = candles.highs, candles.lows
        entry, buys = self.entry_usd[rows], signals.sign > 0
        up, down = highs.over(start, stop, entry) / entry - 1, lows.over(start, stop, entry) / entry - 1
        best, worst = np.where(buys, up, -down), np.where(buys, down, -up)
        above = np.where(buys, signals.target_usd, signals.stop_usd)
        below = np.where(buys, signals.stop_usd, signals.target_usd)
        rise, fall = highs.first_reaching(start, stop, above), lows.first_reaching(start, stop, below)
        hit, lost = np.where(buys, rise, fall), np.where(buys, fall, rise)
        # Which came first within one candle is not known; the worse is assumed.
        touch = np.where(hit < lost, "target", np.where(lost < stop, "stop", "neither"))
        usable = candles.last_available.over(start, stop, np.zeros(rows.size)).astype(np.int64)
        return best, worst, np.where(np.isnan(signals.target_usd), "", touch), usable


def kept_share(liquidity_in: FloatArray, liquidity_out: FloatArray) -> FloatArray:
    """Share of the money left after entering and leaving at one price: fees and the slippage of a trade of TRADE_USD.

    A constant-product pool (x·y = k, Uniswap v2) pays with half its liquidity, so that a trade of S moves its mean price by
    the factor 1 + S / (liquidity / 2). Unknown liquidity (NaN): no slippage is counted; below GONE_LIQUIDITY_USD: as there.
    """
    moved = np.ones(np.shape(liquidity_in))
    for liquidity in (liquidity_in, liquidity_out):
        floor = np.maximum(liquidity, GONE_LIQUIDITY_USD)
        moved = moved * np.where(np.isnan(liquidity), 1.0, 1 + 2 * TRADE_USD / np.where(np.isnan(floor), 1.0, floor))
    return (1 - POOL_FEE) ** 2 / moved


def net_return(sign: FloatArray, ratio: FloatArray, kept: FloatArray) -> FloatArray:
    """Return after costs when the price became `ratio` times what it was; 0.1 is 10 %.

    Buy: what is left of the money, less 1. Sell: sold and bought back later, as a share of what the sale would have brought
    without costs; it can lose more than all.
    """
    return np.where(sign > 0, ratio * kept - 1, 1 - ratio / kept)


def _vanished(signals: JudgedSignals, attempt: _Attempt, prices: Prices) -> tuple[BoolArray, StrArray]:
    """Whose pool vanished, and for every signal the reason why it did or why it would be unresolvable."""
    drained = attempt.resolved & (attempt.liquidity(attempt.due) < GONE_LIQUIDITY_USD)
    drained &= ~(attempt.liquidity(attempt.entry_at) < GONE_LIQUIDITY_USD)
    last_seen = np.where(attempt.exit_at > attempt.entry_at, attempt.exit_at, attempt.entry_at)
    since = np.maximum(last_seen, attempt.due - QUIET)
    first = np.searchsorted(prices.looked_at, since, "right")
    looked = np.searchsorted(prices.looked_at, attempt.due + SETTLE, "right") - first
    watching = looked >= VANISHED_AFTER_TICKS
    asked = _asked(signals.token_id, attempt.due, prices.asked)
    unseen = attempt.entered & attempt.final & ~attempt.left_well & ~attempt.alive_after & watching & asked
    reason = np.select(
        [drained, unseen, ~attempt.entered, ~watching, ~asked],
        [POOL_DRAINED, POOL_UNSEEN, NO_ENTRY, NOT_WATCHING, NOT_TRACKED],
        NO_EXIT,
    )
    return drained | unseen, reason


def _asked(token_id: IntArray, moment: IntArray, asked: Mapping[int, tuple[int, int]]) -> BoolArray:
    tokens, place = np.unique(token_id, return_inverse=True)
    spans = np.array([asked.get(token, (NEVER, -NEVER)) for token in tokens.tolist()], np.int64).reshape(-1, 2)
    return np.asarray((spans[place, 0] <= moment) & (moment <= spans[place, 1]), np.bool_)


def _unresolvable(rows: npt.NDArray[np.intp], attempt: _Attempt, reason: StrArray) -> Outcomes:
    nothing, never, empty = np.full(rows.size, np.nan), np.full(rows.size, NEVER), np.full(rows.size, "")
    numbers = ("entry_usd", "exit_usd", "liquidity_usd", "cost_share", "market_return", "net_return")
    return Outcomes(
        row=rows,
        status=np.full(rows.size, "unresolvable"),
        reason=reason[rows],
        timeframe=empty,
        entry_at=never,
        exit_at=never,
        first_touch=empty,
        available_at=attempt.due[rows] + SETTLE,
        **dict.fromkeys((*numbers, "best_return", "worst_return"), nothing),
    )


def _shifted(outcomes: Outcomes, rows: npt.NDArray[np.intp]) -> Outcomes:
    columns = {name: getattr(outcomes, name) for name in Outcomes.__dataclass_fields__}
    return Outcomes(**{**columns, "row": rows[outcomes.row]})


def _joined(parts: list[Outcomes]) -> Outcomes:
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Outcomes.__dataclass_fields__}
    order = np.argsort(joined["row"], kind="stable")
    return Outcomes(**{name: values[order] for name, values in joined.items()})


def _at(values: npt.NDArray[Any], places: npt.NDArray[np.intp], missing: float) -> npt.NDArray[Any]:
    """Values at these places; `missing` where the place is -1."""
    if not values.size:
        return np.full(places.shape, missing, values.dtype)
    return np.where(places >= 0, values[places], np.asarray(missing, values.dtype))
