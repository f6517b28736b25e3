"""A vendor on 127.0.0.1 that answers as a test wrote down, and notes what came when."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """One answer. `drip_seconds` lie between its bytes; after `cut_after` bytes the connection ends."""

    status: int = 200
    body: bytes = b"[]"
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    cut_after: int | None = None
    echo_headers: bool = False


@dataclass(frozen=True)
class Arrival:
    """One request as it came."""

    at: float
    path: str
    headers: Mapping[str, str]


class StubVendor:
    """Answers with each reply of its script in turn, and with the last one ever after."""

    def __init__(self, *script: Reply) -> None:
        self.script = list(script) or [Reply()]
        self.arrivals: list[Arrival] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self.url = ""

    def next_reply(self, path: str, headers: Mapping[str, str]) -> Reply:
        """Note the request and say what to answer."""
        with self._lock:
            self.arrivals.append(Arrival(time.monotonic(), path, headers))
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendor: StubVendor

    def do_GET(self) -> None:
        reply = self.vendor.next_reply(self.path, dict(self.headers.items()))
        self.vendor.stopping.wait(reply.delay_seconds)
        body = reply.body + (str(self.headers).encode() if reply.echo_headers else b"")
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.kind, "Content-Length": str(len(body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.drip_seconds:
            for place in range(len(body)):
                if self.vendor.stopping.wait(reply.drip_seconds):
                    break
                self.wfile.write(body[place : place + 1])
            return
        self.wfile.write(body[: reply.cut_after])
        self.close_connection = self.close_connection or reply.cut_after is not None

    def log_message(self, *_: object) -> None:
        """Nothing: the arrivals are the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # As many as any test sends at once: a connection that finds no room here comes a second later.
    request_queue_size = 256
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Nothing: a client that hangs up is part of the tests."""


@contextmanager
def serving(*script: Reply) -> Iterator[StubVendor]:
    """A stub that listens on a free port until the block ends."""
    vendor = StubVendor(*script)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"vendor": vendor}))
    vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        vendor.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
