"""Which pool speaks for a token: whatever the order, never a mispriced one, and a curve before dust."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.pool_choice import (
    LARGEST_JUMP,
    LARGEST_PRICE_RATIO,
    choose_pool,
    needs_second_look,
    plausible_pools,
    price_ratio,
    token_key,
)
from metapulse_assets.vendors.dexscreener import PAIRS, Pair, pairs_of
from metapulse_assets_tests.market.pairs import EVM_MIXED_CASE, SOLANA_MINT, a_pair, addresses

TRUE_PRICE = 4.5e-6


@st.composite
def pools(draw: st.DrawFn) -> Pair:
    """Few addresses, prices and liquidities, so that ties and repeated pools are common."""
    return a_pair(
        draw(st.sampled_from("abcdef")),
        price=draw(st.sampled_from([1e-6, 1.0, 1.01, 4.99, 5.5, 4_800.0])),
        liquidity=draw(st.sampled_from([None, 0.0, 999.99, 1_000.0, 30_000.0, 112e6])),
        volume=draw(st.sampled_from([None, 0.0, 5.0, 1e6])),
    )


@given(pairs=st.lists(pools(), max_size=9), order=st.randoms(use_true_random=False))
def test_the_order_of_the_answer_plays_no_part(pairs: list[Pair], order: object) -> None:
    shuffled = list(pairs)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose_pool(shuffled) == choose_pool(pairs)


@given(pairs=st.lists(pools(), max_size=6), times=st.integers(1, 3))
def test_a_repeated_pool_has_no_second_vote(pairs: list[Pair], times: int) -> None:
    assert choose_pool(pairs * times) == choose_pool(pairs)


@given(pairs=st.lists(pools(), min_size=1, max_size=9))
def test_the_choice_is_one_of_the_best_kind_that_was_answered(pairs: list[Pair]) -> None:
    chosen = choose_pool(pairs)
    assert chosen in pairs
    with_liquidity = [pair for pair in pairs if (pair.liquidity_usd or 0.0) >= 1_000.0]
    if with_liquidity:
        assert chosen in with_liquidity
    elif any(pair.liquidity_usd is None for pair in pairs):
        assert chosen.liquidity_usd is None


def address_of(pair: Pair | None) -> str | None:
    return pair.address if pair else None


def test_of_nothing_there_is_nothing_to_choose() -> None:
    assert choose_pool([]) is None
    assert plausible_pools([]) == []


def test_the_deepest_pool_speaks() -> None:
    chosen = choose_pool([a_pair("shallow", liquidity=2_000.0, volume=1e9), a_pair("deep", liquidity=3_000.0, volume=0.0)])
    assert address_of(chosen) == "deep"


def test_a_token_that_has_only_its_bonding_curve_is_spoken_for_by_it() -> None:
    curve = a_pair("curve", liquidity=None)
    assert choose_pool([curve]) is curve


def test_a_curve_beats_dust_and_a_real_pool_beats_the_curve() -> None:
    dust, curve, real = a_pair("z", liquidity=999.0), a_pair("y", liquidity=None, volume=None), a_pair("x", liquidity=1_000.0)
    assert choose_pool([dust, curve]) is curve
    assert choose_pool([dust, curve, real]) is real


def test_of_two_curves_the_busier_speaks() -> None:
    chosen = choose_pool([a_pair("idle", liquidity=None, volume=None), a_pair("busy", liquidity=None, volume=1.0)])
    assert address_of(chosen) == "busy"


def test_a_pool_a_little_off_is_as_good_as_any_and_one_far_off_is_set_aside() -> None:
    honest = [a_pair("a", price=1.0), a_pair("b", price=1.0)]
    near = a_pair("near", price=LARGEST_PRICE_RATIO * 0.999, liquidity=9e6)
    far = a_pair("far", price=LARGEST_PRICE_RATIO * 1.001, liquidity=9e6)
    assert choose_pool([*honest, near]) is near
    assert address_of(choose_pool([*honest, far])) == "b"
    assert address_of(choose_pool([*honest, a_pair("far below", price=0.19, liquidity=9e6)])) == "b"


def test_with_fewer_than_three_pools_nothing_is_set_aside() -> None:
    assert address_of(choose_pool([a_pair("a"), a_pair("trap", price=4_800.0, liquidity=112e6)])) == "trap"


def test_the_lesser_pools_tell_which_of_two_is_off() -> None:
    dust = [a_pair(f"dust {n}", liquidity=50.0) for n in range(3)]
    assert address_of(choose_pool([a_pair("real"), a_pair("trap", price=4_800.0, liquidity=112e6), *dust])) == "real"


def test_cheap_pools_at_a_false_price_cannot_unseat_the_only_real_one() -> None:
    dust = [a_pair(f"dust {n}", price=1_000.0, liquidity=10.0) for n in range(9)]
    assert address_of(choose_pool([a_pair("real"), *dust])) == "real"
    assert address_of(choose_pool([a_pair("curve", liquidity=None), *dust])) == "curve"


def test_where_nobody_is_near_the_median_all_remain() -> None:
    pairs = [a_pair("a", price=1.0), a_pair("b", price=1e4), *(a_pair(f"d{n}", price=100.0, liquidity=1.0) for n in range(3))]
    assert addresses(plausible_pools(pairs)) == ["a", "b"]


def test_bonks_mispriced_pool_with_112_million_of_liquidity_is_not_chosen(recordings: Path) -> None:
    recorded = json.loads((recordings / "payloads" / "dexscreener" / "tokens_bonk.json").read_text())
    pairs = PAIRS.validate_python(pairs_of(recorded["body"]))
    assert pairs[0].price_usd > 4_000 * TRUE_PRICE
    assert (pairs[0].liquidity_usd or 0) > 1e8
    chosen = choose_pool(pairs)
    assert chosen is not None
    assert price_ratio(chosen.price_usd, TRUE_PRICE) < 1.05
    assert chosen.liquidity_usd == max(p.liquidity_usd or 0 for p in pairs if p.price_usd < 1e-5)


@pytest.mark.parametrize(
    ("price", "last", "expected"),
    [(1.0, None, False), (LARGEST_JUMP, 1.0, False), (10.01, 1.0, True), (1.0, 10.01, True), (1e-12, 1e-12, False)],
)
def test_a_jump_in_either_direction_asks_for_a_second_look(price: float, last: float | None, expected: bool) -> None:
    assert needs_second_look(a_pair(price=price), last) is expected


def test_a_token_is_known_by_its_canonical_address() -> None:
    assert token_key(a_pair(chain="base", token=EVM_MIXED_CASE)) == ("base", EVM_MIXED_CASE.lower())
    assert token_key(a_pair(token=SOLANA_MINT)) == ("solana", SOLANA_MINT)
