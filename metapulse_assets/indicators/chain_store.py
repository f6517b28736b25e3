"""Keeping `technical_analyses` in step with the candles: a tick goes on from the cached states, a backfill starts afresh."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.indicators.chain import (
    RECOMMENDATION_LABELS,
    TREND_LABELS,
    Chain,
    analyse_from_anchor,
    anchor_of,
    came_late,
    run_chain,
    split_tokens,
)
from metapulse_assets.indicators.kernel import STATE_VERSION, STATE_WIDTH, State
from metapulse_assets.indicators.tables import indicator_chains, indicator_states, technical_analyses
from metapulse_assets.market.candle_store import read_candles
from metapulse_assets.market.tables import candle_requests
from metapulse_assets.market.timeframes import Timeframe
from metapulse_assets.platform.bulk import (
    Array,
    Columns,
    Labels,
    read_columns,
    replace_rows,
    to_datetime64,
    write_columns,
)
from metapulse_assets.platform.day_partitions import day_bounds, day_start, days_of, ensure_days, utc_day

# A tick brings a candle or two a token, so many tokens fit into memory at once.
TOKENS_ADVANCED_AT_A_TIME = 15_000


@dataclass(frozen=True)
class Analysed:
    """What an update came to: rows stored or changed, tokens whose chain was started from its anchor."""

    rows: int
    tokens_rebuilt: int


@dataclass(frozen=True)
class _Position:
    day: date
    through: datetime
    updated_at: datetime


def advance(connection: sa.Connection, timeframe: Timeframe, as_of: datetime) -> Analysed:
    """Analyse the candles that became usable since the last call, in as many days as they lie in."""
    today = utc_day(as_of)
    position = _position(connection, timeframe)
    results = []
    if position is not None and position.day < today:
        # The last candles of the day before close with this day's first tick, and belong to that day's chain.
        results.append(_advance_day(connection, timeframe, position, as_of))
        position = None
    if position is None:
        connection.execute(sa.delete(indicator_states).where(indicator_states.c.timeframe == timeframe.name))
        start = day_start(today)
        position = _Position(today, start, start)
    results.append(_advance_day(connection, timeframe, position, as_of))
    return Analysed(sum(r.rows for r in results), sum(r.tokens_rebuilt for r in results))


def recompute(
    connection: sa.Connection, timeframe: Timeframe, day: date, as_of: datetime, report: Callable[[int], None]
) -> Analysed:
    """Make a day's analyses from its candles, whatever is stored; rows that come out equal stay untouched."""
    start, end = day_bounds(day)
    candles = _usable(read_candles(connection, timeframe.name, anchor_of(timeframe.name, day), end), as_of)
    parts = []
    tokens = 0
    for part in split_tokens(candles):
        chain = analyse_from_anchor(part, timeframe.interval)
        parts.append(_within(chain.rows, start, end))
        tokens += len(chain.token_ids)
        report(tokens)
    ensure_days(connection, technical_analyses.name, [day])
    table = technical_analyses
    within = (table.c.opened_at >= start) & (table.c.opened_at < end) & (table.c.timeframe == timeframe.name)
    if not parts:
        deleted = connection.execute(sa.delete(table).where(within)).rowcount
        return Analysed(deleted, 0)
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Analysed(replace_rows(connection, table, _stored(rows, timeframe), within), tokens)


def _advance_day(connection: sa.Connection, timeframe: Timeframe, position: _Position, as_of: datetime) -> Analysed:
    _, day_end = day_bounds(position.day)
    end = min(timeframe.floor(as_of), day_end)
    imported = _imported_since(connection, timeframe, position)
    if end <= position.through and not imported:
        return Analysed(0, 0)
    new = _usable(read_candles(connection, timeframe.name, position.through, end), as_of)
    known = _read_states(connection, timeframe)
    states = {token_id: place for place, token_id in enumerate(known["token_id"].tolist())}
    goes_on = np.array([token_id in states for token_id in new["token_id"].tolist()], bool) & ~_disordered(new)
    rows = rebuilt = 0
    for part in split_tokens({name: values[goes_on] for name, values in new.items()}, TOKENS_ADVANCED_AT_A_TIME):
        place = np.array([states[token_id] for token_id in np.unique(part["token_id"]).tolist()], np.intp)
        previous = known["last_opened_at"][place].astype(np.int64) / 1e6
        chain = run_chain(part, timeframe.interval, _as_state(known["state"][place]), previous)
        rows += _store(connection, timeframe, chain, position.through, end)
    unseen = [token_id for token_id in imported if token_id not in states]
    unknown = np.union1d(new["token_id"][~goes_on], np.array(unseen, np.int32))
    if len(unknown):
        anchor = anchor_of(timeframe.name, position.day)
        # Naming tokens one by one pays only while they are few; else the whole span is read.
        some = unknown.tolist() if len(unknown) < 500 else None
        candles = _usable(read_candles(connection, timeframe.name, anchor, end, some), as_of)
        candles = {name: values[np.isin(candles["token_id"], unknown)] for name, values in candles.items()}
        for part in split_tokens(candles):
            chain = analyse_from_anchor(part, timeframe.interval)
            # From the day's start: a token that came into view today brings its earlier candles of today along.
            rows += _store(connection, timeframe, chain, day_start(position.day), end)
        rebuilt = len(unknown)
    _set_position(connection, timeframe, _Position(position.day, max(end, position.through), as_of))
    return Analysed(rows, rebuilt)


def _store(connection: sa.Connection, timeframe: Timeframe, chain: Chain, start: datetime, end: datetime) -> int:
    rows = _within(chain.rows, start, end)
    ensure_days(connection, technical_analyses.name, days_of(rows["opened_at"]))
    stored = write_columns(connection, technical_analyses, _stored(rows, timeframe), conflict="replace_changed")
    write_columns(
        connection,
        indicator_states,
        {
            "timeframe": timeframe.name,
            "token_id": chain.token_ids.astype(np.int32),
            "last_opened_at": chain.last_opened_at,
            "state": np.ascontiguousarray(chain.state.to_matrix()).view(f"V{8 * STATE_WIDTH}").ravel(),
        },
        conflict="replace_changed",
    )
    return stored


def _stored(rows: Columns, timeframe: Timeframe) -> dict[str, Array | Labels | str]:
    return {
        **rows,
        "trend": Labels(rows["trend"], TREND_LABELS),
        "recommendation": Labels(rows["recommendation"], RECOMMENDATION_LABELS),
        "timeframe": timeframe.name,
    }


def _within(rows: Columns, start: datetime, end: datetime) -> Columns:
    # A row with no usable price in its candle says nothing.
    chosen = (rows["opened_at"] >= to_datetime64(start)) & (rows["opened_at"] < to_datetime64(end)) & (rows["bar_count"] > 0)
    return {name: values[chosen] for name, values in rows.items()}


def _usable(candles: Columns, as_of: datetime) -> Columns:
    usable = candles["available_at"] <= to_datetime64(as_of)
    return {name: values[usable] for name, values in candles.items()}


def _disordered(candles: Columns) -> Array:
    """Whether each candle belongs to a token of which one in this very batch came late."""
    late = came_late(candles)
    return np.isin(candles["token_id"], np.unique(candles["token_id"][late]))


def _as_state(raw: Array) -> State:
    return State.from_matrix(np.frombuffer(raw.tobytes(), np.float64).reshape(-1, STATE_WIDTH), STATE_VERSION)


def _read_states(connection: sa.Connection, timeframe: Timeframe) -> Columns:
    return read_columns(
        connection,
        sa.select(indicator_states.c.token_id, indicator_states.c.last_opened_at, indicator_states.c.state).where(
            indicator_states.c.timeframe == timeframe.name
        ),
    )


def _imported_since(connection: sa.Connection, timeframe: Timeframe, position: _Position) -> list[int]:
    """Tokens whose history was imported since; where older candles turned up, the cached state is dropped."""
    c = candle_requests.c
    rows = connection.execute(
        sa.select(c.token_id, c.late_at).where(
            c.timeframe == timeframe.name, c.asked_at > position.updated_at, c.candles_received > 0
        )
    ).all()
    late = [row.token_id for row in rows if row.late_at is not None and row.late_at > position.updated_at]
    connection.execute(
        sa.delete(indicator_states).where(
            indicator_states.c.timeframe == timeframe.name, indicator_states.c.token_id.in_(late)
        )
    )
    return [row.token_id for row in rows]


def _position(connection: sa.Connection, timeframe: Timeframe) -> _Position | None:
    row = connection.execute(
        sa.select(indicator_chains).where(indicator_chains.c.timeframe == timeframe.name).with_for_update()
    ).one_or_none()
    if row is None or row.state_version != STATE_VERSION:
        return None
    return _Position(row.chain_day, row.through, row.updated_at)


def _set_position(connection: sa.Connection, timeframe: Timeframe, position: _Position) -> None:
    statement = insert(indicator_chains).values(
        timeframe=timeframe.name,
        chain_day=position.day,
        state_version=STATE_VERSION,
        through=position.through,
        updated_at=position.updated_at,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["timeframe"],
            set_={name: statement.excluded[name] for name in ("chain_day", "state_version", "through", "updated_at")},
        )
    )
