"""Removing what is past its time from our own tables: whole days where a table is partitioned by day, else batches of rows.

How long things are kept is in `retention_rules.py`; Dagster's own storage has a module of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.operations import tables
from metapulse_assets.operations.retention_rules import DayPartitions, Rows
from metapulse_assets.outcomes.tables import signal_outcomes
from metapulse_assets.platform.day_partitions import existing_days, partition_name, utc_day
from metapulse_assets.signals.tables import signals

LOCK_TIMEOUT = "300ms"
"""Dropping a day needs its parent to itself for a moment; whoever comes while it waits for that waits too. Own choice."""
GRACE = timedelta(days=1)
BATCH_ROWS = 5_000
MOST_BATCHES = 200
"""Of one table in one run, so that a first clean-up of a large database is spread over several. Own choice."""
_COLUMNS = ("store", "name", "kept_since", "partitions", "rows", "bytes_freed", "left_for_later", "is_complete")


@dataclass
class Removed:
    """What went from one table or store."""

    name: str
    kept_since: datetime
    store: str = "metapulse"
    partitions: int = 0
    rows: int = 0
    bytes_freed: int = 0
    left_for_later: int = 0
    is_complete: bool = True

    @property
    def is_something(self) -> bool:
        """Whether there was anything past its time."""
        return bool(self.partitions or self.rows or self.bytes_freed or self.left_for_later or not self.is_complete)


def clean_up(engine: sa.Engine, found: Sequence[DayPartitions | Rows], now: datetime) -> list[Removed]:
    """Remove what the rules say, each day and each batch in a transaction of its own."""
    return [
        drop_days(engine, rule, now) if isinstance(rule, DayPartitions) else delete_rows(engine, rule, now) for rule in found
    ]


def drop_days(engine: sa.Engine, rule: DayPartitions, now: datetime) -> Removed:
    """Drop the day partitions past their time; one that a reader holds is left for the next run."""
    removed = Removed(rule.parent, rule.kept_since(now))
    oldest_kept = utc_day(removed.kept_since)
    with engine.connect() as connection:
        days = [day for day in existing_days(connection, rule.parent) if day < oldest_kept]
    for day in days:
        freed = _drop_day(engine, rule.parent, day)
        if freed is None:
            removed.left_for_later += 1
        else:
            removed.partitions += 1
            removed.bytes_freed += freed
    return removed


def _drop_day(engine: sa.Engine, parent: str, day: date) -> int | None:
    """Drop a day; its size in bytes, None if it could not be had at once."""
    name = partition_name(parent, day)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            size: int = connection.execute(sa.text("SELECT pg_total_relation_size(:name)"), {"name": name}).scalar_one()
            # In one transaction, so that no table is left behind that has the name of a day and is no part of its parent.
            connection.execute(sa.text(f'ALTER TABLE "{parent}" DETACH PARTITION "{name}"'))
            connection.execute(sa.text(f'DROP TABLE "{name}"'))
            return size
    except sa.exc.OperationalError as error:
        if _is_lock_timeout(error):
            return None
        raise


def _is_lock_timeout(error: sa.exc.DBAPIError) -> bool:
    # 55P03 lock_not_available; 40P01 deadlock_detected: the other side got its way.
    return getattr(error.orig, "sqlstate", None) in ("55P03", "40P01")


def delete_rows(engine: sa.Engine, rule: Rows, now: datetime) -> Removed:
    """Delete rows past their time in batches; with a signal go its outcomes."""
    removed = Removed(rule.table.name, rule.kept_since(now))
    condition = _past(rule, removed.kept_since)
    for _ in range(MOST_BATCHES):
        with engine.begin() as connection:
            rows, size = _delete_batch(connection, rule.table, condition)
        removed.rows += rows
        removed.bytes_freed += size
        if rows < BATCH_ROWS:
            return removed
    removed.is_complete = False
    return removed


def _delete_batch(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> tuple[int, int]:
    """Delete some rows that meet the condition; how many of the table, and the bytes of all that went."""
    keys = list(table.primary_key.columns)
    batch = sa.select(*keys).where(condition).limit(BATCH_ROWS).with_for_update(skip_locked=True).cte("batch")
    size_of_others = 0
    if table is signals:
        # The foreign key asks for this order.
        ids = connection.execute(sa.select(batch.c.signal_id)).scalars().all()
        _, size_of_others = _deleted(connection, signal_outcomes, signal_outcomes.c.signal_id.in_(ids))
        rows, size = _deleted(connection, signals, signals.c.signal_id.in_(ids))
    else:
        rows, size = _deleted(connection, table, sa.and_(*(key == batch.c[key.name] for key in keys)))
    return rows, size + size_of_others


def _deleted(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> tuple[int, int]:
    size = sa.func.pg_column_size(sa.literal_column(f'"{table.name}".*'))
    gone = sa.delete(table).where(condition).returning(size.label("size")).cte("gone")
    row = connection.execute(sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(gone.c.size), 0))).one()
    return int(row[0]), int(row[1])


def store_removed(connection: sa.Connection, removed: Sequence[Removed], ran_at: datetime) -> int:
    """Note what went; nothing is written for tables where nothing was past its time. Returns the rows written."""
    rows = [
        {
            "ran_at": ran_at,
            **{name: getattr(one, name) for name in _COLUMNS},
        }
        for one in removed
        if one.is_something
    ]
    if rows:
        connection.execute(sa.insert(tables.retention), rows)
    return len(rows)


def overdue(connection: sa.Connection, found: Sequence[DayPartitions | Rows], now: datetime) -> dict[str, int]:
    """Days or rows past their time for more than a day, by table: readers may hold one for a while, but not so long."""
    late: dict[str, int] = {}
    for rule in found:
        since = rule.kept_since(now) - GRACE
        if isinstance(rule, DayPartitions):
            name = rule.parent
            count = sum(day < utc_day(since) for day in existing_days(connection, name))
        else:
            name = rule.table.name
            condition = _past(rule, since)
            count = connection.execute(sa.select(sa.func.count()).select_from(rule.table).where(condition)).scalar_one()
        if count:
            late[name] = count
    return late


def _past(rule: Rows, since: datetime) -> sa.ColumnElement[bool]:
    """What of a plain table is past its time."""
    past = rule.moment < since
    return past if rule.only is None else sa.and_(past, rule.only())
