"""What a vendor's stand-in is made of, and what all of them share backstage.

A vendor is one module in ``vendors`` that defines a ``Vendor``, and one line in ``vendors/__init__.py``. It gives its
routes and shapes; limits, faults, latency, logging and serialisation are done for it by ``gate``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from metapulse_assets.sandbox.clock import SandboxClock
from metapulse_assets.sandbox.faults import FaultSwitches
from metapulse_assets.sandbox.limits import SlidingWindows
from metapulse_assets.sandbox.market import Market
from metapulse_assets.sandbox.request_log import RequestLog


@dataclass(frozen=True, slots=True)
class Backstage:
    """What every stand-in may use. ``stopping`` is set when the server is asked to stop."""

    market: Market
    clock: SandboxClock
    faults: FaultSwitches
    limits: SlidingWindows
    log: RequestLog
    latency_seconds: float
    slow_seconds: float
    stopping: Event


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer as a list of items and how the vendor wraps them, so that faults can act on the items.

    ``wrap`` is given the items, or None where null takes the place of the list: that is how some endpoints say that
    nothing was found (``null_if_none``).
    """

    items: Sequence[object]
    wrap: Callable[[Sequence[object] | None], object]
    null_if_none: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Backstage, Request], Answer | Response | Awaitable[Answer | Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route below the vendor's prefix, in Starlette's path syntax, and the limit class that counts it."""

    path: str
    limit_class: str
    handler: Handler
    methods: tuple[str, ...] = ("GET",)


@dataclass(frozen=True, slots=True)
class Vendor:
    """A stand-in. ``name`` is its URL prefix and its name in the request log.

    ``limits`` maps limit classes (names are shared by all vendors) to requests per minute. ``refuse`` makes the
    vendor's own body for 404, 429 and 500. ``spoil`` applies one of ``ITEM_FAULTS`` to an item (a private copy) and
    returns whether that item has what the fault is about. ``sockets`` makes routes that the gate does not handle, such
    as WebSockets; paths below the prefix.
    """

    name: str
    limits: Mapping[str, int]
    endpoints: Sequence[Endpoint]
    refuse: Callable[[int], Response]
    spoil: Callable[[object, str], bool]
    sockets: Callable[[Backstage], Sequence[BaseRoute]] = field(default=lambda backstage: ())

    def default_limit_class(self) -> str:
        """Return the limit class of paths the vendor does not know."""
        return next(iter(self.limits))
