"""The commands of deploy/compose.yaml as processes of this machine: hosts, ports and folders replaced, nothing else."""

import os
import shutil
import signal
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
import pytest

from metapulse_assets.platform import embedded_postgres
from metapulse_assets_tests.cli.test_whole import free_port
from metapulse_assets_tests.deploy.delivered import ROOT, compose

pytestmark = pytest.mark.slow
# For machines that are busy with much else.
PATIENCE_SECONDS = 240.0
LAUNCH = """mutation($selector: JobOrPipelineSelector!) { launchRun(executionParams: {selector: $selector, mode: "default"})
  { ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@dataclass
class Stack:
    """Compose's services as processes."""

    folder: Path
    database_url: str
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in ("code", "web", "a", "b", "c", "box")})
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in the file as its reader would, on ports that are free."""
        shutil.copy(ROOT / "dagster.yaml", self.folder)
        # The image has no .env, and Dagster would let that of a developer's checkout win over the environment.
        self.checkout.mkdir()
        for part in ("deploy", "metapulse_assets"):
            (self.checkout / part).symlink_to(ROOT / part)
        service_ports = dict(
            zip(("PORT", "METRICS_PORT", "HEALTH_PORT"), (str(self.ports[name]) for name in "abc"), strict=True)
        )
        self.own = {
            "METAPULSE_MODE": "sandbox",
            "METAPULSE_SANDBOX_PORT": str(self.ports["box"]),
            "METAPULSE_HOME": str(self.folder),
            "METAPULSE_COMPUTE_LOGS": str(self.folder / "compute_logs"),
            "DAGSTER_HOME": str(self.folder),
            **service_ports,
        }
        self.services: dict[str, Any] = compose(
            {"POSTGRES_PASSWORD": "of-another", "DATABASE_URL": self.database_url, **service_ports}
        )["services"]

    @property
    def checkout(self) -> Path:
        """Where commands run."""
        return self.folder / "checkout"

    def here(self, text: str) -> str:
        """A word of Compose's file as it is on this machine."""
        web, code = str(self.ports["web"]), str(self.ports["code"])
        if text in ("0.0.0.0", "code"):  # noqa: S104 - replaced, not bound
            return "127.0.0.1"
        return {"3000": web, "4000": code, "http://webserver:3000": f"http://127.0.0.1:{web}"}.get(text, text)

    def environment(self, name: str) -> dict[str, str]:
        """Of a service; of this machine's own only what programs need to start."""
        kept = {each: os.environ[each] for each in ("HOME", "LANG", "TMPDIR") if each in os.environ}
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}"
        said = {key: self.here(value) for key, value in self.services[name]["environment"].items()}
        return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", **said, **self.own}

    def command(self, name: str, *, health: bool = False) -> list[str]:
        """What a service runs, or what its health check does."""
        service = self.services[name]
        return [self.here(word) for word in (service["healthcheck"]["test"][1:] if health else service["command"])]

    def start(self, *names: str) -> None:
        """Start services; what they say goes to a file each."""
        for name in names:
            with (self.folder / f"{name}.log").open("wb") as log:
                self.running[name] = subprocess.Popen(
                    self.command(name),
                    cwd=self.checkout,
                    env=self.environment(name),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def wait_healthy(self, *names: str) -> None:
        """Until the health check of each has ended well once."""
        deadline, waiting = time.monotonic() + PATIENCE_SECONDS, list(names)
        while waiting:
            name = waiting[0]
            assert self.running[name].poll() is None, self.log(name)
            done = subprocess.run(
                self.command(name, health=True),
                cwd=self.checkout,
                env=self.environment(name),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                waiting.pop(0)
                continue
            assert time.monotonic() < deadline, f"{name}: {done.stdout}{done.stderr}\n{self.log(name)}"
            # A look at Dagster's parts costs a second of the processor that they need to start.
            time.sleep(1.0)

    def log(self, name: str) -> str:
        """The end of what a service said."""
        return f"{name}:\n{(self.folder / f'{name}.log').read_text()[-2000:]}"

    def ask(self, query: str, **variables: Any) -> Any:
        """Dagster's GraphQL."""
        page = f"http://127.0.0.1:{self.ports['web']}/graphql"
        answer = httpx2.post(page, json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def stop(self) -> dict[str, int]:
        """Tell each to stop, the last one started first; exit codes."""
        codes = {}
        for name in reversed(self.running):
            self.running[name].send_signal(signal.SIGTERM)
            codes[name] = self.running[name].wait(PATIENCE_SECONDS)
        return codes

    def left(self) -> list[list[str]]:
        """Command lines of processes of this stack that live."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("METAPULSE_HOME") == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.cmdline())
            except psutil.Error:
                continue
        return found


@pytest.fixture
def stack(tmp_path: Path, server_home: Path) -> Iterator[Stack]:
    """On two databases of its own, which it makes itself."""
    name, server = f"compose_{uuid.uuid4().hex[:8]}", embedded_postgres.locate(server_home)
    it = Stack(tmp_path, server.url(name))
    yield it
    for process in it.running.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for database in (name, f"{name}_dagster"):
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def test_every_command_starts_is_healthy_runs_a_job_and_stops(stack: Stack) -> None:
    migrated = subprocess.run(
        stack.command("migrate"),
        cwd=stack.checkout,
        env=stack.environment("migrate"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr
    stack.start("code", "worker", "service", "stream")
    stack.wait_healthy("worker", "service", "stream", "code")
    stack.start("webserver", "daemon")
    stack.wait_healthy("webserver", "daemon")

    selector = {"repositoryLocationName": "metapulse", "repositoryName": "__repository__", "jobName": "cleanup"}
    run_id = stack.ask(LAUNCH, selector=selector)["launchRun"]["run"]["runId"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (status := stack.ask(STATUS, id=run_id)["runOrError"]["status"]) not in ("SUCCESS", "FAILURE", "CANCELED"):
        assert time.monotonic() < deadline, f"{status}\n{stack.log('daemon')}\n{stack.log('code')}"
        time.sleep(0.2)
    assert status == "SUCCESS", stack.log("code")
    # What the run printed lies where the webserver's container would find it, soon after its end.
    while not list((stack.folder / "compute_logs" / run_id).rglob("*.complete")):
        assert time.monotonic() < deadline, stack.log("code")
        time.sleep(0.2)

    assert stack.stop() == dict.fromkeys(stack.running, 0)
    # Python's helpers end by themselves once nobody needs them.
    while left := stack.left():
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
