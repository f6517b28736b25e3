"""`metapulse up`: everything, kept running until it is told to stop."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import dagster_services, environment
from metapulse_assets.cli.dagster_services import DAEMON, STREAM, WEBSERVER
from metapulse_assets.cli.embedded_server import database_server, server_pid
from metapulse_assets.cli.failures import CommandError
from metapulse_assets.cli.interruption import StopRequest, stop_requests
from metapulse_assets.cli.run import LogFormatOption, announce, prepare_database, report
from metapulse_assets.cli.sandbox_process import NAME as SANDBOX
from metapulse_assets.cli.sandbox_process import await_sandbox, start_sandbox
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


def up(
    mode: environment.ModeOption = None,
    log_format: LogFormatOption = None,
    first_run: Annotated[
        bool, typer.Option("--first-run/--no-first-run", help="Materialise everything once at the start.")
    ] = True,
) -> None:
    """Like `run`, then stay: Dagster's pages and schedules, the sandbox and the embedded PostgreSQL, until Ctrl-C or SIGTERM.

    What dies is restarted. Logs are in the folder `logs` of METAPULSE_HOME.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 could not start or something keeps dying, 2 wrong option or setting.
    """
    settings = environment.prepare(mode, log_format)
    home = environment.require_dagster_home()
    announce(settings)
    from metapulse_assets.platform.processes import Supervisor

    with stop_requests() as request, _only_one(settings):
        dagster_services.require_free_port(settings)
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
    from metapulse_assets.platform.redaction import redact_url

    say("starting Dagster's webserver and daemon, and the stream …")
    started = time.time()
    for spec in dagster_services.service_specs(settings):
        supervisor.start(spec)
    supervisor.wait_ready(WEBSERVER, lambda: dagster_services.webserver_answers(settings), READY_SECONDS)
    supervisor.wait_ready(DAEMON, lambda: dagster_services.daemon_is_healthy(settings, started), READY_SECONDS)
    logs = settings.home / "logs"
    for name, value in (
        ("pages", dagster_services.page_url(settings)),
        ("mode", environment.describe_mode(settings)),
        ("schedules", "on; a tick every " + f"{settings.token_data_interval / 60_000:g} min"),
        ("stream", f"PumpPortal at {redact_url(settings.pumpportal_url)}"),
        ("database", "DATABASE_URL" if settings.database_url else f"embedded PostgreSQL, {settings.database_label}"),
        ("sandbox", settings.sandbox_url if settings.needs_sandbox else "not used"),
        ("log level", settings.log_level),
        ("logs", ", ".join(str(logs / f"{part}.log") for part in (WEBSERVER, DAEMON, STREAM, SANDBOX))),
    ):
        say(f"  {name:<10} {value}")
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
    """In this order, so that no run begins, none is lost, and nobody writes to a database that is gone."""
    supervisor.stop(STREAM)
    supervisor.stop(DAEMON)
    if supervisor.strays():
        with dagster_services.runs_cancelled():
            supervisor.end_strays(RUNS_END_SECONDS)
    supervisor.stop(WEBSERVER)
    supervisor.end_strays()
    supervisor.stop_all()


def _say_what_is_left(supervisor: "Supervisor") -> None:
    left = supervisor.descendants()
    if left:
        say("could not stop: " + ", ".join(f"{process.pid} {process.name()}" for process in left))
    else:
        say("stopped; no process is left")
