"""Which candidates become signals: fresh ones, no repetitions, at most a few per token and moment.

Belongs here: staleness, deduplication, ranking. Does not: what an emitted signal says (`emission`).
"""

import numpy as np

from metapulse_assets.signals.candidates import VIEW, BoolArray, Candidates, IntArray, RecentSignals, StrArray

MAX_DELAY_INTERVALS = 2
"""A candidate known later than this many intervals after its candle's close is stale: nobody could have acted in time.
Own choice."""
VIEW_DELAY_SECONDS = 3_600.0
"""A view of a moment that became usable later than this is stale: models may take minutes. Own choice."""

# Start values that the requirements give.
DUPLICATE_SECONDS = 2 * 3_600
DUPLICATE_PRICE_SHARE = 0.02
MAX_PER_TOKEN_AND_MOMENT = 5


def stale(candidates: Candidates) -> BoolArray:
    """Rows that became known more than MAX_DELAY_INTERVALS intervals after their candle's close, or as views late."""
    waited = candidates.available_at - candidates.closed_at
    longest = np.where(candidates.timeframe == VIEW, VIEW_DELAY_SECONDS, MAX_DELAY_INTERVALS * candidates.interval_seconds)
    return np.asarray(waited > longest, dtype=np.bool_)


def select_signals(candidates: Candidates, recent: RecentSignals) -> IntArray:
    """Rows of the candidates to be emitted, by moment (available_at), token and rank.

    Moment by moment, strongest first (strength times confidence; equal ones by kind, rule, timeframe): a candidate is
    dropped if it is stale, if it repeats a signal, or if its token has MAX_PER_TOKEN_AND_MOMENT signals of that moment.
    It repeats one of the same token, kind, rule and direction, within DUPLICATE_SECONDS, at a price that differs by at
    most DUPLICATE_PRICE_SHARE of the higher of the two; signals are the recent ones and those accepted here. Recent
    ones that are later count too, so that a candidate found late cannot stand beside what was emitted in its place.

    The result depends on nothing but the rows themselves: not on their order, not on other tokens; running again with
    the result among the recent selects nothing; stopping between two moments and going on gives the same.
    """
    fresh = np.flatnonzero(~stale(candidates))
    order = fresh[_rank(candidates, fresh)]
    topic, recent_topic = _topics(candidates, recent)

    emitted: dict[int, list[tuple[float, float]]] = {}
    for key, at, price in zip(recent_topic.tolist(), recent.emitted_at.tolist(), recent.price_usd.tolist(), strict=True):
        emitted.setdefault(key, []).append((at, price))
    taken: dict[tuple[int, float], int] = {}
    for slot in zip(recent.token_id.tolist(), recent.emitted_at.tolist(), strict=True):
        taken[slot] = taken.get(slot, 0) + 1

    accepted: list[int] = []
    rows = (order, topic[order], candidates.token_id[order], candidates.available_at[order])
    prices = candidates.price_usd[order].tolist()
    for (row, key, token, at), price in zip(zip(*(r.tolist() for r in rows), strict=True), prices, strict=True):
        past = emitted.get(key, [])
        if any(_repeats(at, price, *signal) for signal in past):
            continue
        slot = (token, at)
        if taken.get(slot, 0) >= MAX_PER_TOKEN_AND_MOMENT:
            continue
        taken[slot] = taken.get(slot, 0) + 1
        emitted[key] = [signal for signal in past if at - signal[0] <= DUPLICATE_SECONDS] + [(at, price)]
        accepted.append(row)
    return np.array(accepted, dtype=np.int64)


def _repeats(at: float, price: float, emitted_at: float, emitted_price: float) -> bool:
    return abs(at - emitted_at) <= DUPLICATE_SECONDS and (
        abs(price - emitted_price) <= DUPLICATE_PRICE_SHARE * max(price, emitted_price)
    )


def _rank(candidates: Candidates, rows: IntArray) -> IntArray:
    """A total order: moment, token, strongest first, then names; the last keys only separate rows beyond uniqueness."""
    importance = candidates.strength[rows] * candidates.confidence[rows]
    keys = (
        candidates.price_usd[rows],
        candidates.opened_at[rows],
        _codes(candidates.direction[rows]),
        _codes(candidates.timeframe[rows]),
        _codes(candidates.rule[rows]),
        _codes(candidates.kind[rows]),
        -importance,
        candidates.token_id[rows],
        candidates.available_at[rows],
    )
    return np.lexsort(keys)


def _topics(candidates: Candidates, recent: RecentSignals) -> tuple[IntArray, IntArray]:
    """One number for each token, kind, rule and direction, the same for candidates and recent signals."""
    topic = np.unique(np.concatenate([candidates.token_id, recent.token_id]), return_inverse=True)[1]
    for name in ("kind", "rule", "direction"):
        codes = _codes(np.concatenate([getattr(candidates, name), getattr(recent, name)]))
        topic = topic * (int(codes.max(initial=0)) + 1) + codes
    return topic[: len(candidates)].astype(np.int64), topic[len(candidates) :].astype(np.int64)


def _codes(names: StrArray) -> IntArray:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
