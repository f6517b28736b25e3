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
    from collections.abc import Callable

    from metapulse_assets.platform.settings import Settings
    from metapulse_assets.platform.work_queue.registry import Handler

STATISTICS_SECONDS = 30.0
LARGEST_CONCURRENCY = 50


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
    try:
        return {name: find_handler(name) for name in (part.strip() for part in queues.split(",")) if name}
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

    from metapulse_assets.platform.runtime import Platform
    from metapulse_assets.platform.work_queue.logs import LOGGER, set_up_logging
    from metapulse_assets.platform.work_queue.processes import is_orphan
    from metapulse_assets.platform.work_queue.worker import Worker, WorkerOptions

    set_up_logging(settings)
    options = WorkerOptions(
        concurrency=concurrency,
        max_jobs=settings.worker_max_jobs,
        lease_seconds=settings.worker_lease_seconds,
        stop_seconds=settings.worker_stop_seconds,
    )

    platform = Platform(settings)
    # Opened now: inside the event loop it would hold up every job.
    _ = platform.engine

    async def work() -> Worker:
        it = Worker(platform, handlers, options)
        it.on_beat = lambda: it.stop() if is_orphan() else None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            loop.add_signal_handler(number, it.stop)
        LOGGER.info("worker begins: %s", ", ".join(sorted(handlers)) or "no queue")
        await it.run()
        return it

    done = asyncio.run(work())
    LOGGER.info("worker ends after %d jobs%s", done.taken, f", {done.interrupted} interrupted" if done.interrupted else "")
    if done.threads_left:
        # A thread cannot be interrupted; its transaction can no longer complete the job.
        sys.stderr.flush()
        os._exit(0)
    return 0


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
                for counts in count_jobs(connection, handlers):
                    say(f"statistics of {counts.line()}")
        except psycopg.Error as error:
            say(f"no statistics: {type(error).__name__}")

    return tell
