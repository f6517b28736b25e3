"""Keeping `signal_outcomes` in step with signals and prices: which are due, what is known of their market, storing them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from psycopg import sql

from metapulse_assets.market.discovery import GRACE
from metapulse_assets.market.tables import candle_requests, candles, token_metrics, tracked_tokens
from metapulse_assets.outcomes import resolving
from metapulse_assets.outcomes.resolving import CLOSE_GRACE, ENTRY_WAIT, QUIET, READY_AFTER, SETTLE
from metapulse_assets.outcomes.rows import (
    HORIZONS,
    INTERVALS,
    NEVER,
    CandleRows,
    IntArray,
    JudgedSignals,
    Outcomes,
    Prices,
    SnapshotRows,
)
from metapulse_assets.outcomes.tables import signal_outcomes
from metapulse_assets.platform.bulk import driver, read_columns
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.signals.tables import signals

MARK = "signal_outcomes"
# Signals older than the longest horizon before the last run have their outcomes, but for what a backfill adds.
LOOK_BACK = timedelta(days=9)
LOOK_INTERVAL = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = [column.name for column in signal_outcomes.columns]

SignalRow = sa.Row[Any]


def resolve_new(connection: sa.Connection, as_of: datetime) -> int:
    """Store the outcomes that have become decidable since the last call; returns how many that added or changed.

    What could not be resolved is looked at again once the history of its token has been asked for anew.
    """
    done = progress_of(connection, MARK)
    stored = 0
    for horizon in HORIZONS:
        stored += _resolve(connection, horizon, _due(connection, horizon, done, as_of), as_of)
    set_progress(connection, MARK, as_of)
    return stored


def resolve_again(connection: sa.Connection, day: date, as_of: datetime) -> int:
    """Make the outcomes of the signals opened in a day anew; returns how many that added or changed."""
    start, end = day_bounds(day)
    found = connection.execute(_signals().where(signals.c.opened_at >= start, signals.c.opened_at < end)).all()
    return sum(_resolve(connection, horizon, found, as_of) for horizon in HORIZONS)


def judged_rows(
    connection: sa.Connection, horizon: str, found: Sequence[SignalRow], as_of: datetime
) -> Iterator[dict[str, Any]]:
    """The rows of `signal_outcomes` for those of the signals (as `signal_rows` gives them) that can be decided by a moment.

    Day by day of the signals, so that prices of a long span are never all read at once.
    """
    by_day: dict[date, list[SignalRow]] = {}
    for row in found:
        by_day.setdefault(moment_of(row).date(), []).append(row)
    for _, rows in sorted(by_day.items()):
        judged = _judged(rows)
        prices = read_prices(connection, judged, horizon, as_of)
        yield from _table_rows(rows, horizon, resolving.judge(judged, horizon, prices, _micros(as_of)), as_of)


def signal_rows(connection: sa.Connection, signal_ids: Sequence[str]) -> Sequence[SignalRow]:
    """Signals by id, with what judging them takes."""
    return connection.execute(_signals().where(signals.c.signal_id.in_(signal_ids))).all()


def moment_of(signal: SignalRow) -> datetime:
    """From when on one could act on a signal: a live one had to be stored first."""
    moment: datetime = max(signal.emitted_at, signal.recorded_at) if signal.origin == "live" else signal.emitted_at
    return moment


def read_prices(connection: sa.Connection, judged: JudgedSignals, horizon: str, as_of: datetime) -> Prices:
    """What was stored by a moment of the markets of these signals, as far as one horizon needs it."""
    span, tokens = HORIZONS[horizon], np.unique(judged.token_id).tolist()
    first, last = int(judged.moment.min()), int(judged.moment.max()) + ENTRY_WAIT
    until = last + span + SETTLE + CLOSE_GRACE
    return Prices(
        candles=_StoredCandles(connection, tokens, (first, until), as_of),
        snapshots=_read_snapshots(
            connection, tokens, [(first - QUIET, last + CLOSE_GRACE), (first + span - QUIET, until)], as_of
        ),
        looked_at=_read_looks(connection, (first + span - QUIET, until), as_of),
        asked=_read_asked(connection, tokens),
    )


class _StoredCandles(Mapping[str, CandleRows]):
    """Candles by timeframe, each read when it is first wanted: the longer ones seldom are."""

    def __init__(self, connection: sa.Connection, tokens: list[int], span: tuple[int, int], as_of: datetime) -> None:
        self._read = (connection, tokens, span, as_of)
        self._known: dict[str, CandleRows] = {}

    def __getitem__(self, timeframe: str) -> CandleRows:
        if timeframe not in self._known:
            self._known[timeframe] = _read_candles(*self._read, timeframe)
        return self._known[timeframe]

    def __iter__(self) -> Iterator[str]:
        return iter(INTERVALS)

    def __len__(self) -> int:
        return len(INTERVALS)


def _resolve(connection: sa.Connection, horizon: str, found: Sequence[SignalRow], as_of: datetime) -> int:
    return _store(connection, [tuple(row.values()) for row in judged_rows(connection, horizon, found, as_of)])


def _signals() -> sa.Select[Any]:
    names = ("signal_id", "token_id", "direction", "target_usd", "stop_usd", "opened_at", "emitted_at", "recorded_at", "origin")
    return sa.select(*(signals.c[name] for name in names))


def _due(connection: sa.Connection, horizon: str, done: datetime | None, as_of: datetime) -> Sequence[SignalRow]:
    outcome = signal_outcomes.c
    this = sa.and_(outcome.signal_id == signals.c.signal_id, outcome.horizon == horizon)
    passed = as_of - timedelta(microseconds=HORIZONS[horizon] + READY_AFTER)
    new = sa.and_(sa.not_(sa.exists().where(this)), signals.c.emitted_at <= passed)
    if done is None:
        return connection.execute(_signals().where(new)).all()
    asked_anew = sa.select(candle_requests.c.token_id).where(candle_requests.c.asked_at > done)
    again = sa.select(outcome.signal_id).where(
        outcome.horizon == horizon, outcome.status == "unresolvable", outcome.token_id.in_(asked_anew)
    )
    return connection.execute(
        _signals().where(sa.or_(sa.and_(new, signals.c.emitted_at > done - LOOK_BACK), signals.c.signal_id.in_(again)))
    ).all()


def _judged(rows: Sequence[SignalRow]) -> JudgedSignals:
    return JudgedSignals(
        token_id=np.array([row.token_id for row in rows], np.int64),
        moment=np.array([_micros(moment_of(row)) for row in rows], np.int64),
        sign=np.array([1.0 if row.direction == "buy" else -1.0 for row in rows]),
        target_usd=np.array([row.target_usd for row in rows], np.float64),
        stop_usd=np.array([row.stop_usd for row in rows], np.float64),
    )


def _read_candles(
    connection: sa.Connection, tokens: list[int], span: tuple[int, int], as_of: datetime, timeframe: str
) -> CandleRows:
    table = candles.c
    names = ("token_id", "opened_at", "available_at", "open", "high", "low", "close")
    rows = read_columns(
        connection,
        sa.select(*(table[name] for name in names)).where(
            table.timeframe == timeframe,
            # One that opened before may close within, and a longer one may open as much later.
            table.opened_at >= from_micros(span[0] - INTERVALS[timeframe]),
            table.opened_at <= from_micros(span[1] + INTERVALS[timeframe]),
            table.available_at <= as_of,
            # What had not been stored yet cannot be used, whenever it says it could have been.
            table.recorded_at <= as_of,
            table.token_id.in_(tokens),
        ),
    )
    return CandleRows(interval=INTERVALS[timeframe], **integer_times(rows))


def _read_snapshots(
    connection: sa.Connection, tokens: list[int], spans: Sequence[tuple[int, int]], as_of: datetime
) -> SnapshotRows:
    table = token_metrics.c
    within = sa.or_(
        *(sa.and_(table.observed_at >= from_micros(start), table.observed_at <= from_micros(end)) for start, end in spans)
    )
    rows = read_columns(
        connection,
        sa.select(
            table.token_id, table.observed_at, table.recorded_at.label("available_at"), table.price_usd, table.liquidity_usd
        ).where(within, table.recorded_at <= as_of, table.token_id.in_(tokens)),
    )
    return SnapshotRows(**integer_times(rows))


def _read_looks(connection: sa.Connection, span: tuple[int, int], as_of: datetime) -> IntArray:
    table = token_metrics.c
    slot = sa.func.date_bin(LOOK_INTERVAL, table.observed_at, EPOCH, type_=sa.DateTime(timezone=True))
    looks = (
        sa.select(slot.label("looked_at"))
        .distinct()
        .where(table.observed_at >= from_micros(span[0]), table.observed_at <= from_micros(span[1]), table.recorded_at <= as_of)
    )
    return np.array(sorted(_micros(row.looked_at) for row in connection.execute(looks)), np.int64)


def _read_asked(connection: sa.Connection, tokens: list[int]) -> dict[int, tuple[int, int]]:
    """From when until when each token was asked for: one that fell below the bar was, for `GRACE` longer."""
    table = tracked_tokens.c
    rows = connection.execute(
        sa.select(table.token_id, table.active, table.tracked_since, table.failing_since).where(table.token_id.in_(tokens))
    )
    asked = {}
    for row in rows:
        let_go = -NEVER if row.failing_since is None else _micros(row.failing_since + GRACE)
        asked[row.token_id] = (_micros(row.tracked_since), NEVER if row.active else let_go)
    return asked


def _table_rows(rows: Sequence[SignalRow], horizon: str, found: Outcomes, as_of: datetime) -> Iterator[dict[str, Any]]:
    numbers = ("entry_usd", "exit_usd", "liquidity_usd", "cost_share", "market_return", "net_return", "best_return")
    columns: dict[str, list[Any]] = {
        **{name: [value or None for value in getattr(found, name).tolist()] for name in ("reason", "timeframe", "first_touch")},
        **{name: _or_none(getattr(found, name)) for name in (*numbers, "worst_return")},
        **{
            name: [None if value == NEVER else from_micros(value) for value in getattr(found, name).tolist()]
            for name in ("entry_at", "exit_at", "available_at")
        },
        "status": found.status.tolist(),
    }
    for place, row in enumerate(found.row.tolist()):
        signal = rows[row]
        values = {
            "signal_id": signal.signal_id,
            "horizon": horizon,
            "token_id": signal.token_id,
            "opened_at": signal.opened_at,
            "recorded_at": as_of,
            **{name: column[place] for name, column in columns.items()},
        }
        yield {name: values[name] for name in COLUMNS}


def _store(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Store rows. Equal ones stay untouched; what was known is not made unknown by rows that have gone since."""
    if not rows:
        return 0
    raw, table = driver(connection), sql.Identifier(signal_outcomes.name)
    raw.execute("DROP TABLE IF EXISTS staging_signal_outcomes")
    raw.execute(sql.SQL("CREATE TEMP TABLE staging_signal_outcomes (LIKE {}) ON COMMIT DROP").format(table))
    names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    with raw.cursor().copy(sql.SQL("COPY staging_signal_outcomes ({}) FROM STDIN").format(names)) as copy:
        for row in rows:
            copy.write_row(row)
    changing = [name for name in COLUMNS if name not in ("signal_id", "horizon")]
    compared = [name for name in changing if name != "recorded_at"]

    def fields(of: str, columns: Sequence[str]) -> sql.Composable:
        return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(of), sql.Identifier(name)) for name in columns)

    statement = sql.SQL(
        "INSERT INTO {table} AS stored ({names}) SELECT {names} FROM staging_signal_outcomes"
        " ON CONFLICT (signal_id, horizon) DO UPDATE SET ({changing}) = ROW ({new})"
        " WHERE ({old_values}) IS DISTINCT FROM ({new_values})"
        " AND (excluded.status <> 'unresolvable' OR stored.status = 'unresolvable')"
    ).format(
        table=table,
        names=names,
        changing=sql.SQL(", ").join(map(sql.Identifier, changing)),
        new=fields("excluded", changing),
        old_values=fields("stored", compared),
        new_values=fields("excluded", compared),
    )
    return raw.execute(statement).rowcount


def integer_times(rows: dict[str, Any]) -> dict[str, Any]:
    """Columns with times and whole numbers as int64, times in microseconds since 1970 UTC."""
    return {name: values.astype(np.int64) if values.dtype.kind in "Mi" else values for name, values in rows.items()}


def _or_none(values: Any) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """A moment from its microseconds since 1970 UTC."""
    return EPOCH + timedelta(microseconds=micros)
