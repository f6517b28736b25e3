"""The social rules: when they fire, what silences them, and that nothing later changes what fired."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.signals.social_rules import INPUTS, find_social_hits
from metapulse_assets.signals.view_reasons import VIEW_SENTENCES

START = datetime(2026, 3, 4, 10, tzinfo=UTC)
TEN = timedelta(minutes=10)
CALM: Mapping[str, Any] = {
    "token_id": 1,
    "sentiment_24h": 0.1,
    "mentions_24h": 40,
    "authors_24h": 30,
    "mentions_1h": 30,
    "authors_1h": 25,
    "heard_1h": 12,
    "heard_24h": 20,
    "baseline_hourly": 4.0,
    "velocity": math.log(31 / 5),
    "velocity_z": 0.5,
    "sentiment": 0.3,
    "weighted_sentiment": 0.4,
    "bot_share": 0.1,
    "scam_share": None,
}


def row(step: int = 0, **change: Any) -> dict[str, Any]:
    at = START + step * TEN
    return {**CALM, "as_of": at, "available_at": at, **change}


def fired(*rows: Mapping[str, Any], start: datetime = START) -> list[tuple[str, str]]:
    return [(hit.rule, hit.direction) for hit in find_social_hits(rows, start)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sentiment_24h": 0.61}, [("sentiment_bullish", "buy")]),
        ({"sentiment_24h": -0.61}, [("sentiment_bearish", "sell")]),
        ({"sentiment_24h": 0.6}, []),
        ({"sentiment_24h": None}, []),
        ({"sentiment_24h": 0.9, "mentions_24h": 20}, []),
        ({"sentiment_24h": 0.9, "authors_24h": 9}, []),
        ({"sentiment_24h": 0.9, "heard_24h": 9}, []),
        ({"sentiment_24h": 0.9, "heard_24h": None}, []),
        ({"velocity_z": 3.0, "heard_1h": 4}, []),
        ({"sentiment_24h": 0.9, "bot_share": 0.6}, []),
        ({"sentiment_24h": 0.9, "scam_share": 0.6}, []),
        ({"weighted_sentiment": 3.0}, [("sentiment_surge_up", "buy")]),
        ({"weighted_sentiment": -4.0}, [("sentiment_surge_down", "sell")]),
        ({"weighted_sentiment": 2.9}, []),
        ({"weighted_sentiment": None}, []),
        ({"weighted_sentiment": 5.0, "mentions_24h": 20}, []),
        ({"velocity_z": 3.0}, [("mention_spike_up", "buy")]),
        ({"velocity_z": 3.0, "sentiment": -0.3}, [("mention_spike_down", "sell")]),
        ({"velocity_z": 3.0, "sentiment": 0.1}, []),
        ({"velocity_z": 2.9}, []),
        ({"velocity_z": 3.0, "velocity": math.log(1.4)}, []),
        ({"velocity_z": None}, []),
        ({"velocity_z": 3.0, "authors_1h": 9}, []),
    ],
)
def test_when_a_rule_fires(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert fired(row(0), row(1, **change)) == expected


def test_a_rule_fires_when_it_begins_to_hold_and_not_again() -> None:
    high = {"sentiment_24h": 0.8}
    assert fired(row(0), row(1, **high), row(2, **high), row(3), row(4, **high)) == [("sentiment_bullish", "buy")] * 2
    assert fired(row(0, **high), row(1, **high), start=START + TEN) == []


def test_what_is_seen_first_in_a_state_has_begun() -> None:
    high = {"sentiment_24h": 0.8}
    assert fired(row(0, **high)) == [("sentiment_bullish", "buy")]
    assert len(fired(row(0, **high), row(13, **high))) == 2, "after a pause it is seen first again"
    assert len(fired(row(0, **high), row(1, token_id=2, **high))) == 2


def test_what_a_hit_says() -> None:
    [hit] = find_social_hits([row(0), row(1, sentiment_24h=0.8)], START)
    assert hit.strength == pytest.approx(0.5)
    assert hit.confidence == pytest.approx(30 / 40 * 0.9)
    assert set(hit.inputs) == {*INPUTS["sentiment_bullish"], "bot_share", "scam_share"}
    assert VIEW_SENTENCES[hit.rule](hit.inputs).startswith("Sentiment of the last 24 hours is +0.80")


values = st.fixed_dictionaries(
    {
        "sentiment_24h": st.none() | st.floats(-1, 1),
        "sentiment": st.none() | st.floats(-1, 1),
        "velocity_z": st.none() | st.floats(-10, 10),
        "weighted_sentiment": st.none() | st.floats(-10, 10),
        "velocity": st.none() | st.floats(-5, 5),
        "mentions_24h": st.integers(0, 100),
        "authors_24h": st.integers(0, 100),
        "mentions_1h": st.integers(0, 100),
        "authors_1h": st.integers(0, 100),
        "heard_1h": st.none() | st.integers(0, 30),
        "heard_24h": st.none() | st.integers(0, 30),
        "bot_share": st.none() | st.floats(0, 1),
        "scam_share": st.none() | st.floats(0, 1),
    }
)


@given(st.lists(values, max_size=20), st.integers(0, 20))
def test_nothing_later_changes_what_fired(changes: list[dict[str, Any]], cut: int) -> None:
    rows = [row(step, **change) for step, change in enumerate(changes)]
    whole = find_social_hits(rows, START)
    assert find_social_hits(rows[:cut], START) == [hit for hit in whole if hit.as_of < START + cut * TEN]
    assert all(0 <= hit.strength <= 1 and 0 <= hit.confidence <= 1 for hit in whole)
