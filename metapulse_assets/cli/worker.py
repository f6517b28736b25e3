"""`metapulse worker`: does the jobs of the work queue."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.embedded_server import database_server
from metapulse_assets.cli.failures import FAILED, WRONG_USE, CommandError
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from metapulse_assets.platform.settings import Settings
    from metapulse_assets.platform.work_queue.registry import Handler
    from metapulse_assets.platform.work_queue.statistics import QueueCounts

STATISTICS_SECONDS = 30.0
LARGEST_CONCURRENCY = 50
# Between two tries to reach a database that is away.
AWAY_LOOK_SECONDS = 1.0
# A handler that blocks for less only makes the others wait.
LEAST_BLOCKED_SECONDS = 30.0


def worker(
    queues: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Only jobs of these queues. Default: of every queue.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_CONCURRENCY, help="Jobs at once in one process; wins over WORKER_CONCURRENCY."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="Worker processes; each ends after WORKER_MAX_JOBS jobs and another takes its place. 0: work in this "
            "process and end after so many. Default: 1, with CLUSTER_MODE=true CLUSTER_WORKERS.",
        ),
    ] = None,
) -> None:
    """Do the jobs of the work queue until stopped (Ctrl-C, SIGTERM, SIGUSR2): running jobs end, the others wait on.

    Starts the embedded PostgreSQL if it is down, and stops it again.

    Exit codes: 0 stopped as asked, or WORKER_MAX_JOBS done; 1 failed, or a process had to be killed; 2 wrong option or setting.
    """
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue.processes import PARENT

    count = processes if processes is not None else (settings.cluster_workers if settings.cluster_mode else 1)
    at_once = concurrency or settings.worker_concurrency
    handlers = chosen_handlers(settings, queues)
    with database_server(settings):
        from metapulse_assets.platform.database import ensure_ready

        ensure_ready(settings)
        if PARENT not in os.environ:
            announce(settings, handlers, at_once, count)
        code = work_here(settings, handlers, at_once) if count == 0 else supervise(settings, queues, handlers, at_once, count)
    if code:
        raise typer.Exit(code)


def chosen_handlers(settings: "Settings", queues: str | None) -> "dict[str, Handler]":
    """The handlers of the queues that were asked for; raises `CommandError` for an unknown one."""
    from metapulse_assets.platform.work_queue.registry import UnknownJobType, find_handler, load_handlers

    known = load_handlers(settings.job_modules)
    if queues is None:
        return known
    names = [name for part in queues.split(",") if (name := part.strip())]
    if not names:
        raise CommandError("--queues: names no queue", WRONG_USE)
    try:
        return {name: find_handler(name) for name in names}
    except UnknownJobType as error:
        raise CommandError(f"--queues: {error}", WRONG_USE) from None


def announce(settings: "Settings", handlers: "dict[str, Handler]", concurrency: int, processes: int) -> None:
    """What this worker works with, secrets masked."""
    from metapulse_assets.platform.database import libpq_url
    from metapulse_assets.platform.redaction import redact_url

    def of(value: object) -> str:
        return "set" if value else "not set"

    redis = redact_url(settings.redis_url.get_secret_value()) if settings.redis_url else "not set, not needed"
    say(f"worker, mode {environment.describe_mode(settings)}")
    say(f"database: {redact_url(libpq_url(settings))}")
    say(f"redis: {redis}; OpenAI key: {of(settings.openai_api_key)}")
    say(f"debug scoring: {str(settings.debug_scoring).lower()}; log level: {settings.log_level}")
    say(f"queues: {', '.join(sorted(handlers)) or 'none is registered'}")
    say(f"processes: {processes or 'this one'}; jobs at once in each: {concurrency}; it ends after: {settings.worker_max_jobs}")


def work_here(settings: "Settings", handlers: "dict[str, Handler]", concurrency: int) -> int:
    """Be a worker until `WORKER_MAX_JOBS` or a signal; returns the exit code."""
    import asyncio
    import signal

    import psycopg

    from metapulse_assets.platform.database import libpq_url
    from metapulse_assets.platform.runtime import Platform
    from metapulse_assets.platform.work_queue.logs import LOGGER, set_up_logging
    from metapulse_assets.platform.work_queue.processes import PARENT, is_orphan
    from metapulse_assets.platform.work_queue.watchdog import Watchdog
    from metapulse_assets.platform.work_queue.worker import Worker, WorkerOptions

    set_up_logging(settings)
    platform = Platform(settings)
    # Opened now: inside the event loop it would hold up every job.
    _ = platform.engine
    workers: list[Worker] = []

    def next_worker() -> Worker:
        options = WorkerOptions(
            concurrency=concurrency,
            max_jobs=settings.worker_max_jobs - sum(worker.taken for worker in workers),
            lease_seconds=settings.worker_lease_seconds,
            stop_seconds=settings.worker_stop_seconds,
            cpu_limit=settings.worker_cpu_limit,
        )
        it = Worker(platform, handlers, options)
        it.on_beat = lambda: it.stop() if is_orphan() else None
        workers.append(it)
        return it

    async def work() -> None:
        stopping = asyncio.Event()

        def stop() -> None:
            stopping.set()
            for worker in workers:
                worker.stop()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            loop.add_signal_handler(number, stop)
        # Where there is a parent, it tells.
        telling = asyncio.create_task(keep_telling(settings, handlers)) if PARENT not in os.environ else None
        watching = asyncio.create_task(Watchdog(blocked_looks(settings), end_blocked).run())
        LOGGER.info("worker begins: %s", ", ".join(sorted(handlers)) or "no queue is registered, it waits")
        while not (stopping.is_set() or is_orphan()):
            try:
                await next_worker().run()
                break
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                LOGGER.warning("database: %s; waiting until it is back", _first_line(error))
            platform.engine.dispose()
            if await database_is_back(libpq_url(settings), stopping):
                LOGGER.info("database: back")
        watching.cancel()
        if telling is not None:
            telling.cancel()

    asyncio.run(work())
    taken, interrupted = sum(worker.taken for worker in workers), sum(worker.interrupted for worker in workers)
    LOGGER.info("worker ends after %d jobs%s", taken, f", {interrupted} interrupted" if interrupted else "")
    if any(worker.threads_left for worker in workers):
        # A thread cannot be interrupted; its transaction can no longer complete the job.
        sys.stderr.flush()
        os._exit(0)
    return 0


def blocked_looks(settings: "Settings") -> int:
    """How often the event loop may be found standing: for two leases, after which its jobs are somebody else's anyway."""
    import math

    from metapulse_assets.platform.work_queue.watchdog import LOOK_SECONDS

    return math.ceil(max(2 * settings.worker_lease_seconds, LEAST_BLOCKED_SECONDS) / LOOK_SECONDS)


def end_blocked() -> None:
    """End this process though its event loop stands still, and with it whatever it does."""
    from metapulse_assets.platform.work_queue.logs import LOGGER

    LOGGER.error("a handler blocks all others: this process ends, its jobs wait for another worker")
    sys.stderr.flush()
    os._exit(FAILED)


async def database_is_back(url: str, stopping: "asyncio.Event") -> bool:
    """Wait until the database answers; false if a stop is asked for before, or the process that this one belongs to is gone."""
    import asyncio
    import contextlib

    import psycopg

    from metapulse_assets.platform.work_queue.processes import is_orphan

    while not (stopping.is_set() or is_orphan()):
        # Before the first try, too: a server may take connections and refuse all else.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), AWAY_LOOK_SECONDS)
        with contextlib.suppress(psycopg.OperationalError):
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=5):
                return not stopping.is_set()
    return False


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def supervise(
    settings: "Settings", queues: str | None, handlers: "dict[str, Handler]", concurrency: int, processes: int
) -> int:
    """Keep worker processes running until a signal comes; returns the exit code."""
    import signal

    from metapulse_assets.platform.work_queue.processes import WorkerProcesses

    program = (sys.executable, "-c", "from metapulse_assets.cli import main; main()")
    options = ["--processes", "0", "--concurrency", str(concurrency)]
    if queues is not None:
        options += ["--queues", queues]
    pool = WorkerProcesses(
        [*program, "worker", *options],
        processes,
        settings.worker_stop_seconds,
        say,
        statistics_teller(settings, handlers),
    )
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    before = {number: signal.signal(number, lambda *_: pool.request_stop()) for number in numbers}
    try:
        killed = pool.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    say("worker stopped" if not killed else f"worker stopped; {killed} processes did not heed and were killed")
    return FAILED if killed else 0


async def keep_telling(settings: "Settings", handlers: "dict[str, Handler]") -> None:
    """Say the queues' statistics every 30 s, until canceled."""
    import asyncio

    tell = statistics_teller(settings, handlers)
    while True:
        await asyncio.sleep(1.0)
        await asyncio.to_thread(tell)


def statistics_teller(settings: "Settings", handlers: "dict[str, Handler]") -> "Callable[[], None]":
    """Something to call often, which says the queues' statistics every 30 s."""
    import time

    import psycopg

    from metapulse_assets.platform.database import libpq_url
    from metapulse_assets.platform.work_queue.statistics import count_jobs

    url = libpq_url(settings)
    next_at = time.monotonic() + STATISTICS_SECONDS

    def tell() -> None:
        nonlocal next_at
        if time.monotonic() < next_at:
            return
        next_at += STATISTICS_SECONDS
        try:
            with psycopg.connect(url, connect_timeout=5) as connection:
                for line in statistics_lines(count_jobs(connection, handlers)):
                    say(line)
        except psycopg.Error as error:
            say(f"no statistics: {type(error).__name__}")

    return tell


def statistics_lines(queues: "Sequence[QueueCounts]") -> list[str]:
    """All queues together, as TexhPulze said it, and each by itself if there are several; none if there is no queue."""
    names = ("waiting", "active", "completed", "failed")

    def line(title: str, of: "Sequence[QueueCounts]") -> str:
        return f"{title} - " + ", ".join(f"{name.capitalize()}: {sum(getattr(each, name) for each in of)}" for name in names)

    if not queues:
        return []
    each = [line(f"Queue Stats of {queue.queue}", [queue]) for queue in queues] if len(queues) > 1 else []
    return [line("Queue Stats", queues), *each]
