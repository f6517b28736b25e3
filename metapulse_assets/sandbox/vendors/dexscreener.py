"""DexScreener: its routes, its two limit classes and the shape of its answers.

Shapes follow recorded answers: a price change that is zero or has no trade is absent, as is the liquidity of a bonding
curve; whole numbers are integers; prices are strings with four significant digits.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from metapulse_assets.sandbox.faults import ABSURD_CHANGE, BAD_PRICE, LONG_NAME, UNKNOWN_CHAIN
from metapulse_assets.sandbox.gate import blocked
from metapulse_assets.sandbox.market import WINDOW_NAMES, Pool, Promotion, Snapshot, Token
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Vendor
from metapulse_assets.sandbox.vendors.figures import milliseconds_iso, number, short_price

NAME: Final = "dexscreener"
_PAIRS: Final = "dexscreener"
_PROFILES: Final = "dexscreener-profiles"
_SCHEMA: Final = "1.0.0"
_MOST: Final = 30
_WINDOWS: Final = ("m5", "h1", "h6", "h24")
_COLUMNS: Final = {name: WINDOW_NAMES.index(name) for name in _WINDOWS}
_PICTURES: Final = "https://cdn.sandbox.invalid"
_WHOLE_FROM: Final = 10_000


class _View:
    """The market at the moment of one request; figures are computed once per pool that the request is about."""

    def __init__(self, backstage: Backstage) -> None:
        self.t = backstage.clock.now()
        self._market = backstage.market
        self.catalogue = self._market.catalogue(self.t)
        self._places: dict[int, int] = {}
        self._snapshot: Snapshot

    def ranked(self, pools: Iterable[int]) -> list[int]:
        """Return the pools without repetition, by liquidity and then by the volume of a day."""
        self._places = {index: place for place, index in enumerate(dict.fromkeys(pools))}
        self._snapshot = self._market.snapshot(list(self._places), self.t)
        liquidity = np.nan_to_num(self._snapshot.liquidity_usd)
        volume = np.nan_to_num(self._snapshot.volume[:, -1])
        order = np.lexsort((-volume, -liquidity))
        indices = list(self._places)
        return [indices[place] for place in order]

    def rendered(self, pools: Iterable[int]) -> list[object]:
        """Return the pairs of pools that were ranked; recorded ones as they were recorded."""
        boosts = {(item.chain, item.token.address): item.total for item in reversed(self._market.boosts(self.t))}
        result: list[object] = []
        for index in pools:
            pool = self.catalogue.pools[index]
            boost = boosts.get((pool.chain, pool.base.address), 0)
            recorded = pool.recorded.get(NAME)
            result.append(recorded or _pair(pool, self._snapshot, self._places[index], self.t, boost))
        return result


def _tokens(backstage: Backstage, request: Request) -> Answer:
    """Answer ``/tokens/v1``: the most liquid pair of each token, not in the order asked for."""
    view = _View(backstage)
    chain = request.path_params["chain"]
    ranked = view.ranked(
        index for address in _split(request.path_params["addresses"]) for index in view.catalogue.of_token(chain, address)
    )
    best: dict[str, int] = {}
    for index in ranked:
        best.setdefault(view.catalogue.pools[index].base.address, index)
    return Answer(view.rendered(best.values()), _bare)


def _token_pairs(backstage: Backstage, request: Request) -> Answer:
    view = _View(backstage)
    pools = view.catalogue.of_token(request.path_params["chain"], request.path_params["address"])
    return Answer(view.rendered(view.ranked(pools)[:_MOST]), _bare)


def _legacy_tokens(backstage: Backstage, request: Request) -> Answer:
    view = _View(backstage)
    addresses = _split(request.path_params["addresses"])
    chains = view.catalogue.chains()
    ranked = view.ranked(
        index for address in addresses for chain in chains for index in view.catalogue.of_token(chain, address)
    )
    return Answer(view.rendered(ranked[:_MOST]), _in_schema, null_if_none=True)


def _pairs(backstage: Backstage, request: Request) -> Answer:
    view = _View(backstage)
    chain = request.path_params["chain"]
    found = (view.catalogue.pair(chain, address) for address in _split(request.path_params["pairs"]))
    ranked = view.ranked(index for index in found if index is not None)
    return Answer(view.rendered(ranked), _in_schema_with_pair, null_if_none=True)


def _search(backstage: Backstage, request: Request) -> Answer:
    """Answer a search: pairs of other tokens with the same symbol come before the best-known one's."""
    view = _View(backstage)
    wanted = request.query_params.get("q", "").strip().lower()
    pools = view.catalogue.pools
    ranked = view.ranked(index for index, pool in enumerate(pools) if wanted and _matches(pool, wanted))
    if ranked:
        best = pools[ranked[0]].base.address
        ranked.sort(key=lambda index: pools[index].base.address == best)
    return Answer(view.rendered(ranked[:_MOST]), _in_schema, null_if_none=True)


def _profiles(backstage: Backstage, request: Request) -> Answer:
    items = backstage.market.profiles(backstage.clock.now())
    return Answer([_profile(item) for item in items[:_MOST]], _bare)


def _boosts(backstage: Backstage, request: Request) -> Answer:
    items = backstage.market.boosts(backstage.clock.now())
    return Answer([_boost(item, with_amount=True) for item in items[:_MOST]], _bare)


def _top_boosts(backstage: Backstage, request: Request) -> Answer:
    boosts = {(item.chain, item.token.address): item for item in backstage.market.boosts(backstage.clock.now())}
    items = sorted(boosts.values(), key=lambda item: -item.total)
    return Answer([_boost(item, with_amount=False) for item in items[:_MOST]], _bare)


def _bare(items: Sequence[object] | None) -> object:
    return items


def _in_schema(items: Sequence[object] | None) -> object:
    return {"schemaVersion": _SCHEMA, "pairs": items}


def _in_schema_with_pair(items: Sequence[object] | None) -> object:
    return {"schemaVersion": _SCHEMA, "pairs": items, "pair": items[0] if items and len(items) == 1 else None}


def _split(addresses: str) -> list[str]:
    return [address.strip() for address in addresses.split(",")][:_MOST]


def _matches(pool: Pool, wanted: str) -> bool:
    names = (pool.base.symbol.lower(), pool.base.name.lower())
    return wanted in names or any(wanted in name.split() for name in names) or wanted == pool.base.address.lower()


def _pair(pool: Pool, snapshot: Snapshot, place: int, t: float, boost: int) -> dict[str, object]:
    pair: dict[str, object] = {
        "chainId": pool.chain,
        "dexId": pool.dex,
        "url": f"https://dexscreener.com/{pool.chain}/{pool.address.lower()}",
        "pairAddress": pool.address,
    }
    if pool.labels:
        pair["labels"] = list(pool.labels)
    pair["baseToken"] = _token(pool.base)
    pair["quoteToken"] = _token(pool.quote)
    price, in_quote = float(snapshot.price_usd[place]), float(snapshot.price_quote[place])
    pair["priceNative"] = short_price(in_quote)
    if np.isfinite(price):
        pair["priceUsd"] = short_price(price)
    buys, sells, volume = snapshot.buys[place], snapshot.sells[place], snapshot.volume[place]
    pair["txns"] = {name: {"buys": int(buys[at]), "sells": int(sells[at])} for name, at in _COLUMNS.items()}
    pair["volume"] = {
        name: number(float(volume[_COLUMNS[name]])) for name in reversed(_WINDOWS) if np.isfinite(volume[_COLUMNS[name]])
    }
    changes = {name: _percent(float(snapshot.change[place, at])) for name, at in _COLUMNS.items()}
    pair["priceChange"] = {name: change for name, change in changes.items() if change}
    liquidity = float(snapshot.liquidity_usd[place])
    if np.isfinite(liquidity) and np.isfinite(price):
        half = liquidity / 2
        quote_usd = float(snapshot.quote_usd[place])
        pair["liquidity"] = {
            "usd": number(liquidity),
            "base": _amount(half / price),
            "quote": _amount(half / quote_usd),
        }
    # A recorded pool may show one of the two and not the other.
    for name, figures in (("fdv", snapshot.fdv), ("marketCap", snapshot.market_cap)):
        if pool.has_market_cap and np.isfinite(figures[place]):
            pair[name] = _whole(float(figures[place]))
    if pool.created_at is not None:
        pair["pairCreatedAt"] = int(pool.created_at) * 1000
    if pool.has_info:
        pair["info"] = _info(pool, t)
    if boost:
        pair["boosts"] = {"active": boost}
    return pair


def _token(token: Token) -> dict[str, object]:
    return {"address": token.address, "name": token.name, "symbol": token.symbol}


def _percent(change: float) -> int | float:
    """Return a change as DexScreener writes it; 0 stands for a bucket that is left out."""
    return number(change) if np.isfinite(change) else 0


def _amount(value: float) -> int | float:
    return round(value) if value >= _WHOLE_FROM else number(value, 4)


def _whole(value: float) -> int | float:
    return round(value) if value >= 1 else number(value, 4)


def _info(pool: Pool, t: float) -> dict[str, object]:
    return {
        "imageUrl": f"{_PICTURES}/cms/images/{pool.base.address}?width=800&height=800&quality=95&format=auto",
        "header": f"{_PICTURES}/cms/images/{pool.base.address}-header?width=1500&height=500&quality=95&format=auto",
        "openGraph": _open_graph(pool.chain, pool.base.address, t),
        "websites": [{"url": f"https://{_handle(pool.base)}.invalid", "label": "Website"}],
        "socials": [{"url": f"https://x.com/{_handle(pool.base)}_sandbox", "type": "twitter"}],
    }


def _open_graph(chain: str, address: str, t: float) -> str:
    return f"{_PICTURES}/token-images/og/{chain}/{address}?timestamp={int(t // 300) * 300_000}"


def _profile(item: Promotion) -> Mapping[str, object]:
    if item.recorded is not None:
        return item.recorded
    handle = _handle(item.token)
    profile = _promoted(item)
    profile["icon"] = f"{_PICTURES}/cms/images/{handle}?width=64&height=64&fit=crop&quality=95&format=auto"
    if item.token.name:
        profile["description"] = _description(item.token)
        profile["links"] = [
            {"label": "Website", "url": f"https://{handle}.invalid"},
            {"type": "twitter", "url": f"https://x.com/{handle}_sandbox"},
        ]
    profile["cto"] = False
    profile["updatedAt"] = milliseconds_iso(item.at)
    return profile


def _boost(item: Promotion, *, with_amount: bool) -> Mapping[str, object]:
    """Return a boost: unlike a profile it has a bare id as its icon, links without labels, and no time."""
    if item.recorded is not None:
        return item.recorded
    handle = _handle(item.token)
    boost = _promoted(item)
    boost["icon"] = handle
    if item.token.name:
        boost["description"] = _description(item.token)
        boost["links"] = [
            {"url": f"https://{handle}.invalid"},
            {"type": "twitter", "url": f"https://x.com/{handle}_sandbox"},
        ]
    boost["totalAmount"] = item.total
    if with_amount:
        boost["amount"] = item.amount
    return boost


def _promoted(item: Promotion) -> dict[str, object]:
    address = item.token.address
    return {
        "url": f"https://dexscreener.com/{item.chain}/{address.lower()}",
        "chainId": item.chain,
        "tokenAddress": address,
        "icon": "",
        "header": f"{_PICTURES}/cms/images/{_handle(item.token)}-header?width=600&height=200&fit=crop&quality=95&format=auto",
        "openGraph": _open_graph(item.chain, address, item.at),
    }


def _handle(token: Token) -> str:
    return token.address[:12].lower()


def _description(token: Token) -> str:
    return f"{token.name}: a token of the sandbox."


def _refuse(status: int) -> Response:
    if status == 429:
        return blocked()
    return PlainTextResponse({404: "Not Found", 500: "Internal Server Error"}[status], status)


def spoil(item: object, fault: str) -> bool:
    """Apply one item fault to a pair, a profile or a boost; return whether it has what the fault is about."""
    if not isinstance(item, dict):
        return False
    if fault == "unknown-chain":
        item["chainId"] = UNKNOWN_CHAIN
        return True
    if "pairAddress" not in item:
        if fault == "long-name":
            item["description"] = LONG_NAME
        return fault == "long-name"
    if fault == "string-numbers":
        item.update({key: _stringified(value) for key, value in item.items() if key != "labels"})
    elif fault == "bad-price":
        item["priceUsd"] = BAD_PRICE
    elif fault == "absurd-change":
        item["priceChange"] = {**(item.get("priceChange") or {}), "h24": ABSURD_CHANGE}
    elif fault == "missing-liquidity":
        item.pop("liquidity", None)
    elif fault == "long-name":
        item["baseToken"] = {**item["baseToken"], "name": LONG_NAME}
    elif fault == "negative-volume":
        item["volume"] = {name: -(abs(volume) or 1) for name, volume in item["volume"].items()}
    elif fault == "missing-price":
        item.pop("priceUsd", None)
    else:
        return False
    return True


def _stringified(value: object) -> object:
    if isinstance(value, dict):
        return {key: _stringified(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


VENDOR: Final = Vendor(
    name=NAME,
    limits={_PAIRS: 300, _PROFILES: 60},
    endpoints=(
        Endpoint("/token-profiles/latest/v1", _PROFILES, _profiles),
        Endpoint("/token-boosts/latest/v1", _PROFILES, _boosts),
        Endpoint("/token-boosts/top/v1", _PROFILES, _top_boosts),
        Endpoint("/latest/dex/search", _PAIRS, _search),
        Endpoint("/latest/dex/pairs/{chain}/{pairs}", _PAIRS, _pairs),
        Endpoint("/latest/dex/tokens/{addresses}", _PAIRS, _legacy_tokens),
        Endpoint("/token-pairs/v1/{chain}/{address}", _PAIRS, _token_pairs),
        Endpoint("/tokens/v1/{chain}/{addresses}", _PAIRS, _tokens),
    ),
    refuse=_refuse,
    spoil=spoil,
)
