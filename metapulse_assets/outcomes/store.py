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
    DAY,
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
from metapulse_assets.platform.bulk import (
    Array,
    Columns,
    Labels,
    append_columns,
    driver,
    read_columns,
    to_datetime64,
)
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.signals.tables import signals

MARK = "signal_outcomes"
# Signals older than the longest horizon before the last run have their outcomes, but for what a backfill adds.
LOOK_BACK = timedelta(days=9)
LOOK_INTERVAL = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = [column.name for column in signal_outcomes.columns]

SIGNAL_COLUMNS = (
    *("signal_id", "token_id", "direction", "target_usd", "stop_usd", "opened_at", "emitted_at", "recorded_at", "origin"),
)
Rows = Mapping[str, Array | Labels]


def resolve_new(connection: sa.Connection, as_of: datetime) -> int:
    """Store the outcomes that have become decidable since the last call; returns how many that added or changed.

    What could not be resolved is looked at again once the history of its token has been asked for anew.
    """
    done = progress_of(connection, MARK)
    stored = 0
    for horizon in HORIZONS:
        found = read_columns(connection, _due(horizon, done, as_of))
        stored += _store(connection, list(_judged_days(connection, [horizon], found, as_of)))
    set_progress(connection, MARK, as_of)
    return stored


def resolve_again(connection: sa.Connection, day: date, as_of: datetime) -> int:
    """Make the outcomes of the signals opened in a day anew; returns how many that added or changed."""
    start, end = day_bounds(day)
    found = read_columns(connection, _signals().where(signals.c.opened_at >= start, signals.c.opened_at < end))
    made = list(_judged_days(connection, list(HORIZONS), found, as_of))
    o = signal_outcomes.c
    if connection.execute(sa.select(sa.exists().where(o.opened_at >= start, o.opened_at < end))).scalar_one():
        return _store(connection, made)
    return sum(append_columns(connection, signal_outcomes, rows) for rows in made)


def judged_rows(connection: sa.Connection, horizon: str, found: Columns, as_of: datetime) -> Iterator[dict[str, Any]]:
    """The rows of `signal_outcomes` for those of the signals (as `signal_rows` gives them) that can be decided by a moment."""
    for rows in _judged_days(connection, [horizon], found, as_of):
        columns = {name: _plain(values) for name, values in rows.items()}
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def signal_rows(connection: sa.Connection, signal_ids: Sequence[str]) -> Columns:
    """Signals by id, with what judging them takes."""
    return read_columns(connection, _signals().where(signals.c.signal_id.in_(signal_ids)))


def moments_of(found: Columns) -> IntArray:
    """From when on one could act on signals: a live one had to be stored first. Microseconds since 1970 UTC."""
    emitted, recorded = found["emitted_at"].astype(np.int64), found["recorded_at"].astype(np.int64)
    return np.where(found["origin"] == "live", np.maximum(emitted, recorded), emitted)


def read_prices(connection: sa.Connection, judged: JudgedSignals, horizon: str, as_of: datetime) -> Prices:
    """What was stored by a moment of the markets of these signals, as far as one horizon needs it."""
    return _read_prices(connection, judged, [HORIZONS[horizon]], as_of)


def _judged_days(
    connection: sa.Connection, horizons: Sequence[str], found: Columns, as_of: datetime
) -> Iterator[dict[str, Array | Labels]]:
    """Columns of `signal_outcomes` of the signals that can be decided by a moment, horizon by horizon.

    Day by day of the signals, so that prices of a long span are never all read at once; once for all horizons.
    """
    days = moments_of(found) // DAY
    for day in np.unique(days).tolist():
        of_day = {name: values[days == day] for name, values in found.items()}
        judged = _judged(of_day)
        prices = _read_prices(connection, judged, [HORIZONS[horizon] for horizon in horizons], as_of)
        for horizon in horizons:
            yield _outcome_columns(of_day, horizon, resolving.judge(judged, horizon, prices, _micros(as_of)), as_of)


def _read_prices(connection: sa.Connection, judged: JudgedSignals, spans: Sequence[int], as_of: datetime) -> Prices:
    """What was stored of the markets of these signals, from before their entry to when the longest span is decided."""
    tokens = np.unique(judged.token_id).tolist()
    first, last = int(judged.moment.min()), int(judged.moment.max()) + ENTRY_WAIT
    ends = [(first + span - QUIET, last + span + SETTLE + CLOSE_GRACE) for span in sorted(spans)]
    return Prices(
        candles=_StoredCandles(connection, tokens, (first, ends[-1][1]), as_of),
        snapshots=_read_snapshots(connection, tokens, [(first - QUIET, last + CLOSE_GRACE), *ends], as_of),
        looked_at=_read_looks(connection, ends, as_of),
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


def _signals() -> sa.Select[Any]:
    return sa.select(*(signals.c[name] for name in SIGNAL_COLUMNS))


def _due(horizon: str, done: datetime | None, as_of: datetime) -> sa.Select[Any]:
    outcome = signal_outcomes.c
    this = sa.and_(outcome.signal_id == signals.c.signal_id, outcome.horizon == horizon)
    passed = as_of - timedelta(microseconds=HORIZONS[horizon] + READY_AFTER)
    new = sa.and_(sa.not_(sa.exists().where(this)), signals.c.emitted_at <= passed)
    if done is None:
        return _signals().where(new)
    asked_anew = sa.select(candle_requests.c.token_id).where(candle_requests.c.asked_at > done)
    again = sa.select(outcome.signal_id).where(
        outcome.horizon == horizon, outcome.status == "unresolvable", outcome.token_id.in_(asked_anew)
    )
    return _signals().where(sa.or_(sa.and_(new, signals.c.emitted_at > done - LOOK_BACK), signals.c.signal_id.in_(again)))


def _judged(found: Columns) -> JudgedSignals:
    return JudgedSignals(
        token_id=found["token_id"].astype(np.int64),
        moment=moments_of(found),
        sign=np.where(found["direction"] == "buy", 1.0, -1.0),
        target_usd=found["target_usd"],
        stop_usd=found["stop_usd"],
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
    # In order already, so that every horizon finds them so.
    return CandleRows(interval=INTERVALS[timeframe], **integer_times(rows)).known_at(_micros(as_of))


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
    return SnapshotRows(**integer_times(rows)).known_at(_micros(as_of))


def _read_looks(connection: sa.Connection, spans: Sequence[tuple[int, int]], as_of: datetime) -> IntArray:
    table = token_metrics.c
    within = sa.or_(
        *(sa.and_(table.observed_at >= from_micros(start), table.observed_at <= from_micros(end)) for start, end in spans)
    )
    slot = sa.func.date_bin(LOOK_INTERVAL, table.observed_at, EPOCH, type_=sa.DateTime(timezone=True))
    looks = sa.select(slot.label("looked_at")).distinct().where(within, table.recorded_at <= as_of)
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


def _outcome_columns(found: Columns, horizon: str, outcomes: Outcomes, as_of: datetime) -> dict[str, Array | Labels]:
    """Outcomes as columns of the table, in its order; a text of no length, NaN and NaT are null there."""
    of_signal = {name: found[name][outcomes.row] for name in ("signal_id", "token_id", "opened_at")}
    given = {name: getattr(outcomes, name) for name in Outcomes.__dataclass_fields__ if name != "row"}
    for name in ("entry_at", "exit_at", "available_at"):
        times = given[name].astype("datetime64[us]")
        given[name] = np.where(given[name] == NEVER, np.datetime64("NaT", "us"), times)
    constant = np.zeros(len(outcomes), np.int16)
    columns: dict[str, Array | Labels] = {
        **of_signal,
        **given,
        "horizon": Labels(constant, (horizon,)),
        "recorded_at": np.full(len(outcomes), to_datetime64(as_of)),
    }
    return {name: columns[name] for name in COLUMNS}


def _plain(values: Array | Labels) -> list[Any]:
    """A column as Python's values, None for null."""
    if isinstance(values, Labels):
        return [values.names[code] for code in values.codes.tolist()]
    if values.dtype.kind == "M":
        return [None if moment is None else moment.replace(tzinfo=UTC) for moment in values.tolist()]
    return [None if value != value or value == "" else value for value in values.tolist()]


def _store(connection: sa.Connection, made: Sequence[Rows]) -> int:
    """Store rows. Equal ones stay untouched; what was known is not made unknown by rows that have gone since."""
    if not made:
        return 0
    raw, table = driver(connection), sql.Identifier(signal_outcomes.name)
    raw.execute("DROP TABLE IF EXISTS staging_signal_outcomes")
    raw.execute(sql.SQL("CREATE TEMP TABLE staging_signal_outcomes (LIKE {}) ON COMMIT DROP").format(table))
    for rows in made:
        append_columns(connection, signal_outcomes, rows, "staging_signal_outcomes")
    names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    changing = [name for name in COLUMNS if name not in ("signal_id", "horizon")]
    compared = [name for name in changing if name != "recorded_at"]

    def fields(of: str, columns: Sequence[str]) -> sql.Composable:
        return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(of), sql.Identifier(name)) for name in columns)

    statement = sql.SQL(
        "INSERT INTO {table} AS stored ({names}) SELECT {names} FROM staging_signal_outcomes AS staged"
        " WHERE NOT EXISTS (SELECT FROM {table} AS equal WHERE equal.signal_id = staged.signal_id"
        " AND equal.horizon = staged.horizon AND ({equal_values}) IS NOT DISTINCT FROM ({staged_values}))"
        " ON CONFLICT (signal_id, horizon) DO UPDATE SET ({changing}) = ROW ({new})"
        " WHERE ({old_values}) IS DISTINCT FROM ({new_values})"
        " AND (excluded.status <> 'unresolvable' OR stored.status = 'unresolvable')"
    ).format(
        table=table,
        names=names,
        changing=sql.SQL(", ").join(map(sql.Identifier, changing)),
        new=fields("excluded", changing),
        equal_values=fields("equal", compared),
        staged_values=fields("staged", compared),
        old_values=fields("stored", compared),
        new_values=fields("excluded", compared),
    )
    return raw.execute(statement).rowcount


def integer_times(rows: dict[str, Any]) -> dict[str, Any]:
    """Columns with times and whole numbers as int64, times in microseconds since 1970 UTC."""
    return {name: values.astype(np.int64) if values.dtype.kind in "Mi" else values for name, values in rows.items()}


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """A moment from its microseconds since 1970 UTC."""
    return EPOCH + timedelta(microseconds=micros)
