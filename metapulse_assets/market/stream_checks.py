"""Whether what the stream stored is whole: numbers in their range, every event once, rows soon after their frames."""

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.market.stream.writing import HEARD_MARK
from metapulse_assets.market.stream_tables import STREAM_TABLES
from metapulse_assets.platform.progress import progress_of
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check

# A frame is to be a row within a second; after an outage of the database it may take as long as that lasted.
LONGEST_LAG_SECONDS = 1.0
LAG_QUANTILE = 0.99
ONE_DAY = timedelta(days=1)

Look = Callable[[sa.Connection, datetime, datetime], Finding]


def _every_event_once(table: sa.Table) -> Look:
    """No event twice, on one day or on two neighbouring ones."""
    t = table.c
    keys = [column for column in table.primary_key.columns if column.name != "received_on"]

    def look(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
        within = (t.received_on >= (start - ONE_DAY).date(), t.received_on < end.date())
        counts = connection.execute(
            sa.select(
                sa.func.count().label("rows"),
                sa.func.count(sa.distinct(sa.tuple_(*keys) if keys[1:] else keys[0])).label("events"),
            ).where(*within)
        ).one()
        return Finding(counts.rows == counts.events, {"rows": counts.rows, "repeated": counts.rows - counts.events})

    return look


def _rows_come_soon(table: sa.Table) -> Look:
    t = table.c

    def look(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
        lag = sa.extract("epoch", t.recorded_at - t.received_at)
        found = connection.execute(
            sa.select(
                sa.func.count().label("rows"),
                sa.func.percentile_cont(LAG_QUANTILE).within_group(lag).label("p99"),
                sa.func.max(lag).label("longest"),
                sa.func.count().filter(t.received_at > t.recorded_at).label("early"),
            ).where(t.received_on >= start.date(), t.received_on < end.date())
        ).one()
        heard = progress_of(connection, HEARD_MARK)
        facts = {
            "rows": found.rows,
            "lag p99 (s)": float(found.p99 or 0),
            "lag max (s)": float(found.longest or 0),
            "recorded before they arrived": found.early,
            "last heard": heard.isoformat() if heard else "never",
        }
        return Finding(found.early == 0 and float(found.p99 or 0) <= LONGEST_LAG_SECONDS, facts)

    return look


def stream_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the stream's tables."""
    return [
        checks_of(
            table,
            [
                values_check(table, "received_on"),
                TableCheck("every_event_once", f"No event is twice in {table.name}.", _every_event_once(table)),
                TableCheck(
                    "rows_come_soon",
                    f"99 of 100 rows of {table.name} were stored within a second of their frame.",
                    _rows_come_soon(table),
                    blocking=False,
                ),
            ],
        )
        for table in STREAM_TABLES
    ]
