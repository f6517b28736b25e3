"""Pages that start a job of Dagster's by hand. Only where people develop: in production they are not there."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets.service.access.callers import require
from metapulse_assets.service.launching import JOBS, DagsterAway, Launcher, LaunchError, StillRunning
from metapulse_assets.service.pages import ALWAYS, answer, platform_of, shown
from metapulse_assets.service.probes import dagster_page
from metapulse_assets.service.problems import RETRY_SECONDS, Problem, documented

MEANINGS = {
    "token-data": "Fetch the market now and carry everything on to signals.",
    "social-data": "Read posts now, and carry sentiment and social metrics on.",
    "ai-analysis": "Ask the language models now, where something happened.",
    "signals": "Carry the signals on now.",
    "cleanup": "Remove what is past its time now.",
}
EXAMPLE = {
    "run_id": "0f8e3a52-6d0f-4c3e-9a54-0a5c8a3f7d11",
    "job": "market_tick",
    "status": "queued",
    "page": "http://127.0.0.1:3000/runs/0f8e3a52-6d0f-4c3e-9a54-0a5c8a3f7d11",
}

router = APIRouter(tags=["jobs"], prefix="/jobs")


async def development_only(request: Request) -> None:
    """Hide a page in production."""
    if platform_of(request).settings.environment == "production":
        raise Problem(404, None, "There is no such page.")


def launcher_of(request: Request) -> Launcher:
    """The application's one launcher."""
    state = request.app.state
    if getattr(state, "launcher", None) is None:
        state.launcher = Launcher(dagster_page(platform_of(request).settings))
    found: Launcher = state.launcher
    return found


async def _launch(request: Request, name: str) -> Response:
    launcher = launcher_of(request)
    try:
        launched = await launcher.launch(name, utc_day(platform_of(request).now()))
    except StillRunning as error:
        page = launcher.run_page(error.run_id)
        raise Problem(409, None, str(error), run_id=error.run_id, job=error.job, run_status=error.status, page=page) from None
    except DagsterAway as error:
        raise Problem(503, None, str(error), headers={"Retry-After": str(RETRY_SECONDS)}) from None
    except LaunchError as error:
        raise Problem(502, None, str(error)) from None
    page = launcher.run_page(launched.run_id)
    return answer({**vars(launched), "page": page}, 202, Location=page)


def _page_of(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def start(request: Request) -> Response:
        return await _launch(request, name)

    return start


for _name, _meaning in MEANINGS.items():
    router.add_api_route(
        f"/{_name}",
        _page_of(_name),
        methods=["POST"],
        name=f"launch_{_name.replace('-', '_')}",
        summary=f"Launch {_name}",
        description=f"{_meaning} Starts Dagster's job {' or '.join(JOBS[_name])}; no body is needed. Not in production.",
        status_code=202,
        dependencies=[Depends(development_only), Depends(require("operations"))],
        responses={**ALWAYS, **documented(404, 409, 502), 202: shown("Started", EXAMPLE)},
    )
