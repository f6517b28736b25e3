"""The sandbox's own routes, for people and tests: health, request log, fault switches, market."""

import json
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from metapulse_assets.sandbox.faults import ITEM_FAULTS, REQUEST_FAULTS
from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.standin import Backstage
from metapulse_assets.sandbox.vendors import VENDORS


def control_routes(backstage: Backstage) -> list[BaseRoute]:
    """Return the routes below ``/sandbox``; they are neither limited nor logged nor subject to faults."""

    async def health(request: Request) -> Response:
        return json_response(
            {
                "status": "ok",
                "market": backstage.market.kind,
                "time": _iso(backstage.clock.now()),
                "speed": backstage.clock.speed,
                "vendors": {vendor.name: f"{request.base_url}{vendor.name}" for vendor in VENDORS},
                "limits": backstage.limits.per_minute,
            }
        )

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            backstage.log.clear()
        return json_response(backstage.log.as_json())

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                rates = json.loads(await request.body())
                if not isinstance(rates, dict):
                    raise ValueError("faults: the body is not a JSON object of name: rate")
                backstage.faults.set(rates)
            except ValueError as error:
                known = {**REQUEST_FAULTS, **ITEM_FAULTS}
                return json_response({"error": str(error), "known": known}, 400)
        return json_response(backstage.faults.rates)

    async def market(request: Request) -> Response:
        t = backstage.clock.now()
        return json_response({"kind": backstage.market.kind, "time": _iso(t), **backstage.market.summary(t)})

    return [
        Route("/sandbox/health", health),
        Route("/sandbox/requests", requests, methods=["GET", "DELETE"]),
        Route("/sandbox/faults", faults, methods=["GET", "PUT"]),
        Route("/sandbox/market", market),
    ]


def _iso(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
