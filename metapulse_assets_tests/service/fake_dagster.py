"""A webserver on 127.0.0.1 that answers as Dagster's does, as far as the service asks it; what it says can be changed."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ALL_JOBS = ("market_tick", "signals_tick", "social_tick", "ai_tick", "cleanup", "everything")


@dataclass
class FakeDagster:
    """`launched`: the parameters of each launch. `answers`: what to say instead, by the question's field."""

    url: str = ""
    code_is_loaded: bool = True
    jobs: tuple[str, ...] = ALL_JOBS
    running: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    launched: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    delay_seconds: float = 0.0

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of an answer."""
        for name in ("workspaceOrError", "repositoriesOrError", "runsOrError", "launchRun"):
            if name in query:
                if name in self.answers:
                    return {name: self.answers[name]}
                return {name: getattr(self, f"_{name}")(variables)}
        raise AssertionError(query)

    def _workspaceOrError(self, _: Any) -> dict[str, Any]:  # noqa: N802 - the field's name
        kind = "RepositoryLocation" if self.code_is_loaded else "PythonError"
        entry = {"name": "metapulse", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": kind}}
        return {"__typename": "Workspace", "locationEntries": [entry]}

    def _repositoriesOrError(self, _: Any) -> dict[str, Any]:  # noqa: N802
        jobs = [{"name": name} for name in self.jobs]
        node = {"name": "__repository__", "location": {"name": "metapulse"}, "jobs": jobs}
        return {"__typename": "RepositoryConnection", "nodes": [node]}

    def _runsOrError(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"__typename": "Runs", "results": self.running.get(variables["job"], [])}

    def _launchRun(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.launched.append(variables["parameters"])
        run = {"runId": f"run-{len(self.launched)}", "status": "QUEUED", "tags": []}
        job = variables["parameters"]["selector"]["jobName"]
        self.running.setdefault(job, []).append(run)
        return {"__typename": "LaunchRunSuccess", "run": run}


class _Handler(BaseHTTPRequestHandler):
    dagster: FakeDagster

    def do_GET(self) -> None:
        self._send(json.dumps({"dagster_webserver_version": "1.13.27"}).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(json.dumps({"data": self.dagster.answer(asked["query"], asked.get("variables") or {})}).encode())

    def _send(self, body: bytes) -> None:
        time.sleep(self.dagster.delay_seconds)
        body = body if self.dagster.body is None else self.dagster.body
        with contextlib.suppress(ConnectionError):  # whoever asked has given up
            self.send_response(self.dagster.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def fake_dagster() -> Iterator[FakeDagster]:
    """One that runs."""
    dagster = FakeDagster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"dagster": dagster}))
    dagster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield dagster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
