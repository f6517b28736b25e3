"""Which candidates are emitted, case by case, and the laws of selection."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from metapulse_assets.signals.candidates import Candidates, RecentSignals
from metapulse_assets.signals.selection import (
    DUPLICATE_PRICE_SHARE,
    DUPLICATE_SECONDS,
    MAX_PER_TOKEN_AND_MOMENT,
    select_signals,
    stale,
)
from metapulse_assets_tests.signals.streams import START, Row, candidate, candidates, emitted, streams

RULES = ("rsi_oversold", "momentum_up", "golden_cross", "volume_spike_up", "support_bounce", "macd_bullish_cross")


def chosen(rows: list[Row], recent: RecentSignals | None = None) -> list[Row]:
    """The rows that are emitted, in the order of emission."""
    return [rows[i] for i in select_signals(candidates(*rows), recent or RecentSignals.empty())]


def key(row: Row) -> tuple[Any, ...]:
    """Names a row."""
    return (row["token_id"], row["rule"], row["timeframe"], row["opened_at"])


@pytest.mark.parametrize(("timeframe", "interval"), [("5m", 300), ("1h", 3_600), ("1d", 86_400)])
def test_stale_after_two_intervals(timeframe: str, interval: int) -> None:
    in_time = candidate(timeframe=timeframe, available_at=START + 3 * interval)
    too_late = candidate(timeframe=timeframe, available_at=START + 3 * interval + 1, token_id=2)
    assert stale(candidates(in_time, too_late)).tolist() == [False, True]
    assert chosen([in_time, too_late]) == [in_time]


@pytest.mark.parametrize(
    ("change", "repeats"),
    [
        ({}, True),
        ({"price_usd": 102.0}, True),
        ({"price_usd": 102.1}, False),
        ({"price_usd": 98.0}, True),
        ({"price_usd": 97.9}, False),
        ({"token_id": 2}, False),
        ({"rule": "golden_cross"}, False),
        ({"timeframe": "1h"}, True),
    ],
)
def test_what_repeats_a_signal_of_an_hour_ago(change: dict[str, Any], repeats: bool) -> None:
    before = candidate()
    after = candidate(opened_at=START + 3_600, **change)
    assert chosen([before, after]) == ([before] if repeats else [before, after])
    assert chosen([after], emitted(before)) == ([] if repeats else [after])


def test_another_kind_is_no_repetition() -> None:
    row = candidate()
    columns = {name: [row[name]] for name in row}
    social = Candidates.from_columns({**columns, "kind": ["social"]})
    assert select_signals(social, emitted(row)).tolist() == [0]
    assert select_signals(candidates(row), emitted(row)).tolist() == []


def test_another_direction_is_no_repetition() -> None:
    assert chosen([candidate(direction="sell")], emitted(candidate(direction="buy")))


@pytest.mark.parametrize(("seconds", "repeats"), [(7_200, True), (7_500, False)])
def test_memory_lasts_two_hours(seconds: int, repeats: bool) -> None:
    before, after = candidate(), candidate(opened_at=START + seconds)
    assert chosen([before, after]) == ([before] if repeats else [before, after])


def test_what_was_dropped_is_not_remembered() -> None:
    rows = [candidate(opened_at=START + seconds) for seconds in (0, 3_600, 7_500)]
    assert chosen(rows) == [rows[0], rows[2]]


def test_an_older_price_is_remembered_beside_a_newer_one() -> None:
    rows = [candidate(opened_at=START + 300 * i, price_usd=price) for i, price in enumerate([100.0, 110.0, 100.0])]
    assert chosen(rows) == rows[:2]


def test_a_candidate_found_late_does_not_stand_beside_what_came_after_it() -> None:
    late, stored = candidate(), candidate(opened_at=START + 600)
    assert chosen([late], emitted(stored)) == []
    assert chosen([late], emitted(candidate(opened_at=START + 7_500))) == [late]


def test_at_most_five_of_a_token_and_moment_strongest_first() -> None:
    strengths = [0.2, 0.9, 0.4, 0.6, 0.8, 0.5]
    rows = [candidate(rule=rule, strength=strength) for rule, strength in zip(RULES, strengths, strict=True)]
    others = [candidate(token_id=2), candidate(opened_at=START + 300, rule=RULES[0], price_usd=200.0)]
    assert chosen([*rows, *others]) == [rows[1], rows[4], rows[3], rows[5], rows[2], *others]


def test_importance_is_strength_times_confidence() -> None:
    strong = candidate(rule="golden_cross", strength=0.8, confidence=0.5)
    sure = candidate(rule="momentum_up", strength=0.5, confidence=0.9)
    assert chosen([strong, sure]) == [sure, strong]


def test_equal_importance_is_ordered_by_rule_and_timeframe() -> None:
    hourly = {"timeframe": "1h", "available_at": START + 3_620}
    last_5m = {"opened_at": START + 3_300}
    rows = [
        candidate(rule="momentum_up", **last_5m),
        candidate(rule="golden_cross", price_usd=50.0, **last_5m),
        candidate(rule="golden_cross", **hourly),
    ]
    assert chosen(rows) == [rows[2], rows[1], rows[0]]


def test_importance_is_compared_as_it_is_stored() -> None:
    computed, read_back = candidate(rule="momentum_up", strength=0.1), candidate(rule="golden_cross", strength=0.1 - 1e-12)
    assert chosen([computed, read_back]) == [read_back, computed]


def test_signals_emitted_at_the_same_moment_count() -> None:
    rows = [candidate(rule=rule) for rule in RULES]
    assert chosen(rows[4:], emitted(*rows[:4])) == [max(rows[4:], key=lambda row: row["rule"] == "macd_bullish_cross")]


def test_a_repetition_takes_no_place() -> None:
    rows = [candidate(rule=rule) for rule in RULES]
    before = candidate(rule=RULES[0], opened_at=START - 600)
    assert sorted(row["rule"] for row in chosen(rows, emitted(before))) == sorted(RULES[1:])


def test_nothing_of_nothing() -> None:
    assert chosen([]) == []
    assert chosen([], emitted(candidate())) == []


@given(streams)
def test_running_again_emits_nothing_more(rows: list[Row]) -> None:
    first = chosen(rows)
    event(f"{len(first) > 0=}, {len(first) < len(rows)=}")
    assert chosen(rows, emitted(*first)) == []


@given(streams, st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_stopping_between_moments_and_going_on_is_one_pass(rows: list[Row], cuts: list[int]) -> None:
    times = [START + 300 * cut for cut in sorted(cuts)]
    done: list[Row] = []
    for start, end in zip([0.0, *times], [*times, np.inf], strict=True):
        part = [row for row in rows if start < row["available_at"] <= end]
        done += chosen(part, emitted(*done))
    assert done == chosen(rows)


@given(streams, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[Row], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert [key(row) for row in chosen(shuffled)] == [key(row) for row in chosen(rows)]


@given(streams, streams)
def test_tokens_do_not_influence_each_other(rows: list[Row], before: list[Row]) -> None:
    recent = chosen(before)
    together = chosen(rows, emitted(*recent))
    for token in (1, 2):
        own = [row for row in rows if row["token_id"] == token]
        alone = chosen(own, emitted(*(row for row in recent if row["token_id"] == token)))
        assert alone == [row for row in together if row["token_id"] == token]


@given(streams, streams)
def test_what_is_emitted_obeys_the_law(rows: list[Row], before: list[Row]) -> None:
    recent = chosen(before)
    new = chosen(rows, emitted(*recent))
    for a, b in combinations([*recent, *new], 2):
        same = (a["token_id"], a["rule"], a["direction"]) == (b["token_id"], b["rule"], b["direction"])
        near_in_time = abs(a["available_at"] - b["available_at"]) <= DUPLICATE_SECONDS
        near_in_price = abs(a["price_usd"] - b["price_usd"]) <= DUPLICATE_PRICE_SHARE * max(a["price_usd"], b["price_usd"])
        assert not (same and near_in_time and near_in_price)
    slots = [(row["token_id"], row["available_at"]) for row in [*recent, *new]]
    assert all(slots.count(slot) <= MAX_PER_TOKEN_AND_MOMENT for slot in slots)
    assert not stale(candidates(*new)).any()


@given(streams)
def test_what_is_dropped_was_stale_or_repeated_or_crowded_out(rows: list[Row]) -> None:
    new = chosen(rows)
    for row in rows:
        if row in new or stale(candidates(row))[0]:
            continue
        repeated = chosen([row], emitted(*(n for n in new if n["available_at"] <= row["available_at"]))) == []
        assert repeated


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": 1.1}, "strength: row 1 is 1.1"),
        ({"confidence": float("nan")}, "confidence: row 1 is nan"),
        ({"price_usd": 0.0}, "price_usd: row 1 is 0.0"),
        ({"direction": "hold"}, "direction: row 1 is hold"),
        ({"timeframe": "4h"}, "timeframe: row 1 is 4h"),
        ({"available_at": START + 299.0}, "available_at: row 1 .*before the close"),
    ],
)
def test_impossible_candidates_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        candidates(candidate(), candidate(**change))


def test_columns_of_another_length_are_refused() -> None:
    columns = {name: [value] for name, value in candidate().items()}
    with pytest.raises(ValueError, match="inputs"):
        Candidates.from_columns({**columns, "inputs": []})
    with pytest.raises(ValueError, match="rule"):
        Candidates.from_columns({**columns, "rule": []})
    with pytest.raises(ValueError, match="emitted_at"):
        RecentSignals.from_columns({**columns, "kind": ["technical"], "emitted_at": []})


def test_joined_recent_signals_are_all_remembered() -> None:
    one, two = candidate(), candidate(rule="golden_cross")
    both = emitted(one).joined(emitted(two))
    assert len(both) == 2
    assert chosen([one, two], both) == []
