"""Putting jobs into the queue, in the caller's own transaction: no commit, no job. Also taking one out again."""

import functools
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa

from metapulse_assets.platform.work_queue.job import LONGEST_WAIT_SECONDS
from metapulse_assets.platform.work_queue.json_text import storable_json
from metapulse_assets.platform.work_queue.pgqueuer_schema import (
    CHANNEL,
    LOG_TABLE,
    QUEUE_TABLE,
    numbered,
    pgqueuer_settings,
    pyformat,
)
from metapulse_assets.platform.work_queue.policies import PriorityName, priority_number
from metapulse_assets.platform.work_queue.registry import find_handler

if TYPE_CHECKING:
    from metapulse_assets.platform.work_queue.job import JobData

Connection = sa.Connection | psycopg.Connection[Any]
Rows = list[Sequence[Any]]

# Jobs of one statement.
BATCH = 5_000
# A job with the same id may end between the refusal and the look at it; then its place is free.
TRIES = 5
# The index that keeps ids unique takes little more.
LONGEST_ID_BYTES = 2_000


@dataclass(frozen=True)
class NewJob:
    """A job to be put in.

    `priority`: of the queue's policy if None. `delay`: it is not to start before. `unique_id`: while a job of this queue with
    the same id waits or runs, no second one is made.
    """

    queue: str
    data: "JobData"
    priority: PriorityName | int | None = None
    delay: timedelta | None = None
    unique_id: str | None = None


@dataclass(frozen=True)
class Enqueued:
    """Number of the job; `created` is false if it was there already (same `unique_id`)."""

    job_id: int
    created: bool


def enqueue(
    connection: Connection,
    queue: str,
    data: "JobData",
    *,
    priority: PriorityName | int | None = None,
    delay: timedelta | None = None,
    unique_id: str | None = None,
) -> Enqueued:
    """Put in one job; see `NewJob`. Raises `UnknownJobType`, and ValueError for data that JSON cannot hold."""
    return enqueue_many(connection, [NewJob(queue, data, priority, delay, unique_id)])[0]


def enqueue_many(connection: Connection, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Put in many jobs; the answers come in their order. Nothing is put in if one of them is refused."""
    steps = _steps(jobs)
    rows: Rows | None = None
    while True:
        try:
            statement, values = steps.send(rows) if rows is not None else next(steps)
        except StopIteration as done:
            found: list[Enqueued] = done.value
            return found
        rows = execute(connection, statement, values)


async def enqueue_many_async(connection: "psycopg.AsyncConnection[Any]", jobs: Sequence[NewJob]) -> list[Enqueued]:
    """`enqueue_many` on an asynchronous connection, as a handler may have one."""
    steps = _steps(jobs)
    rows: Rows | None = None
    while True:
        try:
            statement, values = steps.send(rows) if rows is not None else next(steps)
        except StopIteration as done:
            found: list[Enqueued] = done.value
            return found
        rows = list(await (await connection.execute(statement, values)).fetchall())


def cancel(connection: Connection, job_id: int) -> bool:
    """Take out a job: a waiting one is never begun, a running one is interrupted. False if there is no such job (any more)."""
    return bool(execute(connection, _CANCEL, {"job_id": job_id}))


def execute(connection: Connection, statement: str, values: Mapping[str, object]) -> Rows:
    """Run a statement of psycopg's style that returns rows, on either kind of connection, in its transaction."""
    if isinstance(connection, sa.Connection):
        return [tuple(row) for row in connection.exec_driver_sql(statement, dict(values))]
    return list(connection.execute(statement.encode(), values).fetchall())


def _steps(jobs: Sequence[NewJob]) -> Generator[tuple[str, dict[str, object]], Rows, list[Enqueued]]:
    """The statements that put jobs in; each is answered with its rows."""
    checked = [_checked(place, job) for place, job in enumerate(jobs)]
    found: dict[int, Enqueued] = {}
    for start in range(0, len(checked), BATCH):
        left = list(range(start, min(start + BATCH, len(checked))))
        for _ in range(TRIES):
            made = yield _enqueue_statement(), _columns([checked[place] for place in left])
            found.update({left[ordinal - 1]: Enqueued(job_id, True) for ordinal, job_id in made})
            left = [place for place in left if place not in found]
            if not left:
                break
            known = yield _FIND_BY_KEY, {"keys": [checked[place].key for place in left]}
            by_key = {row[0]: row[1] for row in known}
            found.update({p: Enqueued(by_key[checked[p].key], False) for p in left if checked[p].key in by_key})
            left = [place for place in left if place not in found]
            if not left:
                break
        else:
            raise RuntimeError(f"jobs[{left[0]}]: its unique_id is neither free nor taken")
    return [found[place] for place in range(len(checked))]


@dataclass(frozen=True)
class _Checked:
    queue: str
    payload: bytes
    priority: int
    delay: timedelta
    key: str | None


def _checked(place: int, job: NewJob) -> _Checked:
    """A job as it is stored; raises ValueError naming the job's place and field."""
    policy = find_handler(job.queue).policy
    try:
        if not isinstance(job.data, dict):
            raise TypeError("is not an object")
        payload = storable_json(job.data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"jobs[{place}].data of {job.queue}: {error}") from None
    delay = job.delay or timedelta()
    if not 0 <= delay.total_seconds() <= LONGEST_WAIT_SECONDS:
        raise ValueError(f"jobs[{place}].delay of {job.queue}: is below 0 or above {LONGEST_WAIT_SECONDS // 86_400} days")
    if job.unique_id is not None and (not job.unique_id or "\0" in job.unique_id):
        raise ValueError(f"jobs[{place}].unique_id of {job.queue}: is empty or holds a NUL")
    if len((job.unique_id or "").encode(errors="replace")) > LONGEST_ID_BYTES:
        raise ValueError(f"jobs[{place}].unique_id of {job.queue}: is longer than {LONGEST_ID_BYTES} bytes")
    key = None if job.unique_id is None else f"{job.queue}:{job.unique_id}"
    # PgQueuer takes the largest first.
    priority = -priority_number(policy.priority if job.priority is None else job.priority)
    return _Checked(job.queue, payload.encode(), priority, delay, key)


def _columns(jobs: Sequence[_Checked]) -> dict[str, object]:
    return numbered(
        [job.priority for job in jobs],
        [job.queue for job in jobs],
        [job.payload for job in jobs],
        [job.delay for job in jobs],
        [job.key for job in jobs],
        [None] * len(jobs),
    )


@functools.cache
def _enqueue_statement() -> str:
    from pgqueuer.adapters.persistence.qb import QueryQueueBuilder

    return pyformat(QueryQueueBuilder(pgqueuer_settings()).build_enqueue_query("skip"))


_FIND_BY_KEY = f"SELECT dedupe_key, id FROM {QUEUE_TABLE} WHERE dedupe_key = ANY(%(keys)s) AND status IN ('queued', 'picked')"  # noqa: S608

_CANCEL = f"""
WITH gone AS (
    DELETE FROM {QUEUE_TABLE} WHERE id = %(job_id)s RETURNING id, entrypoint, priority, attempts, status, dedupe_key, created
), logged AS (
    INSERT INTO {LOG_TABLE} (job_id, status, entrypoint, priority) SELECT id, 'canceled', entrypoint, priority FROM gone
), ended AS (
    UPDATE job_attempts AS a SET status = 'canceled', ended_at = clock_timestamp(),
        duration_seconds = extract(epoch FROM clock_timestamp() - a.started_at), error = 'canceled'
    FROM gone WHERE a.job_id = gone.id AND a.status = 'active' RETURNING a.job_id
), never_begun AS (
    INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, ended_at, duration_seconds, error, worker,
        unique_id, created_at)
    SELECT id, entrypoint, attempts + 1, 'canceled', clock_timestamp(), clock_timestamp(), 0, 'canceled', '',
        substr(dedupe_key, length(entrypoint) + 2), created
    FROM gone WHERE status = 'queued'
)
SELECT id, pg_notify('{CHANNEL}', json_build_object('channel', '{CHANNEL}', 'sent_at', now(),
    'type', 'cancellation_event', 'ids', json_build_array(id))::text)
FROM gone
"""  # noqa: S608
