"""What every request to a stand-in passes: limit, fault, latency, log. One gate for all vendors."""

import asyncio
import copy
import inspect
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metapulse_assets.sandbox.request_log import LoggedRequest
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Vendor

FAULT_HEADER: Final = "X-Sandbox-Fault"
MARK_HEADER: Final = "X-MetaPulse-Sandbox"

_PAYLOAD_FAULTS: Final = ("empty", "pairs-null", "duplicate", "out-of-order")
_BODY_FAULTS: Final = ("cut", "cut-json")
_PAUSE_STEP: Final = 0.05
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_BLOCKED_PAGE: Final = """<!DOCTYPE html>
<html lang="en-US"><head><title>Access denied | rate limited</title></head>
<body><h1>Error 1015</h1><h2>You are being rate limited</h2>
<p>The owner of this website has banned you temporarily from accessing this website.</p></body></html>
"""
_HTML_PAGE: Final = """<!DOCTYPE html>
<html lang="en-US"><head><title>Just a moment...</title></head>
<body><h1>Checking your browser before you continue.</h1></body></html>
"""


def vendor_routes(vendor: Vendor, backstage: Backstage) -> list[BaseRoute]:
    """Return the vendor's routes below its prefix; paths it does not know get its own 404, and are logged too."""

    def unknown(backstage: Backstage, request: Request) -> Response:
        return vendor.refuse(404)

    rest = Endpoint("/{rest:path}", vendor.default_limit_class(), unknown, _METHODS)
    routes: list[BaseRoute] = list(vendor.sockets(backstage))
    for endpoint in (*vendor.endpoints, rest):
        routes.append(Route(f"/{vendor.name}{endpoint.path}", _gated(vendor, endpoint, backstage), methods=endpoint.methods))
    return routes


def blocked() -> Response:
    """Return the 429 page of the proxy in front of a vendor: HTML, without Retry-After."""
    return Response(_BLOCKED_PAGE, 429, media_type="text/html")


def json_response(body: object, status: int = 200) -> Response:
    """Return a compact JSON answer. Raises ValueError for NaN and infinity, which are not JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(text.encode(), status, media_type="application/json")


class CutResponse(Response):
    """An answer that promises its whole length and ends in the middle; the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class MarkedApp:
    """Wraps an ASGI app so that every HTTP answer names the kind of market it comes from."""

    def __init__(self, app: ASGIApp, kind: str) -> None:
        self._app = app
        self._mark = (MARK_HEADER.lower().encode(), kind.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self._mark]
            await send(message)

        await self._app(scope, receive, marked if scope["type"] == "http" else send)


def _gated(
    vendor: Vendor, endpoint: Endpoint, backstage: Backstage
) -> Callable[[Request], Coroutine[object, object, Response]]:
    async def handle(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        entry = LoggedRequest(time.time(), vendor.name, endpoint.limit_class, request.method, request.url.path + query)
        backstage.log.add(entry)
        if not backstage.limits.admit(endpoint.limit_class):
            response = vendor.refuse(429)
        else:
            fault = backstage.faults.draw_request()
            entry.fault = fault
            await _pause(backstage, backstage.latency_seconds + (backstage.slow_seconds if fault == "slow" else 0.0))
            response = await _answer(vendor, endpoint, backstage, request, entry)
        if entry.fault:
            response.headers[FAULT_HEADER] = entry.fault
        entry.status = response.status_code
        return response

    return handle


async def _answer(vendor: Vendor, endpoint: Endpoint, backstage: Backstage, request: Request, entry: LoggedRequest) -> Response:
    fault = entry.fault
    if fault == "rate-limit":
        return blocked()
    if fault == "rate-limit-retry-after":
        response = vendor.refuse(429)
        response.headers["Retry-After"] = "1"
        return response
    if fault == "server-error":
        return vendor.refuse(500)
    if fault == "html":
        return Response(_HTML_PAGE, 200, media_type="text/html")
    answer = endpoint.handler(backstage, request)
    if inspect.isawaitable(answer):
        answer = await answer
    if isinstance(answer, Response):
        response = answer
        # A ready-made answer has no items, and a stream no body: these faults pass them by.
        if fault in _PAYLOAD_FAULTS or (isinstance(answer, StreamingResponse) and fault in _BODY_FAULTS):
            entry.fault = None
            return response
    else:
        response = json_response(_body(vendor, backstage, answer, entry))
        response.headers.update(answer.headers)
    if fault == "cut-json":
        half = bytes(response.body)[: len(response.body) // 2]
        return Response(half, response.status_code, media_type=response.headers["content-type"])
    if fault == "cut":
        return CutResponse(response.body, response.status_code, dict(response.headers.items()))
    return response


def _body(vendor: Vendor, backstage: Backstage, answer: Answer, entry: LoggedRequest) -> object:
    """Return the JSON body with the faults of the payload applied; names those of items in the log entry."""
    if entry.fault == "empty":
        return answer.wrap([])
    if entry.fault == "pairs-null":
        return answer.wrap(None)
    items = list(answer.items)
    if entry.fault == "duplicate":
        items = [item for item in items for _ in range(2)]
    if entry.fault == "out-of-order":
        items = backstage.faults.shuffled(items)
    if backstage.faults.any_item_fault():
        items, applied = _spoiled(vendor, backstage, items)
        entry.fault = ",".join([entry.fault, *applied] if entry.fault else applied) or None
    return answer.wrap(None if answer.null_if_none and not items else items)


def _spoiled(vendor: Vendor, backstage: Backstage, items: Sequence[object]) -> tuple[list[object], list[str]]:
    result: list[object] = []
    applied: dict[str, None] = {}
    for item in items:
        names = backstage.faults.draw_item()
        # The items of a recording are shared by all answers: only a copy may be spoiled.
        spoiled = copy.deepcopy(item) if names else item
        for name in names:
            if vendor.spoil(spoiled, name):
                applied[name] = None
        result.append(spoiled)
    return result, list(applied)


async def _pause(backstage: Backstage, seconds: float) -> None:
    """Wait, but not longer than until the server is asked to stop."""
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0 and not backstage.stopping.is_set():
        await asyncio.sleep(min(rest, _PAUSE_STEP))
