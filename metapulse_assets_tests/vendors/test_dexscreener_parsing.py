"""DexScreener's answers, recorded and made up: what every field is taken for."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metapulse_assets.vendors.answers import Batch, read_items
from metapulse_assets.vendors.dexscreener import (
    BONDING_CURVE_DEXES,
    LISTED_TOKENS,
    LONGEST_NAME,
    PAIRS,
    ListedToken,
    Pair,
    listed_key,
    pair_key,
    pairs_of,
)
from metapulse_assets_tests.vendors.recorded import a_pair, payload_of, recorded

WINDOWS = ("m5", "h1", "h6", "h24")


def read(body: Any) -> Batch[Pair]:
    """The pairs of an answer."""
    return read_items(payload_of(body), PAIRS, "dexscreener", pair_key, pairs_of)


def one(**changes: Any) -> Pair:
    """A made-up pair, which must be good."""
    batch = read([a_pair(**changes)])
    assert batch.refused == []
    return batch.items[0][0]


@pytest.mark.parametrize("name", ["payloads/dexscreener/tokens_bonk.json", "dex_snapshots_fardint/dexscreener1.json"])
def test_every_recorded_pair_is_read_as_it_says(recordings: Path, name: str) -> None:
    body = recorded(recordings, name)
    batch = read(body)
    assert batch.refused == []
    assert len(batch.items) == len(body["pairs"]) == 30
    for (pair, _), raw in zip(batch.items, body["pairs"], strict=True):
        assert (pair.chain, pair.dex, pair.address) == (raw["chainId"], raw["dexId"], raw["pairAddress"])
        assert pair.base.model_dump() == raw["baseToken"]
        assert (pair.quote.address, pair.quote.symbol) == (raw["quoteToken"]["address"], raw["quoteToken"]["symbol"])
        assert (pair.price_usd, pair.price_native) == (float(raw["priceUsd"]), float(raw["priceNative"]))
        assert pair.trades.model_dump() == {w: raw["txns"][w] for w in WINDOWS}
        assert pair.volume.model_dump() == {w: raw["volume"].get(w) for w in WINDOWS}
        assert pair.price_change.model_dump() == {w: raw["priceChange"].get(w) for w in WINDOWS}
        assert pair.liquidity_usd == raw.get("liquidity", {}).get("usd")
        assert (pair.fdv, pair.market_cap, pair.created_at_ms) == (
            raw.get("fdv"),
            raw.get("marketCap"),
            raw.get("pairCreatedAt"),
        )


def test_recorded_pairs_without_liquidity_are_on_bonding_curves(recordings: Path) -> None:
    batch = read(recorded(recordings, "dex_snapshots_fardint/dexscreener1.json"))
    without = [pair for pair, _ in batch.items if pair.liquidity_usd is None]
    assert len(without) == 2
    assert {pair.dex for pair in without} == {"launchlab"} <= BONDING_CURVE_DEXES


def test_recorded_profiles_are_read_and_foreign_chains_refused(recordings: Path) -> None:
    body = recorded(recordings, "payloads/dexscreener/token_profiles_latest.json")
    batch: Batch[ListedToken] = read_items(payload_of(body), LISTED_TOKENS, "dexscreener", listed_key)
    known = [entry for entry in body if entry["chainId"] in ("solana", "ethereum")]
    assert [(token.chain, token.address) for token, _ in batch.items] == [(e["chainId"], e["tokenAddress"]) for e in known]
    assert Counter(letter.reason for letter in batch.refused) == {"chainId: unknown chain 'robinhood'": 5}


@pytest.mark.parametrize("liquidity", [..., None, {}, {"usd": None}, {"base": 1, "quote": 2}])
def test_liquidity_that_is_not_told_is_not_zero(liquidity: Any) -> None:
    assert one(liquidity=liquidity).liquidity_usd is None
    assert one(liquidity={"usd": 0}).liquidity_usd == 0.0


@pytest.mark.parametrize("absent", [..., None, {}])
def test_windows_that_are_absent_are_not_known(absent: Any) -> None:
    pair = one(priceChange=absent, volume=absent, txns=absent, quoteToken=absent)
    assert set(pair.price_change.model_dump().values()) == set(pair.volume.model_dump().values()) == {None}
    assert pair.trades.h24.buys is None
    assert pair.quote.address is None
    for window in WINDOWS:
        pair = one(txns={window: None}, volume={window: None}, priceChange={window: None})
        assert getattr(pair.trades, window).sells is None


def test_numbers_may_come_as_texts() -> None:
    texts = one(
        priceUsd="4e-6",
        volume={"h24": "1200.5"},
        txns={"h24": {"buys": "3", "sells": "1"}},
        liquidity={"usd": "5000.25"},
        fdv="4000",
        pairCreatedAt="1751500000000",
        priceChange={"h24": "5"},
    )
    assert (texts.price_usd, texts.volume.h24, texts.trades.h24.buys, texts.liquidity_usd) == (4e-6, 1200.5, 3, 5000.25)
    assert texts.created_at == one().created_at == datetime(2025, 7, 2, 23, 46, 40, tzinfo=UTC)


@pytest.mark.parametrize("created", [..., None, 0])
def test_a_pool_of_unknown_age_has_none(created: Any) -> None:
    assert one(pairCreatedAt=created).created_at is None


@pytest.mark.parametrize(
    "changes",
    [
        {"priceUsd": None},
        {"priceUsd": "0"},
        {"priceUsd": "-1"},
        {"priceUsd": "NaN"},
        {"priceUsd": float("inf")},
        {"priceUsd": "1e19"},
        {"priceUsd": [1]},
        {"priceNative": "0"},
        {"volume": {"h24": -0.01}},
        {"volume": {"m5": float("nan")}},
        {"volume": "none"},
        {"liquidity": {"usd": -1}},
        {"liquidity": 5},
        {"txns": {"h1": {"buys": 1.5}}},
        {"txns": {"h1": {"buys": -1}}},
        {"txns": {"h1": {"sells": 2**31}}},
        {"priceChange": {"h24": 5e9}},
        {"priceChange": {"h24": -100.1}},
        {"pairCreatedAt": -1},
        {"pairCreatedAt": 10**15},
        {"pairAddress": ""},
        {"pairAddress": "x" * 201},
        {"baseToken": {"address": "T", "name": "x" * (LONGEST_NAME + 1)}},
        {"baseToken": {"name": "no address"}},
        {"chainId": "atlantis"},
        {"chainId": None},
        {"dexId": ...},
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    batch = read([a_pair(), a_pair(**changes)])
    assert len(batch.items) == 1
    (letter,) = batch.refused
    assert letter.payload.keys() == a_pair(**changes).keys()
    assert letter.reason.startswith(f"{next(iter(changes))}")


def test_texts_are_such_as_a_database_can_hold() -> None:
    pair = one(
        baseToken={"address": "T\x001", "name": "a\x00b\ud800", "symbol": "\x00"},
        quoteToken={"symbol": "\udfff"},
        dexId="ray\x00dium",
        pairAddress="P\ud8001",
    )
    assert (pair.base.address, pair.base.name, pair.base.symbol) == ("T1", "ab?", "")
    assert (pair.quote.symbol, pair.dex, pair.address) == ("?", "raydium", "P?1")
    assert read([a_pair(pairAddress="\x00")]).refused[0].reason.startswith("pairAddress")


def test_what_is_on_record_is_possible() -> None:
    assert one(priceChange={"h24": 500822, "m5": -100}).price_change.h24 == 500822
    assert one(baseToken={"address": "T", "name": "x" * LONGEST_NAME, "symbol": None}).base.symbol is None
    assert one(labels=..., info={"websites": 1}, boosts=None).address == "Pool1"
