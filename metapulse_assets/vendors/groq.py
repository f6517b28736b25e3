"""Groq's chat completions through its own SDK; any server that speaks OpenAI's protocol can stand in for it.

Refusals of every kind come back as a `Reply` with a reason: the caller decides what an absent answer means.
"""

import json
import re
import time
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.rate_headers import retry_after
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import Exchange, VendorClient
from metapulse_assets.vendors.model_replies import (
    Question,
    Reply,
    Status,
    declined,
    model_policy,
    number_of,
    seconds_of,
    short_reason,
    why_off,
    with_exchange,
    without_answer,
)
from metapulse_assets.vendors.sdk_transports import NO_HOST, NO_KEY, httpx_client, noted_exchanges

VENDOR = "groq"
_SDK_PREFIX = "/openai/v1"
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s))+)")
# Models that think before they answer; the least of it will do for a table of numbers.
_THINKING = "openai/gpt-oss"
# How the form of the answer is asked for, the strictest first: not every server, nor every model, takes each of them.
_FORMS = ("json_schema", "json_object", "words")
# How servers name the form where they refuse it, in lower case.
_NAMES_OF_FORM = ("response_format", "response format", "json_schema", "json schema", "json_object", "json mode")
# What a server may not know besides, and does without.
_OPTIONAL = ("max_completion_tokens", "temperature", "reasoning_effort")
_REFUSING = (400, 422)


def off_reason(settings: Settings) -> str | None:
    """Why Groq cannot be asked; None if it can."""
    return why_off(settings.groq_url, settings.key_of(settings.groq_api_key), "GROQ_API_KEY")


class Groq:
    """The typed client. Use as an async context manager."""

    provider = VENDOR

    def __init__(self, settings: Settings, engine: sa.Engine, clock: Clock = system_clock) -> None:
        """Opens no connection yet."""
        self.model = settings.groq_model
        self._clock = clock
        key = settings.key_of(settings.groq_api_key)
        self.gate = Gate(VENDOR, (Limit(settings.groq_rate_limit, 60.0),))
        self.client = VendorClient(
            VENDOR,
            settings.groq_url,
            engine,
            model_policy(settings),
            headers={"Authorization": f"Bearer {key}"} if key else None,
            clock=clock,
            wait_asked=wait_asked,
        )
        # A URL that ends in /v1 names the place of the protocol itself, as other servers than Groq give it.
        self._prefix = _SDK_PREFIX if settings.groq_url.endswith("/v1") else ""
        self._form = 0
        self._unknown: set[str] = set()
        self._sdk: Any = None

    async def __aenter__(self) -> "Groq":
        """Open the connections."""
        import groq

        await self.client.__aenter__()
        self._sdk = groq.AsyncGroq(
            api_key=NO_KEY,
            base_url=NO_HOST,
            max_retries=0,
            http_client=httpx_client(self.client, self.gate, self._prefix),
        )
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self._sdk.close()
        await self.client.__aexit__(*error)

    async def ask(self, question: Question) -> Reply:
        """Ask; a server that refuses a form of answer, or an option, is asked in a plainer way from then on."""
        for _ in range(len(_FORMS) + len(_OPTIONAL)):
            form, unknown = self._form, frozenset(self._unknown)
            reply = await self._ask_once(question, form, unknown)
            refused = _named_in_refusal(reply) - unknown
            if not refused and not (_refuses_form(reply) and form + 1 < len(_FORMS)):
                break
            # Others may have been refused meanwhile: nobody goes back to what was refused before.
            if refused:
                self._unknown |= refused
            else:
                self._form = max(self._form, form + 1)
        return reply

    async def _ask_once(self, question: Question, form: int, unknown: frozenset[str]) -> Reply:
        import groq

        began = time.monotonic()
        with noted_exchanges() as exchanges:
            try:
                await self._sdk.chat.completions.with_raw_response.create(**self._request(question, form, unknown))
                reply = read_completion(json.loads(exchanges[-1].payload.body), self.model)
            except groq.APIStatusError as error:
                reply = read_refusal(self.model, exchanges[-1], self._clock()) if exchanges else _unreadable(self.model, error)
            except groq.APIConnectionError as error:
                reply = without_answer(self.model, error, self._clock())
            except (ValueError, RecursionError) as error:
                reply = _unreadable(self.model, error)
        latency = round(1000 * (time.monotonic() - began))
        return with_exchange(reply, exchanges[-1] if exchanges else None, latency)

    def _request(self, question: Question, form: int, unknown: frozenset[str]) -> dict[str, Any]:
        system, wanted = question.system, _FORMS[form]
        asked: dict[str, Any] = {}
        if wanted == "json_schema":
            schema = {"name": question.schema_name, "strict": True, "schema": question.schema}
            asked["response_format"] = {"type": wanted, wanted: schema}
        else:
            system += f"\nAnswer with one JSON object of this schema: {json.dumps(question.schema, sort_keys=True)}"
            if wanted == "json_object":
                asked["response_format"] = {"type": wanted}
        options: dict[str, Any] = {"temperature": 0.0, "max_completion_tokens": question.max_tokens}
        if self.model.startswith(_THINKING):
            options["reasoning_effort"] = "low"
        if "max_completion_tokens" in unknown:
            options["max_tokens"] = question.max_tokens
        return {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question.prompt}],
            **asked,
            **{name: value for name, value in options.items() if name not in unknown},
        }


def read_completion(body: Any, asked_model: str) -> Reply:
    """The reply in a chat completion. Raises ValueError for a body of another shape."""
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        said = _error_in(body).get("message")
        raise ValueError(f"choices is not a list{f', the server says: {said}' if said else ''}")
    usage = _dict(body.get("usage"))
    model = body.get("model") if isinstance(body.get("model"), str) else asked_model
    choice = _dict(body["choices"][0]) if body["choices"] else {}
    message = _dict(choice.get("message"))
    text = _text_of(message.get("content"))
    status, reason = _verdict(text, message, choice.get("finish_reason"))
    return Reply(
        status,
        str(model),
        reason,
        text,
        tokens_in=number_of(usage.get("prompt_tokens")),
        tokens_out=number_of(usage.get("completion_tokens")),
        tokens_cached=number_of(_dict(usage.get("prompt_tokens_details")).get("cached_tokens")),
    )


def read_refusal(model: str, exchange: Exchange, now: datetime) -> Reply:
    """The reply in an answer with an error status."""
    error = _error_of(exchange)
    message, code = str(error.get("message") or ""), str(error.get("code") or error.get("type") or "")
    reason = short_reason(": ".join(filter(None, (f"HTTP {exchange.status} {code}".strip(), message))))
    if exchange.status == 429:
        wait = wait_asked(exchange)
        if wait is None:
            wait = retry_after(exchange.headers, now)
        return Reply("rate_limited", model, reason, ask_again_at=None if wait is None else now + timedelta(seconds=wait))
    made = error.get("failed_generation")
    if code in ("json_validate_failed", "tool_use_failed"):
        return Reply("invalid", model, reason, made if isinstance(made, str) else None)
    if exchange.status == 404 and "model" not in message:
        reason = short_reason(f"{reason}; GROQ_API_URL of another server than Groq's ends in /v1")
    return Reply("failed", model, reason)


def wait_asked(exchange: Exchange) -> float | None:
    """Seconds to wait where `Retry-After` does not say it as HTTP has it: in the header or the message of a 429, or until a
    spent allowance is renewed.

    `x-ratelimit-*-requests` is of a day and `-tokens` of a minute; both resets are Go durations.
    """
    if exchange.status == 429:
        if retry_after(exchange.headers, exchange.payload.received_at) is not None:
            return None
        found = _TRY_AGAIN.search(str(_error_of(exchange).get("message") or ""))
        for said in (exchange.headers.get("retry-after", ""), found[1] if found else ""):
            if (wait := seconds_of(said)) is not None:
                return wait
    waits = [
        seconds_of(exchange.headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if exchange.headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _verdict(text: str | None, message: dict[str, Any], finish: object) -> tuple[Status, str | None]:
    if message.get("refusal"):
        return "refused", short_reason(f"the model refused: {message['refusal']}")
    if finish == "length":
        return ("cut", "the answer was cut at the token limit") if text else ("empty", "all tokens went into thinking")
    if not text or not text.strip():
        return "empty", f"an answer without text (finish_reason {finish})"
    if finish == "content_filter":
        return "blocked", "the answer was blocked"
    if declined(text):
        return "refused", short_reason(f"the model declined: {text}")
    return "ok", None


def _text_of(content: object) -> str | None:
    """The text of a message, which some servers give in parts."""
    if isinstance(content, list):
        parts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "".join(parts) if parts else None
    return content if isinstance(content, str) else None


def _refuses_form(reply: Reply) -> bool:
    said = _refusal_of(reply)
    return any(name in said for name in _NAMES_OF_FORM)


def _named_in_refusal(reply: Reply) -> set[str]:
    """Options that a server refuses by their names."""
    said = _refusal_of(reply)
    return {name for name in _OPTIONAL if name in said}


def _refusal_of(reply: Reply) -> str:
    """What a server says where it refuses a question for its shape, in lower case; else nothing."""
    if reply.status != "failed" or reply.payload is None or reply.payload.status not in _REFUSING:
        return ""
    return reply.payload.body.decode("utf-8", "replace").lower()


def _error_of(exchange: Exchange) -> dict[str, Any]:
    try:
        body = json.loads(exchange.payload.body)
    except (ValueError, RecursionError):
        return {}
    return _error_in(body)


def _error_in(body: object) -> dict[str, Any]:
    """The error in a body. Other servers of this protocol give the message alone, or under other names."""
    if not isinstance(body, dict):
        return {}
    error = body.get("error") or body.get("detail") or body.get("message")
    if isinstance(error, dict) or not error:
        return _dict(error)
    return {"message": error if isinstance(error, str) else json.dumps(error)}


def _unreadable(model: str, error: Exception) -> Reply:
    return Reply("failed", model, short_reason(f"not a chat completion: {error}"))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
