"""Dagster's webserver and daemon: how they are started, when they are ready, and how the runs under them are ended."""

import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from metapulse_assets.cli.failures import CommandError
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    import dagster as dg

    from metapulse_assets.platform.processes import ProcessSpec
    from metapulse_assets.platform.settings import Settings

WEBSERVER, DAEMON, STREAM = "webserver", "daemon", "stream"
HOST = "127.0.0.1"
CANCEL_SECONDS = 4.0
_HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } } }"


def service_specs(settings: "Settings") -> "list[ProcessSpec]":
    """The processes that stay, in the order they are started: Dagster's two, and the stream."""
    from metapulse_assets.platform.processes import ProcessSpec
    from metapulse_assets.platform.settings import project_root

    workspace = str(project_root() / "workspace.yaml")
    programs = Path(sysconfig.get_path("scripts"))
    environment = {
        **os.environ,
        "ENABLE_SCHEDULED_JOBS": "true",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    logs = settings.home / "logs"
    page = (str(programs / "dagster-webserver"), "-h", HOST, "-p", str(settings.webserver_port), "-w", workspace)
    loop = (str(programs / "dagster-daemon"), "run", "-w", workspace)
    stream = (sys.executable, "-c", "from metapulse_assets.cli import main; main()", "stream")
    # The daemon ends cleanly on SIGINT; SIGTERM it takes for the same.
    return [
        ProcessSpec(WEBSERVER, page, logs / "webserver.log", environment, signal.SIGINT, stop_seconds=4.0),
        ProcessSpec(DAEMON, loop, logs / "daemon.log", environment, signal.SIGINT, stop_seconds=5.0),
        ProcessSpec(STREAM, stream, logs / "stream.log", environment, signal.SIGTERM, stop_seconds=8.0),
    ]


def page_url(settings: "Settings") -> str:
    """Where Dagster's pages are."""
    return f"http://{HOST}:{settings.webserver_port}"


def require_free_port(settings: "Settings") -> None:
    """Raise `CommandError` if something listens where the webserver is to listen."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, settings.webserver_port))
        except OSError as error:
            raise CommandError(
                f"{HOST}:{settings.webserver_port} cannot be listened on ({error.strerror}): "
                "stop the program that does, or choose another METAPULSE_WEBSERVER_PORT"
            ) from None


def webserver_answers(settings: "Settings") -> bool:
    """Whether Dagster's webserver is up."""
    import httpx2

    try:
        answer = httpx2.get(f"{page_url(settings)}/server_info", timeout=5.0)
        return "dagster_webserver_version" in answer.json()
    except (httpx2.HTTPError, ValueError):
        return False


def daemon_is_healthy(settings: "Settings", since: float) -> bool:
    """Whether all of the daemon's required parts are healthy and gave a sign of life since a moment (epoch s)."""
    import httpx2

    try:
        answer = httpx2.post(f"{page_url(settings)}/graphql", json={"query": _HEALTH}, timeout=20.0).json()
        statuses = answer["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (httpx2.HTTPError, ValueError, LookupError, TypeError):
        return False  # the webserver is still busy with itself
    required = [status for status in statuses if status["required"]]
    # Signs of life of an earlier daemon count as healthy for half an hour.
    return all(status["healthy"] and (status["lastHeartbeatTime"] or 0.0) >= since for status in required)


@contextmanager
def runs_cancelled() -> Iterator[None]:
    """Ask the runs that code servers of this instance execute to stop; the block is to wait for their processes.

    A run whose process was ended before it could say so is then marked as cancelled: else the next tick would wait for it.
    Queued runs stay queued. Whatever state the database is in, the block is entered.
    """
    import dagster as dg

    run_ids: list[str] = []
    with ExitStack() as stack:
        with _only_said("runs cannot be cancelled"):
            instance = stack.enter_context(dg.DagsterInstance.get())
            run_ids = [run.run_id for run in _executing(instance)]
            # A code server that hangs would hold the call for a minute; its processes are ended soon in any case.
            asking = threading.Thread(target=_terminate, args=(instance, run_ids), daemon=True)
            asking.start()
            asking.join(CANCEL_SECONDS)
        yield
        for run_id in run_ids:
            with _only_said(f"run {run_id} may still be shown as started"):
                run = instance.get_run_by_id(run_id)
                if run is not None and not run.is_finished:
                    instance.report_run_canceled(run, message="MetaPulse was stopped while this run was executing.")


def _terminate(instance: "dg.DagsterInstance", run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        say(f"run {run_id}: cancelling")
        with _only_said(f"run {run_id} cannot be asked to stop, its process is ended"):
            instance.run_launcher.terminate(run_id)


@contextmanager
def _only_said(what: str) -> Iterator[None]:
    """A failure in here is said and no more: the stop goes on."""
    try:
        yield
    except Exception as error:
        say(f"{what}: {type(error).__name__}")


def _executing(instance: "dg.DagsterInstance") -> "list[dg.DagsterRun]":
    import dagster as dg
    from dagster._core.storage.tags import GRPC_INFO_TAG

    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    # Without this tag a run belongs to some other program's process, such as `metapulse run` in another terminal.
    return [run for run in runs if GRPC_INFO_TAG in run.tags]
