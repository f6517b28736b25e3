"""Gemini over a real socket: what is sent, and what every kind of answer becomes, the many with status 200 first."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.vendors.gemini import Gemini, off_reason, read_content, seconds_to_renewal
from metapulse_assets.vendors.model_replies import Question, Reply
from metapulse_assets_tests.vendors.model_server import Given, ModelServer, given_of, recorded_exchanges, serving

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["p"], "properties": {"p": {"type": "number"}}}
QUESTION = Question("Answer in JSON.", "How probable?", "opinion", SCHEMA, 300)
USAGE = {"promptTokenCount": 40, "candidatesTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 54}


def content(text: str | None = '{"p": 0.5}', finish: str | None = "STOP", **usage: int) -> dict[str, Any]:
    parts = {} if text is None else {"parts": [{"text": text}]}
    candidate = {"content": {"role": "model", **parts}, "index": 0, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], "usageMetadata": {**USAGE, **usage}, "modelVersion": "g-1"}


def refusal(status: int, kind: str, *details: dict[str, Any]) -> Given:
    return Given({"error": {"code": status, "message": "said so", "status": kind, "details": list(details)}}, status)


def quota(period: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": f"Requests{period}PerModel"}]}


def retry(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def ask(engine: sa.Engine, server: ModelServer, **settings: Any) -> Reply:
    made = load_settings(
        **{
            "gemini_api_url": server.url,
            "gemini_rate_limit": 10_000,
            "vendor_backoff_seconds": 0.01,
            "ai_timeout_seconds": 5.0,
            **settings,
        }
    )

    async def go() -> Reply:
        async with Gemini(made, engine, lambda: NOW) as gemini:
            return await gemini.ask(QUESTION)

    return asyncio.run(go())


def test_a_question_is_asked_with_its_schema_and_our_key(engine: sa.Engine) -> None:
    with serving(Given(content(cachedContentTokenCount=32))) as server:
        reply = ask(engine, server)
    [sent] = server.sent
    assert sent.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert sent.headers["x-goog-api-key"] == "sandbox-key"
    assert sent.body["contents"] == [{"parts": [{"text": "How probable?"}], "role": "user"}]
    assert sent.body["systemInstruction"]["parts"] == [{"text": "Answer in JSON."}]
    config = sent.body["generationConfig"]
    assert (config["responseMimeType"], config["responseJsonSchema"]) == ("application/json", SCHEMA)
    assert (config["temperature"], config["maxOutputTokens"]) == (0.0, 300)
    assert config["thinkingConfig"] == {"thinking_budget": 0} or config["thinkingConfig"] == {"thinkingBudget": 0}
    assert "tools" not in sent.body
    assert (reply.status, reply.text, reply.model) == ("ok", '{"p": 0.5}', "g-1")
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached) == (40, 14, 32)
    assert reply.payload is not None
    assert "sandbox-key" not in reply.payload.url


def test_only_the_model_that_may_skip_thinking_is_told_to(engine: sa.Engine) -> None:
    with serving(Given(content())) as server:
        ask(engine, server, gemini_model="gemini-2.5-pro")
    assert "thinkingConfig" not in server.sent[0].body["generationConfig"]


BLOCKED_PROMPT = {"promptFeedback": {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "found"}, "usageMetadata": USAGE}
DEGENERATE: dict[str, tuple[Given, str, str]] = {
    "prompt blocked": (Given(BLOCKED_PROMPT), "blocked", "the prompt was blocked: MODEL_ARMOR found"),
    "no candidates": (Given({"usageMetadata": USAGE}), "empty", "without candidates"),
    "answer blocked": (Given(content(None, "SAFETY")), "blocked", "SAFETY"),
    "armoured": (Given(content(None, "MODEL_ARMOR")), "blocked", "MODEL_ARMOR"),
    "all thoughts": (Given(content(None, "MAX_TOKENS")), "empty", "thinking"),
    "cut": (Given(content('{"p": 0.', "MAX_TOKENS")), "cut", "token limit"),
    "no text": (Given(content(None)), "empty", "without text"),
    "malformed": (Given(content(None, "MALFORMED_FUNCTION_CALL")), "empty", "MALFORMED_FUNCTION_CALL"),
    "declined": (Given(content("I cannot help with that.")), "refused", "declined"),
    "web page": (Given(b"<html>busy</html>", kind="text/html"), "failed", "text/html"),
    "no JSON": (Given(b'{"candidates": ['), "failed", "not an answer"),
    "another shape": (Given([1, 2]), "failed", "not an answer"),
    "wrong key": (refusal(400, "INVALID_ARGUMENT"), "failed", "HTTP 400 INVALID_ARGUMENT"),
    "no such model": (refusal(404, "NOT_FOUND"), "failed", "HTTP 404 NOT_FOUND"),
    "overloaded": (refusal(503, "UNAVAILABLE"), "failed", "HTTP 503 UNAVAILABLE"),
    "broken error": (Given(b"oops", 500, kind="text/plain"), "failed", "HTTP 500"),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_what_is_no_answer_is_a_reason(engine: sa.Engine, case: str) -> None:
    given, status, reason = DEGENERATE[case]
    with serving(given) as server:
        reply = ask(engine, server, vendor_attempts=1)
    assert reply.status == status
    assert reason in (reply.reason or "")
    assert reply.payload is not None
    assert reply.payload.body == given.bytes


def test_thoughts_are_no_part_of_the_text() -> None:
    parts = [{"text": "let me see", "thought": True}, {"text": '{"p":'}, {"text": " 1}"}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    assert read_content(body, "m").text == '{"p": 1}'


def test_a_short_wait_is_waited_for(engine: sa.Engine) -> None:
    with serving(refusal(429, "RESOURCE_EXHAUSTED", quota("PerMinute"), retry("0.02s")), Given(content())) as server:
        assert ask(engine, server).status == "ok"
    assert len(server.sent) == 2


def test_a_spent_day_is_not_asked_again_whatever_delay_it_names(engine: sa.Engine) -> None:
    with serving(refusal(429, "RESOURCE_EXHAUSTED", quota("PerDay"), retry("2s"))) as server:
        reply = ask(engine, server)
        again = ask(engine, server)
    assert len(server.sent) == 1
    assert reply.status == again.status == "rate_limited"
    assert (reply.reason or "").startswith("daily quota used up")
    # Midnight in California, in winter.
    assert reply.ask_again_at == datetime(2026, 3, 5, 8, tzinfo=UTC)


def test_a_quota_without_details_is_limited_all_the_same(engine: sa.Engine) -> None:
    with serving(refusal(429, "RESOURCE_EXHAUSTED")) as server:
        reply = ask(engine, server, vendor_attempts=2)
    assert len(server.sent) == 2
    assert (reply.status, reply.ask_again_at) == ("rate_limited", None)


def test_a_quota_whose_end_is_a_date_is_left_alone_until_then(engine: sa.Engine) -> None:
    limited = Given({"error": {"status": "RESOURCE_EXHAUSTED"}}, 429, {"Retry-After": "Wed, 04 Mar 2026 12:10:00 GMT"})
    with serving(limited) as server:
        reply = ask(engine, server)
    assert (len(server.sent), reply.status) == (1, "rate_limited")
    assert reply.ask_again_at == datetime(2026, 3, 4, 12, 10, tzinfo=UTC)


def test_details_of_another_shape_do_no_harm(engine: sa.Engine) -> None:
    odd: tuple[Any, ...] = (7, {"violations": 3}, {"violations": [None, {"quotaId": 9}]}, {"retryDelay": 5}, {"reason": 1})
    with serving(refusal(429, "RESOURCE_EXHAUSTED", *odd)) as server:
        reply = ask(engine, server, vendor_attempts=1)
    assert (reply.status, reply.ask_again_at) == ("rate_limited", None)


def test_a_wrong_key_is_told_from_other_bad_requests(engine: sa.Engine) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    with serving(refusal(400, "INVALID_ARGUMENT", info)) as server:
        reply = ask(engine, server)
    assert (reply.status, reply.reason) == ("failed", "HTTP 400 API_KEY_INVALID: said so")


def test_quotas_are_renewed_at_midnight_in_california_in_summer_too() -> None:
    assert seconds_to_renewal(datetime(2026, 7, 1, 6, 59, tzinfo=UTC)) == 60
    assert seconds_to_renewal(datetime(2026, 7, 1, 7, 0, tzinfo=UTC)) == timedelta(days=1).total_seconds()


def test_without_a_key_it_is_off() -> None:
    assert off_reason(load_settings(mode=Mode.LIVE)) == "GEMINI_API_KEY is not set"
    assert off_reason(load_settings(mode=Mode.LIVE, gemini_api_key="AIza")) is None


def expected_status(response: dict[str, Any]) -> set[str]:
    """What a recording holds, told from its own fields."""
    body = response["body"]
    if response["status"] == 429:
        return {"rate_limited"}
    if response["status"] >= 400 or not isinstance(body, dict):
        return {"failed"}
    if not body.get("candidates"):
        return {"blocked"} if body.get("promptFeedback", {}).get("blockReason") else {"empty"}
    candidate = body["candidates"][0]
    parts = candidate.get("content", {}).get("parts") or []
    text = "".join(part.get("text", "") for part in parts)
    if candidate.get("finishReason") in ("SAFETY", "MODEL_ARMOR"):
        return {"blocked"}
    if candidate.get("finishReason") == "MAX_TOKENS":
        return {"cut"} if text else {"empty"}
    return {"ok"} if text else {"empty"}


def test_every_recorded_exchange_is_understood(recordings: Path, engine: sa.Engine) -> None:
    seen: set[str] = set()
    for file in sorted((recordings / "payloads" / "gemini").rglob("*.json")):
        for entry in recorded_exchanges(file):
            with serving(given_of(entry["response"])) as server:
                reply = ask(engine, server, vendor_attempts=1)
            assert reply.status in expected_status(entry["response"]), (file.name, reply)
            assert (reply.reason is None) == (reply.status == "ok"), file.name
            seen.add(reply.status)
            with engine.begin() as connection:
                connection.execute(sa.text("DELETE FROM rate_limits"))
    assert {"ok", "blocked", "empty", "cut", "failed", "rate_limited"} <= seen
