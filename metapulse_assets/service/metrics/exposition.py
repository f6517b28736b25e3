"""MetaPulse's figures for Prometheus, read from the databases when they are asked for.

Names begin with `metapulse_`, end with their unit, and stay; a name that ends with `_total` never falls while the database
lives. Whatever has no total in the database is a gauge over a stated time, and its help says so. Where a part cannot be read in
its time, `metapulse_scrape_success` of that part is 0 and its figures are absent, which Prometheus takes for what it is.

The five subjects that the sync worker named: processing rate (`metapulse_jobs_processed_total`), queue size
(`metapulse_queue_size`), utilisation (`metapulse_worker_utilisation_ratio`), memory
(`metapulse_process_resident_memory_bytes`), error rates (`metapulse_job_error_ratio`, and the first by status).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import psycopg
from prometheus_client.metrics_core import Metric

from metapulse_assets.operations.health_facts import read_process
from metapulse_assets.platform.clock import Clock
from metapulse_assets.platform.database import DatabaseError
from metapulse_assets.platform.settings import Settings
from metapulse_assets.service.metrics import of_data, of_work
from metapulse_assets.service.metrics.families import gauge
from metapulse_assets.service.probes import AT_ONCE, Connection, connected, dagster_address, database_address, in_time

# So long figures are shown again: several who scrape at once cost one reading.
CACHED_SECONDS = 1.0

Part = Callable[[Connection, Settings, datetime], Awaitable[list[Metric]]]
_PARTS: dict[str, Part] = {
    "jobs": of_work.jobs,
    "queue": of_work.queue,
    "workers": of_work.workers,
    "runs": of_work.runs,
    "vendors": of_data.vendors,
    "data": of_data.data,
    "stream": of_data.stream,
    "database": of_data.database,
}
_DAGSTER_PARTS: dict[str, Part] = {"daemon": of_work.daemon}


class Figures:
    """Reads the figures when it is asked, at most once a second, and once however many ask at the same time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Nothing is read yet."""
        self._settings, self._clock = settings, clock
        self._found: list[Metric] = []
        self._found_at: float | None = None
        self._task: asyncio.Task[list[Metric]] | None = None

    async def read(self) -> list[Metric]:
        """The figures of now, or of less than a second ago."""
        if self._found_at is not None and time.monotonic() - self._found_at < CACHED_SECONDS:
            return self._found
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read())
        # One who hangs up must not take the figures from the others.
        return await asyncio.shield(self._task)

    async def _read(self) -> list[Metric]:
        self._found = await read_figures(self._settings, self._clock())
        self._found_at = time.monotonic()
        return self._found


async def read_figures(settings: Settings, now: datetime) -> list[Metric]:
    """Read every part, each within its time. `now`: for the ages of what carries the data's own times."""
    places = asyncio.Semaphore(AT_ONCE)

    async def read(part: Part, address: Callable[[Settings], str]) -> tuple[list[Metric] | None, float]:
        async with places:
            begun = time.perf_counter()
            return await _within_time(part, address, settings, now), time.perf_counter() - begun

    asked = [(name, part, database_address) for name, part in _PARTS.items()]
    asked += [(name, part, dagster_address) for name, part in _DAGSTER_PARTS.items()]
    found = await asyncio.gather(*(read(part, address) for _, part, address in asked))
    read_well = {name: metrics is not None for (name, _, _), (metrics, _) in zip(asked, found, strict=True)}
    took = [((name,), seconds) for (name, _, _), (_, seconds) in zip(asked, found, strict=True)]
    return [
        *_machine(),
        gauge("database_up", "Whether MetaPulse's database answered.", [((), float(read_well["database"]))]),
        gauge(
            "scrape_success",
            "Whether this part of the figures could be read.",
            [((name,), float(well)) for name, well in read_well.items()],
            ("part",),
        ),
        gauge("scrape_duration_seconds", "What reading this part took, its connection included.", took, ("part",)),
        *(metric for metrics, _ in found for metric in metrics or ()),
    ]


async def _within_time(
    part: Part, address: Callable[[Settings], str], settings: Settings, now: datetime
) -> list[Metric] | None:
    async def read() -> list[Metric]:
        async with connected(address(settings)) as connection:
            return await part(connection, settings, now)

    try:
        return await in_time(read())
    except (TimeoutError, psycopg.Error, OSError, DatabaseError):
        return None


def _machine() -> Iterable[Metric]:
    process = read_process()
    yield gauge(
        "machine_load_per_core", "Tasks that run or wait for each core, mean of a minute.", [((), process.load_per_core)]
    )
    available = float(process.memory_available)
    yield gauge("machine_memory_available_bytes", "Memory of the machine that is free for programs.", [((), available)])
