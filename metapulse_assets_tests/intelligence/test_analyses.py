"""One analysis of a question and its answers: statuses, what is used, when it was known."""

from datetime import timedelta
from typing import Any

import pytest

from metapulse_assets.intelligence.analyses import Request, StoredAnswer, analyse
from metapulse_assets.intelligence.model_calibration import Calibration
from metapulse_assets_tests.intelligence.panels import AS_OF

REQUEST = Request("r", AS_OF, "technical", 1, 3_600, 2.0, 0.04, "h")
PARSED = {"probability_up": 0.7, "confidence": "low", "risk_level": "medium", "summary": "s", "key_points": ["p"]}


def answer(
    provider: str, probability: float | None = 0.7, status: str = "ok", minutes: float = 0, **parsed: Any
) -> StoredAnswer:
    content = None if probability is None else {**PARSED, "probability_up": probability, **parsed}
    reason = None if status == "ok" else f"why {provider}"
    return StoredAnswer(provider, "m", status, reason, content, AS_OF + timedelta(minutes=minutes))


def test_it_is_known_when_the_last_answer_it_uses_was_stored() -> None:
    row = analyse(REQUEST, [answer("groq", minutes=1), answer("gemini", minutes=3)], {})
    assert row["available_at"] == AS_OF + timedelta(minutes=3)
    lone = analyse(REQUEST, [answer("groq", minutes=1), answer("gemini", None, "failed", minutes=9)], {})
    assert (lone["status"], lone["available_at"]) == ("single_model", AS_OF + timedelta(minutes=1))
    none = analyse(REQUEST, [answer("groq", None, "failed", 1), answer("gemini", None, "cut", 2)], {})
    assert (none["status"], none["available_at"]) == ("abstained", AS_OF + timedelta(minutes=2))


def test_the_order_of_the_answers_does_not_matter() -> None:
    answers = [answer("groq", 0.8), answer("gemini", 0.4)]
    assert analyse(REQUEST, answers, {}) == analyse(REQUEST, answers[::-1], {})


def test_waiting_is_what_passes_by_itself() -> None:
    for status, expected in (("budget", "waiting"), ("rate_limited", "waiting"), ("switched_off", "abstained")):
        row = analyse(REQUEST, [answer("groq", None, status), answer("gemini", None, "failed")], {})
        assert row["status"] == expected
        assert row["reason"] == f"groq {status}: why groq; gemini failed: why gemini"


def test_opposite_sides_are_a_disagreement_without_a_target() -> None:
    row = analyse(REQUEST, [answer("groq", 0.8), answer("gemini", 0.2)], {})
    assert (row["status"], row["direction"], row["target_usd"]) == ("disagreement", "neutral", None)
    assert row["reason"] == "the models take opposite sides"


def test_the_graver_risk_and_everybodys_points_are_kept() -> None:
    row = analyse(REQUEST, [answer("groq", risk_level="low"), answer("gemini", risk_level="high", key_points=["q"])], {})
    assert row["risk_level"] == "high"
    assert row["key_points"] == [{"provider": "groq", "text": "p"}, {"provider": "gemini", "text": "q"}]


def test_each_model_is_read_by_its_own_calibration_and_weighs_by_its_skill() -> None:
    known = {("groq", "m", 3_600): Calibration(slope=0.0, intercept=0.0, n=500, hits=250, weight=12.0)}
    row = analyse(REQUEST, [answer("groq", 0.9), answer("gemini", 0.7)], known)
    assert row["models"]["groq"]["calibrated"] == 0.5
    assert row["models"]["gemini"]["calibrated"] == pytest.approx(0.7)
    assert (row["models"]["groq"]["weight"], row["models"]["gemini"]["weight"]) == (0.75, 0.25)


def test_a_range_wider_than_the_price_gives_no_target() -> None:
    wide = Request("r", AS_OF, "technical", 1, 3_600, 2.0, 5.0, "h")
    assert analyse(wide, [answer("groq"), answer("gemini")], {})["target_usd"] is None
    good = analyse(REQUEST, [answer("groq"), answer("gemini")], {})
    assert (good["target_usd"], good["stop_usd"]) == (pytest.approx(2.12), pytest.approx(1.92))


def test_answers_must_be_one_a_provider() -> None:
    for wrong in ([], [answer("groq"), answer("groq")]):
        with pytest.raises(ValueError, match="one a provider"):
            analyse(REQUEST, wrong, {})
