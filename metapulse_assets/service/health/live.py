"""How MetaPulse stands at this moment, judged by whoever answers the page and not by whoever stored the last measurement.

Who measures each minute (Dagster's daemon) may be what has died. So everything that keeps MetaPulse running is asked here and
now, each part within its time; what was stored is only added to it. What a measurement means, where it is stored too, is said
in `operations/health.py`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import httpx2
import psycopg

from metapulse_assets.operations.health import (
    LATENCY_FAIL_SECONDS,
    LATENCY_WARN_SECONDS,
    HealthRow,
    Overall,
    Status,
    judged,
    process_rows,
)
from metapulse_assets.operations.health_facts import read_process
from metapulse_assets.platform.clock import Clock
from metapulse_assets.platform.database import DatabaseError
from metapulse_assets.platform.settings import Settings
from metapulse_assets.service import probes
from metapulse_assets.service.health import of_dagster, parts
from metapulse_assets.service.probes import (
    AT_ONCE,
    Connection,
    connected,
    database_address,
    fetch,
    in_time,
    row_of,
)

Rows = Coroutine[Any, Any, list[HealthRow]]
# So long an answer is shown again, and a probe each second costs nothing.
CACHED_SECONDS = 5.0
# Without one of these nothing of MetaPulse gets on.
ESSENTIAL = {("database", "reachable"), ("daemon", "heartbeat_age"), ("queue", "working")}


@dataclass(frozen=True)
class LiveHealth:
    """How it stands: `down` where MetaPulse gets nothing done, `degraded` where something is not as it should be."""

    status: Overall
    measured_at: datetime
    rows: tuple[HealthRow, ...]

    @property
    def culprits(self) -> tuple[HealthRow, ...]:
        """What is not well, the gravest first."""
        grave = sorted(self.rows, key=lambda row: ((row.service, row.metric) not in ESSENTIAL, row.status != "fail"))
        return tuple(row for row in grave if row.status != "ok")

    def status_of(self, service: str, metric: str) -> Status | None:
        """The status of one measurement; None if it was not made."""
        return next((row.status for row in self.rows if (row.service, row.metric) == (service, metric)), None)


class LiveHealthWatch:
    """Measures when it is asked, at most every five seconds, and once however many ask at the same time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Nothing is measured yet."""
        self._settings, self._clock = settings, clock
        self._found: LiveHealth | None = None
        self._found_at = 0.0
        self._task: asyncio.Task[LiveHealth] | None = None

    async def look(self) -> LiveHealth:
        """How it stands now, or stood less than five seconds ago."""
        if self._found is not None and time.monotonic() - self._found_at < CACHED_SECONDS:
            return self._found
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._measure())
        # Somebody who gives up waiting must not take the answer from the others.
        return await asyncio.shield(self._task)

    async def _measure(self) -> LiveHealth:
        self._found = await measure_live(self._settings, self._clock())
        self._found_at = time.monotonic()
        return self._found


async def measure_live(settings: Settings, now: datetime) -> LiveHealth:
    """Ask every part. `now`: for what is compared with times of the data; the queue is judged by the database's clock."""
    rows = list(process_part(settings))
    asked_at_once = [
        _part("database", "reachable", _DATABASE_CURE, lambda: _database(settings)),
        _part("daemon", "heartbeat_age", _DAEMON_STORE_CURE, lambda: of_dagster.daemon(settings, now)),
        _part("webserver", "reachable", _webserver_cure(settings), lambda: of_dagster.webserver(settings)),
        _part("code_server", "loaded", of_dagster.CODE_CURE, lambda: of_dagster.code_server(settings)),
    ]
    for found in await asyncio.gather(*asked_at_once):
        rows += found
    if not any(row.service == "database" and row.status == "fail" for row in rows):
        places = asyncio.Semaphore(AT_ONCE)
        for found in await asyncio.gather(*(_database_part(name, settings, now, places) for name in _DATABASE_PARTS)):
            rows += found
    return LiveHealth(_overall(rows), now, tuple(rows))


def _overall(rows: list[HealthRow]) -> Overall:
    if any(row.status == "fail" and (row.service, row.metric) in ESSENTIAL for row in rows):
        return "down"
    return "degraded" if any(row.status != "ok" for row in rows) else "ok"


async def _part(service: str, metric: str, cure: str, ask: Callable[[], Rows]) -> list[HealthRow]:
    """The rows of a part, or the one row that says why there are none. The error's own text is for nobody outside."""
    try:
        return await in_time(ask())
    except (TimeoutError, psycopg.errors.QueryCanceled, httpx2.TimeoutException):
        why = f"no answer within {probes.PROBE_SECONDS:g} s"
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        why, cure = "its tables are not there, or not those of this program", "`metapulse db upgrade`, then `metapulse up`"
    except (psycopg.Error, httpx2.HTTPError, httpx2.InvalidURL, OSError, DatabaseError) as error:
        why = "it cannot be reached"
        if any(sign in str(error) for sign in _CONNECTIONS_TAKEN):
            why, cure = "all its connections are taken", "lower DATABASE_POOL_MAX, or raise the server's max_connections"
    except (ValueError, LookupError, TypeError, AttributeError):
        why = "what it answered cannot be read"
    return [row_of(service, metric, None, "state", "fail", f"{service}: {why}; {cure}")]


DatabasePart = Callable[[Connection, Settings, datetime], Rows]
_DATABASE_PARTS: dict[str, DatabasePart] = {
    "vendors": parts.vendors,
    "queue": parts.queue,
    "workers": parts.workers,
    "job_rates": parts.job_rates,
    "stream": parts.stream,
    "data": parts.data,
    "stored": parts.stored,
}
# As the server says it; psycopg has no code for a connection that was refused.
_CONNECTIONS_TAKEN = ("too many clients", "remaining connection slots", "too many connections")
_DATABASE_CURE = "start the server, or correct DATABASE_URL (`metapulse doctor` says which it is)"
_DAEMON_STORE_CURE = "the daemon's signs of life are in Dagster's database: start its server, then `metapulse up`"


def _webserver_cure(settings: Settings) -> str:
    named = "METAPULSE_DAGSTER_URL" if settings.dagster_url else "METAPULSE_WEBSERVER_PORT"
    return f"start it (`metapulse up`), or correct {named}"


async def _database_part(name: str, settings: Settings, now: datetime, places: asyncio.Semaphore) -> list[HealthRow]:
    async def ask() -> list[HealthRow]:
        async with connected(database_address(settings)) as connection:
            return await _DATABASE_PARTS[name](connection, settings, now)

    cure = "look for a long lock or a busy server (`metapulse doctor`)"
    async with places:
        return await _part(name, "known", cure, ask)


def process_part(settings: Settings) -> Iterator[HealthRow]:
    """Memory and processor of this process and its machine."""
    for row in process_rows(read_process(), settings.memory_limit_mb):
        service = "service" if row.service == "process" else row.service
        yield HealthRow(service, row.metric, row.value, row.unit, row.status, row.reason)


async def _database(settings: Settings) -> list[HealthRow]:
    begun = time.perf_counter()
    async with connected(database_address(settings)) as connection:
        opened = time.perf_counter()
        await fetch(connection, "SELECT 1")
        latency = time.perf_counter() - opened
        await fetch(connection, "SELECT count(*) FROM progress_marks")
    status = judged(latency, LATENCY_WARN_SECONDS, LATENCY_FAIL_SECONDS)
    slow = f"a trivial question took {latency:.2f} s: look for a long query, a full disk or a busy machine"
    return [
        row_of("database", "reachable", 1.0, "state"),
        row_of("database", "connecting", opened - begun, "s"),
        # Slow is not away: the page says so, and MetaPulse goes on.
        row_of("database", "latency", latency, "s", "warn" if status == "fail" else status, slow),
    ]


ServiceCounts = dict[str, dict[Literal["ok", "warn", "fail"], int]]


def counts_by_service(rows: tuple[HealthRow, ...]) -> ServiceCounts:
    """How many measurements of each service have each status."""
    counts: ServiceCounts = {}
    for row in rows:
        of_service = counts.setdefault(row.service, {"ok": 0, "warn": 0, "fail": 0})
        of_service[row.status] += 1
    return dict(sorted(counts.items()))
