"""Keeping `signals` in step with what the rules found: select, complete, store. Nothing that was emitted is changed."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.bulk import driver
from metapulse_assets.platform.day_partitions import day_bounds, day_start, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.risk.assessing import read_risk
from metapulse_assets.risk.history import MAX_AGE_SECONDS
from metapulse_assets.signals.candidates import Candidates, RecentSignals
from metapulse_assets.signals.emission import emit_signals
from metapulse_assets.signals.selection import DUPLICATE_SECONDS
from metapulse_assets.signals.tables import SOURCES, signals

Found = dict[str, Any]

# Up to when each kind's hits have been considered, by the moment they became usable.
MARKS = {kind: "signals" if kind == "technical" else f"signals:{kind}" for kind in SOURCES}
# A signal stored later than this after its inputs were usable was found by a replay, not in the market's time: technical
# hits come with the tick itself, the others from jobs of their own that may end just after one.
LONGEST_LIVE_DELAY = {"technical": timedelta(minutes=6), **dict.fromkeys(("social", "ai", "combined"), timedelta(minutes=16))}
DUPLICATE_SPAN = timedelta(seconds=DUPLICATE_SECONDS)
# A candidate lies at most a candle before its availability; the longest candle is a day.
LONGEST_CANDLE = timedelta(days=1)


def emit_new(connection: sa.Connection, as_of: datetime, mode: str, run_id: str) -> int:
    """Emit from what the rules found since the last call; returns how many signals that added."""
    found: list[Found] = []
    for kind, table in SOURCES.items():
        done = progress_of(connection, MARKS[kind]) or day_start(utc_day(as_of))
        t = table.c
        fresh = (t.available_at > done) & (t.available_at <= as_of) & (t.opened_at >= done - 3 * LONGEST_CANDLE)
        rows = _found(connection, kind, fresh)
        found += rows
        # One job writes a kind's hits, so none turns up later with an earlier moment; what does is left to a backfill.
        newest = max((row["available_at"] for row in rows), default=done)
        set_progress(connection, MARKS[kind], as_of if kind == "technical" else newest)
    # What was found in the market's time is emitted now, by what is known now; what is older, as it would have been then.
    for row in found:
        if as_of - row["available_at"] <= LONGEST_LIVE_DELAY[row["kind"]]:
            row["available_at"] = as_of
    return _emit(connection, found, as_of, mode, run_id)


def emit_again(connection: sa.Connection, day: date, as_of: datetime, mode: str, run_id: str) -> int:
    """Emit what a day's hits give and is not there yet; returns how many signals that added."""
    start, end = day_bounds(day)
    found = []
    for kind, table in SOURCES.items():
        t = table.c
        found += _found(connection, kind, (t.opened_at >= start) & (t.opened_at < end) & (t.available_at <= as_of))
    return _emit(connection, found, as_of, mode, run_id)


def _emit(connection: sa.Connection, found: Sequence[Found], as_of: datetime, mode: str, run_id: str) -> int:
    """Select and store; returns how many were not there yet."""
    rows = [
        {
            **row,
            "recorded_at": as_of,
            "origin": "live" if as_of - row["emitted_at"] <= LONGEST_LIVE_DELAY[row["kind"]] else "replay",
            "mode": mode,
            "run_id": run_id,
        }
        for row in complete(connection, found)
    ]
    return _store(connection, rows) if rows else 0


def _store(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Store signals; one that is stored already stays as it is. By COPY: a backfill brings tens of thousands."""
    raw, names = driver(connection), [column.name for column in signals.columns]
    columns = ", ".join(names)
    raw.execute("DROP TABLE IF EXISTS staging_signals")
    raw.execute("CREATE TEMP TABLE staging_signals (LIKE signals) ON COMMIT DROP")
    with raw.cursor().copy(f"COPY staging_signals ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([Jsonb(row[name]) if name == "reasons" else row[name] for name in names])
    return raw.execute(
        f"INSERT INTO signals ({columns}) SELECT {columns} FROM staging_signals"  # noqa: S608 - names of ours
        " ON CONFLICT (signal_id) DO NOTHING"
    ).rowcount


def complete(connection: sa.Connection, found: Sequence[Found]) -> list[dict[str, Any]]:
    """The signals that hits (rows of the tables of hits, each with its `kind`) become beside those stored, without storing.

    `available_at` of each says for when it is emitted.
    """
    if not found:
        return []
    columns = {name: [row[name] for row in found] for name in found[0]}
    first, last = min(columns["available_at"]), max(columns["available_at"])
    for name in ("opened_at", "available_at"):
        columns[name] = [moment.timestamp() for moment in columns[name]]
    return emit_signals(
        Candidates.from_columns(columns),
        _recent(connection, first - DUPLICATE_SPAN, last + DUPLICATE_SPAN),
        read_risk(connection, first - timedelta(seconds=MAX_AGE_SECONDS), last + timedelta(microseconds=1)),
        _token_keys(connection, set(columns["token_id"])),
    ).rows()


def _found(connection: sa.Connection, kind: str, condition: sa.ColumnElement[bool]) -> list[Found]:
    rows = connection.execute(sa.select(SOURCES[kind]).where(condition))
    return [{**row._mapping, "kind": kind} for row in rows]


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
