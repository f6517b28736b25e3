"""Pages of the signals."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from metapulse_assets.service.access.callers import require
from metapulse_assets.service.answer_cache import respond
from metapulse_assets.service.filters import Text
from metapulse_assets.service.pages import ALWAYS, cache_of, database_of, platform_of, shown
from metapulse_assets.service.problems import documented
from metapulse_assets.service.routes.stored_signals import Place, SignalQuestion, read_signals

MOST_SIGNALS = 500
SIGNAL_EXAMPLE: dict[str, Any] = {
    "chain": "solana",
    "token": "So11111111111111111111111111111111111111112",
    "symbol": "SOL",
    "name": "Wrapped SOL",
    "signal_id": "9c1c9f8d1f0e4f5aa1c2",
    "kind": "technical",
    "rule": "rsi_oversold",
    "timeframe": "5m",
    "direction": "buy",
    "strength": 0.5,
    "confidence": 0.25,
    "risk": "low",
    "price_usd": 150.25,
    "target_usd": None,
    "stop_usd": None,
    "horizon_seconds": 3600,
    "reasons": [{"text": "RSI is 20.", "inputs": {"rsi_14": 20.0}}],
    "observed_at": "2026-01-31T12:00:00+00:00",
    "emitted_at": "2026-01-31T12:00:03+00:00",
    "expires_at": "2026-02-01T12:00:03+00:00",
    "recorded_at": "2026-01-31T12:00:04+00:00",
    "origin": "live",
    "run_id": "6f2d",
    "mode": "live",
    "calibrated_confidence": None,
    "calibration": "uncalibrated",
}
Kind = Literal["technical", "social", "ai", "combined"]
Side = Literal["buy", "sell"]
NOT_CHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "As it was when it had the ETag of If-None-Match"}}

router = APIRouter(tags=["signals"])


@router.get(
    "/signals",
    dependencies=[Depends(require("signals:read"))],
    responses={
        **ALWAYS,
        **documented(400, 422),
        **NOT_CHANGED,
        200: shown("A page of signals", {"mode": "live", "signals": [SIGNAL_EXAMPLE], "next": None}),
    },
)
async def list_signals(
    request: Request,
    chain: Annotated[Text | None, Query(description="as DexScreener names it: solana, ethereum, base, …")] = None,
    token: Annotated[Text | None, Query(description="address of the token")] = None,
    kind: Annotated[Kind | None, Query(description="what it rests on")] = None,
    side: Annotated[Side | None, Query(description="which way it points")] = None,
    min_strength: Annotated[float | None, Query(ge=0, le=1, description="at least so strong", allow_inf_nan=False)] = None,
    status: Annotated[Literal["open", "all"], Query(description="open: those that have not expired")] = "open",
    limit: Annotated[int, Query(ge=1, le=MOST_SIGNALS, description="at most so many on a page")] = 100,
    cursor: Annotated[Text | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Signals, newest first. The fields are those of `metapulse signals --json`; `mode` says whether the market was real.

    An answer may be a moment old (METAPULSE_SERVICE_CACHE_SECONDS).
    """
    after = Place.read(cursor) if cursor is not None else None
    platform = platform_of(request)

    async def make() -> dict[str, Any]:
        open_at = platform.now() if status == "open" else None
        question = SignalQuestion(chain, token, kind, side, min_strength, open_at, after, limit)
        page, following = await database_of(request).read(read_signals, question)
        return {"mode": platform.settings.mode.value, "signals": page, "next": following}

    key = ("signals", chain, token, kind, side, min_strength, status, limit, cursor)
    return respond(request, await cache_of(request).get(key, make))
