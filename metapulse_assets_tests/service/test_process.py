"""The service as a whole process: killed under load, stopped as asked."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from metapulse_assets_tests.platform import queue_jobs
from metapulse_assets_tests.platform.queue_running import fetch

COMMAND = [sys.executable, "-c", "from metapulse_assets.cli import main; main()", "service"]
CLIENTS = 8
PATIENCE_SECONDS = 150.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


class Service:
    """Starts the command on the same ports again and again; nothing of it is left behind."""

    def __init__(self, database_url: str, home: Path) -> None:
        """Nothing runs yet."""
        self.ports = free_ports(5)
        given = {
            "PORT": self.ports[0],
            "METRICS_PORT": self.ports[1],
            "HEALTH_PORT": self.ports[2],
            "METAPULSE_SERVICE_MORE_PORTS": ",".join(map(str, self.ports[3:])),
            "METAPULSE_SERVICE_REQUESTS_PER_MINUTE": 1_000_000,
            "METAPULSE_JOB_MODULES": queue_jobs.NAME,
            "METAPULSE_HOME": home,
            "DATABASE_URL": database_url,
            "METAPULSE_LOG_FORMAT": "json",
        }
        self._environment = {**os.environ, **{name: str(value) for name, value in given.items()}}
        self._log = home.parent / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its first port."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(COMMAND, env=self._environment, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/jobs").status_code == 200:
                    return self.process
            time.sleep(0.05)

    def log(self) -> str:
        """What it said."""
        return self._log.read_text()

    def end(self) -> None:
        """Whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def whole(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """The command with this test's database."""
    found = Service(database_url, tmp_path / "home")
    yield found
    found.end()


@pytest.mark.slow
def test_every_job_that_was_promised_is_there_once_after_kills(whole: Service, engine: sa.Engine) -> None:
    promised: dict[int, str] = {}
    asked: list[str] = []
    over = threading.Event()

    def ask(client: int) -> None:
        number = 0
        with httpx2.Client(timeout=5.0) as http:
            while not over.is_set():
                number += 1
                name = f"{client}-{number}"
                asked.append(name)
                # Asked again under the same name until there is an answer, as a careful client does.
                while not over.is_set():
                    with contextlib.suppress(httpx2.HTTPError):
                        answer = http.post(f"{whole.url}/jobs", json={"type": "t-noop", "data": {"name": name}, "id": name})
                        if answer.status_code in (200, 201):
                            promised[answer.json()["id"]] = name
                            break
                    time.sleep(0.01)

    whole.start()
    threads = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        killed = wait_for(promised, 100), kill(whole), wait_for(promised, 200)
        assert all(killed)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    stored = fetch(engine, "SELECT id, convert_from(payload, 'UTF8')::json ->> 'name' FROM pgqueuer.pgqueuer")
    assert len({name for _, name in stored}) == len(stored)
    assert set(promised.items()) <= set(stored)
    assert {name for _, name in stored} <= set(asked)
    # The same pages on every port; then it stops as asked, and says so.
    for port in whole.ports:
        assert httpx2.get(f"http://127.0.0.1:{port}/jobs?limit=1").status_code == 200
    assert whole.process is not None
    whole.process.send_signal(signal.SIGTERM)
    assert whole.process.wait(timeout=PATIENCE_SECONDS) == 0, whole.log()
    lines = [json.loads(line) for line in whole.log().splitlines()]
    assert lines[-1]["message"] == "service stopped"
    requests = [line for line in lines if line.get("path") == "/jobs"]
    assert {line["method"] for line in requests} == {"GET", "POST"}
    assert all(line["request_id"] and line["ms"] >= 0 for line in requests)


def wait_for(promised: dict[int, str], count: int) -> bool:
    """Wait until so many more jobs were promised."""
    wanted = len(promised) + count
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(promised) < wanted and time.monotonic() < deadline:
        time.sleep(0.005)
    return len(promised) >= wanted


def kill(whole: Service) -> bool:
    """Kill the service outright, and start it again."""
    assert whole.process is not None
    whole.process.kill()
    whole.process.wait()
    return whole.start().poll() is None
