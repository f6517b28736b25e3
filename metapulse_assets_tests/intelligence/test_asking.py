"""One run's questions: who is asked, what is reused, what stops it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from metapulse_assets.intelligence.asking import STALE, Answered, Asked, Asker, Outlook, storable
from metapulse_assets.intelligence.budget import Budget
from metapulse_assets.intelligence.post_panel import panel, sentiment_snapshot
from metapulse_assets.intelligence.prices import worst_cost
from metapulse_assets.intelligence.prompts import render
from metapulse_assets.intelligence.snapshots import snapshot_hash
from metapulse_assets.intelligence.store import Earlier
from metapulse_assets.vendors.model_replies import Question, Reply
from metapulse_assets_tests.intelligence.panels import AS_OF, honest

OPINION = json.dumps({"probability": 0.6, "confidence": "low", "risk_level": "low", "summary": "s", "key_points": []})
GOOD = Reply("ok", "gemini-2.5-flash", text=OPINION, tokens_in=1_000, tokens_out=100, latency_ms=5)


class Fake:
    """A model that answers by a script, the last line ever after, and keeps what it was asked."""

    provider, model = "gemini", "gemini-2.5-flash"

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.asked = list(replies), list[Question]()

    async def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        await asyncio.sleep(0)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def question(number: int = 0, **changes: Any) -> Asked:
    snapshot = {"cost_pct": 1, "number": number}
    made = Asked(
        *(f"r{number}", AS_OF, "technical", number, snapshot, snapshot_hash("technical", snapshot)),
        *(render("technical", snapshot, False).hash, False),
    )
    return replace(made, **changes)


def ask(
    model: Fake | None,
    questions: Sequence[Asked],
    limit: float = 1.0,
    earlier: Callable[[str, Asked], Earlier | None] = lambda provider, asked: None,
    now: datetime = AS_OF,
    **outlook: Any,
) -> tuple[list[dict[str, Any]], Budget]:
    kept: list[Answered] = []
    budget = Budget(limit, 0.0)
    view = Outlook("gemini", "gemini-2.5-flash", model, **outlook)
    asyncio.run(Asker(budget, earlier, kept.append, lambda: now).ask_all([(asked, view) for asked in questions]))
    return [answered.row for answered in kept], budget


def test_an_answer_is_kept_with_its_cost() -> None:
    [row], budget = ask(Fake(GOOD), [question()])
    assert (row["status"], row["reason"], row["raw"]) == ("ok", None, OPINION)
    assert row["parsed"]["probability_up"] == 0.6
    assert row["cost_usd"] == budget.spent == pytest.approx((1_000 * 0.30 + 100 * 2.50) / 1e6)
    assert (row["tokens_in"], row["tokens_out"], row["latency_ms"]) == (1_000, 100, 5)
    assert budget.set_aside == 0


def test_an_unusable_answer_is_kept_and_paid_for() -> None:
    [row], budget = ask(Fake(replace(GOOD, text="It\x00 will rise \ud800")), [question()])
    assert (row["status"], row["parsed"]) == ("invalid", None)
    assert row["raw"] == "It� will rise ?"
    assert row["reason"].startswith("no JSON")
    assert budget.spent > 0


def test_nobody_is_asked_what_was_answered_already() -> None:
    asked = question()
    known = Earlier(
        "old", "gemini-2.5-flash", "g-1", asked.snapshot_hash, asked.prompt_hash, OPINION, {"probability_up": 0.6}, None
    )
    model = Fake(GOOD)
    [row], budget = ask(model, [asked], earlier=lambda provider, asked: known)
    assert model.asked == []
    assert (row["status"], row["reused_from"], row["cost_usd"], row["model"]) == ("ok", "old", 0.0, "g-1")
    [chained], _ = ask(model, [asked], earlier=lambda provider, asked: replace(known, reused_from="oldest"))
    assert chained["reused_from"] == "oldest"
    assert budget.spent == 0
    others = (replace(known, snapshot_hash="x"), replace(known, prompt_hash="x"), replace(known, asked_model="x"))
    for other in others:
        [row], _ = ask(model, [asked], earlier=lambda provider, asked, other=other: other)  # type: ignore[misc]
        assert row["reused_from"] is None
    assert len(model.asked) == 3


def test_the_days_money_is_not_overdrawn_and_the_most_urgent_get_it() -> None:
    prompt = render("technical", question().snapshot, False)
    worst = worst_cost(Question(prompt.system, prompt.text, "", prompt.schema, prompt.max_tokens), "gemini-2.5-flash")
    expensive = replace(GOOD, tokens_in=0, tokens_out=int(worst / 2.5 * 1e6))
    rows, budget = ask(Fake(expensive), [question(number) for number in range(6)], limit=2.5 * worst)
    by_id = {row["request_id"]: row["status"] for row in rows}
    assert [by_id[f"r{number}"] for number in range(6)] == ["ok", "ok", *["budget"] * 4]
    assert budget.spent <= 2.5 * worst
    assert all("budget spent" in row["reason"] for row in rows if row["status"] == "budget")


def test_a_provider_that_is_off_costs_nothing_and_says_why() -> None:
    [row], _ = ask(None, [question()], off="GEMINI_API_KEY is not set")
    assert (row["status"], row["reason"]) == ("switched_off", "GEMINI_API_KEY is not set")


def test_a_spent_quota_stops_the_run_and_the_next_ones() -> None:
    until = AS_OF + timedelta(hours=3)
    model = Fake(Reply("rate_limited", "g", "daily quota used up", ask_again_at=until))
    rows, _ = ask(model, [question(number) for number in range(12)])
    assert len(model.asked) <= 4
    assert {row["status"] for row in rows} == {"rate_limited"}
    assert len(rows) == 12
    assert until in {row["available_until"] for row in rows}
    later = Fake(GOOD)
    [row], _ = ask(later, [question()], refused=(until, "daily quota used up"))
    assert later.asked == []
    assert row["reason"] == "not asked until 2026-03-04 15:00 UTC: daily quota used up"
    [row], _ = ask(later, [question(as_of=until)], refused=(until, "daily quota used up"), now=until)
    assert row["status"] == "ok"


def test_a_refusal_that_all_would_meet_is_met_once_per_place() -> None:
    model = Fake(Reply("failed", "g", "HTTP 401 invalid_api_key: Invalid API Key"))
    rows, _ = ask(model, [question(number) for number in range(12)])
    assert len(model.asked) <= 4
    assert {(row["status"], row["reason"]) for row in rows} == {("failed", "HTTP 401 invalid_api_key: Invalid API Key")}


def test_a_wrong_key_of_gemini_is_met_once_per_place_too() -> None:
    model = Fake(Reply("failed", "g", "HTTP 400 API_KEY_INVALID: API key not valid"))
    rows, _ = ask(model, [question(number) for number in range(12)])
    assert len(model.asked) <= 4
    assert {row["status"] for row in rows} == {"failed"}


def test_what_was_left_unasked_by_a_run_that_died_is_history() -> None:
    model = Fake(GOOD)
    [row], _ = ask(model, [question()], now=AS_OF + STALE + timedelta(seconds=1))
    assert (row["status"], model.asked) == ("failed", [])
    assert "ended before" in row["reason"]


def test_groups_of_posts_are_asked_one_by_one_and_count_as_one_answer() -> None:
    groups = panel(honest(["up we go", "down it falls"], 12))
    snapshot = sentiment_snapshot(groups)
    asked = question(kind="sentiment", snapshot=snapshot)
    texts = [json.dumps({"scores": [{"id": post.number, "score": 0.5} for post in group]}) for group in groups]
    model = Fake(*(replace(GOOD, text=text) for text in texts))
    [row], _ = ask(model, [asked])
    assert len(model.asked) == len(groups)
    for group, sent in zip(groups, model.asked, strict=True):
        assert all(post.text in sent.prompt for post in group)
        assert sum(f'"{post.text}"' in sent.prompt for other in groups for post in other) == len(group)
    assert (row["status"], row["parsed"]["panel_score"], row["tokens_in"]) == ("ok", 0.5, 1_000 * len(groups))
    assert json.loads(row["raw"]) == texts
    broken = Fake(replace(GOOD, text=texts[0]), Reply("blocked", "g", "the prompt was blocked: SAFETY", tokens_in=10))
    [row], _ = ask(broken, [asked])
    assert (row["status"], row["reason"], len(broken.asked)) == ("blocked", "the prompt was blocked: SAFETY", 2)


def test_text_is_made_storable() -> None:
    assert storable("a\x00b\udcffc") == "a�b?c"
