"""Keeping `signals` in step with what the rules found: select, complete, store. Nothing that was emitted is changed."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.day_partitions import day_bounds, day_start, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.signals.assessing import read_risk
from metapulse_assets.signals.candidates import Candidates, RecentSignals
from metapulse_assets.signals.emission import emit_signals
from metapulse_assets.signals.risk_history import MAX_AGE_SECONDS
from metapulse_assets.signals.selection import DUPLICATE_SECONDS
from metapulse_assets.signals.tables import signals, technical_signals

MARK = "signals"
# A signal stored later than a tick after its inputs were usable was found by a replay, not in the market's time.
LONGEST_LIVE_DELAY = timedelta(minutes=6)
DUPLICATE_SPAN = timedelta(seconds=DUPLICATE_SECONDS)
# A candidate lies at most a candle before its availability; the longest candle is a day.
LONGEST_CANDLE = timedelta(days=1)


def emit_new(connection: sa.Connection, as_of: datetime, mode: str, run_id: str) -> int:
    """Emit from what the rules found since the last call; returns how many signals that added."""
    done = progress_of(connection, MARK) or day_start(utc_day(as_of))
    table = technical_signals
    found = _candidates(
        connection,
        (table.c.available_at > done) & (table.c.available_at <= as_of) & (table.c.opened_at >= done - 3 * LONGEST_CANDLE),
    )
    # What was found in the market's time is emitted now, by what is known now; what is older, as it would have been then.
    moments = {row.available_at: as_of for row in found if as_of - row.available_at <= LONGEST_LIVE_DELAY}
    emitted = _emit(connection, found, moments, as_of, mode, run_id)
    set_progress(connection, MARK, as_of)
    return emitted


def emit_again(connection: sa.Connection, day: date, as_of: datetime, mode: str, run_id: str) -> int:
    """Emit what a day's candles give and is not there yet; returns how many signals that added."""
    start, end = day_bounds(day)
    table = technical_signals
    within = (table.c.opened_at >= start) & (table.c.opened_at < end) & (table.c.available_at <= as_of)
    return _emit(connection, _candidates(connection, within), {}, as_of, mode, run_id)


def _emit(
    connection: sa.Connection,
    found: Sequence[sa.Row[Any]],
    moments: Mapping[datetime, datetime],
    as_of: datetime,
    mode: str,
    run_id: str,
) -> int:
    """Select and store; `moments` says for when each candidate became usable when it is emitted, if not at once."""
    if not found:
        return 0
    columns = {name: [getattr(row, name) for row in found] for name in found[0]._fields}
    columns["available_at"] = [moments.get(moment, moment) for moment in columns["available_at"]]
    first, last = min(columns["available_at"]), max(columns["available_at"])
    for name in ("opened_at", "available_at"):
        columns[name] = [moment.timestamp() for moment in columns[name]]
    emitted = emit_signals(
        Candidates.from_columns(columns),
        _recent(connection, first - DUPLICATE_SPAN, last + DUPLICATE_SPAN),
        read_risk(connection, first - timedelta(seconds=MAX_AGE_SECONDS), last + timedelta(microseconds=1)),
        _token_keys(connection, set(columns["token_id"])),
    )
    rows = [
        {
            **row,
            "recorded_at": as_of,
            "origin": "live" if as_of - row["emitted_at"] <= LONGEST_LIVE_DELAY else "replay",
            "mode": mode,
            "run_id": run_id,
        }
        for row in emitted.rows()
    ]
    if not rows:
        return 0
    stored = connection.execute(
        insert(signals).on_conflict_do_nothing(index_elements=["signal_id"]).returning(signals.c.signal_id), rows
    )
    return len(stored.all())


def _candidates(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Sequence[sa.Row[Any]]:
    return connection.execute(sa.select(technical_signals).where(condition)).all()


def _recent(connection: sa.Connection, start: datetime, end: datetime) -> RecentSignals:
    columns = ("token_id", "kind", "rule", "direction", "price_usd", "emitted_at")
    rows = connection.execute(
        sa.select(*(signals.c[name] for name in columns)).where(signals.c.emitted_at >= start, signals.c.emitted_at <= end)
    ).all()
    values: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in columns}
    values["emitted_at"] = [moment.timestamp() for moment in values["emitted_at"]]
    return RecentSignals.from_columns(values)


def _token_keys(connection: sa.Connection, token_ids: set[int]) -> dict[int, str]:
    rows = connection.execute(
        sa.select(tokens.c.token_id, tokens.c.chain, tokens.c.address).where(tokens.c.token_id.in_(list(token_ids)))
    )
    return {row.token_id: f"{row.chain}:{row.address}" for row in rows}
