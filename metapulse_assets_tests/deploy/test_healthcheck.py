"""deploy/healthcheck.py, what it says of pages and processes."""

import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from metapulse_assets_tests.deploy.delivered import DEPLOY, module_of


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    """The program as a module."""
    return module_of(DEPLOY / "healthcheck.py")


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[str]:
    """Of a server with one healthy page."""
    with http.server.HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


def test_a_page(
    healthcheck: ModuleType, port: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody but this container is asked.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert healthcheck.main(["http", port, "/health/live"]) == 0
    assert healthcheck.main(["http", port, "/health/ready"]) == 1
    assert f"127.0.0.1:{port}/health/ready: HTTP 503" in capsys.readouterr().err


def test_nobody_listens(healthcheck: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert healthcheck.main(["http", str(taken.getsockname()[1]), "/"]) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().err


def test_a_process(healthcheck: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker of pytest has a name that other programs have in their command lines, too.
    monkeypatch.setattr(sys, "argv", ["deploy/healthcheck.py"])
    program = [sys.executable, "-c", "import time; time.sleep(60)", "unheard-of", "--processes", "0"]
    process = subprocess.Popen(program)
    try:
        assert healthcheck.main(["process", "unheard-of", "--processes", "0"]) == 0
        assert healthcheck.main(["process", "unheard-of", "--processes", "7"]) == 1
    finally:
        process.kill()
        process.wait()
    assert healthcheck.main(["process", "unheard-of"]) == 1
    assert "no living process: unheard-of" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["http", "port", "/"], ["http", "80", "health"], ["process"], ["grpc", "4000"]])
def test_wrong_use(healthcheck: ModuleType, arguments: list[str]) -> None:
    assert healthcheck.main(arguments) == 2
