"""GeckoTerminal: its routes, its limit and the shape of its answers (JSON:API, figures as decimal strings).

Networks have ids of their own, and EVM addresses are written in lower case. Candles are in ``gecko_candles``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import uuid4

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from metapulse_assets.sandbox.faults import ABSURD_CHANGE, BAD_PRICE, LONG_NAME, UNKNOWN_CHAIN
from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.market import EVM_CHAINS, WINDOW_NAMES, Pool, Snapshot, Token
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Vendor
from metapulse_assets.sandbox.vendors.figures import number, plain, seconds_iso
from metapulse_assets.sandbox.vendors.gecko_candles import QueryError, candle_rows, parse_query, price_in

NAME: Final = "geckoterminal"
# GeckoTerminal's network ids and DexScreener's chain ids.
NETWORKS: Final = {
    "solana": "solana",
    "eth": "ethereum",
    "bsc": "bsc",
    "base": "base",
    "arbitrum": "arbitrum",
    "polygon_pos": "polygon",
}
_NETWORK_OF: Final = {chain: network for network, chain in NETWORKS.items()}
_PAGE_SIZE: Final = 20
_LAST_PAGE: Final = 10
# Several trades of one address count once: the share of distinct traders seen in recorded answers is about this.
_DISTINCT: Final = 0.6
_ERRORS: Final = {400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


def _trending(backstage: Backstage, request: Request) -> Answer | Response:
    t = backstage.clock.now()
    chain = NETWORKS.get(request.path_params["network"])
    page = request.query_params.get("page", "1")
    if chain is None:
        return _refuse(404)
    if not page.isdecimal() or not 1 <= int(page) <= _LAST_PAGE:
        return _error(400, f"page must be from 1 to {_LAST_PAGE}")
    first = (int(page) - 1) * _PAGE_SIZE
    pools = backstage.market.trending(chain, t)[first : first + _PAGE_SIZE]
    return Answer(_render(backstage, pools, t), _listed)


def _pool(backstage: Backstage, request: Request) -> Answer | Response:
    t = backstage.clock.now()
    index = _find(backstage, request, t)
    return _refuse(404) if index is None else Answer(_render(backstage, [index], t), _single)


def _token(backstage: Backstage, request: Request) -> Answer | Response:
    t = backstage.clock.now()
    pools = _pools_of_token(backstage, request, t)
    recorded = backstage.market.catalogue(t).pools[pools[0]].recorded.get(f"{NAME}-token") if pools else None
    if not pools:
        return _refuse(404)
    return Answer([recorded or _token_body(backstage, pools, t)], _single)


def _token_pools(backstage: Backstage, request: Request) -> Answer | Response:
    t = backstage.clock.now()
    pools = _pools_of_token(backstage, request, t)
    return Answer(_render(backstage, pools[:_PAGE_SIZE], t), _listed) if pools else _refuse(404)


def _candles(backstage: Backstage, request: Request) -> Answer | Response:
    t = backstage.clock.now()
    index = _find(backstage, request, t)
    if index is None:
        return _refuse(404)
    pool = backstage.market.catalogue(t).pools[index]
    try:
        query = parse_query(request.path_params["timeframe"], request.query_params, t)
        unit = price_in(pool, query)
    except QueryError as error:
        return _error(400, str(error))
    rows = candle_rows(backstage.market, index, query, unit, t)
    meta = {side: _meta_token(pool.chain, token) for side, token in (("base", pool.base), ("quote", pool.quote))}

    def wrap(items: Sequence[object] | None) -> object:
        attributes = {"ohlcv_list": items}
        data = {"id": str(uuid4()), "type": "ohlcv_request_response", "attributes": attributes}
        return {"data": data, "meta": meta}

    return Answer(rows, wrap)


def _listed(items: Sequence[object] | None) -> object:
    return {"data": items}


def _single(items: Sequence[object] | None) -> object:
    return {"data": items[0] if items else None}


def _find(backstage: Backstage, request: Request, t: float) -> int | None:
    chain = NETWORKS.get(request.path_params["network"])
    return backstage.market.catalogue(t).pair(chain, request.path_params["pool"]) if chain else None


def _pools_of_token(backstage: Backstage, request: Request, t: float) -> list[int]:
    chain = NETWORKS.get(request.path_params["network"])
    pools = backstage.market.catalogue(t).of_token(chain, request.path_params["token"]) if chain else []
    liquidity = np.nan_to_num(backstage.market.snapshot(pools, t).liquidity_usd)
    return [pools[place] for place in np.argsort(-liquidity, kind="stable")]


def _render(backstage: Backstage, pools: Sequence[int], t: float) -> list[object]:
    catalogue = backstage.market.catalogue(t)
    snapshot = backstage.market.snapshot(pools, t)
    return [
        catalogue.pools[index].recorded.get(NAME) or _pool_body(catalogue.pools[index], snapshot, place)
        for place, index in enumerate(pools)
    ]


def _pool_body(pool: Pool, snapshot: Snapshot, place: int) -> dict[str, object]:
    usd, in_quote = float(snapshot.price_usd[place]), float(snapshot.price_quote[place])
    quote_usd, native_usd = float(snapshot.quote_usd[place]), float(snapshot.native_usd[place])
    address = _spelled(pool.chain, pool.address)
    changes, volumes = snapshot.change[place], snapshot.volume[place]
    attributes: dict[str, object] = {
        "base_token_price_usd": _text(usd),
        "base_token_price_native_currency": _text(usd / native_usd),
        "quote_token_price_usd": _text(quote_usd),
        "quote_token_price_native_currency": _text(quote_usd / native_usd),
        "base_token_price_quote_token": _text(in_quote),
        "quote_token_price_base_token": _text(1 / in_quote),
        "address": address,
        "name": f"{pool.base.symbol} / {pool.quote.symbol}",
        "pool_created_at": seconds_iso(pool.created_at) if pool.created_at is not None else None,
        "fdv_usd": _text(float(snapshot.fdv[place])),
        "market_cap_usd": _text(float(snapshot.market_cap[place])) if pool.has_info else None,
        "price_change_percentage": {
            name: str(number(float(change), 3)) if np.isfinite(change) else "0"
            for name, change in zip(WINDOW_NAMES, changes, strict=True)
        },
        "transactions": {
            name: _trades(int(snapshot.buys[place, at]), int(snapshot.sells[place, at])) for at, name in enumerate(WINDOW_NAMES)
        },
        "volume_usd": {name: _volume(float(volume)) for name, volume in zip(WINDOW_NAMES, volumes, strict=True)},
        "reserve_in_usd": _text(float(np.nan_to_num(snapshot.liquidity_usd[place]))),
    }
    return {
        "id": _id(pool.chain, address),
        "type": "pool",
        "attributes": attributes,
        "relationships": {
            "base_token": _reference(_id(pool.chain, _spelled(pool.chain, pool.base.address)), "token"),
            "quote_token": _reference(_id(pool.chain, _spelled(pool.chain, pool.quote.address)), "token"),
            "dex": _reference(_dex(pool), "dex"),
        },
    }


def _token_body(backstage: Backstage, pools: Sequence[int], t: float) -> dict[str, object]:
    catalogue = backstage.market.catalogue(t)
    snapshot = backstage.market.snapshot(pools, t)
    best = catalogue.pools[pools[0]]
    address = _spelled(best.chain, best.base.address)
    price, fdv = float(snapshot.price_usd[0]), float(snapshot.fdv[0])
    supply = fdv / price
    decimals = 18 if best.chain in EVM_CHAINS else 6
    picture = f"https://cdn.sandbox.invalid/coins/{address}.png"
    return {
        "id": _id(best.chain, address),
        "type": "token",
        "attributes": {
            "address": address,
            "name": best.base.name,
            "symbol": best.base.symbol,
            "decimals": decimals,
            "image_url": picture if best.has_info else "missing.png",
            "banner_image_url": picture if best.has_info else None,
            "coingecko_coin_id": None,
            "total_supply": _text(supply * 10**decimals),
            "normalized_total_supply": _text(supply),
            "price_usd": _text(price),
            "fdv_usd": _text(fdv),
            "total_reserve_in_usd": _text(float(np.nansum(snapshot.liquidity_usd))),
            "volume_usd": {"h24": _volume(float(np.nansum(snapshot.volume[:, -1])))},
            "market_cap_usd": _text(float(snapshot.market_cap[0])) if best.has_info else None,
        },
        "relationships": {
            "top_pools": {
                "data": [
                    {"id": _id(best.chain, _spelled(best.chain, catalogue.pools[index].address)), "type": "pool"}
                    for index in pools[:3]
                ]
            }
        },
    }


def _text(value: float) -> str | None:
    return plain(value) if np.isfinite(value) else None


def _volume(value: float) -> str:
    return plain(value) if value > 0 else "0.0"


def _trades(buys: int, sells: int) -> dict[str, int]:
    return {
        "buys": buys,
        "sells": sells,
        "buyers": -int(-buys * _DISTINCT // 1),
        "sellers": -int(-sells * _DISTINCT // 1),
    }


def _spelled(chain: str, address: str) -> str:
    return address.lower() if chain in EVM_CHAINS else address


def _id(chain: str, address: str) -> str:
    return f"{_NETWORK_OF.get(chain, chain)}_{address}"


def _reference(identity: str, kind: str) -> dict[str, object]:
    return {"data": {"id": identity, "type": kind}}


def _dex(pool: Pool) -> str:
    if pool.dex == "pumpfun":
        return "pump-fun"
    if pool.dex in ("uniswap", "pancakeswap"):
        suffix = f"-{pool.chain}" if pool.chain == "base" else ""
        return "_".join([pool.dex, *pool.labels]) + suffix
    return "-".join([pool.dex, *(label.lower() for label in pool.labels if label == "CLMM")])


def _meta_token(chain: str, token: Token) -> dict[str, object]:
    return {
        "address": _spelled(chain, token.address),
        "name": token.name,
        "symbol": token.symbol,
        "coingecko_coin_id": None,
    }


def _refuse(status: int) -> Response:
    if status == 429:
        message = "You've exceeded the Rate Limit. Please wait before sending more requests."
        return json_response({"status": {"error_code": 429, "error_message": message}}, 429)
    return _error(status, _ERRORS[status])


def _error(status: int, title: str) -> Response:
    body = {"errors": [{"status": str(status), "title": title}], "meta": {"ref_id": str(uuid4())}}
    return json_response(body, status)


def spoil(item: object, fault: str) -> bool:
    """Apply one item fault to a candle or to a pool or token; return whether it has what the fault is about."""
    if isinstance(item, list):
        return _spoil_candle(item, fault)
    if not isinstance(item, dict) or not isinstance(item.get("attributes"), dict):
        return False
    attributes = item["attributes"]
    price = "base_token_price_usd" if "base_token_price_usd" in attributes else "price_usd"
    if fault == "bad-price":
        attributes[price] = BAD_PRICE
    elif fault == "missing-price":
        attributes[price] = None
    elif fault == "absurd-change" and "price_change_percentage" in attributes:
        attributes["price_change_percentage"] = {**attributes["price_change_percentage"], "h24": plain(ABSURD_CHANGE)}
    elif fault == "missing-liquidity":
        attributes.pop("reserve_in_usd", None)
        attributes.pop("total_reserve_in_usd", None)
    elif fault == "long-name":
        attributes["name"] = LONG_NAME
    elif fault == "unknown-chain":
        item["id"] = f"{UNKNOWN_CHAIN}_{attributes['address']}"
    elif fault == "negative-volume":
        attributes["volume_usd"] = {name: _negative(volume) for name, volume in attributes["volume_usd"].items()}
    elif fault == "string-numbers" and "transactions" in attributes:
        attributes["transactions"] = _as_texts(attributes["transactions"])
    else:
        return False
    return True


def _spoil_candle(candle: list[object], fault: str) -> bool:
    if fault == "string-numbers":
        candle[:] = [str(value) for value in candle]
    elif fault == "bad-price":
        candle[4] = BAD_PRICE
    elif fault == "missing-price":
        candle[4] = None
    elif fault == "negative-volume":
        candle[5] = -(abs(float(str(candle[5]))) or 1.0)
    else:
        return False
    return True


def _negative(volume: object) -> str:
    return "-" + (str(volume).lstrip("-") if float(str(volume)) else "1.0")


def _as_texts(transactions: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, str]]:
    return {window: {name: str(count) for name, count in counts.items()} for window, counts in transactions.items()}


def _endpoints() -> Iterable[Endpoint]:
    network = "/api/v2/networks/{network}"
    yield Endpoint(f"{network}/trending_pools", NAME, _trending)
    yield Endpoint(f"{network}/pools/{{pool}}", NAME, _pool)
    yield Endpoint(f"{network}/tokens/{{token}}", NAME, _token)
    yield Endpoint(f"{network}/tokens/{{token}}/pools", NAME, _token_pools)
    yield Endpoint(f"{network}/pools/{{pool}}/ohlcv/{{timeframe}}", NAME, _candles)


VENDOR: Final = Vendor(
    name=NAME,
    limits={NAME: 30},
    endpoints=tuple(_endpoints()),
    refuse=_refuse,
    spoil=spoil,
)
