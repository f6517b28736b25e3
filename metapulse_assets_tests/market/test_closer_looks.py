"""Where the one pool of an answer is mispriced: found out on sight or on a jump, by asking for all pools."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest

from metapulse_assets.market import collection
from metapulse_assets.market.collection import Collected, collect
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.vendors.answers import Batch
from metapulse_assets.vendors.dexscreener import Pair
from metapulse_assets_tests.market.pairs import a_pair, a_payload

TRAP = a_pair("trap", token="t", price=4_800.0, liquidity=112e6)
POOLS = [
    TRAP,
    a_pair("real", token="t", price=1.0, liquidity=250e3),
    a_pair("other", token="t", price=1.01),
    a_pair("x", token="t"),
]


class Vendor:
    """Shows one pool of each token, all pools of one token when asked, and notes the questions."""

    def __init__(self, main: Sequence[Pair], pools: Mapping[str, Sequence[Pair]], fails: bool = False) -> None:
        self.main, self.all_pools, self.fails = main, pools, fails
        self.looked_at: list[str] = []
        self.client = SimpleNamespace(requests_sent=0)

    async def pairs_of_tokens(self, chain: str, addresses: Sequence[str]) -> Batch[Pair]:
        return batch(b"main", [pair for pair in self.main if pair.base.address in addresses])

    async def pools(self, chain: str, addresses: Sequence[str]) -> Batch[Pair]:
        return batch(b"by pool", [])

    async def pools_of_token(self, chain: str, address: str) -> Batch[Pair]:
        self.looked_at.append(address)
        if self.fails:
            return Batch(refused=[DeadLetter("dexscreener", "request", "url", "HTTP 500", None)])
        return batch(address.encode(), self.all_pools[address])


def batch(body: bytes, pairs: Sequence[Pair]) -> Batch[Pair]:
    payload = a_payload(body)
    return Batch([(pair, payload) for pair in pairs], [], [payload])


def a_token(name: str, last_price: float | None) -> TrackedToken:
    return TrackedToken(1, ("solana", name), "pool", last_price)


def run(vendor: Vendor, tracked: Sequence[TrackedToken]) -> Collected:
    return asyncio.run(collect(vendor, tracked))  # type: ignore[arg-type]


@pytest.mark.parametrize("last_price", [1.0, None])
def test_the_true_pool_is_found_behind_the_trap(last_price: float | None) -> None:
    vendor = Vendor([TRAP], {"t": POOLS})
    result = run(vendor, [a_token("t", last_price)])
    pair, payload = result.chosen["solana", "t"]
    assert (pair.address, payload.body) == ("real", b"t")
    assert [p.body for p in result.payloads] == [b"main", b"t"]
    assert vendor.looked_at == ["t"]


def test_a_jump_that_all_pools_made_is_believed() -> None:
    risen = [a_pair(name, token="t", price=12.0 + n / 10) for n, name in enumerate("abc")]
    result = run(Vendor(risen[:1], {"t": risen}), [a_token("t", 1.0)])
    assert result.chosen["solana", "t"][0].price_usd > 11


def test_no_look_without_a_jump() -> None:
    vendor = Vendor([TRAP], {})
    assert run(vendor, [a_token("t", TRAP.price_usd)]).chosen["solana", "t"][0] is TRAP
    assert vendor.looked_at == []


def test_a_closer_look_that_fails_leaves_the_first_answer_and_is_the_last() -> None:
    vendor = Vendor([TRAP, a_pair("u", token="u")], {}, fails=True)
    result = run(vendor, [a_token("t", 1.0), a_token("u", 1e6)])
    assert result.chosen["solana", "t"][0] is TRAP
    assert vendor.looked_at == ["t"]
    assert [letter.reason for letter in result.refused] == ["HTTP 500"]


def test_jumps_come_first_and_of_the_new_only_so_many_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MOST_FIRST_LOOKS", 2)
    pairs = {name: a_pair(name, token=name) for name in "abcd"}
    vendor = Vendor(list(pairs.values()), {name: [pair] for name, pair in pairs.items()})
    run(vendor, [a_token("a", None), a_token("b", None), a_token("c", None), a_token("d", 99.0)])
    assert vendor.looked_at == ["d", "a", "b"]
