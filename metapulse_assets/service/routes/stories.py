"""Pages of TexhPulze's story scoring, in the shapes that its programs know, over the queue `story-enhancement`."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from metapulse_assets.platform.work_queue import statistics
from metapulse_assets.platform.work_queue.finding import JobView
from metapulse_assets.platform.work_queue.registry import handlers
from metapulse_assets.service.access.callers import require
from metapulse_assets.service.pages import ALWAYS, answer, database_of, platform_of, shown
from metapulse_assets.service.problems import Problem, documented
from metapulse_assets.service.routes.jobs import find_or_404, unknown_type

QUEUE = "story-enhancement"
ID_PREFIX = f"{QUEUE}-"
JOB_EXAMPLE: dict[str, Any] = {
    "id": "story-enhancement-7f3c",
    "storyId": "7f3c",
    "status": "completed",
    "result": None,
    "createdAt": "2026-01-31T12:00:00.000Z",
    "updatedAt": "2026-01-31T12:00:02.500Z",
}
STATS_EXAMPLE = {
    "totalJobs": 25,
    "pendingJobs": 3,
    "completedJobs": 20,
    "failedJobs": 2,
    "openAIConfigured": True,
    "queueSize": 3,
}

router = APIRouter(tags=["stories"], prefix="/api/stories/scoring")


@router.get(
    "/job/{job_id}",
    dependencies=[Depends(require("jobs:read"))],
    responses={**ALWAYS, **documented(400, 404), 200: shown("The job", {"success": True, "data": {"job": JOB_EXAMPLE}})},
)
async def show_scoring_job(request: Request, job_id: str) -> Response:
    """A job of story scoring, by the `jobId` that its story was given. `processingTime` is in milliseconds."""
    _require_handler()
    job = await find_or_404(request, job_id)
    if job.type != QUEUE:
        raise Problem(404, None, "There is no such job of story scoring.")
    return answer({"success": True, "data": {"job": scoring_job(job, job_id)}})


@router.get(
    "/stats",
    dependencies=[Depends(require("jobs:read"))],
    responses={**ALWAYS, **documented(400), 200: shown("The counts", {"success": True, "data": {"stats": STATS_EXAMPLE}})},
)
async def show_scoring_stats(request: Request) -> Response:
    """How many jobs of story scoring there are. Pending are those that have not ended; the queue holds those not begun."""
    _require_handler()
    counts = await database_of(request).write(statistics.count_jobs, [QUEUE])
    has_key = platform_of(request).settings.openai_api_key is not None
    return answer({"success": True, "data": {"stats": scoring_stats(next(c for c in counts if c.queue == QUEUE), has_key)}})


def scoring_job(job: JobView, asked_as: str) -> dict[str, Any]:
    """A job as TexhPulze showed it."""
    result = job.result
    if isinstance(result, dict) and job.started_at and job.ended_at and "processingTime" not in result:
        result = {**result, "processingTime": round((job.ended_at - job.started_at).total_seconds() * 1000)}
    data = job.data if isinstance(job.data, dict) else {}
    told = result if isinstance(result, dict) else {}
    name = job.unique_id or asked_as
    of_name = name.removeprefix(ID_PREFIX) if name.startswith(ID_PREFIX) else None
    return {
        "id": name,
        "storyId": data.get("storyId") or told.get("storyId") or of_name,
        "status": job.status,
        "result": result,
        **({"error": job.error} if job.error else {}),
        "createdAt": as_javascript(job.created_at),
        "updatedAt": as_javascript(job.ended_at or job.started_at or job.created_at),
    }


def scoring_stats(counts: statistics.QueueCounts, has_key: bool) -> dict[str, Any]:
    """Counts as TexhPulze showed them."""
    waiting = counts.waiting + counts.delayed + counts.paused
    pending = waiting + counts.active
    return {
        "totalJobs": pending + counts.completed + counts.failed,
        "pendingJobs": pending,
        "completedJobs": counts.completed,
        "failedJobs": counts.failed,
        "openAIConfigured": has_key,
        "queueSize": waiting,
    }


def as_javascript(moment: datetime | None) -> str | None:
    """A moment as JavaScript's `toISOString` writes it."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _require_handler() -> None:
    if QUEUE not in handlers():
        raise unknown_type(QUEUE)
