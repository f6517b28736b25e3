"""The work queue, measured: a row a minute and queue, and which queues do not get on.

What is in the queue now is counted by `platform/work_queue`; here it is put together, stored and judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from metapulse_assets.operations.tables import queue_stats
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.work_queue.statistics import count_jobs, waiting_since
from metapulse_assets.platform.work_queue.totals import QueueTotals, read_totals

STUCK_AFTER = timedelta(minutes=1)
"""A due job that waits so long while nothing of its queue runs is not waited for by anybody. Own choice."""
MANY_DEAD_LETTERS = 20
"""Of one queue, not put in again. Own choice; the clean-up keeps 50."""
RATE_REACH = timedelta(hours=1)
"""A rate is taken since the row before, unless that one is older."""


@dataclass(frozen=True)
class QueueRow:
    """A row of `queue_stats`, without its minute."""

    queue: str
    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: int
    oldest_waiting_seconds: float | None
    dead_letters: int
    completed_per_minute: float | None
    failed_per_minute: float | None
    completed_total: int
    failed_total: int
    retried_total: int
    seconds_total: float

    @property
    def is_stuck(self) -> bool:
        """Whether a job has been due for long while nothing of its queue runs."""
        return self.active == 0 and (self.oldest_waiting_seconds or 0.0) > STUCK_AFTER.total_seconds()


def read_queues(connection: sa.Connection, queues: Iterable[str], now: datetime) -> list[QueueRow]:
    """These queues and every other that has or had jobs, by name, as they are now."""
    counts = {each.queue: each for each in count_jobs(connection, queues)}
    totals = read_totals(connection)
    oldest = waiting_since(connection)
    before = _rows_before(connection, now)
    kept = _failed_left(connection)
    found = []
    for name in sorted(counts.keys() | totals.keys()):
        count, total = counts.get(name), totals.get(name, QueueTotals(name))
        completed, failed = _rates(before.get(name), total, now)
        found.append(
            QueueRow(
                queue=name,
                waiting=count.waiting if count else 0,
                active=count.active if count else 0,
                completed=count.completed if count else 0,
                failed=kept.get(name, 0),
                delayed=count.delayed if count else 0,
                paused=count.paused if count else 0,
                oldest_waiting_seconds=oldest.get(name),
                dead_letters=count.failed if count else 0,
                completed_per_minute=completed,
                failed_per_minute=failed,
                completed_total=total.completed,
                failed_total=total.failed,
                retried_total=total.retried,
                seconds_total=total.seconds,
            )
        )
    return found


def store_queues(connection: sa.Connection, rows: Sequence[QueueRow], now: datetime) -> int:
    """Store the rows of a minute; a minute that is stored already stays as it is. Returns the rows written."""
    minute = now.replace(second=0, microsecond=0)
    ensure_days(connection, queue_stats.name, [utc_day(minute)])
    if not rows:
        return 0
    statement = insert(queue_stats).values([{"measured_at": minute, **vars(row)} for row in rows])
    return len(connection.execute(statement.on_conflict_do_nothing().returning(queue_stats.c.queue)).all())


def newest_queues(connection: sa.Connection, now: datetime, within: timedelta = timedelta(days=1)) -> list[QueueRow]:
    """The rows of the newest minute measured lately; none if nobody measured, or if there is no queue."""
    q = queue_stats.c
    newest = sa.select(sa.func.max(q.measured_at)).where(q.measured_at > now - within, q.measured_at <= now)
    columns = [q[name] for name in QueueRow.__dataclass_fields__]
    rows = connection.execute(sa.select(*columns).where(q.measured_at == newest.scalar_subquery()).order_by(q.queue))
    return [QueueRow(*row) for row in rows]


def _rates(before: "tuple[datetime, int, int] | None", total: QueueTotals, now: datetime) -> tuple[float | None, float | None]:
    """Jobs completed and failed a minute since the row before."""
    if before is None:
        return None, None
    minute, completed, failed = before
    minutes = (now.replace(second=0, microsecond=0) - minute) / timedelta(minutes=1)
    return (total.completed - completed) / minutes, (total.failed - failed) / minutes


def _rows_before(connection: sa.Connection, now: datetime) -> Mapping[str, tuple[datetime, int, int]]:
    """Of each queue the newest row before this minute: its minute and its totals."""
    q, minute = queue_stats.c, now.replace(second=0, microsecond=0)
    rows = connection.execute(
        sa.select(q.queue, q.measured_at, q.completed_total, q.failed_total)
        .where(q.measured_at >= minute - RATE_REACH, q.measured_at < minute)
        .ext(distinct_on(q.queue))
        .order_by(q.queue, q.measured_at.desc())
    )
    return {row.queue: (row.measured_at, row.completed_total, row.failed_total) for row in rows}


def _failed_left(connection: sa.Connection) -> dict[str, int]:
    rows = connection.execute(
        sa.text("SELECT job_type, count(*) FROM job_attempts WHERE status = 'failed' AND ended_at IS NOT NULL GROUP BY 1")
    )
    return {row[0]: row[1] for row in rows}
