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
        self._schemas_refused = False
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
        """Ask; a model that takes no JSON schema is told of it in words instead."""
        reply = await self._ask_once(question)
        if not self._schemas_refused and _refuses_schemas(reply):
            self._schemas_refused = True
            reply = await self._ask_once(question)
        return reply

    async def _ask_once(self, question: Question) -> Reply:
        import groq

        began = time.monotonic()
        with noted_exchanges() as exchanges:
            try:
                await self._sdk.chat.completions.with_raw_response.create(**self._request(question))
                reply = read_completion(json.loads(exchanges[-1].payload.body), self.model)
            except groq.APIStatusError as error:
                reply = read_refusal(self.model, exchanges[-1], self._clock()) if exchanges else _unreadable(self.model, error)
            except groq.APIConnectionError as error:
                reply = without_answer(self.model, error, self._clock())
            except ValueError as error:
                reply = _unreadable(self.model, error)
        latency = round(1000 * (time.monotonic() - began))
        return with_exchange(reply, exchanges[-1] if exchanges else None, latency)

    def _request(self, question: Question) -> dict[str, Any]:
        system = question.system
        form: dict[str, Any] = {
            "type": "json_schema",
            "json_schema": {"name": question.schema_name, "strict": True, "schema": question.schema},
        }
        if self._schemas_refused:
            form = {"type": "json_object"}
            system += f"\nAnswer with one JSON object of this schema: {json.dumps(question.schema, sort_keys=True)}"
        thinking = {"reasoning_effort": "low"} if self.model.startswith(_THINKING) else {}
        return {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question.prompt}],
            "response_format": form,
            "temperature": 0.0,
            "max_completion_tokens": question.max_tokens,
            **thinking,
        }


def read_completion(body: Any, asked_model: str) -> Reply:
    """The reply in a chat completion. Raises ValueError for a body of another shape."""
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise ValueError("choices is not a list")
    usage = _dict(body.get("usage"))
    model = body.get("model") if isinstance(body.get("model"), str) else asked_model
    choice = _dict(body["choices"][0]) if body["choices"] else {}
    message = _dict(choice.get("message"))
    text = message.get("content") if isinstance(message.get("content"), str) else None
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
    reason = short_reason(f"HTTP {exchange.status} {code}: {message}" if message else f"HTTP {exchange.status}")
    if exchange.status == 429:
        wait = wait_asked(exchange) or seconds_of(exchange.headers.get("retry-after", ""))
        return Reply("rate_limited", model, reason, ask_again_at=None if wait is None else now + timedelta(seconds=wait))
    made = error.get("failed_generation")
    if code in ("json_validate_failed", "tool_use_failed"):
        return Reply("invalid", model, reason, made if isinstance(made, str) else None)
    return Reply("failed", model, reason)


def wait_asked(exchange: Exchange) -> float | None:
    """Seconds to wait where `Retry-After` does not say it: in the message of a 429, or until a spent allowance is renewed.

    `x-ratelimit-*-requests` is of a day and `-tokens` of a minute; both resets are Go durations.
    """
    if exchange.status == 429:
        if exchange.headers.get("retry-after"):
            return None
        found = _TRY_AGAIN.search(str(_error_of(exchange).get("message") or ""))
        return seconds_of(found[1]) if found else None
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


def _refuses_schemas(reply: Reply) -> bool:
    reason = reply.reason or ""
    return reply.status == "failed" and "json_schema" in reason and "HTTP 400" in reason


def _error_of(exchange: Exchange) -> dict[str, Any]:
    try:
        body = json.loads(exchange.payload.body)
    except (ValueError, RecursionError):
        return {}
    error = _dict(body).get("error")
    # Other servers of this protocol give the message alone.
    return {"message": error} if isinstance(error, str) else _dict(error)


def _unreadable(model: str, error: Exception) -> Reply:
    return Reply("failed", model, short_reason(f"not a chat completion: {error}"))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
