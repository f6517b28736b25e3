"""The page of figures, as Prometheus reads it."""

from collections.abc import Iterable

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import InfoMetricFamily, Metric

from metapulse_assets import __version__
from metapulse_assets.service.access.callers import require
from metapulse_assets.service.metrics.exposition import Figures
from metapulse_assets.service.metrics.families import NAMESPACE
from metapulse_assets.service.metrics.requests import RequestMetrics
from metapulse_assets.service.pages import platform_of
from metapulse_assets.service.problems import documented

EXAMPLE = """# HELP metapulse_queue_size Jobs in the queue, by state.
# TYPE metapulse_queue_size gauge
metapulse_queue_size{queue="story-enhancement",state="waiting"} 3.0
"""

router = APIRouter(tags=["metrics"])


class _All:
    """What the encoders ask for families: those of the process, and those that were read."""

    def __init__(self, *parts: Iterable[Metric]) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        for part in self._parts:
            yield from part


@router.get(
    "/metrics",
    dependencies=[Depends(require("metrics:read"))],
    response_class=Response,
    responses={
        **documented(401, 403, 503),
        200: {
            "description": "Prometheus' text format, or OpenMetrics if the caller accepts it",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
        },
    },
)
async def metrics(request: Request) -> Response:
    """Figures of jobs, queue, workers, runs, vendors, data, stream, database and of this service, at most a second old.

    They are read from the database when they are asked for; what could not be read is absent, and
    `metapulse_scrape_success` says of which part.
    """
    state = request.app.state
    platform = platform_of(request)
    if getattr(state, "figures", None) is None:
        state.figures = Figures(platform.settings, platform.clock)
    read: list[Metric] = await state.figures.read()
    own: RequestMetrics = state.request_metrics
    build = InfoMetricFamily(
        f"{NAMESPACE}_build", "What runs here.", {"version": __version__, "mode": platform.settings.mode.value}
    )
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    families = _All([build], own.registry.collect(), read)
    return Response(encode(families), media_type=None, headers={"Content-Type": content_type})
