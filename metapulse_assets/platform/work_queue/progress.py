"""How far a job is: said by its handler while it runs, shown with the job."""

from metapulse_assets.platform.work_queue.enqueueing import execute
from metapulse_assets.platform.work_queue.job import Job


def report(job: Job, percent: float) -> None:
    """Say how far an attempt is, 0 to 100; in a transaction of its own, so that it is seen at once.

    From an async handler: `await asyncio.to_thread(report, job, 40)`. Raises ValueError for a number that is no percentage.
    """
    if not 0 <= percent <= 100:
        raise ValueError(f"percent: {percent} is not between 0 and 100")
    sql = (
        "UPDATE job_attempts SET progress = %(percent)s "
        "WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND status = 'active' RETURNING job_id"
    )
    with job.platform.engine.begin() as connection:
        execute(connection, sql, {"percent": percent, "job_id": job.job_id, "attempt": job.attempt})
