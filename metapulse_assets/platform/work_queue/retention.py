"""The clean-up of the queue: the last finished jobs are kept, as many as each queue's policy says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.pgqueuer_schema import LOG_TABLE, QUEUE_TABLE, STATISTICS_TABLE
from metapulse_assets.platform.work_queue.policies import Policy

LOG_KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Removed:
    """How many rows the clean-up deleted."""

    attempts: int
    failed_jobs: int
    log_lines: int


def clean_up(connection: Connection, policies: Mapping[str, Policy], log_kept: timedelta = LOG_KEPT) -> Removed:
    """Thin out what is finished: per queue the newest `keep_completed` and `keep_failed` jobs stay, with their attempts.

    `policies`: by queue; a queue that is not in it is treated by the policy's defaults. Dead letters that were put in again
    go first; PgQueuer's log lines go by age.
    """
    default = Policy()
    queues = {row[0] for row in execute(connection, _QUEUES, {})} | set(policies)
    attempts = dead = 0
    for queue in sorted(queues):
        policy = policies.get(queue, default)
        limits = {"completed": policy.keep_completed, "failed": policy.keep_failed, "canceled": policy.keep_failed}
        for status, most in limits.items():
            if most is not None:
                attempts += len(execute(connection, _FORGET, {"queue": queue, "status": status, "most": most}))
        if policy.keep_failed is not None:
            dead += len(execute(connection, _FORGET_FAILED, {"queue": queue, "most": policy.keep_failed}))
    attempts += len(execute(connection, _FORGET_EARLIER, {}))
    kept = {"kept": log_kept}
    lines = execute(connection, _FORGET_LINES, kept)
    execute(connection, f"DELETE FROM {STATISTICS_TABLE} WHERE created < now() - %(kept)s RETURNING 1", kept)  # noqa: S608
    return Removed(attempts, dead, len(lines))


_QUEUES = "SELECT DISTINCT job_type FROM job_attempts UNION SELECT DISTINCT job_type FROM failed_jobs"
_FORGET = """
DELETE FROM job_attempts WHERE (job_id, attempt_id) IN (
    SELECT job_id, attempt_id FROM job_attempts WHERE job_type = %(queue)s AND status = %(status)s AND ended_at IS NOT NULL
    ORDER BY ended_at DESC, attempt_id DESC OFFSET %(most)s
) RETURNING job_id
"""
_FORGET_FAILED = """
DELETE FROM failed_jobs WHERE id IN (
    SELECT id FROM failed_jobs WHERE job_type = %(queue)s
    ORDER BY (retried_at IS NOT NULL), failed_at DESC, id DESC OFFSET %(most)s
) RETURNING id
"""
# Attempts that were not the last, of jobs that are over and whose end is forgotten.
_FORGET_EARLIER = f"""
DELETE FROM job_attempts AS a WHERE a.status IN ('retried', 'released', 'lost')
    AND NOT EXISTS (SELECT FROM {QUEUE_TABLE} AS q WHERE q.id = a.job_id)
    AND NOT EXISTS (SELECT FROM job_attempts AS b WHERE b.job_id = a.job_id
        AND b.status IN ('active', 'completed', 'failed', 'canceled'))
RETURNING a.job_id
"""  # noqa: S608
_FORGET_LINES = f"DELETE FROM {LOG_TABLE} WHERE created < now() - %(kept)s RETURNING 1"  # noqa: S608
