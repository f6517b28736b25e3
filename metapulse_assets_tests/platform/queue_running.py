"""Workers inside the test's process, run until something is so; and what the queue's tables then hold."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.enqueueing import enqueue
from metapulse_assets.platform.work_queue.registry import handlers
from metapulse_assets.platform.work_queue.statistics import Attempt, history, state_of
from metapulse_assets.platform.work_queue.worker import Worker, WorkerOptions
from metapulse_assets_tests.platform import queue_jobs  # noqa: F401 - registers the handlers

# Far above what anything here takes: only a worker that hangs gets so far.
PATIENCE_SECONDS = 150.0
OPEN = "SELECT count(*) FROM pgqueuer.pgqueuer WHERE status = 'picked' OR execute_after <= now() + interval '1 second'"


def make_worker(settings: Settings, *queues: str, **options: Any) -> Worker:
    """A worker for these queues, or for all."""
    known = handlers()
    return Worker(Platform(settings), {name: known[name] for name in queues or known}, WorkerOptions(**options))


def work(settings: Settings, *queues: str, until: Callable[[], bool] | None = None, **options: Any) -> Worker:
    """Run a worker until a condition holds (nothing is due or running any more)."""
    return work_together(settings, [queues], until, **options)[0]


def work_together(
    settings: Settings, groups: Sequence[Sequence[str]], until: Callable[[], bool] | None = None, **options: Any
) -> list[Worker]:
    """Run several workers side by side, each for its queues."""

    async def run() -> list[Worker]:
        workers = [make_worker(settings, *queues, **options) for queues in groups]
        done = until or nothing_is_open(workers[0].platform.engine)

        async def watch() -> None:
            while not await asyncio.to_thread(done):
                await asyncio.sleep(0.01)
            for each in workers:
                each.stop()

        async with asyncio.timeout(PATIENCE_SECONDS):
            watcher = asyncio.create_task(watch())
            await asyncio.gather(*(each.run() for each in workers))
            watcher.cancel()
        return workers

    return asyncio.run(run())


def nothing_is_open(engine: sa.Engine) -> Callable[[], bool]:
    """Whether no job runs, is due, or will be within a second."""

    def check() -> bool:
        return fetch(engine, OPEN) == [(0,)]

    return check


def fetch(engine: sa.Engine, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement in a transaction of its own."""
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql), values)]


def change(engine: sa.Engine, sql: str, **values: Any) -> None:
    """A statement in a transaction of its own."""
    with engine.begin() as connection:
        connection.execute(sa.text(sql), values)


def put(engine: sa.Engine, queue: str, data: dict[str, Any] | None = None, **options: Any) -> int:
    """A job, committed."""
    with engine.begin() as connection:
        return enqueue(connection, queue, data or {}, **options).job_id


def state(engine: sa.Engine, job_id: int) -> str | None:
    """A job's state."""
    with engine.connect() as connection:
        return state_of(connection, job_id)


def attempts(engine: sa.Engine, job_id: int) -> list[Attempt]:
    """A job's attempts, in their order."""
    with engine.connect() as connection:
        return history(connection, job_id=job_id)[::-1]


def effects(engine: sa.Engine) -> list[tuple[int, str]]:
    """What handlers left behind: job and note."""
    return [(row[0], row[1]) for row in fetch(engine, "SELECT job_id, note FROM effects ORDER BY effect_id")]


def peak(notes: list[tuple[int, str]]) -> int:
    """The most jobs that ran at once."""
    running = most = 0
    for _, text in notes:
        running += 1 if text == "begin" else -1
        most = max(most, running)
    return most
