"""The work queue's part of the history of jobs: attempts that ended, copied out of its ledger before that is thinned out.

An attempt is copied once, whoever comes first: the look of each minute, or the clean-up that is about to forget it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.platform.progress import progress_of, set_progress

MARK = "job_logs.queue"
ENGINE = "queue"
PAGE = 20_000
OVERLAP = timedelta(minutes=2)
"""An attempt becomes visible when its transaction is committed, after others that ended later; so far back each look goes."""


def copy_attempts(engine: sa.Engine, kept_since: datetime) -> int:
    """Copy attempts that ended since the last call, a page a transaction; returns how many rows that added.

    `kept_since`: earlier ones are past their time and are not copied.
    """
    with engine.connect() as connection:
        done = progress_of(connection, MARK)
    after = max(kept_since, done - OVERLAP) if done else kept_since
    added = 0
    while True:
        with engine.begin() as connection:
            through = connection.execute(_PAGE_END, {"after": after, "page": PAGE}).scalar()
            if through is None:
                return added
            added += connection.execute(_COPY_SPAN, {"after": after, "through": through, "engine": ENGINE}).rowcount
            set_progress(connection, MARK, through)
        after = through


def copy_before_going(connection: sa.Connection, attempts: Sequence[tuple[int, int]]) -> int:
    """Copy these attempts (job, attempt id), which are about to be forgotten, unless they were before."""
    values = {"jobs": [job for job, _ in attempts], "attempts": [attempt for _, attempt in attempts], "engine": ENGINE}
    return connection.execute(_COPY_CHOSEN, values).rowcount


# Attempts are numbered anew: one whose worker vanished has the same number in the ledger as the one that came after it.
_COPY = """
INSERT INTO job_logs (engine, job_id, attempt, job, status, cause, created_at, started_at, ended_at, duration_seconds, result,
    error, updated_at)
SELECT :engine, a.job_id::text, place.number, a.job_type,
    CASE WHEN a.status = 'completed' THEN 'success'
        WHEN a.status IN ('canceled', 'released') THEN 'canceled' ELSE 'failure' END,
    CASE WHEN place.number > 1 THEN 'retry' ELSE 'queue' END,
    coalesce(a.created_at, a.started_at), a.started_at, a.ended_at, a.duration_seconds, a.result, a.error, a.ended_at
FROM job_attempts AS a
CROSS JOIN LATERAL (
    SELECT 1 + count(*) AS number FROM job_attempts AS b WHERE b.job_id = a.job_id AND b.attempt_id < a.attempt_id
) AS place
WHERE {chosen}
ON CONFLICT (engine, job_id, attempt) DO NOTHING
"""
_COPY_SPAN = sa.text(_COPY.format(chosen="a.ended_at > :after AND a.ended_at <= :through"))
_COPY_CHOSEN = sa.text(
    _COPY.format(
        chosen="(a.job_id, a.attempt_id) IN ("
        "SELECT * FROM unnest(CAST(:jobs AS bigint[]), CAST(:attempts AS bigint[]))) AND a.ended_at IS NOT NULL"
    )
)
# Whoever ended at the very moment of the page's last one belongs to the page, too.
_PAGE_END = sa.text(
    "SELECT max(ended_at) FROM ("
    "SELECT ended_at FROM job_attempts WHERE ended_at > :after ORDER BY ended_at LIMIT :page) AS page"
)
