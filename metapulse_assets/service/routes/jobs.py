"""Pages of the jobs: put in, looked at, canceled."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from metapulse_assets.platform.work_queue import enqueueing, finding, statistics
from metapulse_assets.platform.work_queue.job import LONGEST_WAIT_SECONDS
from metapulse_assets.platform.work_queue.policies import LARGEST_PRIORITY
from metapulse_assets.platform.work_queue.registry import handlers
from metapulse_assets.service.access.callers import require
from metapulse_assets.service.bodies import body_of, read_json
from metapulse_assets.service.pages import ALWAYS, answer, database_of, platform_of, shown
from metapulse_assets.service.problems import Problem, documented
from metapulse_assets.service.routes.job_answers import job_answer

LONGEST_ID = 200
MOST_JOBS = 500

JOB_EXAMPLE: dict[str, Any] = {"type": "story-enhancement", "data": {"storyId": "7f3c"}, "priority": "high"}
MADE_EXAMPLE: dict[str, Any] = {"id": 12, "status": "waiting", "type": "story-enhancement", "unique_id": None, "created": True}
STATE_EXAMPLE: dict[str, Any] = {
    "id": 12,
    "type": "story-enhancement",
    "status": "active",
    "unique_id": None,
    "priority": 5,
    "progress": {"attempt": 1, "of_attempts": 3, "percent": None},
    "error": None,
    "created_at": "2026-01-31T12:00:00+00:00",
    "due_at": None,
    "started_at": None,
    "ended_at": None,
}
FULL_EXAMPLE = {
    **STATE_EXAMPLE,
    "data": None,
    "result": None,
    "worker": None,
    "dead_letter": None,
    "attempts": [],
    "mode": "live",
}
COUNTS_EXAMPLE = {
    "queue": "story-enhancement",
    "waiting": 3,
    "active": 2,
    "completed": 20,
    "failed": 1,
    "delayed": 0,
    "paused": 0,
    "is_paused": False,
}

router = APIRouter(tags=["jobs"])


class JobRequest(BaseModel):
    """A job to be put in."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: str = Field(min_length=1, max_length=LONGEST_ID, description="which kind of job: the name of its queue")
    data: dict[str, Any] = Field(default_factory=dict, description="what the job is about; any JSON object")
    priority: Literal["high", "medium", "low"] | Annotated[int, Field(ge=0, le=LARGEST_PRIORITY)] | None = Field(
        None, description="high (1), medium (5), low (10) or a number: the lower goes first. Without it: as the queue has it"
    )
    delay_seconds: float | None = Field(None, ge=0, le=LONGEST_WAIT_SECONDS, description="it begins no sooner")
    id: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_ID,
        description="an id of your own: while a job of this type with the same id waits or runs, no second one is made",
    )

    @field_validator("priority", mode="wrap")
    @classmethod
    def _priority(cls, value: object, check: ValidatorFunctionWrapHandler) -> object:
        try:
            return check(value)
        except ValidationError:
            # Pydantic would complain once for each of the two forms.
            raise ValueError(f"is neither high, medium or low nor a whole number from 0 to {LARGEST_PRIORITY}") from None

    @field_validator("id")
    @classmethod
    def _no_number(cls, value: str | None) -> str | None:
        # Whoever asks for 12, or cancels it, means the queue's own number.
        if value is not None and value.isdecimal():
            raise ValueError("is a number alone, and would be taken for the queue's own")
        return value

    @field_validator("type", "id")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("holds unprintable signs")
        return value


@router.post(
    "/jobs",
    status_code=201,
    dependencies=[Depends(require("jobs:write"))],
    openapi_extra=body_of(JobRequest, JOB_EXAMPLE),
    responses={
        **ALWAYS,
        **documented(400, 408, 413, 422),
        200: shown("A job of this type and id waits or runs already", {**MADE_EXAMPLE, "created": False}),
        201: shown("Put in", MADE_EXAMPLE),
    },
)
async def create_job(request: Request) -> Response:
    """Put in a job; it is stored when the answer comes. The body is read as JSON whatever the Content-Type says."""
    return await _create(request)


@router.post(
    "/",
    status_code=201,
    dependencies=[Depends(require("jobs:write"))],
    openapi_extra=body_of(JobRequest, {"type": "sync_positions", "data": {"userId": "123"}}),
    responses={
        **ALWAYS,
        **documented(400, 408, 413, 422),
        200: shown("A job of this type and id waits or runs already", {**MADE_EXAMPLE, "created": False}),
        201: shown("Put in", MADE_EXAMPLE),
    },
)
async def create_job_at_root(request: Request) -> Response:
    """The same as `POST /jobs`, where PulseEngine's workers listened."""
    return await _create(request)


@router.get(
    "/jobs",
    dependencies=[Depends(require("jobs:read"))],
    responses={
        **ALWAYS,
        **documented(400, 422),
        200: shown("Counts and jobs", {"mode": "live", "queues": [COUNTS_EXAMPLE], "jobs": [STATE_EXAMPLE], "next": None}),
    },
)
async def list_jobs(
    request: Request,
    queue: Annotated[str | None, Query(max_length=LONGEST_ID, description="only those of this type")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS, description="at most so many jobs")] = 50,
    before: Annotated[
        int | None, Query(ge=1, le=finding.LARGEST_ID, description="only jobs with a smaller number: `next` of the page before")
    ] = None,
) -> Response:
    """How many jobs each queue has in each state, and the newest jobs.

    `completed` are those that the clean-up has left, `failed` the dead letters that nobody put in again.
    """
    database = database_of(request)
    settings = platform_of(request).settings
    counts = await database.write(statistics.count_jobs, handlers())
    if queue is not None:
        check_queue(queue, {each.queue for each in counts})
        counts = [each for each in counts if each.queue == queue]
    found = await database.write(finding.newest_jobs, queue=queue, most=limit, before=before)
    return answer(
        {
            "mode": settings.mode.value,
            "queues": [each.as_json() for each in counts],
            "jobs": [job_answer(job, settings, in_full=False) for job in found],
            "next": found[-1].id if len(found) == limit else None,
        }
    )


@router.get(
    "/jobs/{job_id}",
    dependencies=[Depends(require("jobs:read"))],
    responses={**ALWAYS, **documented(404), 200: shown("The job", FULL_EXAMPLE)},
)
async def show_job(request: Request, job_id: str) -> Response:
    """A job by its number, or by the id that it was put in with: status, progress, result, error, every attempt."""
    settings = platform_of(request).settings
    job = await find_or_404(request, job_id)
    return answer({**job_answer(job, settings), "mode": settings.mode.value})


@router.delete(
    "/jobs/{job_id}",
    dependencies=[Depends(require("jobs:write"))],
    responses={**ALWAYS, **documented(404, 409), 200: shown("Canceled", {"id": 12, "status": "canceled"})},
)
async def cancel_job(request: Request, job_id: str) -> Response:
    """Cancel a job: a waiting one is never begun, a running one is interrupted. One that has ended is 409."""
    job = await find_or_404(request, job_id)
    if not await database_of(request).write(enqueueing.cancel, job.id):
        now = await find_or_404(request, str(job.id))
        raise Problem(409, None, f"Job {now.id} has ended: {now.status}.", job_status=now.status)
    return answer({"id": job.id, "status": "canceled"})


async def find_or_404(request: Request, reference: str) -> finding.JobView:
    """A job by number or by its own id; raises `Problem`."""
    job = await database_of(request).write(finding.find_job, reference, handlers())
    if job is None:
        raise Problem(404, None, "There is no such job, or it ended so long ago that the clean-up took it.")
    return job


def check_queue(queue: str, known: set[str]) -> None:
    """Raise `Problem` 400 for a queue that is none."""
    if queue not in known:
        names = sorted(known)
        raise Problem(
            400, None, f"queue: {queue!r} is unknown; known are: {', '.join(names) or 'none at all'}", known_types=names
        )


async def _create(request: Request) -> Response:
    asked = await read_json(request, JobRequest)
    if asked.type not in handlers():
        raise unknown_type(asked.type)
    delay = None if asked.delay_seconds is None else timedelta(seconds=asked.delay_seconds)
    job = enqueueing.NewJob(asked.type, asked.data, asked.priority, delay, asked.id)
    async with database_of(request).transaction() as connection:
        (made,) = await enqueueing.enqueue_many_async(connection, [job])
        status = await statistics.state_of_async(connection, made.job_id)
    document = {
        "id": made.job_id,
        "status": status or "completed",
        "type": asked.type,
        "unique_id": asked.id,
        "created": made.created,
    }
    return answer(document, 201 if made.created else 200, Location=f"/jobs/{made.job_id}")


def unknown_type(job_type: str) -> Problem:
    """The problem of a type that nobody handles."""
    names = sorted(handlers())
    known = ", ".join(names) or "none at all: no module of jobs is loaded (METAPULSE_JOB_MODULES)"
    return Problem(400, None, f"type: {job_type!r} is unknown; known are: {known}", known_types=names)
