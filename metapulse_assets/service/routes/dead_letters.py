"""Pages of the dead letters: jobs whose attempts are used up, shown and put in again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from metapulse_assets.platform.work_queue import failed_jobs
from metapulse_assets.platform.work_queue.finding import LARGEST_ID
from metapulse_assets.platform.work_queue.registry import UnknownJobType
from metapulse_assets.service.access.callers import require
from metapulse_assets.service.filters import Text
from metapulse_assets.service.pages import ALWAYS, answer, database_of, platform_of, shown
from metapulse_assets.service.problems import Problem, documented

MOST_LETTERS = 500
LETTER_EXAMPLE: dict[str, Any] = {
    "id": 3,
    "job_type": "story-enhancement",
    "job_data": {"storyId": "7f3c"},
    "error_message": "ConnectionError: refused",
    "failed_at": "2026-01-31T12:00:00+00:00",
    "job_id": 12,
    "attempts": 3,
    "retried_at": None,
    "retried_as": None,
}

router = APIRouter(tags=["dead letters"], prefix="/dlq")


@router.get(
    "",
    dependencies=[Depends(require("jobs:read"))],
    responses={**ALWAYS, **documented(422), 200: shown("Dead letters", {"mode": "live", "dead_letters": [LETTER_EXAMPLE]})},
)
async def list_dead_letters(
    request: Request,
    queue: Annotated[Text | None, Query(description="only those of this type")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LETTERS, description="at most so many, the newest")] = 100,
    retried: Annotated[bool, Query(description="those that were put in again too")] = False,
) -> Response:
    """Jobs whose attempts are used up, newest first."""
    found = await database_of(request).write(failed_jobs.list_failed, queue, limit, retried)
    return answer({"mode": platform_of(request).settings.mode.value, "dead_letters": [vars(one) for one in found]})


@router.post(
    "/{dead_letter}/retry",
    status_code=201,
    dependencies=[Depends(require("jobs:write"))],
    responses={**ALWAYS, **documented(404, 409, 422), 201: shown("Put in again", {"id": 13, "status": "waiting"})},
)
async def retry_dead_letter(request: Request, dead_letter: Annotated[int, Path(ge=1, le=LARGEST_ID)]) -> Response:
    """Put a dead letter's job in again, with all its attempts; once."""
    try:
        job_id = await database_of(request).write(failed_jobs.retry, dead_letter)
    except failed_jobs.NoFailedJobError:
        raise Problem(404, None, f"There is no dead letter {dead_letter}.") from None
    except (failed_jobs.FailedJobError, UnknownJobType) as error:
        raise Problem(409, None, f"{error}.") from None
    return answer({"id": job_id, "status": "waiting"}, 201, Location=f"/jobs/{job_id}")
