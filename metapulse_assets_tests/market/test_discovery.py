"""Merging of lists, the bar, free places, and how a token is let go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.discovery import GRACE, WATCHED, Bar, TrackedState, admit, judge, merge_candidates, review
from metapulse_assets_tests.market.pairs import EVM_MIXED_CASE, SOLANA_MINT, a_pair

BAR = Bar(min_volume_h24_usd=1_000.0, min_liquidity_usd=5_000.0, max_tokens=3)
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def a_state(token_id: int = 1, *, failing_since: datetime | None = None, volume: float | None = 5_000.0) -> TrackedState:
    return TrackedState(token_id, ("solana", f"t{token_id}"), frozenset({"boosts"}), failing_since, volume, 50_000.0)


def test_a_token_named_by_two_lists_is_one_candidate_with_both_sources() -> None:
    listed = [("boosts", "solana", SOLANA_MINT), ("trending", "solana", SOLANA_MINT), ("boosts", "solana", SOLANA_MINT)]
    assert merge_candidates(listed, ["solana"]) == {("solana", SOLANA_MINT): {"boosts", "trending"}}


def test_case_means_nothing_on_evm_chains_and_everything_on_solana() -> None:
    listed = [
        ("boosts", "base", EVM_MIXED_CASE),
        ("profiles", "base", EVM_MIXED_CASE.upper().replace("0X", "0x")),
        ("boosts", "solana", SOLANA_MINT),
        ("profiles", "solana", SOLANA_MINT.lower()),
    ]
    assert merge_candidates(listed, ["base", "solana"]) == {
        ("base", EVM_MIXED_CASE.lower()): {"boosts", "profiles"},
        ("solana", SOLANA_MINT): {"boosts"},
        ("solana", SOLANA_MINT.lower()): {"profiles"},
    }


def test_the_same_address_on_two_chains_is_two_tokens() -> None:
    listed = [("boosts", "base", "0xa"), ("boosts", "bsc", "0xa")]
    assert set(merge_candidates(listed, ["base", "bsc"])) == {("base", "0xa"), ("bsc", "0xa")}


def test_other_chains_are_left_out_unless_watched() -> None:
    listed = [("boosts", "ton", "a"), (WATCHED, "ton", "b")]
    assert merge_candidates(listed, ["solana"]) == {("ton", "b"): {WATCHED}}


@pytest.mark.parametrize(
    ("volume", "liquidity", "passes", "reason"),
    [
        (1_000.01, 5_000.01, True, "24 h volume 1,000 USD, liquidity 5,000 USD"),
        (1_000.0, 1e9, False, "24 h volume 1,000 USD, needs more than 1,000 USD"),
        (None, 1e9, False, "24 h volume unknown, needs more than 1,000 USD"),
        (1e9, 5_000.0, False, "liquidity 5,000 USD, needs more than 5,000 USD"),
        (1e9, None, True, "24 h volume 1,000,000,000 USD, liquidity unknown (bonding curve)"),
    ],
)
def test_the_bar(volume: float | None, liquidity: float | None, passes: bool, reason: str) -> None:
    verdict = judge(volume, liquidity, ["boosts"], BAR)
    assert (verdict.passes, verdict.reason) == (passes, reason)


def test_a_watched_token_passes_whatever_its_figures() -> None:
    assert judge(None, 0.0, [WATCHED, "boosts"], BAR).passes


def test_the_busiest_get_the_free_places() -> None:
    keys = [("solana", name) for name in "abcd"]
    pools = {key: a_pair(token=key[1], volume=volume) for key, volume in zip(keys, (2e3, 9e3, 5e3, 7e3), strict=True)}
    verdicts = admit({key: {"boosts"} for key in keys}, pools, tracked_now=1, bar=BAR)
    assert [verdicts[key].passes for key in keys] == [False, True, False, True]
    assert verdicts[keys[0]].reason == "no place free among 3 tracked tokens"


def test_a_watched_token_gets_a_place_even_if_none_is_free() -> None:
    keys = [("solana", "watched"), ("solana", "busy")]
    pools = {keys[0]: a_pair(volume=None), keys[1]: a_pair(volume=1e9)}
    verdicts = admit({keys[0]: {WATCHED}, keys[1]: {"boosts"}}, pools, tracked_now=3, bar=BAR)
    assert [verdicts[key].passes for key in keys] == [True, False]


def test_a_token_without_a_pool_cannot_be_tracked() -> None:
    verdicts = admit({("solana", "a"): {WATCHED}}, {}, tracked_now=0, bar=BAR)
    assert verdicts["solana", "a"].reason == "the vendor shows no pool for it"


@given(
    volumes=st.lists(st.sampled_from([None, 500.0, 2e3, 3e3, 9e3]), max_size=8),
    tracked=st.integers(0, 5),
    watched=st.sets(st.integers(0, 7)),
)
def test_never_more_are_admitted_than_places_are_free_but_for_the_watched(
    volumes: list[float | None], tracked: int, watched: set[int]
) -> None:
    candidates = {("solana", f"t{n}"): {WATCHED} if n in watched else {"boosts"} for n in range(len(volumes))}
    pools = {key: a_pair(token=key[1], volume=volume) for key, volume in zip(candidates, volumes, strict=True)}
    verdicts = admit(candidates, pools, tracked, BAR)
    passed = [key for key, verdict in verdicts.items() if verdict.passes]
    watchlist = [key for key, sources in candidates.items() if WATCHED in sources]
    assert set(watchlist) <= set(passed)
    assert len(passed) <= max(BAR.max_tokens - tracked, len(watchlist))


def test_who_falls_below_the_bar_is_noted_once() -> None:
    result = review([a_state(volume=900.0), a_state(2)], NOW, BAR)
    assert (result.newly_failing, result.recovered, result.let_go) == ([1], [], {})
    again = review([a_state(volume=900.0, failing_since=NOW - timedelta(minutes=5))], NOW, BAR)
    assert (again.newly_failing, again.recovered, again.let_go) == ([], [], {})


def test_a_token_not_seen_of_late_is_failing() -> None:
    assert review([a_state(volume=None)], NOW, BAR).newly_failing == [1]


def test_who_comes_back_above_the_bar_has_recovered() -> None:
    assert review([a_state(failing_since=NOW - timedelta(days=30))], NOW, BAR).recovered == [1]


def test_who_stays_below_for_longer_than_the_grace_is_let_go_and_not_a_moment_earlier() -> None:
    states = [
        a_state(1, volume=900.0, failing_since=NOW - GRACE),
        a_state(2, volume=900.0, failing_since=NOW - GRACE - timedelta(microseconds=1)),
    ]
    result = review(states, NOW, BAR)
    assert list(result.let_go) == [2]
    assert result.let_go[2] == "below the bar for 8 days: 24 h volume 900 USD, needs more than 1,000 USD"


def test_the_grace_outlasts_the_longest_outcome_horizon() -> None:
    assert timedelta(days=7) < GRACE
