"""Pages of the workers: who is alive and what each holds; pausing and resuming."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from metapulse_assets.platform.work_queue import living, pausing, statistics
from metapulse_assets.platform.work_queue.registry import handlers
from metapulse_assets.service.access.callers import require
from metapulse_assets.service.bodies import body_of, read_json
from metapulse_assets.service.pages import ALWAYS, answer, database_of, platform_of, shown
from metapulse_assets.service.problems import documented
from metapulse_assets.service.routes.jobs import LONGEST_ID, check_queue

WORKER_EXAMPLE: dict[str, Any] = {
    "id": "0f8e3a52-6d0f-4c3e-9a54-0a5c8a3f7d11",
    "name": "host:4711",
    "queues": ["story-enhancement"],
    "concurrency": 10,
    "started_at": "2026-01-31T12:00:00+00:00",
    "seen_at": "2026-01-31T12:34:56+00:00",
    "jobs": [{"id": 12, "type": "story-enhancement", "attempt": 1, "since": "2026-01-31T12:34:50+00:00"}],
}
PAUSE_EXAMPLE = {"changed": True, "paused": ["*"]}

router = APIRouter(tags=["workers"], prefix="/workers")


class QueueChoice(BaseModel):
    """Which queue."""

    model_config = ConfigDict(extra="forbid", strict=True)

    queue: str | None = Field(None, min_length=1, max_length=LONGEST_ID, description="one queue; without it: all")


@router.get(
    "",
    dependencies=[Depends(require("jobs:read"))],
    responses={
        **ALWAYS,
        200: shown("The workers", {"mode": "live", "count": 1, "workers": [WORKER_EXAMPLE], "paused": ["queue"]}),
    },
)
async def list_workers(request: Request) -> Response:
    """The workers that gave a sign of life in the last 15 s, the jobs that each holds, and what is paused (`*`: all)."""
    database = database_of(request)
    found = await database.write(living.living_workers)
    paused = await database.write(pausing.paused)
    workers = [{**vars(worker), "jobs": [vars(job) for job in worker.jobs]} for worker in found]
    mode = platform_of(request).settings.mode.value
    return answer({"mode": mode, "count": len(workers), "workers": workers, "paused": sorted(paused)})


@router.post(
    "/pause",
    dependencies=[Depends(require("operations"))],
    openapi_extra=body_of(QueueChoice, {"queue": "story-enhancement"}, required=False),
    responses={**ALWAYS, **documented(400, 408, 413, 422), 200: shown("Paused, or it was already", PAUSE_EXAMPLE)},
)
async def pause(request: Request) -> Response:
    """Begin no more jobs, of one queue or of all; those that run go on. It holds for every worker from its next look on."""
    queue = await _chosen(request)
    changed = await database_of(request).write(pausing.pause, queue)
    return await _paused(request, changed)


@router.post(
    "/resume",
    dependencies=[Depends(require("operations"))],
    openapi_extra=body_of(QueueChoice, {"queue": "story-enhancement"}, required=False),
    responses={
        **ALWAYS,
        **documented(400, 408, 413, 422),
        200: shown("Resumed, or it was not paused", {**PAUSE_EXAMPLE, "paused": []}),
    },
)
async def resume(request: Request) -> Response:
    """Begin jobs again. Without a queue every pause is lifted; with one, a pause of all stays."""
    queue = await _chosen(request)
    changed = await database_of(request).write(pausing.resume, queue)
    return await _paused(request, changed)


async def _chosen(request: Request) -> str:
    choice = await read_json(request, QueueChoice, empty={})
    if choice.queue is None or choice.queue == pausing.ALL:
        return pausing.ALL
    counts = await database_of(request).write(statistics.count_jobs, handlers())
    check_queue(choice.queue, {each.queue for each in counts})
    return choice.queue


async def _paused(request: Request, changed: bool) -> Response:
    paused = await database_of(request).write(pausing.paused)
    return answer({"changed": changed, "paused": sorted(paused)})
