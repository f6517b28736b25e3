"""Jobs as the service shows them."""

from typing import Any

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.finding import JobView
from metapulse_assets.platform.work_queue.registry import handlers


def job_answer(job: JobView, settings: Settings, in_full: bool = True) -> dict[str, Any]:
    """A job as JSON. `progress`: attempt of how many (null: its type is not known here), and percent if its handler says so."""
    known = handlers().get(job.type)
    most = None if known is None else (known.policy.attempts or settings.worker_max_attempts)
    shown = {
        "id": job.id,
        "type": job.type,
        "status": job.status,
        "unique_id": job.unique_id,
        "priority": job.priority,
        "progress": {"attempt": job.attempt, "of_attempts": most, "percent": job.progress},
        "error": job.error,
        "created_at": job.created_at,
        "due_at": job.due_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
    }
    if not in_full:
        return shown
    attempts = [
        {
            "attempt": one.attempt,
            "status": one.status,
            "started_at": one.started_at,
            "ended_at": one.ended_at,
            "duration_seconds": one.duration_seconds,
            "error": one.error,
            "worker": one.worker or None,
        }
        for one in reversed(job.attempts)
    ]
    return {
        **shown,
        "data": job.data,
        "result": job.result,
        "worker": job.worker or None,
        "dead_letter": job.dead_letter,
        "attempts": attempts,
    }
