"""Asking DexScreener: what is asked for how, and that one failing request does not take the others along."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.rate_limit import Limit
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.sandbox.faults import ITEM_FAULTS, REQUEST_FAULTS
from metapulse_assets.sandbox.server import Sandbox
from metapulse_assets.vendors.answers import Batch
from metapulse_assets.vendors.dexscreener import ADDRESSES_PER_CALL, DexScreener, Pair
from metapulse_assets_tests.platform.stub_vendor import Reply, StubVendor, serving
from metapulse_assets_tests.vendors.conftest import settings_for
from metapulse_assets_tests.vendors.recorded import a_pair

PAIRS = Reply(body=json.dumps([a_pair()]).encode())
Asking = Callable[[StubVendor, Callable[[DexScreener], Awaitable[Any]]], Any]


@pytest.fixture
def ask(engine: sa.Engine) -> Asking:
    """Do something with a client of a stub."""

    def ask(stub: StubVendor, action: Callable[[DexScreener], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with DexScreener(settings_for(stub.url), engine) as client:
                return await action(client)

        return asyncio.run(run())

    return ask


@pytest.mark.parametrize("count", [0, 1, 30, 31, 95])
def test_tokens_are_asked_for_thirty_at_a_time(ask: Asking, count: int) -> None:
    addresses = [f"Token{n}" for n in range(count)]
    with serving(PAIRS) as stub:
        batch: Batch[Pair] = ask(stub, lambda client: client.pairs_of_tokens("solana", addresses))
        paths = [arrival.path for arrival in stub.arrivals]
    asked = [path.removeprefix("/tokens/v1/solana/").split(",") for path in paths]
    assert sorted(address for part in asked for address in part) == sorted(addresses)
    assert sorted(map(len, asked)) == sorted([ADDRESSES_PER_CALL] * (count // 30) + ([count % 30] if count % 30 else []))
    assert len(batch.items) == len(batch.payloads) == len(paths)


def test_an_address_with_signs_of_urls_harms_no_other(ask: Asking) -> None:
    addresses = ["Token1", "a?b#c", "../x", "p%q", "two words", "комма,", "Token2"]
    with serving(PAIRS) as stub:
        ask(stub, lambda client: client.pairs_of_tokens("solana", addresses))
        ask(stub, lambda client: client.pools_of_token("ton", "EQ/a?b"))
        ask(stub, lambda client: client.pools("base", ["0x1", "0x2&"]))
        paths = [arrival.path for arrival in stub.arrivals]
    prefix = "/tokens/v1/solana/"
    assert [unquote(part) for part in paths[0].removeprefix(prefix).split(",")] == addresses
    assert paths[1:] == ["/token-pairs/v1/ton/EQ%2Fa%3Fb", "/latest/dex/pairs/base/0x1,0x2%26"]


def test_lists_and_search_are_asked_for_where_they_are(ask: Asking) -> None:
    with serving(Reply(body=b"[]")) as stub:
        ask(stub, lambda client: client.boosted())
        ask(stub, lambda client: client.profiled())
        ask(stub, lambda client: client.search("SOL & co"))
        assert [arrival.path for arrival in stub.arrivals] == [
            "/token-boosts/latest/v1",
            "/token-boosts/top/v1",
            "/token-profiles/latest/v1",
            "/latest/dex/search?q=SOL+%26+co",
        ]


def test_a_request_that_fails_is_a_dead_letter_and_the_others_go_on(ask: Asking) -> None:
    with serving(Reply(404, b"gone"), PAIRS) as stub:
        batch: Batch[Pair] = ask(stub, lambda client: client.pairs_of_tokens("solana", [f"T{n}" for n in range(90)]))
    assert len(batch.items) == 2
    (letter,) = batch.refused
    assert (letter.source, letter.kind, letter.reason) == ("dexscreener", "request", "HTTP 404")
    assert letter.item_key.startswith(f"{stub.url}/tokens/v1/solana/T")
    with serving(Reply(404), Reply(body=b'[{"chainId": "base", "tokenAddress": "0xA"}]')) as stub:
        lists = ask(stub, lambda client: client.boosted())
    assert (len(lists.items), len(lists.refused)) == (1, 1)


def test_what_was_not_sent_for_an_open_circuit_is_said(ask: Asking) -> None:
    with serving(Reply(500)) as stub:
        for _ in range(2):
            ask(stub, lambda client: client.search("SOL"))
        sent = len(stub.arrivals)
        batch: Batch[Pair] = ask(stub, lambda client: client.pools_of_token("solana", "T"))
        lists = ask(stub, lambda client: client.profiled())
        assert len(stub.arrivals) == sent == 5
    for letter in (*batch.refused, *lists.refused):
        assert (letter.kind, letter.reason) == ("request", "circuit open: not called")
        assert letter.item_key.startswith(stub.url)
        assert "HTTP 500" in letter.payload


def test_limits_are_those_of_the_settings(engine: sa.Engine) -> None:
    client = DexScreener(load_settings(), engine)
    assert client.pairs_gate.limits == (Limit(10, 1.0), Limit(300, 60.0))
    assert client.profiles_gate.limits == (Limit(10, 1.0), Limit(60, 60.0))
    assert client.pairs_gate.name != client.profiles_gate.name


@dataclass(frozen=True)
class Market:
    """The sandbox's market as a client sees it."""

    sandbox: Sandbox
    engine: sa.Engine
    addresses: list[str]

    def pairs(self) -> Batch[Pair]:
        """The pairs of its tokens on one chain."""
        return asyncio.run(self.ask(lambda client: client.pairs_of_tokens("solana", self.addresses)))

    async def ask(self, action: Callable[[DexScreener], Awaitable[Any]]) -> Any:
        """Do something with a client."""
        async with DexScreener(settings_for(self.sandbox.dexscreener_url), self.engine) as client:
            return await action(client)


@pytest.fixture
def market(sandbox: Sandbox, engine: sa.Engine) -> Market:
    """The market and the tokens of it that have a profile."""
    listed = asyncio.run(Market(sandbox, engine, []).ask(lambda client: client.profiled()))
    return Market(sandbox, engine, [token.address for token, _ in listed.items if token.chain == "solana"])


def test_the_sandbox_answers_like_the_vendor(market: Market) -> None:
    batch = market.pairs()
    assert {pair.base.address for pair, _ in batch.items} <= set(market.addresses)
    assert batch.items
    assert batch.refused == []


@pytest.mark.parametrize("fault", [name for name in REQUEST_FAULTS if name not in ("slow", "rate-limit-retry-after")])
def test_a_fault_of_every_request_ends_in_dead_letters_or_items(market: Market, fault: str) -> None:
    good = market.pairs()
    market.sandbox.set_faults({fault: 1.0})
    batch = market.pairs()
    pools = sorted(pair.address for pair, _ in good.items)
    found = sorted(pair.address for pair, _ in batch.items)
    match fault:
        case "duplicate":
            assert found == sorted(pools * 2)
        case "out-of-order":
            assert found == pools
            assert [pair.address for pair, _ in batch.items] != [pair.address for pair, _ in good.items]
        case "empty" | "pairs-null":
            assert (found, batch.refused) == ([], [])
        case _:
            assert found == []
            assert {letter.kind for letter in batch.refused} == {"request"}


@pytest.mark.parametrize("fault", ITEM_FAULTS)
def test_a_fault_of_some_items_costs_only_those(market: Market, fault: str) -> None:
    good = market.pairs()
    market.sandbox.set_faults({fault: 0.5})
    batch = market.pairs()
    assert len(batch.items) + len(batch.refused) == len(good.items)
    assert batch.items
    # The vendor may leave liquidity out, and writes prices as texts itself.
    assert bool(batch.refused) == (fault not in ("missing-liquidity", "string-numbers"))
    assert all(letter.kind == "item" and letter.item_key.count(":") == 1 for letter in batch.refused)
