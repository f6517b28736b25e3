"""Questions to what may be away or hang: each is answered within its time, or fails, and none outlives its page.

A probe starts nothing: not the embedded server, no pool. What the answers mean is said by those who ask.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from metapulse_assets.operations.health import HealthRow, Status
from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.database import normalise_url, with_database
from metapulse_assets.platform.settings import Settings

# What one probe may take. Own choice: a page that waits longer is of no use to a probe of the cluster.
PROBE_SECONDS = 2.0
# Connections that one page takes at most, beside those of the service's own pool.
AT_ONCE = 3
_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]

# Tasks that nobody holds are cleared away.
_asked: "set[asyncio.Task[Any]]" = set()

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Row = tuple[Any, ...]


def database_address(settings: Settings) -> str:
    """libpq URL of MetaPulse's database, with its password. Raises `DatabaseError` for a wrong DATABASE_URL."""
    if settings.database_url:
        return normalise_url(settings.database_url.get_secret_value())
    return embedded_postgres.locate(settings.home).url(settings.database_label)


def dagster_address(settings: Settings) -> str:
    """libpq URL of Dagster's own database, with its password. Raises `DatabaseError` for a wrong setting."""
    if settings.dagster_database_url:
        return normalise_url(settings.dagster_database_url.get_secret_value())
    return with_database(database_address(settings), lambda name: f"{name}_dagster")


def dagster_page(settings: Settings) -> str:
    """Where Dagster's webserver is."""
    return (settings.dagster_url or f"http://127.0.0.1:{settings.webserver_port}").rstrip("/")


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection of one's own, read only and in no transaction; no statement on it takes longer than a probe may."""
    options = f"-c timezone=UTC -c statement_timeout={int(PROBE_SECONDS * 1000)} -c default_transaction_read_only=on"
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=max(int(PROBE_SECONDS), 2), options=options, application_name="metapulse-probe"
    )
    try:
        yield connection
    finally:
        await connection.close()


async def in_time(question: Coroutine[Any, Any, T]) -> T:
    """What a question comes to; raises TimeoutError after its time, also for one that does not stop when it is told to.

    psycopg waits for up to ten seconds until the server has heard that a statement is not wanted any more.
    """
    task = asyncio.create_task(question)
    _asked.add(task)
    task.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait((task,), timeout=PROBE_SECONDS)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError
    return task.result()


def _forget(task: "asyncio.Task[Any]") -> None:
    _asked.discard(task)
    if not task.cancelled():
        # Nobody may be waiting for it any more, and then its end concerns nobody.
        task.exception()


async def fetch(connection: Connection, statement: str, **values: object) -> list[Row]:
    """Rows of a statement of psycopg's style."""
    return await (await connection.execute(statement.encode(), values or None)).fetchall()


async def select(connection: Connection, statement: sa.Select[Any]) -> list[Row]:
    """Rows of a statement of SQLAlchemy's."""
    text, values = _compiled(statement)
    return await (await connection.execute(text.encode(), values)).fetchall()


def _compiled(statement: sa.Select[Any]) -> tuple[str, dict[str, Any]]:
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), dict(compiled.params)


def row_of(service: str, metric: str, value: float | None, unit: str, status: Status = "ok", reason: str = "") -> HealthRow:
    """A row; its reason only where it is not ok."""
    return HealthRow(service, metric, value, unit, status, reason if status != "ok" else None)
