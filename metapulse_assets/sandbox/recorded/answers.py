"""Recorded answers of vendors: pairs, pools, tokens and profiles, kept as the JSON they were recorded as."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from metapulse_assets.sandbox.market import WINDOW_NAMES, JsonObject, Pool, Promotion, Token, address_key

_DEXSCREENER: Final = ("payloads/dexscreener/*.json", "dex_snapshots_fardint/dexscreener*.json")
_GECKOTERMINAL: Final = ("payloads/extra/geckoterminal_*.json",)
_CHAINS: Final = {"eth": "ethereum", "polygon_pos": "polygon"}
KIND: Final = "recorded answer"


@dataclass(slots=True)
class RecordedAnswers:
    """What the vendors once answered. ``trending`` holds the pools of recorded trending lists, in their order."""

    pools: list[Pool] = field(default_factory=list)
    profiles: list[Promotion] = field(default_factory=list)
    boosts: list[Promotion] = field(default_factory=list)
    trending: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RecordedFigures:
    """The numbers of one recorded pool, in the columns of ``Snapshot``."""

    price_usd: float
    price_quote: float
    liquidity_usd: float
    volume: tuple[float, ...]
    buys: tuple[int, ...]
    sells: tuple[int, ...]
    change: tuple[float, ...]
    fdv: float
    market_cap: float


def read_answers(data: Path) -> RecordedAnswers:
    """Return the recorded answers of the folders that exist. Raises ValueError naming an unreadable file."""
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    pools: dict[tuple[str, str], dict[str, Any]] = {}
    tokens: dict[tuple[str, str], dict[str, Any]] = {}
    answers = RecordedAnswers()
    for path, body in _bodies(data, _DEXSCREENER):
        try:
            _read_dexscreener(body, pairs, answers)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a DexScreener answer: {error!r}") from error
    for path, body in _bodies(data, _GECKOTERMINAL):
        try:
            _read_geckoterminal(body, pools, tokens, answers)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a GeckoTerminal answer: {error!r}") from error
    for identity in dict.fromkeys([*pairs, *pools]):
        answers.pools.append(_pool(identity, pairs.get(identity), pools.get(identity), tokens))
    return answers


def figures(pool: Pool) -> RecordedFigures:
    """Return the numbers of a recorded pool, from DexScreener's answer where there is one."""
    pair = pool.recorded.get("dexscreener")
    return _pair_figures(dict(pair)) if pair is not None else _pool_figures(dict(pool.recorded["geckoterminal"]))


def _bodies(data: Path, patterns: Iterable[str]) -> Iterable[tuple[Path, Any]]:
    for pattern in patterns:
        for path in sorted(data.glob(pattern)):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ValueError(f"{path}: not a readable JSON file: {error}") from error
            # Some recorders keep an envelope of name, url, status, headers and body.
            yield path, content["body"] if isinstance(content, dict) and "body" in content else content


def _read_dexscreener(body: Any, pairs: dict[tuple[str, str], dict[str, Any]], answers: RecordedAnswers) -> None:
    items = body.get("pairs") or [] if isinstance(body, dict) else body
    for item in items:
        chain = item["chainId"]
        if "pairAddress" in item:
            pairs[chain, address_key(chain, item["pairAddress"])] = item
            continue
        token = Token(item["tokenAddress"], "", "")
        if "totalAmount" in item:
            answers.boosts.append(Promotion(chain, token, 0.0, item.get("amount", 0), item["totalAmount"], item))
        else:
            at = datetime.fromisoformat(item["updatedAt"]).timestamp() if "updatedAt" in item else 0.0
            answers.profiles.append(Promotion(chain, token, at, recorded=item))


def _read_geckoterminal(
    body: Any,
    pools: dict[tuple[str, str], dict[str, Any]],
    tokens: dict[tuple[str, str], dict[str, Any]],
    answers: RecordedAnswers,
) -> None:
    data = body["data"]
    for item in data if isinstance(data, list) else [data]:
        chain, address = _identity(item["id"])
        if item["type"] == "token":
            tokens[chain, address] = item
        else:
            pools[chain, address] = item
            if isinstance(data, list):
                answers.trending.append((chain, address))


def _identity(identity: str) -> tuple[str, str]:
    """Split ``network_address`` at its last underscore: network ids may hold one, addresses do not."""
    network, _, address = identity.rpartition("_")
    chain = _CHAINS.get(network, network)
    return chain, address_key(chain, address)


def _pool(
    identity: tuple[str, str],
    pair: dict[str, Any] | None,
    body: dict[str, Any] | None,
    tokens: dict[tuple[str, str], dict[str, Any]],
) -> Pool:
    chain = identity[0]
    recorded: dict[str, JsonObject] = {}
    if body is not None:
        recorded["geckoterminal"] = body
    if pair is not None:
        recorded["dexscreener"] = pair
        base, quote = (Token(**{key: pair[side].get(key) for key in ("address", "name", "symbol")}) for side in _SIDES)
        dex, address = pair["dexId"], pair["pairAddress"]
        labels = tuple(pair.get("labels", ()))
        milliseconds = pair.get("pairCreatedAt")
        created = milliseconds / 1000 if milliseconds is not None else None
    else:
        assert body is not None  # noqa: S101  an identity comes from one of the two
        attributes, links = body["attributes"], body["relationships"]
        symbols = attributes["name"].split(" / ", 1)
        base, quote = (
            Token(_identity(links[side]["data"]["id"])[1], symbol, symbol)
            for side, symbol in zip(("base_token", "quote_token"), symbols, strict=True)
        )
        dex, address, labels = links["dex"]["data"]["id"], attributes["address"], ()
        created = datetime.fromisoformat(attributes["pool_created_at"]).timestamp()
    token = tokens.get((chain, address_key(chain, base.address)))
    if token is not None:
        recorded["geckoterminal-token"] = token
    return Pool(chain, dex, address, base, quote, created, labels, kind=KIND, recorded=recorded)


_SIDES: Final = ("baseToken", "quoteToken")


def _pair_figures(pair: dict[str, Any]) -> RecordedFigures:
    volumes, changes, trades = pair.get("volume", {}), pair.get("priceChange", {}), pair.get("txns", {})
    return RecordedFigures(
        price_usd=_float(pair.get("priceUsd")),
        price_quote=_float(pair.get("priceNative")),
        liquidity_usd=_float((pair.get("liquidity") or {}).get("usd")),
        volume=tuple(_float(volumes.get(name)) for name in WINDOW_NAMES),
        buys=tuple(int(trades.get(name, {}).get("buys", 0)) for name in WINDOW_NAMES),
        sells=tuple(int(trades.get(name, {}).get("sells", 0)) for name in WINDOW_NAMES),
        change=tuple(_float(changes.get(name)) for name in WINDOW_NAMES),
        fdv=_float(pair.get("fdv")),
        market_cap=_float(pair.get("marketCap")),
    )


def _pool_figures(body: dict[str, Any]) -> RecordedFigures:
    attributes = body["attributes"]
    trades = attributes["transactions"]
    return RecordedFigures(
        price_usd=_float(attributes["base_token_price_usd"]),
        price_quote=_float(attributes["base_token_price_quote_token"]),
        liquidity_usd=_float(attributes["reserve_in_usd"]),
        volume=tuple(_float(attributes["volume_usd"].get(name)) for name in WINDOW_NAMES),
        buys=tuple(int(trades.get(name, {}).get("buys", 0)) for name in WINDOW_NAMES),
        sells=tuple(int(trades.get(name, {}).get("sells", 0)) for name in WINDOW_NAMES),
        change=tuple(_float(attributes["price_change_percentage"].get(name)) for name in WINDOW_NAMES),
        fdv=_float(attributes["fdv_usd"]),
        market_cap=_float(attributes["market_cap_usd"]),
    )


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float | str) else float(np.nan)
