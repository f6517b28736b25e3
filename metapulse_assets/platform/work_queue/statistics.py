"""What is in the queue: counts by queue and state, one job's state, the history of attempts. Reads only."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.pausing import ALL
from metapulse_assets.platform.work_queue.pgqueuer_schema import QUEUE_TABLE

if TYPE_CHECKING:
    import psycopg

State = Literal["waiting", "active", "completed", "failed", "delayed", "paused", "canceled"]


@dataclass(frozen=True)
class QueueCounts:
    """Jobs of a queue by state. `completed`: those the ledger still has; `failed`: dead letters not put in again.

    `paused`: they would be waiting, were the queue not paused.
    """

    queue: str
    waiting: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    delayed: int = 0
    paused: int = 0
    is_paused: bool = False

    def as_json(self) -> dict[str, Any]:
        """The counts for programs."""
        return asdict(self)


@dataclass(frozen=True)
class Attempt:
    """A row of the ledger."""

    job_id: int
    job_type: str
    attempt: int
    status: str
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    result: Any
    error: str | None
    worker: str


def count_jobs(connection: Connection, queues: Iterable[str] = ()) -> list[QueueCounts]:
    """Counts of these queues and of every other that has jobs, by name."""
    counts: dict[str, dict[str, int]] = {queue: {} for queue in queues}
    paused: set[str] = set()
    for queue, state, number in execute(connection, COUNTS, {}):
        if state == "is_paused":
            paused.add(queue)
        else:
            counts.setdefault(queue, {})[state] = number
    for queue in paused - {ALL}:
        counts.setdefault(queue, {})
    return [QueueCounts(queue, **counts[queue], is_paused=bool({queue, ALL} & paused)) for queue in sorted(counts)]


def waiting_since(connection: Connection) -> dict[str, float]:
    """Seconds that the oldest waiting job of each queue has been due; queues that are paused or have none are left out."""
    return {queue: float(seconds) for queue, seconds in execute(connection, WAITING_SINCE, {})}


def state_of(connection: Connection, job_id: int) -> State | None:
    """The state of a job; None for one that never was, or that the clean-up forgot."""
    rows = execute(connection, _STATE, {"job_id": job_id})
    state: State | None = rows[0][0] if rows else None
    return state


async def state_of_async(connection: "psycopg.AsyncConnection[Any]", job_id: int) -> State | None:
    """`state_of` on an asynchronous connection."""
    row = await (await connection.execute(_STATE.encode(), {"job_id": job_id})).fetchone()
    state: State | None = row[0] if row else None
    return state


def history(connection: Connection, *, job_id: int | None = None, queue: str | None = None, most: int = 100) -> list[Attempt]:
    """Attempts, newest first."""
    sql = (
        "SELECT job_id, job_type, attempt, status, started_at, ended_at, duration_seconds, result, error, worker "
        "FROM job_attempts WHERE (%(job_id)s::bigint IS NULL OR job_id = %(job_id)s) "
        "AND (%(queue)s::text IS NULL OR job_type = %(queue)s) ORDER BY attempt_id DESC LIMIT %(most)s"
    )
    return [Attempt(*row) for row in execute(connection, sql, {"job_id": job_id, "queue": queue, "most": most})]


_OPEN_STATE = f"""
CASE WHEN status = 'picked' THEN 'active'
    WHEN execute_after > now() THEN 'delayed'
    WHEN EXISTS (SELECT FROM paused_queues WHERE queue IN (entrypoint, '{ALL}')) THEN 'paused'
    ELSE 'waiting' END
"""
COUNTS = f"""
SELECT entrypoint, {_OPEN_STATE} AS state, count(*) FROM {QUEUE_TABLE} WHERE status IN ('queued', 'picked') GROUP BY 1, 2
UNION ALL
SELECT job_type, status, count(*) FROM job_attempts WHERE status = 'completed' AND ended_at IS NOT NULL GROUP BY 1, 2
UNION ALL
SELECT job_type, 'failed', count(*) FROM failed_jobs WHERE retried_at IS NULL GROUP BY 1
UNION ALL
SELECT queue, 'is_paused', 1 FROM paused_queues
"""  # noqa: S608
WAITING_SINCE = f"""
SELECT entrypoint, extract(epoch FROM now() - min(execute_after)) FROM {QUEUE_TABLE}
WHERE status = 'queued' AND execute_after <= now() AND NOT EXISTS (
    SELECT FROM paused_queues WHERE queue IN (entrypoint, '{ALL}')
) GROUP BY 1
"""  # noqa: S608
_STATE = f"""
SELECT state FROM (
    SELECT 1 AS place, {_OPEN_STATE} AS state FROM {QUEUE_TABLE} WHERE id = %(job_id)s
    UNION ALL
    (SELECT 2, status FROM job_attempts
    WHERE job_id = %(job_id)s AND status IN ('completed', 'failed', 'canceled') ORDER BY attempt_id DESC LIMIT 1)
    UNION ALL
    SELECT 3, 'failed' FROM failed_jobs WHERE job_id = %(job_id)s
) AS found ORDER BY place LIMIT 1
"""  # noqa: S608
