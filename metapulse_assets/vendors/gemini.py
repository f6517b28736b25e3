"""Google Gemini's generateContent through its own SDK (google-genai, REST).

Many of its refusals are answers with status 200 and something missing; each comes back as a `Reply` with a reason.
"""

import json
import time
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
from metapulse_assets.vendors.sdk_transports import NO_HOST, NO_KEY, httpx2_client, no_httpx2_client, noted_exchanges

VENDOR = "gemini"
API_VERSION = "v1beta"
# Daily quotas are renewed at midnight there.
QUOTA_ZONE = ZoneInfo("America/Los_Angeles")
_BLOCKING = {
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY"),
    *("IMAGE_PROHIBITED_CONTENT", "LANGUAGE"),
}
# Only this family takes a budget of none; others refuse it.
_MAY_SKIP_THINKING = "gemini-2.5-flash"


def off_reason(settings: Settings) -> str | None:
    """Why Gemini cannot be asked; None if it can."""
    return why_off(settings.gemini_url, settings.key_of(settings.gemini_api_key), "GEMINI_API_KEY")


class Gemini:
    """The typed client. Use as an async context manager."""

    provider = VENDOR

    def __init__(self, settings: Settings, engine: sa.Engine, clock: Clock = system_clock) -> None:
        """Opens no connection yet."""
        self.model = settings.gemini_model
        self._clock = clock
        key = settings.key_of(settings.gemini_api_key)
        self.gate = Gate(VENDOR, (Limit(settings.gemini_rate_limit, 60.0),))
        self.client = VendorClient(
            VENDOR,
            settings.gemini_url,
            engine,
            model_policy(settings),
            headers={"x-goog-api-key": key} if key else None,
            clock=clock,
            wait_asked=lambda exchange: wait_asked(exchange, clock()),
        )
        self._sdk: Any = None

    async def __aenter__(self) -> "Gemini":
        """Open the connections."""
        from google import genai
        from google.genai import types

        await self.client.__aenter__()
        options = types.HttpOptions(
            base_url=NO_HOST,
            api_version=API_VERSION,
            httpx_async_client=httpx2_client(self.client, self.gate),
            httpx_client=no_httpx2_client(),
        )
        # Said outright: the environment of a Google Cloud user would else turn the calls to Vertex AI.
        self._sdk = genai.Client(vertexai=False, api_key=NO_KEY, http_options=options)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self.client.__aexit__(*error)

    async def ask(self, question: Question) -> Reply:
        """Ask; never raises for what the vendor does."""
        from google.genai import errors

        began = time.monotonic()
        with noted_exchanges() as exchanges:
            try:
                await self._sdk.aio.models.generate_content(
                    model=self.model, contents=question.prompt, config=self._config(question)
                )
                reply = _read(exchanges[-1], self.model)
            except errors.APIError:
                reply = read_refusal(self.model, exchanges[-1], self._clock())
            except Exception as error:
                # The SDK has no error of its own for a call that failed, nor for an answer that it does not understand.
                answered = exchanges[-1] if exchanges else None
                reply = _read(answered, self.model) if answered else without_answer(self.model, error, self._clock())
        latency = round(1000 * (time.monotonic() - began))
        return with_exchange(reply, exchanges[-1] if exchanges else None, latency)

    def _config(self, question: Question) -> Any:
        from google.genai import types

        skips = self.model.startswith(_MAY_SKIP_THINKING)
        return types.GenerateContentConfig(
            system_instruction=question.system,
            temperature=0.0,
            max_output_tokens=question.max_tokens,
            response_mime_type="application/json",
            response_json_schema=dict(question.schema),
            thinking_config=types.ThinkingConfig(thinking_budget=0) if skips else None,
        )


def read_content(body: Any, asked_model: str) -> Reply:
    """The reply in an answer of generateContent. Raises ValueError for a body of another shape."""
    if not isinstance(body, dict):
        raise ValueError("the answer is not an object")
    usage = _dict(body.get("usageMetadata"))
    spoken, thought = number_of(usage.get("candidatesTokenCount")), number_of(usage.get("thoughtsTokenCount"))
    model = body.get("modelVersion") if isinstance(body.get("modelVersion"), str) else asked_model
    candidates = body.get("candidates")
    candidate = _dict(candidates[0]) if isinstance(candidates, list) and candidates else None
    text = _text_of(candidate or {})
    status, reason = _verdict(candidate, text, _dict(body.get("promptFeedback")))
    return Reply(
        status,
        str(model),
        reason,
        text,
        tokens_in=number_of(usage.get("promptTokenCount")),
        tokens_out=None if spoken is None and thought is None else (spoken or 0) + (thought or 0),
        tokens_cached=number_of(usage.get("cachedContentTokenCount")),
    )


def read_refusal(model: str, exchange: Exchange, now: datetime) -> Reply:
    """The reply in an answer with an error status."""
    error = _error_of(exchange)
    # A wrong key is a bad request like others: its reason tells them apart.
    named = next((detail["reason"] for detail in _details(error) if isinstance(detail.get("reason"), str)), None)
    kind, message = str(named or error.get("status") or ""), str(error.get("message") or "")
    reason = short_reason(f"HTTP {exchange.status} {kind}: {message}" if message else f"HTTP {exchange.status}")
    if exchange.status == 429:
        if _is_daily(error):
            reason = short_reason(f"daily quota used up; {reason}")
        wait = wait_asked(exchange, now)
        if wait is None:
            wait = retry_after(exchange.headers, now)
        return Reply("rate_limited", model, reason, ask_again_at=None if wait is None else now + timedelta(seconds=wait))
    return Reply("failed", model, reason)


def wait_asked(exchange: Exchange, now: datetime) -> float | None:
    """Seconds to wait after a 429: until midnight in California for a daily quota, else as `RetryInfo` says."""
    if exchange.status != 429:
        return None
    error = _error_of(exchange)
    if _is_daily(error):
        return seconds_to_renewal(now)
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (seconds := seconds_of(delay)) is not None:
            return seconds
    return None


def seconds_to_renewal(now: datetime) -> float:
    """Seconds until the next midnight of the zone in which daily quotas are counted."""
    there = now.astimezone(QUOTA_ZONE)
    midnight = datetime.combine(there.date() + timedelta(days=1), datetime.min.time(), QUOTA_ZONE)
    return (midnight - now).total_seconds()


def _is_daily(error: dict[str, Any]) -> bool:
    lists = [violations for detail in _details(error) if isinstance(violations := detail.get("violations"), list)]
    return any("PerDay" in str(_dict(item).get("quotaId")) for violations in lists for item in violations)


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []


def _verdict(candidate: dict[str, Any] | None, text: str | None, feedback: dict[str, Any]) -> tuple[Status, str | None]:
    if candidate is None:
        blocked = feedback.get("blockReason")
        detail = feedback.get("blockReasonMessage") or ""
        if blocked:
            return "blocked", short_reason(f"the prompt was blocked: {blocked} {detail}")
        return "empty", "an answer without candidates"
    finish = str(candidate.get("finishReason") or "")
    if finish in _BLOCKING:
        return "blocked", f"the answer was blocked: {finish}"
    if finish == "MAX_TOKENS":
        return ("cut", "the answer was cut at the token limit") if text else ("empty", "all tokens went into thinking")
    if not text or not text.strip():
        return "empty", f"an answer without text (finishReason {finish or 'none'})"
    if declined(text):
        return "refused", short_reason(f"the model declined: {text}")
    return "ok", None


def _text_of(candidate: dict[str, Any]) -> str | None:
    parts = _dict(candidate.get("content")).get("parts")
    texts = [
        part["text"]
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, dict) and isinstance(part.get("text"), str) and not part.get("thought")
    ]
    return "".join(texts) if texts else None


def _error_of(exchange: Exchange) -> dict[str, Any]:
    try:
        body = json.loads(exchange.payload.body)
    except (ValueError, RecursionError):
        return {}
    # Some errors come as a list of one.
    return _dict(_dict(body[0] if isinstance(body, list) and body else body).get("error"))


def _read(exchange: Exchange, model: str) -> Reply:
    try:
        return read_content(json.loads(exchange.payload.body), model)
    except (ValueError, RecursionError):
        kind = exchange.headers.get("content-type", "untyped").split(";")[0]
        return Reply("failed", model, f"HTTP {exchange.status}, {kind}: not an answer of generateContent")


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
