"""The service's ways to the database: an asynchronous pool, threads for plain functions, a replica for reads.

The service starts, stays up and says 503 while the database is away. It is prepared (migrated, claimed) as soon as it can be
reached; until then nothing is asked of it.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlsplit

import psycopg
import sqlalchemy as sa
from psycopg_pool import AsyncConnectionPool

from metapulse_assets.platform.database import (
    DatabaseError,
    create_engine,
    database_identity,
    ensure_ready,
    get_engine,
    libpq_url,
    normalise_url,
)
from metapulse_assets.platform.json_logs import known_secrets
from metapulse_assets.platform.redaction import redact, redact_url
from metapulse_assets.platform.settings import Settings
from metapulse_assets.service.unavailable import Unprepared

LOGGER = logging.getLogger("metapulse.service")
P = ParamSpec("P")
T = TypeVar("T")
AsyncPool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]

# What a request waits for a connection, and a statement for its rows, before the answer is 503.
CONNECT_SECONDS, STATEMENT_SECONDS = 2.0, 10.0
# Between two looks at a database that could not be prepared.
PREPARE_PAUSE_SECONDS = 1.0
OPTIONS = f"-c timezone=UTC -c statement_timeout={int(STATEMENT_SECONDS * 1000)}"


class ServiceDatabase:
    """One a process. Use between `open` and `close`."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self.url = libpq_url(settings)
        """Of libpq; with the password."""
        self._first_try = asyncio.Event()
        # Pool, threads and the counter of requests together open no more connections than the settings allow.
        of_pool = max(settings.database_pool_max // 2, 1)
        of_threads = max(settings.database_pool_max - of_pool - 1, 1)
        self._threads = ThreadPoolExecutor(of_threads, thread_name_prefix="service")
        self._prepared = False
        self._preparing: asyncio.Task[None] | None = None
        self.pool: AsyncPool = AsyncConnectionPool(
            self.url,
            # None is kept in reserve: a pool that tries to fill itself while the database is away backs off for minutes.
            min_size=0,
            max_size=of_pool,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=CONNECT_SECONDS,
            check=AsyncConnectionPool.check_connection,
            kwargs=connection_arguments(self.url),
            open=False,
        )

    async def open(self) -> None:
        """Begin; waits for nothing."""
        await self.pool.open(wait=False)
        self._preparing = asyncio.create_task(self._prepare())

    async def close(self) -> None:
        """End; what is under way has a moment."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self.pool.close(timeout=1.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def require_prepared(self) -> None:
        """Raise `Unprepared` while the database was not reached yet; the first try is waited for."""
        if not self._prepared:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._first_try.wait(), CONNECT_SECONDS)
            if not self._prepared:
                raise Unprepared

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
        """An asynchronous connection in a transaction, committed at the end of the block."""
        await self.require_prepared()
        async with self.pool.connection() as connection:
            yield connection

    async def write(self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run a plain function in a thread, in a transaction that is committed after it."""
        return await self._in_thread(lambda: self._engine, function, *args, **keywords)

    async def read(self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run a plain function that only reads in a thread; on the replica, if there is one."""
        return await self._in_thread(lambda: self._replica or self._engine, function, *args, **keywords)

    async def _in_thread(
        self,
        engine: Callable[[], sa.Engine],
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **keywords: P.kwargs,
    ) -> T:
        await self.require_prepared()

        def work() -> T:
            with engine().begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(STATEMENT_SECONDS * 1000)}")
                return function(connection, *args, **keywords)

        # Not anyio's threads: whoever waits for one of those cannot give up.
        waits = asyncio.get_running_loop().run_in_executor(self._threads, work)
        return await asyncio.wait_for(waits, STATEMENT_SECONDS + CONNECT_SECONDS)

    @functools.cached_property
    def _engine(self) -> sa.Engine:
        return get_engine(self._settings)

    @functools.cached_property
    def _replica(self) -> sa.Engine | None:
        """The replica's engine, if there is one; raises `DatabaseError` for a database of another mode."""
        if self._settings.database_replica_url is None:
            return None
        url = normalise_url(self._settings.database_replica_url.get_secret_value())
        engine = create_engine(url, self._settings)
        with engine.connect() as connection:
            mode = connection.execute(sa.select(database_identity.c.mode)).scalar_one_or_none()
        if mode != self._settings.mode.value:
            engine.dispose()
            LOGGER.error("DATABASE_REPLICA_URL: %s was filled in mode %s and is not read", redact_url(url), mode)
            raise DatabaseError("the replica is of another mode")
        return engine

    async def _prepare(self) -> None:
        said = ""
        while not self._prepared:
            try:
                await asyncio.to_thread(ensure_ready, self._settings)
                self._prepared = True
                if said:
                    LOGGER.info("the database is there")
            except Exception as error:
                # Also one whose schema is newer than this program: another may bring the right one.
                what = f"{type(error).__name__}: {error}" if not isinstance(error, DatabaseError) else str(error)
                if what != said:
                    LOGGER.error("the database cannot be used yet: %s", redact(what, known_secrets()))
                said = what
            self._first_try.set()
            if not self._prepared:
                await asyncio.sleep(PREPARE_PAUSE_SECONDS)


def connection_arguments(url: str) -> dict[str, Any]:
    """What every asynchronous connection of the service is opened with, beside its URL."""
    given = dict(parse_qsl(urlsplit(url).query)).get("options", "")
    options = f"{given} {OPTIONS}".strip()
    return {"options": options, "application_name": "metapulse-service", "connect_timeout": int(CONNECT_SECONDS)}
