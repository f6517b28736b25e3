"""Pages of the state: how MetaPulse stands, whether the service lives, whether it is ready. For people and for probes.

They need no token and are not counted. What is measured is in `health/live.py`.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from metapulse_assets.operations.health import HealthRow
from metapulse_assets.service.health.live import LiveHealth, LiveHealthWatch, counts_by_service
from metapulse_assets.service.pages import answer, platform_of, shown

# The measurements that must be well before the service is sent anything.
READY_NEEDS = {
    ("database", "reachable"),
    ("code_server", "loaded"),
    ("webserver", "reachable"),
    ("daemon", "heartbeat_age"),
}
CULPRIT_EXAMPLE = {
    "service": "daemon",
    "metric": "heartbeat_age",
    "status": "fail",
    "reason": "Dagster's daemon gave no sign of life for 61 s, nothing is collected: start it (`metapulse up`)",
}
CHECK_EXAMPLE = {**CULPRIT_EXAMPLE, "value": 61.0, "unit": "s"}
_MEASURED = "2026-01-31T12:34:56+00:00"
HEALTH_EXAMPLE = {
    "status": "down",
    "mode": "live",
    "measured_at": _MEASURED,
    "culprits": [CULPRIT_EXAMPLE],
    "checks": [CHECK_EXAMPLE],
}
SUMMARY_EXAMPLE = {
    "status": "degraded",
    "mode": "live",
    "measured_at": _MEASURED,
    "counts": {"ok": 40, "warn": 1, "fail": 0},
    "services": {"database": {"ok": 3, "warn": 0, "fail": 0}},
}
READY_EXAMPLE = {"ready": False, "measured_at": _MEASURED, "lacking": [CULPRIT_EXAMPLE]}

router = APIRouter(tags=["health"])


def watch_of(request: Request) -> LiveHealthWatch:
    """The application's one watch."""
    state = request.app.state
    if getattr(state, "health_watch", None) is None:
        platform = platform_of(request)
        state.health_watch = LiveHealthWatch(platform.settings, platform.clock)
    found: LiveHealthWatch = state.health_watch
    return found


def status_code(health: LiveHealth) -> int:
    """503 where MetaPulse gets nothing done: it is not to be taken for one that works. Degraded is 200, and says so."""
    return 503 if health.status == "down" else 200


@router.get(
    "/health",
    responses={
        200: shown("It works; what is not as it should be is told (`degraded`)", {**HEALTH_EXAMPLE, "status": "degraded"}),
        503: shown("It gets nothing done (`down`)", HEALTH_EXAMPLE),
    },
)
async def health(request: Request) -> Response:
    """How MetaPulse stands now, at most five seconds old: every measurement, and what is not well, with the cure.

    `down` (503): the database cannot be reached, Dagster's daemon is silent for 50 s, or jobs are due for 45 s (10 s if no
    worker is alive) and no worker works on any. `degraded` (200): anything else that is not as it should be, such as a vendor
    that is not being called, one queue of several that stands still, old data, little memory. `ok` (200): nothing is.
    """
    found = await watch_of(request).look()
    document = {
        "status": found.status,
        "mode": platform_of(request).settings.mode.value,
        "measured_at": found.measured_at,
        "culprits": [culprit(row) for row in found.culprits],
        "checks": [{**culprit(row), "value": row.value, "unit": row.unit} for row in found.rows],
    }
    return answer(document, status_code(found))


@router.get(
    "/health/summary",
    responses={
        200: shown("It works", SUMMARY_EXAMPLE),
        503: shown("It gets nothing done", {**SUMMARY_EXAMPLE, "status": "down"}),
    },
)
async def summary(request: Request) -> Response:
    """The same in numbers: measurements by status, over all and for each service."""
    found = await watch_of(request).look()
    services = counts_by_service(found.rows)
    counts = {status: sum(of[status] for of in services.values()) for status in ("ok", "warn", "fail")}
    document = {
        "status": found.status,
        "mode": platform_of(request).settings.mode.value,
        "measured_at": found.measured_at,
        "counts": counts,
        "services": services,
    }
    return answer(document, status_code(found))


@router.get("/health/live", responses={200: shown("The process answers", {"live": True})})
async def live() -> Response:
    """Whether the process answers. Nothing else is touched: a database that is away is no reason to start it again."""
    return answer({"live": True})


@router.get(
    "/health/ready",
    responses={
        200: shown("Everything that it needs is there", {**READY_EXAMPLE, "ready": True, "lacking": []}),
        503: shown("Something lacks", READY_EXAMPLE),
    },
)
async def ready(request: Request) -> Response:
    """Whether what MetaPulse needs is there: the database, Dagster's webserver with the code loaded, a living daemon."""
    found = await watch_of(request).look()
    lacking = [culprit(row) for row in found.rows if row.status == "fail" and (row.service, row.metric) in READY_NEEDS]
    return answer({"ready": not lacking, "measured_at": found.measured_at, "lacking": lacking}, 503 if lacking else 200)


def culprit(row: HealthRow) -> dict[str, Any]:
    """A measurement as the pages show it."""
    return {"service": row.service, "metric": row.metric, "status": row.status, "reason": row.reason}
