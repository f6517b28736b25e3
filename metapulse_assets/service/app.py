"""The application: what is opened and closed with it, its middle layers, its pages."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from metapulse_assets import __version__
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.work_queue.registry import load_handlers
from metapulse_assets.service import description, problems
from metapulse_assets.service.access.gate import AccessGate
from metapulse_assets.service.answer_cache import AnswerCache
from metapulse_assets.service.bodies import BodyLimit
from metapulse_assets.service.database import ServiceDatabase
from metapulse_assets.service.head_requests import HeadAsGet
from metapulse_assets.service.metrics.requests import RequestMetrics, RequestMetricsMiddleware
from metapulse_assets.service.request_log import RequestLog
from metapulse_assets.service.routes import dead_letters, health, jobs, launches, metrics, signals, stories, tokens, workers

ROUTERS = (
    *(signals.router, tokens.router, jobs.router, workers.router),
    *(dead_letters.router, stories.router, health.router, metrics.router),
)


def create_app(platform: Platform) -> FastAPI:
    """The service. `app.state`: platform, database (see `ServiceDatabase`), pool (psycopg's, asynchronous), cache.

    Opens nothing before its lifespan begins. Raises `SettingsError` for a module of jobs that cannot be imported.
    """
    settings = platform.settings
    load_handlers(settings.job_modules)
    database = ServiceDatabase(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.open()
        try:
            yield
        finally:
            await database.close()

    app = FastAPIOffline(
        title=description.TITLE, version=__version__, lifespan=lifespan, redoc_url=None, redirect_slashes=False
    )
    app.state.platform = platform
    app.state.database = database
    app.state.pool = database.pool
    app.state.cache = AnswerCache(settings.service_cache_seconds)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(launches.router, include_in_schema=settings.environment != "production")
    problems.install(app)
    description.describe(app)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit, most_bytes=settings.service_body_kb * 1024)
    app.add_middleware(AccessGate, platform=platform, database=database)
    app.add_middleware(RequestLog, mode=settings.mode.value)
    app.state.request_metrics = RequestMetrics()
    app.add_middleware(RequestMetricsMiddleware, metrics=app.state.request_metrics)
    app.add_middleware(HeadAsGet)
    return app
