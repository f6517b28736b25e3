"""Saying what came of attempts: completed, retried, failed, released; queue, ledger and dead letters in one statement.

Only who still holds a job can settle it. A worker that was silent for too long finds its job taken, and what it did inside the
job's transaction is undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from metapulse_assets.platform.work_queue.json_text import storable_json
from metapulse_assets.platform.work_queue.pgqueuer_schema import LOG_TABLE, QUEUE_TABLE, STATUS_TYPE

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy as sa

    from metapulse_assets.platform.work_queue.claiming import Claimed

Ending = Literal["completed", "retried", "failed", "released"]
LONGEST_ERROR = 4_000
LONGEST_RESULT = 10_000_000
DEADLOCK_TRIES = 5


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt. `result`: JSON text. `pause_seconds`: before a retried job is due again."""

    job: "Claimed"
    ending: Ending
    result: str | None = None
    error: str | None = None
    pause_seconds: float = 0.0


class LeaseLost(Exception):  # noqa: N818 - what happened is in the name
    """The job was taken from this worker, or canceled, while it worked on it."""


async def settle(connection: "psycopg.AsyncConnection[Any]", worker_id: UUID, outcomes: Sequence[Outcome]) -> set[int]:
    """Settle attempts; returns the numbers of the jobs that were still held by this worker."""
    cursor = await connection.execute(_SETTLE.encode(), _values(worker_id, outcomes))
    return {row[0] for row in await cursor.fetchall()}


async def settle_group(connection: "psycopg.AsyncConnection[Any]", worker_id: UUID, outcomes: Sequence[Outcome]) -> set[int]:
    """`settle` in a transaction of its own, again if somebody who held several of the jobs brought a deadlock about."""
    import psycopg

    for _ in range(DEADLOCK_TRIES - 1):
        try:
            return await settle(connection, worker_id, outcomes)
        except psycopg.errors.DeadlockDetected:
            continue
    return await settle(connection, worker_id, outcomes)


def settle_in(connection: "sa.Connection", worker_id: UUID, outcomes: Sequence[Outcome]) -> set[int]:
    """`settle` in a transaction of SQLAlchemy's."""
    return {row[0] for row in connection.exec_driver_sql(_SETTLE, _values(worker_id, outcomes))}


def as_result(value: Any) -> str | None:
    """What a handler returned, as it is stored; raises ValueError for what cannot be."""
    if value is None:
        return None
    try:
        text = storable_json(value)
    except ValueError as error:
        raise ValueError(f"the handler's result {error}") from None
    if len(text) > LONGEST_RESULT:
        raise ValueError(f"the handler's result has {len(text):,} characters, more than {LONGEST_RESULT:,}")
    return text


def as_error(text: str) -> str:
    """A message as it is stored: without NUL and broken characters, cut if very long."""
    return text.replace("\0", "�").encode(errors="replace").decode()[:LONGEST_ERROR]


def _values(worker_id: UUID, outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "worker": worker_id,
        "ids": [outcome.job.job_id for outcome in outcomes],
        "endings": [outcome.ending for outcome in outcomes],
        "results": [outcome.result for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
        "data": [storable_json(outcome.job.data) if outcome.ending == "failed" else None for outcome in outcomes],
        "pauses": [float(outcome.pause_seconds) for outcome in outcomes],
    }


# For the connection that settles groups: the planner cannot know how many there are, and a nested loop over them is quadratic.
GROUP_SETTING = "SET enable_nestloop = off"

_SETTLE = f"""
WITH outcome AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(endings)s::text[], %(results)s::text[], %(errors)s::text[],
        %(data)s::text[], %(pauses)s::float8[]) AS o (job_id, ending, result, error, data, pause)
), gone AS (
    DELETE FROM {QUEUE_TABLE} AS q USING outcome AS o
    WHERE q.id = ANY(%(ids)s::bigint[]) AND q.id = o.job_id AND q.queue_manager_id = %(worker)s AND q.status = 'picked'
        AND o.ending IN ('completed', 'failed')
    RETURNING q.id, q.entrypoint, q.priority, o.data, q.attempts, o.ending, o.result, o.error
), waiting AS (
    UPDATE {QUEUE_TABLE} AS q SET status = 'queued', execute_after = now() + make_interval(secs => o.pause), updated = now(),
        attempts = q.attempts + (o.ending = 'retried')::integer, queue_manager_id = NULL, slot = NULL
    FROM outcome AS o
    WHERE q.id = ANY(%(ids)s::bigint[]) AND q.id = o.job_id AND q.queue_manager_id = %(worker)s AND q.status = 'picked'
        AND o.ending IN ('retried', 'released')
    RETURNING q.id, q.entrypoint, q.priority, o.ending, o.error
), settled AS (
    SELECT id, entrypoint, priority, ending, result, error FROM gone
    UNION ALL SELECT id, entrypoint, priority, ending, NULL, error FROM waiting
), ledger AS (
    UPDATE job_attempts AS a SET status = s.ending, ended_at = clock_timestamp(),
        duration_seconds = extract(epoch FROM clock_timestamp() - a.started_at), result = s.result::jsonb, error = s.error
    FROM settled AS s WHERE a.job_id = ANY(%(ids)s::bigint[]) AND a.job_id = s.id AND a.status = 'active'
), dead AS (
    INSERT INTO failed_jobs (job_type, job_data, error_message, failed_at, job_id, attempts)
    SELECT entrypoint, data::jsonb, error, clock_timestamp(), id, attempts + 1
    FROM gone WHERE ending = 'failed'
), logged AS (
    INSERT INTO {LOG_TABLE} (job_id, status, entrypoint, priority, traceback)
    SELECT id, (CASE ending WHEN 'completed' THEN 'successful' WHEN 'failed' THEN 'exception' ELSE 'queued' END)::{STATUS_TYPE},
        entrypoint, priority, CASE WHEN error IS NOT NULL THEN jsonb_build_object('job_id', id, 'timestamp', now(),
            'exception_type', ending, 'exception_message', error, 'traceback', '', 'additional_context', NULL) END
    FROM settled
)
SELECT id FROM settled
"""  # noqa: S608
