"""Pages of the tokens."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from metapulse_assets.service.access.callers import require
from metapulse_assets.service.answer_cache import respond
from metapulse_assets.service.filters import Text, as_cursor, read_cursor, wrong_cursor
from metapulse_assets.service.pages import ALWAYS, cache_of, database_of, platform_of, shown
from metapulse_assets.service.problems import Problem, documented, wrong_fields
from metapulse_assets.service.routes.signals import NOT_CHANGED, SIGNAL_EXAMPLE
from metapulse_assets.service.routes.stored_tokens import TokenQuestion, read_token, read_tokens
from metapulse_assets.vendors.chains import canonical_address

MOST_TOKENS = 500
LARGEST_NUMBER = 2**31 - 1
IDENTITY_EXAMPLE: dict[str, Any] = {name: SIGNAL_EXAMPLE[name] for name in ("chain", "token", "symbol", "name")}
_SEEN = "2026-01-31T12:00:00+00:00"
TOKEN_EXAMPLE: dict[str, Any] = {
    **IDENTITY_EXAMPLE,
    "price_usd": 150.25,
    "volume_h24_usd": 1e9,
    "liquidity_usd": 5e7,
    **dict.fromkeys(("market_cap_usd", "fdv_usd", "price_change_h24_pct", "failing_since", "risk_reason")),
    "observed_at": _SEEN,
    "risk": "low",
    "active": True,
    "sources": ["boosts"],
    "reason": "24 h volume 5,000 USD",
    "tracked_since": _SEEN,
    "last_listed_at": _SEEN,
    "mode": "live",
}
FULL_EXAMPLE: dict[str, Any] = {
    "mode": "live",
    **IDENTITY_EXAMPLE,
    **dict.fromkeys(("tracking", "metrics", "social", "risk")),
    "analyses": {},
    "ai_analyses": {},
    "signals": [SIGNAL_EXAMPLE],
}

router = APIRouter(tags=["tokens"])


@router.get(
    "/tokens",
    dependencies=[Depends(require("signals:read"))],
    responses={
        **ALWAYS,
        **documented(400, 422),
        **NOT_CHANGED,
        200: shown("A page of tokens", {"mode": "live", "tokens": [TOKEN_EXAMPLE], "next": None}),
    },
)
async def list_tokens(
    request: Request,
    chain: Annotated[Text | None, Query(description="as DexScreener names it: solana, ethereum, base, …")] = None,
    symbol: Annotated[Text | None, Query(description="ticker, in upper or lower case; names nobody by itself")] = None,
    status: Annotated[Literal["active", "all"], Query(description="active: those that are tracked now")] = "active",
    limit: Annotated[int, Query(ge=1, le=MOST_TOKENS, description="at most so many on a page")] = 100,
    cursor: Annotated[Text | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Tracked tokens with their newest figures (USD) and risk, in the order they were first seen."""
    after = _place_of(cursor) if cursor is not None else 0
    platform = platform_of(request)

    async def make() -> dict[str, Any]:
        question = TokenQuestion(chain, symbol, status == "active", after, limit)
        page, following = await database_of(request).read(read_tokens, question, platform.now())
        mode = platform.settings.mode.value
        following_cursor = None if following is None else as_cursor([following])
        return {"mode": mode, "tokens": [{**token, "mode": mode} for token in page], "next": following_cursor}

    key = ("tokens", chain, symbol, status, limit, after)
    return respond(request, await cache_of(request).get(key, make))


@router.get(
    "/tokens/{token}",
    dependencies=[Depends(require("signals:read"))],
    responses={**ALWAYS, **documented(400, 404, 422), **NOT_CHANGED, 200: shown("The token", FULL_EXAMPLE)},
)
async def show_token(
    request: Request,
    token: Annotated[Text, Path(description="chain:address", examples=["solana:So11111111111111111111111111111111111111112"])],
) -> Response:
    """A token: newest metrics, indicators by timeframe, the models' views, talk, risk, and its open signals.

    What is older than three days is not shown: null, or left out.
    """
    chain, colon, given = token.partition(":")
    if not chain or not colon or not given:
        raise wrong_fields(400, [("path.token", "is not of the form chain:address")])
    address = canonical_address(chain, given)
    platform = platform_of(request)

    async def make() -> dict[str, Any]:
        found = await database_of(request).read(read_token, chain, address, platform.now())
        if found is None:
            raise Problem(404, None, "No token of this chain and address was ever seen.")
        return {"mode": platform.settings.mode.value, **found}

    return respond(request, await cache_of(request).get(("token", chain, address), make))


def _place_of(cursor: str) -> int:
    (number,) = read_cursor(cursor, (int,))
    if not 0 <= number <= LARGEST_NUMBER:
        raise wrong_cursor()
    return int(number)
