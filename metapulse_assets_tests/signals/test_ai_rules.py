"""Which analyses by models become hits."""

from datetime import UTC, datetime
from typing import Any

import pytest

from metapulse_assets.signals.ai_rules import find_ai_hits
from metapulse_assets.signals.view_reasons import VIEW_SENTENCES

AT = datetime(2026, 3, 4, 10, tzinfo=UTC)


def analysis(**change: Any) -> dict[str, Any]:
    return {
        "as_of": AT,
        "available_at": AT,
        "analysis_id": "a1",
        "token_id": 7,
        "kind": "comprehensive",
        "status": "agreed",
        "direction": "buy",
        "probability_up": 0.75,
        "confidence": 0.75,
        "disagreement": 0.1,
        "snapshot_hash": "h",
        **change,
    }


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({}, "comprehensive_agreed"),
        ({"kind": "technical"}, "technical_agreed"),
        ({"status": "single_model"}, "comprehensive_single_model"),
        ({"confidence": 0.6}, "comprehensive_agreed"),
        ({"confidence": 0.59}, None),
        ({"status": "single_model", "confidence": 0.69}, None),
        ({"status": "disagreement"}, None),
        ({"status": "abstained", "direction": None, "confidence": None, "probability_up": None}, None),
        ({"status": "waiting", "direction": None, "confidence": None, "probability_up": None}, None),
        ({"direction": "neutral"}, None),
        ({"kind": "sentiment"}, None),
        ({"kind": "market_overview", "token_id": None}, None),
    ],
)
def test_which_are_sure_enough(change: dict[str, Any], rule: str | None) -> None:
    assert [hit.rule for hit in find_ai_hits([analysis(**change)])] == ([rule] if rule else [])


def test_the_strength_is_the_distance_from_even_odds() -> None:
    [hit] = find_ai_hits([analysis(probability_up=0.2, direction="sell", confidence=0.8)])
    assert (hit.direction, hit.confidence) == ("sell", 0.8)
    assert hit.strength == pytest.approx(0.6)
    assert "20 %" in VIEW_SENTENCES[hit.rule](hit.inputs)
