"""PostgreSQL partitions, one a UTC day, under the tables that are partitioned by time."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.platform.bulk import Array

# Two processes may need the same new day in the same moment; this number is the lock they share.
_PARTITION_LOCK = 0x4D50_4441


def utc_day(moment: datetime) -> date:
    """The UTC day that an aware moment lies in."""
    return moment.astimezone(UTC).date()


def day_start(day: date) -> datetime:
    """The first moment of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_bounds(first: date, last: date | None = None) -> tuple[datetime, datetime]:
    """Start of the first day and start of the day after the last: a half-open span."""
    return day_start(first), day_start(last or first) + timedelta(days=1)


def days_of(times: Array) -> list[date]:
    """The distinct UTC days in an array of `datetime64`, ascending."""
    return [day.item() for day in np.unique(times.astype("datetime64[D]"))]


def partition_name(parent: str, day: date) -> str:
    """Name of the partition that holds a day."""
    return f"{parent}_{day:%Y%m%d}"


def ensure_days(connection: sa.Connection, parent: str, days: Iterable[date]) -> None:
    """Create the partitions of these days where they are missing.

    Made as a table of its own and then attached, because that waits for no reader of the parent.
    """
    missing = _missing(connection, parent, set(days))
    if not missing:
        return
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _PARTITION_LOCK})
    # Another process may have made some while this one waited for the lock.
    for day in _missing(connection, parent, missing):
        name = partition_name(parent, day)
        start, end = day_bounds(day)
        connection.execute(
            sa.text(
                f'CREATE TABLE "{name}" (LIKE "{parent}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES'
                " INCLUDING STORAGE INCLUDING COMMENTS)"
            )
        )
        connection.execute(
            sa.text(
                f'ALTER TABLE "{parent}" ATTACH PARTITION "{name}"'
                f" FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
            )
        )


def existing_days(connection: sa.Connection, parent: str) -> list[date]:
    """The days that have a partition, ascending."""
    rows = connection.execute(
        sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:parent)"),
        {"parent": parent},
    )
    return sorted(datetime.strptime(name.rsplit("_", 1)[1], "%Y%m%d").date() for (name,) in rows)


def _missing(connection: sa.Connection, parent: str, days: set[date]) -> set[date]:
    """Which of the days have no partition, asked in one question; none where a plain table stands before the parent."""
    names = {partition_name(parent, day): day for day in days}
    found = connection.execute(
        sa.text("SELECT relname, relkind FROM pg_class WHERE relname = ANY(:names) AND pg_table_is_visible(oid)"),
        {"names": [*names, parent]},
    ).all()
    if any(row.relname == parent and row.relkind == "r" for row in found):
        return set()
    return days - {names[row.relname] for row in found if row.relname in names}
