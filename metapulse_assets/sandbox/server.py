"""Starts the sandbox: as an app, inside a thread of a test, or as a process of its own."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from metapulse_assets.sandbox.clock import SandboxClock
from metapulse_assets.sandbox.control import control_routes
from metapulse_assets.sandbox.faults import FaultSwitches
from metapulse_assets.sandbox.gate import MarkedApp, vendor_routes
from metapulse_assets.sandbox.limits import SlidingWindows
from metapulse_assets.sandbox.market import Market
from metapulse_assets.sandbox.request_log import RequestLog
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.standin import Backstage
from metapulse_assets.sandbox.vendors import VENDORS

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 2


@dataclass(frozen=True)
class SandboxConfig:
    """How a sandbox is set up.

    ``port`` 0 takes any free one. ``data`` is a folder of recordings to replay instead of the simulation; ``epoch`` is
    then the UTC date that stands for the last full recorded day (today if None). ``speed`` is how much faster than
    wall time the market's time runs. ``tokens`` and ``seed`` shape the simulation; ``seed`` also decides when faults
    strike. ``limits`` overrides requests per minute by limit class. ``wall`` is the clock that is run from, in epoch
    seconds; a test gives one that it moves itself.
    """

    host: str = "127.0.0.1"
    port: int = 0
    data: Path | None = None
    epoch: date | None = None
    speed: float = 1.0
    tokens: int = 120
    seed: int = 20260101
    faults: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    latency_seconds: float = 0.0
    slow_seconds: float = 30.0
    wall: Callable[[], float] = time.time


class Sandbox:
    """A running sandbox, as seen by the test that started it."""

    def __init__(self, url: str, port: int, backstage: Backstage) -> None:
        self.url: Final = url
        self.port: Final = port
        self._backstage = backstage

    @property
    def dexscreener_url(self) -> str:
        """What a client takes in place of https://api.dexscreener.com."""
        return f"{self.url}/dexscreener"

    @property
    def geckoterminal_url(self) -> str:
        """What a client takes in place of https://api.geckoterminal.com/api/v2."""
        return f"{self.url}/geckoterminal/api/v2"

    @property
    def x_url(self) -> str:
        """What a client takes in place of https://api.twitter.com."""
        return f"{self.url}/x"

    @property
    def groq_url(self) -> str:
        """What a client takes in place of https://api.groq.com."""
        return f"{self.url}/groq"

    @property
    def gemini_url(self) -> str:
        """What a client takes in place of https://generativelanguage.googleapis.com."""
        return f"{self.url}/gemini"

    @property
    def rugcheck_url(self) -> str:
        """What a client takes in place of https://api.rugcheck.xyz."""
        return f"{self.url}/rugcheck"

    @property
    def goplus_url(self) -> str:
        """What a client takes in place of https://api.gopluslabs.io."""
        return f"{self.url}/goplus"

    @property
    def pumpportal_url(self) -> str:
        """What a client takes in place of wss://pumpportal.fun/api/data."""
        return f"ws{self.url.removeprefix('http')}/pumpportal/api/data"

    def requests(self) -> list[dict[str, object]]:
        """Return the logged requests to vendors, the oldest first."""
        return self._backstage.log.as_json()

    def clear_requests(self) -> None:
        """Forget the logged requests."""
        self._backstage.log.clear()

    def set_faults(self, rates: Mapping[str, float]) -> None:
        """Replace the fault rates; raises ValueError for an unknown name or a rate outside 0 to 1."""
        self._backstage.faults.set(rates)


def build_app(config: SandboxConfig) -> Starlette:
    """Return the app of a sandbox. Raises ValueError naming the setting that is wrong, or the recording's file."""
    return _app(_backstage(config))


@contextmanager
def running(config: SandboxConfig) -> Iterator[Sandbox]:
    """Serve a sandbox in a daemon thread of this process until the block ends; yields it when it is ready."""
    backstage = _backstage(config)
    listener = _listen(config)
    server = _Server(_uvicorn_config(backstage))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.005)
        port = listener.getsockname()[1]
        yield Sandbox(_url(config, port), port, backstage)
    finally:
        backstage.stopping.set()
        server.should_exit = True
        thread.join(_STOP_SECONDS)
        listener.close()


def serve(config: SandboxConfig) -> None:
    """Serve a sandbox in this process until SIGTERM or SIGINT; says on standard output when it is ready."""
    backstage = _backstage(config)
    listener = _listen(config)
    server = _Server(_uvicorn_config(backstage), ready=f"sandbox ready at {_url(config, listener.getsockname()[1])}")
    server.stopping = backstage.stopping
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that announces itself, and for which a signal to stop is an ordinary end (exit code 0)."""

    def __init__(self, config: uvicorn.Config, ready: str = "") -> None:
        super().__init__(config)
        self._ready = ready
        self.stopping = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready:
            print(self._ready, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would note the signal and raise it again after the shutdown, which ends the process with its number.
        self.stopping.set()
        self.should_exit = True


class _CutIsMeant(logging.Filter):
    """Drops uvicorn's complaint about an answer that ends early: here that is the fault that was asked for."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing response" not in record.getMessage()


def _backstage(config: SandboxConfig) -> Backstage:
    limits = {name: limit for vendor in VENDORS for name, limit in vendor.limits.items()}
    for name in config.limits:
        if name not in limits:
            raise ValueError(f"limit: {name!r} is unknown; known are {', '.join(limits)}")
    for name in ("latency_seconds", "slow_seconds"):
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name}: {getattr(config, name)} is negative")
    clock = SandboxClock(config.speed, config.wall)
    return Backstage(
        market=_market(config, clock),
        clock=clock,
        faults=FaultSwitches(config.seed, config.faults),
        limits=SlidingWindows({**limits, **config.limits}),
        log=RequestLog(),
        latency_seconds=config.latency_seconds,
        slow_seconds=config.slow_seconds,
        stopping=threading.Event(),
    )


def _market(config: SandboxConfig, clock: SandboxClock) -> Market:
    if config.data is None:
        market: Market = SimulatedMarket(config.seed, config.tokens)
    else:
        from metapulse_assets.sandbox.recordings import RecordedMarket

        market = RecordedMarket(config.data, config.epoch, clock.now())
    market.catalogue(clock.now())
    return market


def _app(backstage: Backstage) -> Starlette:
    routes = control_routes(backstage)
    for vendor in VENDORS:
        routes += vendor_routes(vendor, backstage)
    app = Starlette(routes=routes)
    app.add_middleware(_marked, kind=backstage.market.kind)
    return app


def _marked(app: ASGIApp, kind: str) -> ASGIApp:
    return MarkedApp(app, kind)


def _uvicorn_config(backstage: Backstage) -> uvicorn.Config:
    config = uvicorn.Config(
        _app(backstage),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(_CutIsMeant())
    return config


def _listen(config: SandboxConfig) -> socket.socket:
    """Return a listening socket; raises OSError with the address if it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"the sandbox cannot listen on {config.host}:{config.port}: {error.strerror}") from error
    return listener


def _url(config: SandboxConfig, port: int) -> str:
    return f"http://{config.host}:{port}"
