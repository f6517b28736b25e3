"""A round of questions to the sandbox, with everything that can go wrong: each token asked for is answered or accounted for."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from metapulse_assets.market import token_store
from metapulse_assets.market.collection import Collected, by_chain, collect
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.market.tracking import decide, find_candidates
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.sandbox.server import Sandbox
from metapulse_assets.vendors.dexscreener import ADDRESSES_PER_CALL, DexScreener
from metapulse_assets.vendors.geckoterminal import GeckoTerminal

ITEM_FAULTS = ["bad-price", "missing-price", "unknown-chain", "negative-volume", "absurd-change", "long-name"]


@pytest.fixture
def tracked(platform: Platform, sandbox: Sandbox) -> list[TrackedToken]:
    """Tokens of the sandbox, each seen a moment ago."""
    settings = platform.settings.model_copy(update={"max_tracked_tokens": 40})

    async def discover() -> list[TrackedToken]:
        async with DexScreener(settings, platform.engine) as dexscreener, GeckoTerminal(settings, platform.engine) as gecko:
            found = await find_candidates(dexscreener, gecko, settings, known=())
            with platform.engine.begin() as connection:
                decide(connection, found, settings, platform.now())
                tokens = token_store.active_tokens(connection, platform.now())
            result = await collect(dexscreener, tokens)
        return [
            replace(token, pool_address=pair.address, last_price=pair.price_usd)
            for token in tokens
            if token.key in result.chosen
            for pair, _ in [result.chosen[token.key]]
        ]

    tokens = asyncio.run(discover())
    assert len(tokens) > 15
    sandbox.clear_requests()
    return tokens


def ask(platform: Platform, tracked: Sequence[TrackedToken], **settings: object) -> Collected:
    async def run() -> Collected:
        async with DexScreener(platform.settings.model_copy(update=settings), platform.engine) as dexscreener:
            return await collect(dexscreener, tracked)

    return asyncio.run(run())


def paths(sandbox: Sandbox) -> list[str]:
    return [str(request["path"]) for request in sandbox.requests()]


def assert_all_accounted_for(result: Collected, tracked: Sequence[TrackedToken]) -> None:
    assert result.asked == len(tracked) == len(result.chosen) + len(result.without_answer(tracked))
    assert set(result.chosen) <= {token.key for token in tracked}
    stored = {payload.sha256 for payload in result.payloads}
    assert all(payload.sha256 in stored for _, payload in result.chosen.values()), "an answer without its bytes"


def test_everybody_is_answered_in_as_few_requests_as_can_be(
    platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken]
) -> None:
    result = ask(platform, tracked)
    assert_all_accounted_for(result, tracked)
    assert (result.without_answer(tracked), result.refused) == ([], [])
    batches = sum(-(-len(tokens) // ADDRESSES_PER_CALL) for _, tokens in by_chain(tracked))
    assert result.requests == len(paths(sandbox)) == batches


@pytest.mark.parametrize("fault", ITEM_FAULTS)
def test_a_bad_item_is_refused_with_its_reason_and_the_others_are_kept(
    platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken], fault: str
) -> None:
    sandbox.set_faults({fault: 0.4})
    result = ask(platform, tracked)
    assert_all_accounted_for(result, tracked)
    assert result.chosen
    assert result.refused
    assert {letter.kind for letter in result.refused} == {"item"}
    assert all(letter.reason and letter.payload for letter in result.refused)


@pytest.mark.parametrize("fault", ["duplicate", "out-of-order", "string-numbers", "missing-liquidity"])
def test_what_is_odd_but_right_changes_nobodys_pool(
    platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken], fault: str
) -> None:
    sandbox.set_faults({fault: 1.0})
    result = ask(platform, tracked)
    assert (len(result.chosen), result.refused) == (len(tracked), [])
    assert all(result.chosen[token.key][0].address == token.pool_address for token in tracked)


@pytest.mark.parametrize("fault", ["empty", "pairs-null"])
def test_who_is_missing_is_asked_for_once_more_by_the_pool(
    platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken], fault: str
) -> None:
    sandbox.set_faults({fault: 1.0})
    result = ask(platform, tracked)
    assert_all_accounted_for(result, tracked)
    assert (result.chosen, result.refused) == ({}, [])
    first = [path for path in paths(sandbox) if "/tokens/v1/" in path]
    again = [path for path in paths(sandbox) if "/latest/dex/pairs/" in path]
    assert len(first) == len(again) == len(paths(sandbox)) / 2
    named = {address for path in again for address in path.rsplit("/", 1)[1].split(",")}
    assert named == {token.pool_address for token in tracked}


def test_an_answer_by_the_pool_is_as_good_as_any(platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken]) -> None:
    nowhere = replace(tracked[0], key=(tracked[0].key[0], "unknown"), pool_address=None)
    renamed = [replace(token, pool_address=None) for token in tracked[1:]]
    result = ask(platform, [nowhere, *renamed])
    assert result.without_answer([nowhere, *renamed]) == [nowhere]
    assert not any("/latest/dex/pairs/" in path for path in paths(sandbox)), "asked by a pool that nobody knows"


def test_a_jump_in_the_price_gets_a_second_look_at_all_pools(
    platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken]
) -> None:
    jumped = [replace(token, last_price=(token.last_price or 0) * 11) for token in tracked[:3]]
    ask(platform, [*jumped, *tracked[3:]])
    looks = [path.rsplit("/", 1)[1] for path in paths(sandbox) if "/token-pairs/v1/" in path]
    assert sorted(looks) == sorted(token.key[1] for token in jumped)


def test_a_market_in_which_all_prices_jump_is_not_looked_at_twice_for_ever(
    platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metapulse_assets.market.collection.MOST_SECOND_LOOKS", 4)
    ask(platform, [replace(token, last_price=1e9) for token in tracked])
    assert sum("/token-pairs/v1/" in path for path in paths(sandbox)) == 4


def test_failing_requests_do_not_multiply(platform: Platform, sandbox: Sandbox, tracked: list[TrackedToken]) -> None:
    sandbox.set_faults({"server-error": 1.0})
    jumped = [replace(token, last_price=1e9) for token in tracked]
    result = ask(platform, jumped, vendor_attempts=2, breaker_failures=1_000)
    batches = sum(-(-len(tokens) // ADDRESSES_PER_CALL) for _, tokens in by_chain(tracked))
    assert result.requests == len(paths(sandbox)) == 2 * batches
    assert_all_accounted_for(result, tracked)
    assert [letter.kind for letter in result.refused] == ["request"] * batches
    assert {letter.reason for letter in result.refused} == {"HTTP 500"}


def test_nobody_to_ask_for_is_no_request(platform: Platform, sandbox: Sandbox) -> None:
    result = ask(platform, [])
    assert (result.asked, result.requests, paths(sandbox)) == (0, 0, [])
