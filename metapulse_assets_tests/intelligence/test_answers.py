"""What counts as an answer, and the reason why anything else does not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.intelligence.answers import LONGEST_SUMMARY, MOST_POINTS, InvalidAnswerError, parse
from metapulse_assets.intelligence.ensemble import sigmoid
from metapulse_assets.intelligence.post_panel import panel, sentiment_snapshot
from metapulse_assets.intelligence.prompts import OPINION_SCHEMA, SCORES_SCHEMA
from metapulse_assets_tests.intelligence.panels import honest

GOOD = {"probability": 0.62, "confidence": "medium", "risk_level": "low", "summary": "s", "key_points": ["a"]}
GROUPS = panel(honest(["up we go"], 12))
PANEL = sentiment_snapshot(GROUPS)


def opinion(**changes: Any) -> str:
    return json.dumps({name: value for name, value in {**GOOD, **changes}.items() if value is not ...})


def parsed(text: str, swapped: bool = False) -> dict[str, Any]:
    return parse("technical", {}, swapped, [text])


def scores(score: Any = 0.5) -> list[str]:
    return [json.dumps({"scores": [{"id": post.number, "score": score} for post in group]}) for group in GROUPS]


def test_a_good_answer() -> None:
    assert parsed(opinion()) == {**GOOD, "probability_up": 0.62}
    assert parsed(opinion(), swapped=True)["probability_up"] == pytest.approx(0.38)
    assert parsed(opinion(confidence=0.4, surplus="x", probability=1))["probability_up"] == 1
    assert parsed(f"<think>0.9? {{no}}</think>\n{opinion()}")["probability"] == 0.62
    assert parsed(f"```json\n{opinion()}\n```")["probability"] == 0.62


WRONG = {
    "no JSON": ("It will rise.", "no JSON"),
    "cut": (opinion()[:-8], "no JSON"),
    "a list": ("[1]", "field answer"),
    "a word for a number": (opinion(probability="high"), "field probability"),
    "a number as a string": (opinion(probability="0.6"), "field probability"),
    "a truth value": (opinion(probability=True), "field probability"),
    "above one": (opinion(probability=1.4), "field probability"),
    "percent": (opinion(probability=62), "field probability"),
    "below nothing": (opinion(probability=-0.1), "field probability"),
    "not a number": (opinion(probability=float("nan")), "no JSON: NaN is no number"),
    "no probability": (opinion(probability=...), "field probability"),
    "another level": (opinion(risk_level="extreme"), "field risk_level"),
    "points as text": (opinion(key_points="a, b"), "field key_points"),
    "nested without end": ("[" * 100_000, "JSON"),
}


@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_a_reason(case: str) -> None:
    text, reason = WRONG[case]
    with pytest.raises(InvalidAnswerError, match=reason):
        parsed(text)


@given(st.text())
def test_no_text_whatever_breaks_the_reading(text: str) -> None:
    try:
        answer = parsed(text)
    except InvalidAnswerError:
        return
    assert 0 <= answer["probability_up"] <= 1


def test_words_are_kept_short_and_plain() -> None:
    answer = parsed(opinion(summary="a\x00b\u202ec\n" + "x" * 2_000, key_points=["p"] * 50))
    assert answer["summary"].startswith("a b c x")
    assert len(answer["summary"]) == LONGEST_SUMMARY
    assert len(answer["key_points"]) == MOST_POINTS


def test_scores_of_posts_become_a_probability_and_no_words_of_the_model() -> None:
    answer = parse("sentiment", PANEL, False, scores(0.5))
    assert answer["panel_score"] == 0.5
    assert answer["probability_up"] == pytest.approx(sigmoid(0.5))
    assert answer["key_points"] == []
    assert "12 posts" in answer["summary"]


def test_each_post_must_be_scored_once() -> None:
    for broken in (
        json.dumps({"scores": []}),
        json.dumps({"scores": [{"id": 99, "score": 0.1}]}),
        json.dumps({"scores": [*json.loads(scores()[0])["scores"], {"id": GROUPS[0][0].number, "score": 1.0}]}),
    ):
        with pytest.raises(InvalidAnswerError, match="group 0: the ids"):
            parse("sentiment", PANEL, False, [broken, *scores()[1:]])
    with pytest.raises(InvalidAnswerError, match=r"field scores\.0\.score"):
        parse("sentiment", PANEL, False, scores(7))
    with pytest.raises(InvalidAnswerError, match="1 answers to"):
        parse("sentiment", PANEL, False, scores()[:1])


def test_the_schemas_are_as_strict_as_the_vendors_want_them() -> None:
    def objects(schema: Any) -> list[Any]:
        if not isinstance(schema, dict):
            return []
        own = [schema] if schema.get("type") == "object" else []
        return own + [inner for value in schema.values() for inner in objects(value)]

    found = objects(OPINION_SCHEMA) + objects(SCORES_SCHEMA)
    assert len(found) == 3
    for schema in found:
        assert schema["additionalProperties"] is False
        assert sorted(schema["required"]) == sorted(schema["properties"])
