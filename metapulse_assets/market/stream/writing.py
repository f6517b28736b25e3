"""Batches of frames written to the database: one transaction each, every event once, whatever happened in between.

Unique within a day by primary key; across midnight by a look into the partitions of the days beside. A batch whose bytes are
stored already, because a process died between its commit and the removal of its segment, is not written again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from metapulse_assets.market.stream.rows import COLUMNS, BatchRows, Row, microseconds_of, moment_of, read_batch
from metapulse_assets.market.stream.spool import encoded, frames_of
from metapulse_assets.market.stream_tables import STREAM_TABLES
from metapulse_assets.platform.bulk import driver
from metapulse_assets.platform.clock import Clock
from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets.platform.dead_letters import store_dead_letters
from metapulse_assets.platform.metric_totals import Tally
from metapulse_assets.platform.progress import set_progress
from metapulse_assets.platform.raw_payloads import RawPayload, store_payloads
from metapulse_assets.platform.tables import raw_payloads
from metapulse_assets.vendors.pumpportal import VENDOR, Notice

# A WebSocket begins with this HTTP status.
SWITCHING_PROTOCOLS = 101
HEARD_MARK = "stream:pumpportal"
# Totals since the beginning: frames, rows by table, and seconds from a frame to its row.
FRAMES_METRIC, ROWS_METRIC, LAG_METRIC = "stream_frames", "stream_rows", "stream_lag_seconds"
# So often they are stored; a process that is killed takes that much with it.
TOTALS_SECONDS = 5.0
_DAY = timedelta(days=1)
_EPOCH_PLUS = "timestamptz 'epoch' + staged.received_us * interval '1 microsecond'"
_STAGED_TYPES = {"received_us": "bigint", "is_mayhem": "boolean"}


@dataclass
class Written:
    """What a batch came to. `rows`: stored by table and UTC day. `lags`: seconds from each arrival to the commit."""

    frames: int = 0
    rows: dict[tuple[str, date], int] = field(default_factory=dict)
    arrivals_us: list[int] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    repeated: int = 0
    quote_mints: int = 0
    refused: int = 0
    notices: list[Notice] = field(default_factory=list)
    was_stored: bool = False


class BatchWriter:
    """Writes segments through one connection that it keeps; a second thread waits for the first.

    `shown_url`: where the frames came from, without a key.
    """

    def __init__(self, engine_of: Callable[[], sa.Engine], clock: Clock, shown_url: str) -> None:
        """`engine_of` is asked when a connection is needed, so that the database may be away at first."""
        self._engine_of, self._clock, self._url = engine_of, clock, shown_url
        self._connection: sa.Connection | None = None
        self._days: set[date] = set()
        self._alone = threading.Lock()
        self._tally = Tally()
        self._tally_at = 0.0

    def write(self, segment: Path) -> Written:
        """Write a segment's frames. Raises what the database raises, and has then written nothing."""
        frames = list(frames_of(segment.read_bytes()))
        if not frames:
            return Written()
        # What a crash left half-written is no part of the payload: its hash is of whole frames.
        body = b"".join(encoded(frame.received_us, frame.raw) for frame in frames)
        batch = read_batch(frames)
        payload = RawPayload(VENDOR, self._url, SWITCHING_PROTOCOLS, batch.received_at, body)
        with self._transaction() as connection:
            written = self._write(connection, batch, payload)
            tells = self._tell_totals(connection)
        if tells:
            self._tally.clear()
        committed_us = microseconds_of(self._clock())
        written.lags = [(committed_us - arrival) / 1e6 for arrival in written.arrivals_us]
        self._count(written)
        return written

    def beat(self) -> None:
        """Note that the feed is being listened to, though nothing may have come."""
        with self._transaction() as connection:
            set_progress(connection, HEARD_MARK, self._clock())
            tells = self._tell_totals(connection)
        if tells:
            self._tally.clear()

    def _count(self, written: Written) -> None:
        if written.was_stored:
            return
        self._tally.count(FRAMES_METRIC, written.frames)
        for (table, _), count in written.rows.items():
            self._tally.count(ROWS_METRIC, count, table=table)
        for lag in written.lags:
            self._tally.observe(LAG_METRIC, lag)

    def _tell_totals(self, connection: sa.Connection) -> bool:
        """Add what was counted since the last time to the totals; whether it was time."""
        if time.monotonic() < self._tally_at:
            return False
        self._tally_at = time.monotonic() + TOTALS_SECONDS
        self._tally.store(connection)
        return True

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._alone:
            try:
                connection = self._connected()
                with connection.begin():
                    yield connection
            except BaseException:
                # A connection on which something failed may be half-dead: the next write takes a new one.
                self._disconnect()
                raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._days.clear()
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            connection = self._engine_of().connect()
            self._connection = connection
            _make_staging_tables(connection)
        return self._connection

    def _write(self, connection: sa.Connection, batch: BatchRows, payload: RawPayload) -> Written:
        now = self._clock()
        written = Written(
            frames=batch.frames, repeated=batch.repeated, quote_mints=batch.quote_mints, refused=len(batch.refused)
        )
        written.notices = batch.notices
        if _is_stored(connection, payload):
            written.was_stored = True
            return written
        payload_id = store_payloads(connection, [payload])[payload.sha256]
        store_dead_letters(connection, batch.refused, now)
        for table in STREAM_TABLES:
            rows = list(batch.rows[table.name].values())
            if not rows:
                continue
            days = {moment_of(row[0]).date() for row in rows}
            if new := days - self._days:
                for name in COLUMNS:
                    ensure_days(connection, name, new)
                self._days |= new
            stored = _insert(connection, table, rows, days, payload_id, now)
            for day, arrivals in stored.items():
                written.rows[table.name, day] = len(arrivals)
                written.arrivals_us += arrivals
            written.repeated += len(rows) - sum(map(len, stored.values()))
        set_progress(connection, HEARD_MARK, now)
        return written


def _is_stored(connection: sa.Connection, payload: RawPayload) -> bool:
    p = raw_payloads.c
    same = sa.select(p.payload_id).where(p.recorded_at == payload.received_at, p.sha256 == payload.sha256)
    return connection.execute(same.limit(1)).first() is not None


def _insert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], days: set[date], payload_id: int, now: datetime
) -> dict[date, list[int]]:
    """Insert rows whose key is new; returns the arrivals of those by day."""
    raw = driver(connection)
    columns = COLUMNS[table.name]
    staging = sql.Identifier(f"staged_{table.name}")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with raw.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staging, names)) as copy:
        write_row = copy.write_row
        for row in rows:
            write_row(row)
    keys = [column.name for column in table.primary_key.columns if column.name != "received_on"]
    beside = sorted({day + step for day in days for step in (-_DAY, _DAY)})
    own = [name for name in columns if name != "received_us"]
    # Few rows are held against days of many: only by index.
    raw.execute("SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)")
    statement = sql.SQL(
        "INSERT INTO {table} AS stored (received_on, received_at, recorded_at, available_at, payload_id, {own})"
        " SELECT ({arrival})::date, {arrival}, {now}, {now}, {payload_id}, {staged} FROM {staging} AS staged"
        " WHERE NOT EXISTS (SELECT FROM {table} AS other WHERE other.received_on = ANY({beside}::date[]) AND {same}"
        " AND other.received_on <> ({arrival})::date)"
        " ORDER BY staged.received_us ON CONFLICT DO NOTHING"
        " RETURNING received_on, received_at"
    ).format(
        table=sql.Identifier(table.name),
        own=sql.SQL(", ").join(map(sql.Identifier, own)),
        arrival=sql.SQL(_EPOCH_PLUS),
        now=sql.Literal(now),
        payload_id=sql.Literal(payload_id),
        staged=sql.SQL(", ").join(sql.SQL("staged.{}").format(sql.Identifier(name)) for name in own),
        staging=staging,
        beside=sql.Literal(beside),
        same=sql.SQL(" AND ").join(sql.SQL("other.{0} = staged.{0}").format(sql.Identifier(key)) for key in keys),
    )
    result: dict[date, list[int]] = {}
    for day, received_at in raw.execute(statement):
        result.setdefault(day, []).append(microseconds_of(received_at))
    return result


def _make_staging_tables(connection: sa.Connection) -> None:
    with connection.begin():
        for table in STREAM_TABLES:
            columns = ", ".join(f"{name} {_staged_type(table, name)}" for name in COLUMNS[table.name])
            connection.execute(sa.text(f"CREATE TEMP TABLE staged_{table.name} ({columns}) ON COMMIT DELETE ROWS"))


def _staged_type(table: sa.Table, name: str) -> str:
    if name in _STAGED_TYPES:
        return _STAGED_TYPES[name]
    kind: Any = table.c[name].type
    return "double precision" if isinstance(kind, sa.Float) else "text"
