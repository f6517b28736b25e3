"""Keeping `signals` in step with what the rules found: select, complete, store. Nothing that was emitted is changed."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.bulk import (
    Column,
    Columns,
    append_columns,
    append_if_new,
    driver,
    from_datetime64,
    read_columns,
    to_datetime64,
)
from metapulse_assets.platform.day_partitions import day_bounds, day_start, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.risk.assessing import read_risk
from metapulse_assets.risk.history import MAX_AGE_SECONDS
from metapulse_assets.signals.candidates import Candidates, RecentSignals
from metapulse_assets.signals.emission import EmittedSignals, emit_signals
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
    found = []
    for kind, table in SOURCES.items():
        done = progress_of(connection, MARKS[kind]) or day_start(utc_day(as_of))
        t = table.c
        fresh = (t.available_at > done) & (t.available_at <= as_of) & (t.opened_at >= done - 3 * LONGEST_CANDLE)
        hits = _found(connection, kind, fresh)
        # One job writes a kind's hits, so none turns up later with an earlier moment; what does is left to a backfill.
        newest = from_datetime64(hits["available_at"].max()) if len(hits["kind"]) else done
        set_progress(connection, MARKS[kind], as_of if kind == "technical" else newest)
        # What was found in the market's time is emitted now, by what is known now; what is older, as it would have been then.
        now = to_datetime64(as_of)
        in_time = now - hits["available_at"] <= np.timedelta64(LONGEST_LIVE_DELAY[kind])
        found.append({**hits, "available_at": np.where(in_time, now, hits["available_at"])})
    return _emit(connection, found, as_of, mode, run_id)


def emit_again(connection: sa.Connection, day: date, as_of: datetime, mode: str, run_id: str) -> int:
    """Emit what a day's hits give and is not there yet; returns how many signals that added."""
    start, end = day_bounds(day)
    found = []
    for kind, table in SOURCES.items():
        t = table.c
        found.append(_found(connection, kind, (t.opened_at >= start) & (t.opened_at < end) & (t.available_at <= as_of)))
    return _emit(connection, found, as_of, mode, run_id)


def _emit(connection: sa.Connection, found: Sequence[Columns], as_of: datetime, mode: str, run_id: str) -> int:
    """Select and store; returns how many were not there yet."""
    hits = {name: np.concatenate([some[name] for some in found]) for name in found[0]}
    if not len(hits["kind"]):
        return 0
    emitted = _completed(connection, hits)
    columns = emitted.columns()
    longest = np.array([LONGEST_LIVE_DELAY[kind] for kind in emitted.kind.tolist()], "timedelta64[us]")
    live = to_datetime64(as_of) - np.asarray(columns["emitted_at"]) <= longest
    run: dict[str, Column] = {
        "recorded_at": as_of,
        "origin": np.where(live, "live", "replay"),
        "mode": mode,
        "run_id": run_id,
    }
    return _store(connection, {**columns, **run})


def _store(connection: sa.Connection, columns: Mapping[str, Column]) -> int:
    """Store signals; one that is stored already stays as it is."""
    appended = append_if_new(connection, signals, columns)
    if appended is not None:
        return appended
    raw, names = driver(connection), ", ".join(columns)
    raw.execute("DROP TABLE IF EXISTS staging_signals")
    raw.execute("CREATE TEMP TABLE staging_signals (LIKE signals) ON COMMIT DROP")
    append_columns(connection, signals, columns, "staging_signals")
    return raw.execute(
        f"INSERT INTO signals ({names}) SELECT {names} FROM staging_signals"  # noqa: S608 - names of ours
        " ON CONFLICT (signal_id) DO NOTHING"
    ).rowcount


def complete(connection: sa.Connection, found: Sequence[Found]) -> list[dict[str, Any]]:
    """The signals that hits (rows of the tables of hits, each with its `kind`) become beside those stored, without storing.

    `available_at` of each says for when it is emitted.
    """
    if not found:
        return []
    columns = {name: [row[name] for row in found] for name in found[0]}
    times = {name: np.array([to_datetime64(at) for at in columns[name]]) for name in ("opened_at", "available_at")}
    return _completed(connection, {**columns, **times}).rows()


def _completed(connection: sa.Connection, hits: Mapping[str, Any]) -> EmittedSignals:
    """The same, of columns, at least one row of them."""
    available = hits["available_at"]
    first, last = from_datetime64(available.min()), from_datetime64(available.max())
    seconds = {name: hits[name].astype(np.int64) / 1e6 for name in ("opened_at", "available_at")}
    return emit_signals(
        Candidates.from_columns({**hits, **seconds}),
        _recent(connection, first - DUPLICATE_SPAN, last + DUPLICATE_SPAN),
        read_risk(connection, first - timedelta(seconds=MAX_AGE_SECONDS), last + timedelta(microseconds=1)),
        _token_keys(connection, set(np.unique(hits["token_id"]).tolist())),
    )


def _found(connection: sa.Connection, kind: str, condition: sa.ColumnElement[bool]) -> Columns:
    hits = read_columns(connection, sa.select(SOURCES[kind]).where(condition))
    return {**hits, "kind": np.full(len(hits["token_id"]), kind)}


def _recent(connection: sa.Connection, start: datetime, end: datetime) -> RecentSignals:
    columns = ("token_id", "kind", "rule", "direction", "price_usd", "emitted_at")
    known = read_columns(
        connection,
        sa.select(*(signals.c[name] for name in columns)).where(signals.c.emitted_at >= start, signals.c.emitted_at <= end),
    )
    return RecentSignals.from_columns({**known, "emitted_at": known["emitted_at"].astype(np.int64) / 1e6})


def _token_keys(connection: sa.Connection, token_ids: set[int]) -> dict[int, str]:
    rows = connection.execute(
        sa.select(tokens.c.token_id, tokens.c.chain, tokens.c.address).where(tokens.c.token_id.in_(list(token_ids)))
    )
    return {row.token_id: f"{row.chain}:{row.address}" for row in rows}
