"""The clean-up of the queue: the last finished jobs are kept, as many as each queue's policy says.

Attempts that go are added to `forgotten_attempts`, so that the totals since the beginning stay right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.pgqueuer_schema import LOG_TABLE, QUEUE_TABLE, STATISTICS_TABLE
from metapulse_assets.platform.work_queue.policies import Policy

LOG_KEPT = timedelta(days=1)
# Attempts that go by one statement.
BATCH = 5_000

BeforeGoing = Callable[[Sequence[tuple[int, int]]], object]


@dataclass(frozen=True)
class Removed:
    """How many rows the clean-up deleted."""

    attempts: int
    failed_jobs: int
    log_lines: int


def clean_up(
    connection: Connection,
    policies: Mapping[str, Policy],
    log_kept: timedelta = LOG_KEPT,
    before_going: BeforeGoing = lambda _: None,
) -> Removed:
    """Thin out what is finished: per queue the newest `keep_completed` and `keep_failed` jobs stay, with their attempts.

    `policies`: by queue; a queue that is not in it is treated by the policy's defaults. Dead letters that were put in again
    go first; PgQueuer's log lines go by age. `before_going` is told the attempts (job, attempt id) of each batch while they
    are still there, in this transaction; of one job the later ones go first.
    """
    default = Policy()
    queues = {row[0] for row in execute(connection, _QUEUES, {})} | set(policies)
    attempts = dead = 0
    for queue in sorted(queues):
        policy = policies.get(queue, default)
        limits = {"completed": policy.keep_completed, "failed": policy.keep_failed, "canceled": policy.keep_failed}
        for status, most in limits.items():
            if most is not None:
                attempts += _forget(connection, _FINISHED, {"queue": queue, "status": status, "most": most}, before_going)
        if policy.keep_failed is not None:
            dead += len(execute(connection, _FORGET_FAILED, {"queue": queue, "most": policy.keep_failed}))
    attempts += _forget(connection, _EARLIER, {}, before_going)
    kept = {"kept": log_kept}
    lines = execute(connection, _FORGET_LINES, kept)
    execute(connection, f"DELETE FROM {STATISTICS_TABLE} WHERE created < now() - %(kept)s RETURNING 1", kept)  # noqa: S608
    return Removed(attempts, dead, len(lines))


def _forget(connection: Connection, chosen: str, values: Mapping[str, object], before_going: BeforeGoing) -> int:
    """Delete the attempts that a query names, and count them as forgotten; returns how many."""
    gone = 0
    while True:
        batch = [(row[0], row[1]) for row in execute(connection, chosen, {**values, "batch": BATCH})]
        if batch:
            before_going(batch)
            ids = {"jobs": [job for job, _ in batch], "attempts": [attempt for _, attempt in batch]}
            gone += execute(connection, _FORGET, ids)[0][0]
        if len(batch) < BATCH:
            return gone


_QUEUES = "SELECT DISTINCT job_type FROM job_attempts UNION SELECT DISTINCT job_type FROM failed_jobs"
_FINISHED = """
SELECT job_id, attempt_id FROM job_attempts WHERE job_type = %(queue)s AND status = %(status)s AND ended_at IS NOT NULL
ORDER BY ended_at DESC, attempt_id DESC OFFSET %(most)s LIMIT %(batch)s
"""
# Attempts that were not the last, of jobs that are over and whose end is forgotten.
_EARLIER = f"""
SELECT a.job_id, a.attempt_id FROM job_attempts AS a WHERE a.status IN ('retried', 'released', 'lost')
    AND NOT EXISTS (SELECT FROM {QUEUE_TABLE} AS q WHERE q.id = a.job_id)
    AND NOT EXISTS (SELECT FROM job_attempts AS b WHERE b.job_id = a.job_id
        AND b.status IN ('active', 'completed', 'failed', 'canceled'))
ORDER BY a.job_id DESC, a.attempt_id DESC LIMIT %(batch)s
"""  # noqa: S608
_FORGET = """
WITH chosen AS (
    SELECT * FROM unnest(%(jobs)s::bigint[], %(attempts)s::bigint[]) AS c (job_id, attempt_id)
), gone AS (
    DELETE FROM job_attempts AS a USING chosen AS c WHERE a.job_id = c.job_id AND a.attempt_id = c.attempt_id
    RETURNING a.job_type, a.status, a.duration_seconds
), counted AS (
    INSERT INTO forgotten_attempts AS f (job_type, status, attempts, microseconds)
    SELECT job_type, status, count(*), coalesce(sum((duration_seconds * 1e6)::bigint), 0) FROM gone GROUP BY 1, 2
    ON CONFLICT (job_type, status) DO UPDATE
    SET attempts = f.attempts + excluded.attempts, microseconds = f.microseconds + excluded.microseconds
)
SELECT count(*) FROM gone
"""
_FORGET_FAILED = """
DELETE FROM failed_jobs WHERE id IN (
    SELECT id FROM failed_jobs WHERE job_type = %(queue)s
    ORDER BY (retried_at IS NOT NULL), failed_at DESC, id DESC OFFSET %(most)s
) RETURNING id
"""
_FORGET_LINES = f"DELETE FROM {LOG_TABLE} WHERE created < now() - %(kept)s RETURNING 1"  # noqa: S608
