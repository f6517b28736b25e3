"""The gate takes any vendor: other methods, other bodies, asynchronous handlers, routes of its own."""

import threading

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from metapulse_assets.sandbox.clock import SandboxClock
from metapulse_assets.sandbox.faults import FaultSwitches
from metapulse_assets.sandbox.gate import json_response, vendor_routes
from metapulse_assets.sandbox.limits import SlidingWindows
from metapulse_assets.sandbox.request_log import RequestLog
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Vendor


async def echo(backstage: Backstage, request: Request) -> Answer:
    body = await request.json()
    return Answer(body["items"], lambda items: {"items": items, "kind": backstage.market.kind})


def plain(backstage: Backstage, request: Request) -> Response:
    return PlainTextResponse("plain")


def streamed(backstage: Backstage, request: Request) -> Response:
    return StreamingResponse(iter(["one ", "two"]), media_type="text/plain")


def refuse(status: int) -> Response:
    return json_response({"error": status}, status)


def spoil(item: object, fault: str) -> bool:
    return False


def sockets(backstage: Backstage) -> list[BaseRoute]:
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json({"pools": len(backstage.market.catalogue(backstage.clock.now()).pools)})
        await socket.close()

    return [WebSocketRoute("/other/stream", stream)]


OTHER = Vendor(
    name="other",
    limits={"other": 100},
    endpoints=(
        Endpoint("/echo", "other", echo, ("POST",)),
        Endpoint("/plain", "other", plain),
        Endpoint("/stream-of-text", "other", streamed),
    ),
    refuse=refuse,
    spoil=spoil,
    sockets=sockets,
)


@pytest.fixture
def backstage() -> Backstage:
    return Backstage(
        market=SimulatedMarket(1, 3),
        clock=SandboxClock(),
        faults=FaultSwitches(1, {}),
        limits=SlidingWindows(OTHER.limits),
        log=RequestLog(),
        latency_seconds=0.0,
        slow_seconds=0.0,
        stopping=threading.Event(),
    )


@pytest.fixture
def client(backstage: Backstage) -> TestClient:
    return TestClient(Starlette(routes=vendor_routes(OTHER, backstage)))


def test_an_asynchronous_handler_reads_the_body(client: TestClient, backstage: Backstage) -> None:
    assert client.post("/other/echo", json={"items": [1, 2]}).json() == {"items": [1, 2], "kind": "simulation"}
    backstage.faults.set({"duplicate": 1.0})
    assert client.post("/other/echo", json={"items": [1, 2]}).json()["items"] == [1, 1, 2, 2]
    assert [(entry["method"], entry["fault"]) for entry in backstage.log.as_json()] == [
        ("POST", None),
        ("POST", "duplicate"),
    ]


def test_a_handler_may_answer_anything(client: TestClient, backstage: Backstage) -> None:
    assert client.get("/other/plain").text == "plain"
    backstage.faults.set({"cut-json": 1.0})
    assert client.get("/other/plain").text == "pl"
    backstage.faults.set({"pairs-null": 1.0})
    answer = client.get("/other/plain")
    assert answer.text == "plain"
    assert "x-sandbox-fault" not in answer.headers


@pytest.mark.parametrize("fault", ["cut", "cut-json", "empty"])
def test_a_stream_is_left_whole(client: TestClient, backstage: Backstage, fault: str) -> None:
    backstage.faults.set({fault: 1.0})
    assert client.get("/other/stream-of-text").text == "one two"
    assert backstage.log.as_json()[0]["fault"] is None


def test_unknown_paths_and_methods_get_the_vendors_404(client: TestClient) -> None:
    assert client.get("/other/nothing").json() == {"error": 404}
    assert client.get("/other/echo").json() == {"error": 404}


def test_a_vendor_may_have_sockets(client: TestClient) -> None:
    with client.websocket_connect("/other/stream") as socket:
        assert socket.receive_json()["pools"] >= 3


def test_what_is_not_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_response({"price": float("nan")})
