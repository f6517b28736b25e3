"""A language model's server on 127.0.0.1 that answers as a test wrote down, and keeps what it was sent."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Given:
    """One answer; a body that is no bytes is sent as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"

    @property
    def bytes(self) -> bytes:
        """The body as it goes over the wire."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Sent:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: Any


class ModelServer:
    """Answers with each reply of its script in turn, and with the last one ever after."""

    def __init__(self, *script: Given) -> None:
        self.script = list(script)
        self.sent: list[Sent] = []
        self.url = ""


@contextmanager
def serving(*script: Given) -> Iterator[ModelServer]:
    """A server with a script."""
    model = ModelServer(*script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            model.sent.append(Sent(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
            given = model.script.pop(0) if len(model.script) > 1 else model.script[0]
            self.send_response(given.status)
            for name, value in {"Content-Type": given.kind, **given.headers, "Content-Length": str(len(given.bytes))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.bytes)

        def log_message(self, *_: object) -> None:
            """Nothing: what was sent is the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    model.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


def recorded_exchanges(path: Any) -> list[dict[str, Any]]:
    """The exchanges in a recording; an error body quoted by somebody counts as one without its request."""
    content = json.loads(path.read_text())
    found = content if isinstance(content, list) else [content]
    return [entry if "response" in entry else {"response": entry} for entry in found]


def given_of(response: Mapping[str, Any]) -> Given:
    """A recorded response as this server gives it; what says how the bytes once travelled is left out."""
    travelled = {"content-encoding", "content-length", "transfer-encoding", "connection", "date"}
    headers = {
        name: value
        for name, value in (response.get("headers") or {}).items()
        if name.lower() not in travelled and isinstance(value, str)
    }
    kind = next((headers.pop(name) for name in list(headers) if name.lower() == "content-type"), "application/json")
    body = response["body"]
    return Given(body.encode() if isinstance(body, str) else body, response["status"], headers, kind)
