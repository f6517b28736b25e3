"""Lets a vendor's own SDK send through our client: its HTTP library's transport is replaced, nothing else of it.

So an SDK's calls keep the shared rate limit, the timeout, the retries and the breaker, and their bytes are kept. The SDKs get
no key: it is in our client's headers, and an SDK can tell nobody what it does not know.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import httpx2

from metapulse_assets.platform.rate_limit import Gate
from metapulse_assets.platform.vendor_client import Exchange, VendorClient

if TYPE_CHECKING:
    import httpx

NO_HOST = "http://sdk.invalid"
"""Base URL given to an SDK: the transport keeps only the path, so this name is never looked up."""
NO_KEY = "kept-out-of-the-sdk"

# The body is decoded already, and its length is another then; the connection is ours.
_DROPPED = {"content-encoding", "content-length", "transfer-encoding", "connection"}

_exchanges: ContextVar[list[Exchange] | None] = ContextVar("exchanges", default=None)


@contextmanager
def noted_exchanges() -> Iterator[list[Exchange]]:
    """What the transports exchange within the block, for this task only."""
    noted: list[Exchange] = []
    token = _exchanges.set(noted)
    try:
        yield noted
    finally:
        _exchanges.reset(token)


async def _send(client: VendorClient, gate: Gate, method: str, path: str, content: bytes) -> tuple[Exchange, dict[str, str]]:
    exchange = await client.exchange(method, path, gate, content or None, {"Content-Type": "application/json"})
    noted = _exchanges.get()
    if noted is not None:
        noted.append(exchange)
    return exchange, _headers(exchange.headers)


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in _DROPPED}


def httpx_client(client: VendorClient, gate: Gate, dropped_prefix: str = "") -> "httpx.AsyncClient":
    """An httpx client for an SDK that takes one. `dropped_prefix` is taken from the beginning of the SDK's paths."""
    import httpx

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            path = request.url.raw_path.decode("ascii").removeprefix(dropped_prefix)
            exchange, headers = await _send(client, gate, request.method, path, await request.aread())
            return httpx.Response(exchange.status, headers=headers, content=exchange.payload.body)

    return httpx.AsyncClient(transport=Transport(), base_url=NO_HOST)


class _Httpx2Transport(httpx2.AsyncBaseTransport):
    def __init__(self, client: VendorClient, gate: Gate) -> None:
        self._client, self._gate = client, gate

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode("ascii")
        exchange, headers = await _send(self._client, self._gate, request.method, path, await request.aread())
        return httpx2.Response(exchange.status, headers=headers, content=exchange.payload.body)


def httpx2_client(client: VendorClient, gate: Gate) -> httpx2.AsyncClient:
    """An httpx2 client for an SDK that takes one."""
    return httpx2.AsyncClient(transport=_Httpx2Transport(client, gate), base_url=NO_HOST)


def no_httpx2_client() -> httpx2.Client:
    """A client that sends nothing, for an SDK that would else make a second one of its own."""

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("this client sends nothing", request=request)

    return httpx2.Client(transport=httpx2.MockTransport(refuse), base_url=NO_HOST)
