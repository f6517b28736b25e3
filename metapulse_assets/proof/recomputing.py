"""A signal made once more from what could be used when it was emitted, by the code that makes all signals.

Belongs here: recomputing one signal, and what differs. Does not: how time is set back (`time_cut`), which signals are
looked at (`checks`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.indicators import chain_store
from metapulse_assets.indicators.bars import MAX_GAP_INTERVALS
from metapulse_assets.indicators.chain import anchor_of
from metapulse_assets.intelligence.store import derive
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets.proof.time_cut import Cut, TimeMachine, in_public, time_machine
from metapulse_assets.risk import assessing
from metapulse_assets.risk.history import MAX_AGE_SECONDS
from metapulse_assets.signals import emitting, finding, source_hits
from metapulse_assets.signals.combining import WINDOW
from metapulse_assets.signals.quotes import OLDEST_PRICE
from metapulse_assets.signals.social_rules import LONGEST_PAUSE
from metapulse_assets.signals.tables import SOURCES, ai_signals, signals, social_signals
from metapulse_assets.social.metrics_store import make_metrics_at
from metapulse_assets.social.tables import social_metrics

COMPARED = (
    *("signal_id", "token_id", "kind", "rule", "timeframe", "direction", "strength", "confidence", "risk", "price_usd"),
    *("target_usd", "stop_usd", "horizon_seconds", "reasons", "opened_at", "observed_at", "emitted_at", "expires_at"),
)
"""All that a signal says; the rest is about the run that stored it."""

MICROSECOND = timedelta(microseconds=1)
MEMORY = timedelta(days=9)
"""How far back facts other than candles are seen: social metrics look at a week before their day."""

Signal = Mapping[str, Any]


@dataclass(frozen=True)
class Recomputed:
    """What came of one signal: whether the same was made, and if not what differs, as {column: (stored, recomputed)}."""

    signal_id: str
    differences: Mapping[str, tuple[Any, Any]]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def recompute_signal(machine: TimeMachine, signal: Signal) -> Recomputed:
    """Make a stored signal (a row of `signals`) again on data cut at its emission, and compare."""
    moment: datetime = signal["emitted_at"]
    days = _days_of_candles(signal)
    machine.go_to(
        Cut(
            moment=moment,
            token_id=signal["token_id"],
            since=_since(signal, days),
            memory=MEMORY,
            talk=signal["kind"] in ("social", "combined"),
            models=signal["kind"] in ("ai", "combined"),
            without_signal=signal["signal_id"],
        )
    )
    connection = machine.connection
    for timeframe, wanted in days.items():
        chain_store.recompute(connection, TIMEFRAMES[timeframe], wanted, moment, _silent)
    for kind in _sources_of(signal):
        _FIND[kind](connection, signal, days)
    for day in _days_between(moment - timedelta(seconds=MAX_AGE_SECONDS), moment):
        assessing.assess_again(connection, day)
    hit = _hit_of(connection, signal)
    if hit is None:
        return Recomputed(signal["signal_id"], {"hit": ("found", "not found")})
    made = emitting.complete(connection, [{**hit, "available_at": moment}])
    if not made:
        return Recomputed(signal["signal_id"], {"signal": ("emitted", "not emitted")})
    return Recomputed(signal["signal_id"], _differences(signal, made[0]))


def recompute_stored(engine: sa.Engine, signal_id: str) -> Recomputed:
    """Make one stored signal again. Raises LookupError for an unknown id."""
    with time_machine(engine) as machine:
        row = machine.connection.execute(
            sa.text("SELECT * FROM public.signals WHERE signal_id = :signal_id"), {"signal_id": signal_id}
        ).one_or_none()
        if row is None:
            raise LookupError(f"no signal {signal_id!r} is stored")
        return recompute_signal(machine, dict(row._mapping))


def _sources_of(signal: Signal) -> Sequence[str]:
    """The kinds of hits to be found again, each after those it is made of."""
    return ("technical", "social", "ai", "combined") if signal["kind"] == "combined" else (signal["kind"],)


def _days_of_candles(signal: Signal) -> dict[str, list[date]]:
    """The days to analyse again, by timeframe: the hit's own, and that of the candle before, which a cross needs.

    A view takes its range from hourly candles; a combined one is made of technical hits of all timeframes.
    """
    moment = signal["emitted_at"]
    if signal["kind"] == "technical":
        timeframe = TIMEFRAMES[signal["timeframe"]]
        before = signal["opened_at"] - (MAX_GAP_INTERVALS + 1) * timeframe.interval
        return {signal["timeframe"]: _days_between(before, signal["opened_at"])}
    hours = {"1h": _days_between(moment - timedelta(hours=8), moment)}
    if signal["kind"] != "combined":
        return hours
    return {
        name: _days_between(
            signal["opened_at"] - 2 * WINDOW - (MAX_GAP_INTERVALS + 3) * timeframe.interval, signal["opened_at"]
        )
        for name, timeframe in TIMEFRAMES.items()
    } | hours


def _days_between(first: datetime, last: datetime) -> list[date]:
    start, end = utc_day(first), utc_day(last)
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def _since(signal: Signal, days: Mapping[str, Sequence[date]]) -> dict[str, datetime]:
    """How far back candles are needed: to the anchors of the days, and for a view's price a while before it."""
    since = {name: anchor_of(name, wanted[0]) for name, wanted in days.items()}
    if signal["kind"] != "technical":
        price_from = signal["opened_at"] - 2 * WINDOW - OLDEST_PRICE - timedelta(hours=1)
        since["5m"] = min(since.get("5m", price_from), price_from)
    return since


def _find_technical(connection: sa.Connection, signal: Signal, days: Mapping[str, Sequence[date]]) -> None:
    for name, wanted in days.items():
        for day in wanted:
            finding.find_again(connection, TIMEFRAMES[name], day)


def _find_social(connection: sa.Connection, signal: Signal, days: Mapping[str, Sequence[date]]) -> None:
    for as_of in _stored_moments(connection, social_signals, signal):
        make_metrics_at(connection, _with_one_before(connection, signal["token_id"], as_of))
        source_hits.find_between(connection, "social", as_of, as_of + MICROSECOND, signal["emitted_at"])


def _with_one_before(connection: sa.Connection, token_id: int, as_of: datetime) -> list[datetime]:
    """A moment, and the one before at which the token had metrics, as far as they are not made yet: a rule reads both."""
    real, made = in_public(social_metrics).c, social_metrics.c
    before = connection.execute(
        sa.select(sa.func.max(real.as_of)).where(
            real.token_id == token_id, real.as_of < as_of, real.as_of >= as_of - LONGEST_PAUSE
        )
    ).scalar()
    there = set(connection.execute(sa.select(made.as_of).distinct()).scalars())
    return [moment for moment in (before, as_of) if moment is not None and moment not in there]


def _stored_moments(connection: sa.Connection, table: sa.Table, signal: Signal) -> list[datetime]:
    """The moments of a source's stored hits that a signal rests on: its own, or those an agreement may have heard."""
    if signal["kind"] != "combined":
        return [signal["opened_at"]]
    t = in_public(table).c
    return [
        *connection.execute(
            sa.select(t.opened_at)
            .distinct()
            .where(
                t.token_id == signal["token_id"],
                t.available_at >= signal["opened_at"] - 2 * WINDOW,
                t.available_at <= signal["opened_at"],
            )
            .order_by(t.opened_at)
        ).scalars()
    ]


def _find_ai(connection: sa.Connection, signal: Signal, days: Mapping[str, Sequence[date]]) -> None:
    for as_of in _stored_moments(connection, ai_signals, signal):
        derive(connection, as_of, as_of + MICROSECOND)
        source_hits.find_between(connection, "ai", as_of, as_of + MICROSECOND, signal["emitted_at"])


def _find_combined(connection: sa.Connection, signal: Signal, days: Mapping[str, Sequence[date]]) -> None:
    moment = signal["opened_at"]
    source_hits.find_between(connection, "combined", moment, moment + MICROSECOND, signal["emitted_at"])


_FIND: Mapping[str, Callable[[sa.Connection, Signal, Mapping[str, Sequence[date]]], None]] = {
    "technical": _find_technical,
    "social": _find_social,
    "ai": _find_ai,
    "combined": _find_combined,
}


def _hit_of(connection: sa.Connection, signal: Signal) -> dict[str, Any] | None:
    t = SOURCES[signal["kind"]].c
    row = connection.execute(
        sa.select(SOURCES[signal["kind"]]).where(
            t.opened_at == signal["opened_at"],
            t.token_id == signal["token_id"],
            t.timeframe == signal["timeframe"],
            t.rule == signal["rule"],
            t.available_at <= signal["emitted_at"],
        )
    ).one_or_none()
    return None if row is None else {**row._mapping, "kind": signal["kind"]}


def _differences(stored: Signal, made: Signal) -> dict[str, tuple[Any, Any]]:
    return {name: (stored[name], made[name]) for name in COMPARED if not _same(signals.c[name], stored[name], made[name])}


def _same(column: sa.Column[Any], stored: Any, made: Any) -> bool:
    if isinstance(column.type, sa.REAL) and stored is not None and made is not None:
        # The column holds single precision; what was just made has not been through it yet.
        return bool(np.float32(stored) == np.float32(made))
    return bool(stored == made)


def _silent(day: date, done: int) -> None:
    """Progress of one token is of no interest."""
