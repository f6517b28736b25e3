"""Which workers are alive: each has a row while it works and renews it every few seconds. Also read here: what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.pgqueuer_schema import QUEUE_TABLE

if TYPE_CHECKING:
    import psycopg

SIGN_SECONDS = 3.0
# Who was silent for longer is not counted among the living: four signs that did not come.
ALIVE_SECONDS = 15.0


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker has begun. `attempt`: 1 for the first; `since`: start of this attempt, UTC."""

    id: int
    type: str
    attempt: int
    since: datetime


@dataclass(frozen=True)
class LivingWorker:
    """A worker process: `name` is host and process id, `concurrency` how many jobs it does at once."""

    id: UUID
    name: str
    queues: list[str]
    concurrency: int
    started_at: datetime
    seen_at: datetime
    jobs: list[HeldJob]


async def announce(
    connection: "psycopg.AsyncConnection[Any]", worker_id: UUID, name: str, queues: Sequence[str], concurrency: int
) -> None:
    """Say that a worker begins. Those that vanished long ago are forgotten."""
    values = {"id": worker_id, "name": name, "queues": list(queues), "concurrency": concurrency}
    await connection.execute("DELETE FROM workers WHERE seen_at < now() - interval '1 day'")
    await connection.execute(
        "INSERT INTO workers (worker_id, name, queues, concurrency) VALUES (%(id)s, %(name)s, %(queues)s, %(concurrency)s)",
        values,
    )


async def show_life(connection: "psycopg.AsyncConnection[Any]", worker_id: UUID) -> None:
    """Say that it still works."""
    await connection.execute("UPDATE workers SET seen_at = now() WHERE worker_id = %(id)s", {"id": worker_id})


async def take_leave(connection: "psycopg.AsyncConnection[Any]", worker_id: UUID) -> None:
    """Say that it ends as it should."""
    await connection.execute("DELETE FROM workers WHERE worker_id = %(id)s", {"id": worker_id})


def living_workers(connection: Connection) -> list[LivingWorker]:
    """The workers that gave a sign of life lately, the oldest first, with the jobs that each holds."""
    held: dict[UUID, list[HeldJob]] = {}
    for worker_id, *job in execute(connection, _HELD, {}):
        held.setdefault(worker_id, []).append(HeldJob(*job))
    rows = execute(connection, _LIVING, {"alive": ALIVE_SECONDS})
    return [LivingWorker(*(*row, held.get(row[0], []))) for row in rows]


_LIVING = """
SELECT worker_id, name, queues, concurrency, started_at, seen_at FROM workers
WHERE seen_at > now() - make_interval(secs => %(alive)s) ORDER BY started_at, worker_id
"""
_HELD = f"""
SELECT q.queue_manager_id, q.id, q.entrypoint, a.attempt, a.started_at
FROM {QUEUE_TABLE} AS q JOIN job_attempts AS a ON a.job_id = q.id AND a.status = 'active'
WHERE q.status = 'picked' ORDER BY a.started_at, q.id
"""  # noqa: S608
