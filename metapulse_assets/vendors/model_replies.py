"""What language models are asked and what comes back, in the same words for every vendor.

Belongs here: the shape of a question and of a reply, and what is common to reading both vendors' replies. Does not: what the
questions are about, nor what the answers mean (`intelligence/`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from metapulse_assets.platform.circuit_breaker import CircuitOpenError
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import CallPolicy, Exchange, VendorError
from metapulse_assets.platform.vendor_settings import is_loopback

Status = Literal["ok", "blocked", "cut", "empty", "invalid", "refused", "failed", "rate_limited"]

LONGEST_REASON = 300
# A count beyond is none, nor fits into a column.
MOST_TOKENS = 1 << 31
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
# How models begin when they decline in prose instead of answering in JSON.
_DECLINES = re.compile(r"\s*(i['’]m sorry|i am sorry|sorry,|i can['’]?t|i cannot|i['’]m unable|i am unable|as an ai)", re.I)


@dataclass(frozen=True)
class Question:
    """One question: instructions, what is asked, the JSON schema of the answer, and its largest length in tokens."""

    system: str
    prompt: str
    schema_name: str
    schema: Mapping[str, Any]
    max_tokens: int


@dataclass(frozen=True)
class Reply:
    """What came of a question. `text` is the model's own, kept even if it is of no use; `reason` is None for ok.

    `ask_again_at`: when the vendor may be asked again, where it said so. `waited`: the vendor was not asked, or refused for
    want of quota. Tokens are as the vendor counts them, thoughts among the `tokens_out`; None: not said.
    """

    status: Status
    model: str
    reason: str | None = None
    text: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    latency_ms: int | None = None
    payload: RawPayload | None = None
    ask_again_at: datetime | None = None


class Model(Protocol):
    """A model of one provider that can be asked."""

    provider: str
    model: str

    async def ask(self, question: Question) -> Reply:
        """Ask; never raises for what the vendor does."""
        ...


def model_policy(settings: Settings) -> CallPolicy:
    """The policy of calls, with the longer timeout that models need."""
    return replace(CallPolicy.from_settings(settings), timeout_seconds=settings.ai_timeout_seconds)


def why_off(url: str, key: str | None, variable: str) -> str | None:
    """Why a provider cannot be asked; None if it can. A server on this machine needs no key."""
    return None if key or is_loopback(url) else f"{variable} is not set"


def declined(text: str) -> bool:
    """Whether a text that is no JSON declines to answer."""
    return _DECLINES.match(text) is not None


def short_reason(text: str) -> str:
    """A vendor's message on one line, cut to what a table can show."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def without_answer(model: str, error: BaseException, now: datetime) -> Reply:
    """The reply where none came: the call failed, or the vendor is not being called."""
    cause = _cause_of(error)
    if isinstance(cause, CircuitOpenError):
        return Reply("failed", model, "circuit open: not called")
    if isinstance(cause, VendorError):
        shut = re.match(r"rate limit: shut for (\d+) s", cause.reason)
        if shut:
            until = now + timedelta(seconds=int(shut[1]))
            return Reply("rate_limited", model, short_reason(cause.reason), ask_again_at=until)
        return Reply("failed", model, short_reason(cause.reason))
    return Reply("failed", model, short_reason(f"{type(error).__name__}: the answer could not be read"))


def with_exchange(reply: Reply, exchange: Exchange | None, latency_ms: int) -> Reply:
    """The reply with the bytes it was read from and the time it took."""
    return replace(reply, payload=exchange.payload if exchange else None, latency_ms=latency_ms)


def number_of(value: object) -> int | None:
    """A count of tokens, None where the vendor does not say it."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None


def seconds_of(duration: str) -> float | None:
    """Seconds of a Go duration ("2m59.56s", "26ms") or a plain number; None if it is neither."""
    text = duration.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return float(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


def _cause_of(error: BaseException) -> BaseException:
    """The first of our own errors that an SDK wrapped, else the error itself."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, VendorError | CircuitOpenError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error
