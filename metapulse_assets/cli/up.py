"""`metapulse up`: everything, kept running until it is told to stop."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import dagster_services, environment, ports
from metapulse_assets.cli.dagster_services import DAEMON, SERVICE, STREAM, WEBSERVER, WORKER
from metapulse_assets.cli.embedded_server import database_server, server_pid
from metapulse_assets.cli.failures import CommandError
from metapulse_assets.cli.interruption import StopRequest, stop_requests
from metapulse_assets.cli.run import LogFormatOption, announce, prepare_database, report
from metapulse_assets.cli.sandbox_process import await_sandbox, start_sandbox
from metapulse_assets.cli.start_report import say_report
from metapulse_assets.cli.terminal import say
from metapulse_assets.cli.tick import materialise_now

if TYPE_CHECKING:
    from metapulse_assets.platform.processes import Supervisor
    from metapulse_assets.platform.settings import Settings

READY_SECONDS = 180.0
LOOK_SECONDS = 1.0
DATABASE_LOOK_SECONDS = 10.0
# A cancelled run needs a moment to say so; a code server goes when its last run has.
RUNS_END_SECONDS = 5.0
SERVERS_END_SECONDS = 2.0


def up(
    mode: environment.ModeOption = None,
    log_format: LogFormatOption = None,
    first_run: Annotated[
        bool, typer.Option("--first-run/--no-first-run", help="Materialise everything once at the start.")
    ] = True,
) -> None:
    """Like `run`, then stay until Ctrl-C or SIGTERM: Dagster's pages and schedules, the stream, a worker, the service.

    With them the sandbox and the embedded PostgreSQL, where the settings need them. What dies is restarted. Logs are in the
    folder `logs` of METAPULSE_HOME.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 could not start or something keeps dying, 2 wrong option or setting.
    """
    settings = environment.prepare(mode, log_format)
    home = environment.require_dagster_home()
    announce(settings)
    from metapulse_assets.platform.processes import Supervisor

    with stop_requests() as request, _only_one(settings):
        ports.require_free(*ports.all_ports(settings))
        with Supervisor(home, say, lambda: server_pid(settings)) as supervisor:
            try:
                _serve(settings, supervisor, request, first_run)
            except KeyboardInterrupt:
                pass
            finally:
                _say_what_is_left(supervisor)


def _serve(settings: "Settings", supervisor: "Supervisor", request: StopRequest, first_run: bool) -> None:
    with database_server(settings):
        try:
            start_sandbox(settings, supervisor)
            prepare_database(settings)
            await_sandbox(settings, supervisor)
            if not settings.database_url:
                dagster_services.end_orphaned_runs()
            if first_run:
                report(settings, materialise_now())
            _start_services(settings, supervisor)
            _stay(settings, supervisor, request)
        finally:
            say("stopping …")
            _stop(supervisor)


@contextmanager
def _only_one(settings: "Settings") -> Iterator[None]:
    """One `metapulse up` a home: two daemons would run every schedule twice."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another `metapulse up` runs on {settings.home}: {dagster_services.page_url(settings)}"
            ) from None
        yield


def is_up(settings: "Settings") -> bool:
    """Whether a `metapulse up` runs on this home."""
    try:
        with _only_one(settings):
            return False
    except CommandError:
        return True


def _start_services(settings: "Settings", supervisor: "Supervisor") -> None:
    specs = dagster_services.service_specs(settings)
    say(f"starting {', '.join(spec.name for spec in specs)} …")
    started = time.time()
    for spec in specs:
        supervisor.start(spec)
    for name, is_ready in (
        (WEBSERVER, lambda: dagster_services.webserver_answers(settings)),
        (DAEMON, lambda: dagster_services.daemon_is_healthy(settings, started)),
        (WORKER, lambda: dagster_services.worker_is_alive(settings, supervisor)),
        (SERVICE, lambda: dagster_services.service_answers(settings)),
    ):
        supervisor.wait_ready(name, is_ready, READY_SECONDS)
    say_report(settings, [spec.log for spec in specs])
    say("MetaPulse is up. Ctrl-C stops it.")


def _stay(settings: "Settings", supervisor: "Supervisor", request: StopRequest) -> None:
    from metapulse_assets.platform import embedded_postgres

    looked_at = time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        request.check()
        supervisor.watch()
        if not settings.database_url and time.monotonic() - looked_at > DATABASE_LOOK_SECONDS:
            looked_at = time.monotonic()
            if embedded_postgres.ensure_running(settings.home):
                say("PostgreSQL (embedded): was down, started again")


def _stop(supervisor: "Supervisor") -> None:
    """In this order, so that nothing new begins, what has begun ends, and nobody writes to a database that is gone."""
    supervisor.stop(SERVICE)
    supervisor.stop(DAEMON)
    if supervisor.strays():
        with dagster_services.runs_cancelled() as some_run:
            supervisor.end_strays(RUNS_END_SECONDS if some_run else SERVERS_END_SECONDS)
    supervisor.stop(WORKER)
    supervisor.stop(STREAM)
    supervisor.stop(WEBSERVER)
    supervisor.end_strays()
    supervisor.stop_all()


def _say_what_is_left(supervisor: "Supervisor") -> None:
    left = supervisor.descendants()
    if left:
        say("could not stop: " + ", ".join(f"{process.pid} {process.name()}" for process in left))
    else:
        say("stopped; no process is left")
