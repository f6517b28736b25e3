"""One job with all that is known of it, and the newest jobs: from the queue while a job is open, from the ledger after."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.json_text import read_json, unreadable
from metapulse_assets.platform.work_queue.pausing import ALL
from metapulse_assets.platform.work_queue.pgqueuer_schema import QUEUE_TABLE
from metapulse_assets.platform.work_queue.statistics import Attempt, history

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class JobView:
    """A job. `attempt`: number of the newest, 0 before the first. `progress`: percent, as its handler says; None: nothing said.

    `priority`: the lower goes first; None once it has ended, like `due_at`. `data`: None once it has ended well.
    """

    id: int
    type: str
    status: str
    unique_id: str | None
    data: Any
    priority: int | None
    attempt: int
    progress: float | None
    result: Any
    error: str | None
    created_at: datetime | None
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    worker: str | None
    dead_letter: int | None
    attempts: list[Attempt]


def find_job(connection: Connection, reference: str, queues: Collection[str] = ()) -> JobView | None:
    """A job by its number, or by the unique id that it was put in with; None if there is none (any more).

    `queues`: those in which an open job of that unique id may be. Of several, the open one, else the newest.
    """
    for job_id in _candidates(connection, reference, queues):
        found = execute(connection, _JOB, {"job_id": job_id})
        if found:
            return _view(found[0], history(connection, job_id=job_id))
    return None


def newest_jobs(
    connection: Connection, *, queue: str | None = None, most: int = 50, before: int | None = None
) -> list[JobView]:
    """Jobs by number, the newest first. `before`: only those with a smaller number."""
    values = {"queue": queue, "most": most, "before": before if before is not None else LARGEST_ID}
    return [_view(row, []) for row in execute(connection, _NEWEST, values)]


def _candidates(connection: Connection, reference: str, queues: Collection[str]) -> list[int]:
    found = []
    if (
        reference.isascii()
        and reference.isdecimal()
        and len(reference) <= len(str(LARGEST_ID))
        and int(reference) <= LARGEST_ID
    ):
        found.append(int(reference))
    if reference and reference.isprintable():
        keys = [f"{queue}:{reference}" for queue in queues]
        found += [row[0] for row in execute(connection, _BY_UNIQUE_ID, {"keys": keys, "unique_id": reference})]
    return found


def _view(row: Sequence[Any], attempts: list[Attempt]) -> JobView:
    job_id, job_type, status, unique_id, payload, *rest = row
    return JobView(*(job_id, job_type, status, unique_id, _data(payload), *rest, attempts))


def _data(payload: Any) -> Any:
    """A stored payload; one that is none of ours is shown as what it is."""
    if payload is None:
        return None
    try:
        return read_json(bytes(payload))
    except ValueError:
        return unreadable(bytes(payload))


_OPEN = f"""
SELECT q.id, q.entrypoint,
    CASE WHEN q.status = 'picked' THEN 'active' WHEN q.execute_after > now() THEN 'delayed'
        WHEN EXISTS (SELECT FROM paused_queues WHERE queue IN (q.entrypoint, '{ALL}')) THEN 'paused' ELSE 'waiting' END,
    substr(q.dedupe_key, length(q.entrypoint) + 2), q.payload, -q.priority::bigint,
    coalesce(a.attempt, 0), CASE WHEN q.status = 'picked' THEN a.progress END, NULL::jsonb, a.error, q.created, q.execute_after,
    a.started_at, NULL::timestamptz, CASE WHEN q.status = 'picked' THEN a.worker END, NULL::bigint
FROM {QUEUE_TABLE} AS q LEFT JOIN LATERAL (
    SELECT attempt, progress, error, started_at, worker FROM job_attempts WHERE job_id = q.id ORDER BY attempt_id DESC LIMIT 1
) AS a ON true
WHERE q.status IN ('queued', 'picked')
"""  # noqa: S608
_ENDED = """
SELECT a.job_id, a.job_type, a.status, a.unique_id, convert_to(f.job_data::text, 'UTF8'), NULL::integer, a.attempt,
    CASE WHEN a.status = 'completed' THEN 100 ELSE a.progress END, a.result, a.error, a.created_at, NULL::timestamptz,
    a.started_at, a.ended_at, a.worker, f.id
FROM job_attempts AS a LEFT JOIN LATERAL (
    SELECT id, job_data FROM failed_jobs WHERE job_id = a.job_id ORDER BY id DESC LIMIT 1
) AS f ON true
WHERE a.status IN ('completed', 'failed', 'canceled')
"""
# Whose attempts the clean-up has taken, and whose dead letter is left.
_DEAD = """
SELECT job_id, job_type, 'failed', NULL::text, convert_to(job_data::text, 'UTF8'), NULL::integer,
    coalesce(attempts, 0), NULL::real, NULL::jsonb,
    error_message, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, failed_at, NULL::text, id
FROM failed_jobs WHERE job_id = %(job_id)s ORDER BY id DESC LIMIT 1
"""
_JOB = f"""
({_OPEN} AND q.id = %(job_id)s) UNION ALL ({_ENDED} AND a.job_id = %(job_id)s ORDER BY a.attempt_id DESC LIMIT 1)
UNION ALL ({_DEAD}) LIMIT 1
"""
_NEWEST = f"""
SELECT * FROM (
    ({_OPEN} AND (%(queue)s::text IS NULL OR q.entrypoint = %(queue)s) AND q.id < %(before)s ORDER BY q.id DESC LIMIT %(most)s)
    UNION ALL
    ({_ENDED} AND (%(queue)s::text IS NULL OR a.job_type = %(queue)s) AND a.job_id < %(before)s
    ORDER BY a.job_id DESC LIMIT %(most)s)
) AS found ORDER BY 1 DESC LIMIT %(most)s
"""  # noqa: S608
_BY_UNIQUE_ID = f"""
SELECT id FROM (
    SELECT 1 AS place, id FROM {QUEUE_TABLE} WHERE dedupe_key = ANY(%(keys)s) AND status IN ('queued', 'picked')
    UNION ALL
    (SELECT 2, job_id FROM job_attempts WHERE unique_id = %(unique_id)s ORDER BY job_id DESC LIMIT 1)
) AS found ORDER BY place, id DESC
"""  # noqa: S608
