"""tweepy's way to the network: its requests go through the one policy for calls, and what comes back is given to it.

tweepy has its host written into it and sends with `requests`; here an adapter of `requests` takes the place of the connection.
What the questions and the answers mean is `x`'s business.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from http.client import responses as phrases
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import tweepy

from metapulse_assets.platform.rate_limit import Gate
from metapulse_assets.platform.vendor_client import Exchange, VendorClient

# The host that tweepy asks, and the one that X's documentation names now.
TWEEPY_HOSTS = ("https://api.twitter.com", "https://api.x.com")


class ExchangeResponse(requests.Response):
    """An answer as `requests` has it, with the exchange that it was made of."""

    exchange: Exchange


class PolicyAdapter(requests.adapters.BaseAdapter):
    """Sends what `requests` prepared through a `VendorClient` that lives in an event loop of another thread."""

    def __init__(self, client: VendorClient, loop: asyncio.AbstractEventLoop, gate_of: Callable[[str], Gate]) -> None:
        """`gate_of` says for a path which limit counts it."""
        super().__init__()
        self._client, self._loop, self._gate_of = client, loop, gate_of

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send, and wait for the answer; the policy's own time limit holds. Raises as `VendorClient.exchange` does."""
        parts = urlsplit(request.url or "")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        # Only reads are made: a body would be one of tweepy's posting calls.
        sending = self._client.exchange(request.method or "GET", path, self._gate_of(parts.path))
        exchange = asyncio.run_coroutine_threadsafe(sending, self._loop).result()
        return _response(exchange, request)

    def close(self) -> None:
        """Nothing: the client is closed by whoever opened it."""


def tweepy_client(client: VendorClient, token: str, gate_of: Callable[[str], Gate]) -> Any:
    """A `tweepy.Client` that returns answers unread and neither waits nor tries again. Needs a running event loop."""
    # At level debug tweepy logs the request's headers, and the token is one of them.
    logging.getLogger("tweepy.client").setLevel(logging.INFO)
    made = tweepy.Client(bearer_token=token, return_type=requests.Response, wait_on_rate_limit=False)
    made.session.trust_env = False
    adapter = PolicyAdapter(client, asyncio.get_running_loop(), gate_of)
    for host in TWEEPY_HOSTS:
        made.session.mount(host, adapter)
    return made


def _response(exchange: Exchange, request: requests.PreparedRequest) -> ExchangeResponse:
    response = ExchangeResponse()
    response.exchange = exchange
    response.status_code = exchange.status
    response.reason = phrases.get(exchange.status, "")
    # tweepy trips over errors that are not of the shape it expects: it gets the status, and we read what came with it.
    response._content = exchange.payload.body if exchange.status < 300 else b""
    if exchange.status < 300:
        response.headers["content-type"] = exchange.headers.get("content-type", "")
    response.encoding = "utf-8"
    response.url = exchange.payload.url
    response.request = request
    return response
