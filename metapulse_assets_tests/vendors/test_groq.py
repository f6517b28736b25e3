"""Groq over a real socket: what is sent, what every kind of answer becomes, what its headers ask for."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.vendor_client import Exchange
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.vendors.groq import Groq, off_reason, read_completion, wait_asked
from metapulse_assets.vendors.model_replies import Question, Reply, seconds_of
from metapulse_assets_tests.vendors.model_server import Given, ModelServer, given_of, recorded_exchanges, serving

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["p"], "properties": {"p": {"type": "number"}}}
QUESTION = Question("Answer in JSON.", "How probable?", "opinion", SCHEMA, 300)


def completion(content: str | None = '{"p": 0.5}', finish: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 40, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 32}}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], "usage": usage}


def refusal(status: int, message: str, code: str = "", **headers: str) -> Given:
    return Given({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status, headers)


def ask(engine: sa.Engine, server: ModelServer, path: str = "", times: int = 1, **settings: Any) -> Reply:
    """The reply to the last of some questions."""
    made = load_settings(
        **{
            "groq_api_url": server.url + path,
            "groq_rate_limit": 10_000,
            "vendor_backoff_seconds": 0.01,
            "ai_timeout_seconds": 5.0,
            **settings,
        }
    )

    async def go() -> Reply:
        async with Groq(made, engine, lambda: NOW) as groq:
            for _ in range(times - 1):
                await groq.ask(QUESTION)
            return await groq.ask(QUESTION)

    return asyncio.run(go())


def test_a_question_is_asked_with_its_schema_and_our_key(engine: sa.Engine) -> None:
    with serving(Given(completion())) as server:
        reply = ask(engine, server)
    [sent] = server.sent
    assert sent.path == "/openai/v1/chat/completions"
    assert sent.headers["authorization"] == "Bearer sandbox-key"
    assert sent.body["messages"] == [
        {"role": "system", "content": "Answer in JSON."},
        {"role": "user", "content": "How probable?"},
    ]
    assert sent.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "opinion", "strict": True, "schema": SCHEMA},
    }
    assert (sent.body["temperature"], sent.body["max_completion_tokens"]) == (0, 300)
    assert "tools" not in sent.body
    assert (reply.status, reply.text, reply.model) == ("ok", '{"p": 0.5}', "m-1")
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached) == (40, 9, 32)
    assert reply.payload is not None
    assert json.loads(reply.payload.body) == completion()
    assert "sandbox-key" not in reply.payload.url


def test_another_server_of_the_protocol_is_asked_at_its_own_path_and_without_a_key(engine: sa.Engine) -> None:
    with serving(Given(completion())) as server:
        reply = ask(engine, server, "/v1", mode=Mode.LIVE)
    assert [sent.path for sent in server.sent] == ["/v1/chat/completions"]
    assert "authorization" not in server.sent[0].headers
    assert reply.status == "ok"


def test_a_model_that_takes_no_schema_is_told_of_it_in_words_from_then_on(engine: sa.Engine) -> None:
    no_schema = refusal(400, "This model does not support response format `json_schema`.")
    with serving(no_schema, Given(completion())) as server:
        reply = ask(engine, server, times=2)
    assert [sent.body["response_format"]["type"] for sent in server.sent] == ["json_schema", "json_object", "json_object"]
    assert json.dumps(SCHEMA, sort_keys=True) in server.sent[1].body["messages"][0]["content"]
    assert reply.status == "ok"


REFUSED_FORMS: dict[str, Given] = {
    "literal": Given({"object": "error", "message": "[{'loc': ('body', 'response_format', 'type'), 'msg': 'wrong'}]"}, 400),
    "validation": Given({"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}, 422),
    "plain": Given(b"JSON mode is not supported by this server", 400, kind="text/plain"),
}


@pytest.mark.parametrize("refused", REFUSED_FORMS.values(), ids=REFUSED_FORMS)
def test_a_server_that_takes_no_form_at_all_is_asked_in_words(engine: sa.Engine, refused: Given) -> None:
    with serving(refused, refused, Given(completion())) as server:
        reply = ask(engine, server, "/v1", times=2)
    forms = [sent.body.get("response_format", {}).get("type") for sent in server.sent]
    assert forms == ["json_schema", "json_object", None, None]
    assert json.dumps(SCHEMA, sort_keys=True) in server.sent[-1].body["messages"][0]["content"]
    assert reply.status == "ok"


def test_a_server_that_refuses_whatever_form_is_asked_no_more_than_each_of_them(engine: sa.Engine) -> None:
    with serving(REFUSED_FORMS["plain"]) as server:
        reply = ask(engine, server)
    assert len(server.sent) == 3
    assert (reply.status, reply.reason) == ("failed", "HTTP 400")


def test_options_that_a_server_does_not_know_are_left_out(engine: sa.Engine) -> None:
    refused = refusal(400, "Unrecognized request argument supplied: max_completion_tokens")
    cold = refusal(422, "`temperature` does not support 0 with this model")
    with serving(refused, cold, Given(completion())) as server:
        reply = ask(engine, server, times=2)
    assert reply.status == "ok"
    assert [sent.body.get("max_completion_tokens") for sent in server.sent] == [300, None, None, None]
    assert [sent.body.get("max_tokens") for sent in server.sent] == [None, 300, 300, 300]
    assert ["temperature" in sent.body for sent in server.sent] == [True, True, False, False]
    assert {sent.body["response_format"]["type"] for sent in server.sent} == {"json_schema"}


def test_what_other_servers_leave_out_or_put_otherwise() -> None:
    body = completion('{"p": 0.5}', "eos")
    assert (read_completion({"choices": body["choices"]}, "m").status, read_completion(body, "m").status) == ("ok", "ok")
    assert read_completion({"choices": [{"message": {"content": "{}"}}]}, "m") == Reply("ok", "m", text="{}")
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": '{"p": '}, {"type": "text", "text": "1}"}]
    assert read_completion(completion(parts), "m").text == '{"p": 1}'  # type: ignore[arg-type]
    assert read_completion({**body, "usage": {"prompt_tokens": 10**12, "completion_tokens": -1}}, "m").tokens_in is None
    with pytest.raises(ValueError, match="the server says: no credits"):
        read_completion({"error": {"message": "no credits", "code": 402}}, "m")


def test_an_address_without_chat_completions_says_what_it_should_end_in(engine: sa.Engine) -> None:
    with serving(Given({"detail": "Not Found"}, 404)) as server:
        reply = ask(engine, server)
    assert (reply.reason or "").startswith("HTTP 404: Not Found; GROQ_API_URL of another server")


DEGENERATE: dict[str, tuple[Given, str, str]] = {
    "no text": (Given(completion(None)), "empty", "without text"),
    "no choices": (Given({**completion(), "choices": []}), "empty", "without text"),
    "all thoughts": (Given(completion("", "length")), "empty", "thinking"),
    "cut": (Given(completion('{"p": 0.', "length")), "cut", "token limit"),
    "refused": (Given(completion("", refusal="I will not")), "refused", "I will not"),
    "declined": (Given(completion("I'm sorry, I can't.")), "refused", "declined"),
    "blocked": (Given(completion("x", "content_filter")), "blocked", "blocked"),
    "web page": (Given(b"<html>busy</html>", kind="text/html"), "failed", "not a chat completion"),
    "no JSON": (Given(b'{"choices": ['), "failed", "not a chat completion"),
    "another shape": (Given({"choices": "none"}), "failed", "choices is not a list"),
    "nested without end": (Given(b"[" * 200_000), "failed", "not a chat completion"),
    "wrong key": (refusal(401, "Invalid API Key", "invalid_api_key"), "failed", "HTTP 401 invalid_api_key"),
    "no such model": (refusal(404, "no model `m`", "model_not_found"), "failed", "HTTP 404 model_not_found"),
    "too large": (refusal(413, "Request too large", "rate_limit_exceeded"), "failed", "HTTP 413"),
    "broken error": (Given(b"oops", 400, kind="text/plain"), "failed", "HTTP 400"),
    "down": (Given({"error": {"message": "no"}}, 503), "failed", "HTTP 503"),
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


def test_what_the_model_made_is_kept_though_it_did_not_validate(engine: sa.Engine) -> None:
    error = {"message": "Failed to generate JSON", "code": "json_validate_failed", "failed_generation": '{"p": 0.7'}
    with serving(Given({"error": error}, 400)) as server:
        reply = ask(engine, server)
    assert (reply.status, reply.text) == ("invalid", '{"p": 0.7')


def test_nobody_answering_is_a_reason_too(engine: sa.Engine) -> None:
    with serving(Given()) as server:
        url = server.url
    gone = ModelServer()
    gone.url = url
    reply = ask(engine, gone, vendor_attempts=1)
    assert reply.status == "failed"
    assert "ConnectError" in (reply.reason or "")
    assert reply.payload is None


def test_a_short_wait_is_waited_for(engine: sa.Engine) -> None:
    limited = refusal(429, "Rate limit reached. Please try again in 26ms.", "rate_limit_exceeded")
    with serving(limited, Given(completion())) as server:
        assert ask(engine, server).status == "ok"
    assert len(server.sent) == 2


def test_a_spent_day_is_not_asked_again(engine: sa.Engine) -> None:
    text = "Rate limit reached on tokens per day (TPD): Limit 100000, Used 97050. Please try again in 9m38.016s."
    with serving(refusal(429, text, "rate_limit_exceeded")) as server:
        reply = ask(engine, server)
        again = ask(engine, server)
    assert len(server.sent) == 1
    assert reply.status == again.status == "rate_limited"
    assert "tokens per day" in (reply.reason or "")
    assert reply.ask_again_at == datetime(2026, 3, 4, 12, 9, 38, 16_000, tzinfo=UTC)


def exchange(status: int = 200, body: Any = None, **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(named, RawPayload("groq", "u", status, NOW, json.dumps(body).encode()))


def test_a_spent_allowance_is_waited_for_as_its_header_says() -> None:
    assert wait_asked(exchange(x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="7.66s")) == 7.66
    assert wait_asked(exchange(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="2m59.56s")) == 179.56
    both = exchange(
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="1h",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="1s",
    )
    assert wait_asked(both) == 3600
    assert wait_asked(exchange(x_ratelimit_remaining_tokens="1", x_ratelimit_reset_tokens="7.66s")) is None
    assert wait_asked(exchange(429, {"error": {"message": "try again in 2s"}}, retry_after="3")) is None
    assert wait_asked(exchange(429, {"error": {"message": "try again in 2s"}}, retry_after="7m12s")) == 432
    assert wait_asked(exchange(429, {"error": {"message": "try again in 2s"}}, retry_after="soon")) == 2
    assert wait_asked(exchange(429, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="7.66s")) == 7.66


def test_when_to_ask_again_is_known_whichever_way_it_is_said(engine: sa.Engine) -> None:
    for said in ("7m12s", "432", "Wed, 04 Mar 2026 12:07:12 GMT"):
        with serving(refusal(429, "slow down", **{"Retry-After": said})) as server:
            reply = ask(engine, server)
        assert len(server.sent) == 1
        assert (reply.status, reply.ask_again_at) == ("rate_limited", datetime(2026, 3, 4, 12, 7, 12, tzinfo=UTC))
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM rate_limits"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2m59.56s", 179.56), ("26ms", 0.026), ("10.332999999s", 10.332999999), ("1h0m2s", 3602.0), ("350us", 350e-6),
     ("", None), ("soon", None), ("5x", None), ("1m junk", None), ("-3s", None)],
)  # fmt: skip
def test_go_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


def test_without_a_key_it_is_off_but_for_a_server_of_this_machine() -> None:
    live: Callable[..., Any] = lambda **values: load_settings(mode=Mode.LIVE, **values)  # noqa: E731
    assert off_reason(live()) == "GROQ_API_KEY is not set"
    assert off_reason(live(groq_api_key="gsk_x")) is None
    assert off_reason(live(groq_api_url="http://127.0.0.1:11434/v1")) is None


def test_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="choices is not a list"):
        read_completion([], "m")


# What the recordings hold, told from their own fields: status, and whether there is text.
def expected_status(response: dict[str, Any]) -> set[str]:
    body = response["body"]
    if response["status"] == 429:
        return {"rate_limited"}
    if response["status"] >= 400:
        code = body["error"].get("code")
        return {"invalid"} if code in ("json_validate_failed", "tool_use_failed") else {"failed"}
    if isinstance(body, str):
        return {"failed"}
    return {"ok"} if body["choices"][0]["message"].get("content") else {"empty"}


def test_every_recorded_exchange_is_understood(recordings: Path, engine: sa.Engine) -> None:
    files = sorted((recordings / "payloads" / "groq").rglob("*.json"))
    seen = set()
    for file in files:
        for entry in recorded_exchanges(file):
            with serving(given_of(entry["response"])) as server:
                reply = ask(engine, server, vendor_attempts=1)
            assert reply.status in expected_status(entry["response"]), (file.name, reply)
            assert (reply.reason is None) == (reply.status == "ok"), file.name
            seen.add(reply.status)
            with engine.begin() as connection:
                connection.execute(sa.text("DELETE FROM rate_limits"))
    assert {"ok", "failed", "invalid"} <= seen
