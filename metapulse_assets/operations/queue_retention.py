"""The clean-up's part of the work queue: finished jobs are thinned out, when the history of jobs has them."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from metapulse_assets.operations.queue_history import copy_before_going
from metapulse_assets.operations.retention import Removed
from metapulse_assets.platform.queue_tables import failed_jobs, job_attempts
from metapulse_assets.platform.work_queue import retention
from metapulse_assets.platform.work_queue.policies import Policy

LOG_NAME = "pgqueuer_log"


def thin_out(engine: sa.Engine, policies: Mapping[str, Policy], now: datetime) -> list[Removed]:
    """Leave the newest finished jobs of each queue; what went, by table."""
    with engine.begin() as connection:
        gone = retention.clean_up(connection, policies, before_going=partial(copy_before_going, connection))
    return [
        # The newest stay, however old, so that no time says what goes.
        Removed(job_attempts.name, now, rows=gone.attempts),
        Removed(failed_jobs.name, now, rows=gone.failed_jobs),
        Removed(LOG_NAME, now - retention.LOG_KEPT, rows=gone.log_lines),
    ]
