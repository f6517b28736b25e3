"""The processes that stay: how they are started, when they are ready, and how the runs under Dagster's daemon are ended."""

import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from metapulse_assets.cli.ports import LOCAL
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    import dagster as dg

    from metapulse_assets.platform.processes import ProcessSpec, Supervisor
    from metapulse_assets.platform.settings import Settings

WEBSERVER, DAEMON, STREAM, WORKER, SERVICE = "webserver", "daemon", "stream", "worker", "service"
CANCEL_SECONDS = 4.0
# Dagster's two end within a second where the machine is idle, not where every core is busy.
DAGSTER_STOP_SECONDS = 15.0
_HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } } }"


def service_specs(settings: "Settings") -> "list[ProcessSpec]":
    """The processes that stay, in the order they are started: Dagster's two, and ours. A replay has no stream."""
    from metapulse_assets.platform.processes import ProcessSpec
    from metapulse_assets.platform.settings import project_root
    from metapulse_assets.platform.vendor_settings import Mode
    from metapulse_assets.platform.work_queue.processes import GRACE_SECONDS
    from metapulse_assets.service.serving import STOP_SECONDS

    workspace = str(project_root() / "workspace.yaml")
    programs = Path(sysconfig.get_path("scripts"))
    environment = {
        **os.environ,
        "ENABLE_SCHEDULED_JOBS": "true",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    logs = settings.home / "logs"
    page = (str(programs / "dagster-webserver"), "-h", LOCAL, "-p", str(settings.webserver_port), "-w", workspace)
    loop = (str(programs / "dagster-daemon"), "run", "-w", workspace)

    def ours(command: str, stop_seconds: float) -> "ProcessSpec":
        program = (sys.executable, "-c", "from metapulse_assets.cli import main; main()", command)
        return ProcessSpec(command, program, logs / f"{command}.log", environment, signal.SIGTERM, stop_seconds)

    # The daemon ends cleanly on SIGINT; SIGTERM it takes for the same.
    specs = [
        ProcessSpec(WEBSERVER, page, logs / "webserver.log", environment, signal.SIGINT, DAGSTER_STOP_SECONDS),
        ProcessSpec(DAEMON, loop, logs / "daemon.log", environment, signal.SIGINT, DAGSTER_STOP_SECONDS),
        # What a worker has begun may take its time.
        ours(WORKER, settings.worker_stop_seconds + 2 * GRACE_SECONDS),
        ours(SERVICE, STOP_SECONDS + 3.0),
    ]
    return specs if settings.mode is Mode.REPLAY else [*specs, ours(STREAM, 8.0)]


def page_url(settings: "Settings") -> str:
    """Where Dagster's pages are."""
    return f"http://{LOCAL}:{settings.webserver_port}"


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


def service_url(settings: "Settings") -> str:
    """Where the service is."""
    from metapulse_assets.service.serving import base_url

    return base_url(settings.service_host, settings.port)


def service_answers(settings: "Settings") -> bool:
    """Whether the service is up."""
    import httpx2

    try:
        return httpx2.get(f"{service_url(settings)}/health/live", timeout=5.0).is_success
    except httpx2.HTTPError:
        return False


def worker_is_alive(settings: "Settings", supervisor: "Supervisor") -> bool:
    """Whether a worker among the supervisor's processes has said that it works."""
    import socket

    import psycopg

    from metapulse_assets.platform.database import libpq_url
    from metapulse_assets.platform.work_queue.living import living_workers

    try:
        with psycopg.connect(libpq_url(settings), connect_timeout=5) as connection:
            names = {worker.name for worker in living_workers(connection)}
    except psycopg.Error:
        return False
    return bool(names & {f"{socket.gethostname()}:{process.pid}" for process in supervisor.descendants()})


@contextmanager
def runs_cancelled() -> Iterator[bool]:
    """Ask the runs that code servers of this instance execute to stop; the block is to wait, and is told if there are any.

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
        yield bool(run_ids)
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


def end_orphaned_runs() -> None:
    """Mark runs as failed whose process is gone, as after a power cut: else each tick would wait for them to end.

    Only for a storage that no other machine uses: whether a process of another one lives cannot be seen from here.
    """
    import dagster as dg

    with _only_said("runs of an earlier start cannot be looked for"), dg.DagsterInstance.get() as instance:
        for run in _executing(instance):
            if not _has_server(run):
                say(f"run {run.run_id} of {run.job_name}: its process is gone, it is marked as failed")
                instance.report_run_failed(run, message="The process that executed this run is gone.")


def _has_server(run: "dg.DagsterRun") -> bool:
    """Whether the code server that a run was given to still answers; of one that is reached by network nothing is known."""
    import json
    import socket

    from dagster._core.storage.tags import GRPC_INFO_TAG

    path = json.loads(run.tags[GRPC_INFO_TAG]).get("socket")
    if path is None:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


def _executing(instance: "dg.DagsterInstance") -> "list[dg.DagsterRun]":
    import dagster as dg
    from dagster._core.storage.tags import GRPC_INFO_TAG

    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    # Without this tag a run belongs to some other program's process, such as `metapulse run` in another terminal.
    return [run for run in runs if GRPC_INFO_TAG in run.tags]
