"""Putting stored questions to the models: who may be asked, what is reused, what it cost. One row of `ai_answers` each."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from metapulse_assets.intelligence.answers import InvalidAnswerError, parse
from metapulse_assets.intelligence.budget import Budget
from metapulse_assets.intelligence.kinds import Kind
from metapulse_assets.intelligence.prices import cost_of, worst_cost
from metapulse_assets.intelligence.prompts import Prompt, render
from metapulse_assets.intelligence.store import Earlier
from metapulse_assets.platform.clock import Clock
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.vendors.model_replies import Model, Question, Reply

AT_ONCE = 4
"""Questions under way at one provider. Own choice: the shared rate limit decides the rest."""
STALE = timedelta(minutes=30)
"""A question older than this is not asked any more: its numbers are history. Own choice: two of its cadences."""
_HOPELESS = ("HTTP 401", "HTTP 402", "HTTP 403", "HTTP 404", "HTTP 400 API_KEY_INVALID", "HTTP 400 FAILED_PRECONDITION")
"""Refusals that the next question would meet too: wrong key, no credit, no access, no such model, not in this country."""


@dataclass(frozen=True)
class Asked:
    """A stored question."""

    request_id: str
    as_of: datetime
    kind: Kind
    token_id: int | None
    snapshot: Mapping[str, Any]
    snapshot_hash: str
    prompt_hash: str
    question_swapped: bool


@dataclass
class Answered:
    """One row of `ai_answers` but for `recorded_at` and `payload_id`, and the vendor's answers that belong to it."""

    row: dict[str, Any]
    payloads: list[RawPayload] = field(default_factory=list)


@dataclass(frozen=True)
class Outlook:
    """What is known before asking a provider: the model or why there is none, and until when it asked to be left alone."""

    provider: str
    asked_model: str
    model: Model | None
    off: str | None = None
    refused: tuple[datetime, str] | None = None


class Asker:
    """Asks the questions of one run, the most urgent first."""

    def __init__(
        self,
        budget: Budget,
        earlier: Callable[[str, Asked], Earlier | None],
        keep: Callable[[Answered], None],
        clock: Clock,
    ) -> None:
        """`earlier` finds a provider's last answer about the same thing; `keep` stores an answer as soon as it is there."""
        self.budget = budget
        self._earlier, self._keep, self._clock = earlier, keep, clock
        self._refused: dict[str, tuple[datetime, str]] = {}
        self._hopeless: dict[str, str] = {}

    async def ask_all(self, questions: Sequence[tuple[Asked, Outlook]]) -> None:
        """Answer every question, by a model or by the reason why not; both providers at once, each in the given order."""
        by_provider: dict[str, list[tuple[Asked, Outlook]]] = {}
        for asked, outlook in questions:
            by_provider.setdefault(outlook.provider, []).append((asked, outlook))
        await asyncio.gather(*(self._ask_provider(jobs) for jobs in by_provider.values()))

    async def _ask_provider(self, jobs: Sequence[tuple[Asked, Outlook]]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(asked: Asked, outlook: Outlook) -> None:
            async with places:
                self._keep(await self._answer(asked, outlook))

        await asyncio.gather(*(one(asked, outlook) for asked, outlook in jobs))

    async def _answer(self, asked: Asked, outlook: Outlook) -> Answered:
        if outlook.model is None:
            return _without(asked, outlook, "switched_off", outlook.off or "not configured")
        if self._clock() - asked.as_of > STALE:
            return _without(asked, outlook, "failed", "the run that made the question ended before asking it")
        known = self._earlier(outlook.provider, asked)
        if known and _same(known, asked, outlook):
            return _reused(asked, outlook, known)
        if outlook.provider in self._hopeless:
            return _without(asked, outlook, "failed", self._hopeless[outlook.provider])
        refused = self._refused.get(outlook.provider) or outlook.refused
        if refused and refused[0] > self._clock():
            return _without(asked, outlook, "rate_limited", f"not asked until {refused[0]:%Y-%m-%d %H:%M} UTC: {refused[1]}")
        prompt = render(asked.kind, asked.snapshot, asked.question_swapped)
        questions = _questions(prompt)
        worst = sum(worst_cost(question, outlook.asked_model) for question in questions)
        if not self.budget.take(worst):
            return _without(asked, outlook, "budget", self.budget.refusal)
        replies: list[Reply] = []
        try:
            for question in questions:
                replies.append(await outlook.model.ask(question))
                if replies[-1].status != "ok":
                    break
        finally:
            costs = [cost_of(reply, outlook.asked_model, question) for reply, question in zip(replies, questions, strict=False)]
            self.budget.settle(worst, sum(cost for cost, _ in costs))
        self._learn(outlook.provider, replies[-1])
        return _answered(asked, outlook, replies, costs)

    def _learn(self, provider: str, reply: Reply) -> None:
        if reply.status == "rate_limited" and reply.ask_again_at:
            self._refused[provider] = (reply.ask_again_at, reply.reason or "")
        if reply.status == "failed" and (reply.reason or "").startswith(_HOPELESS):
            self._hopeless[provider] = reply.reason or ""


def _questions(prompt: Prompt) -> list[Question]:
    return [Question(prompt.system, part, prompt.schema_name, prompt.schema, prompt.max_tokens) for part in prompt.parts]


def _same(known: Earlier, asked: Asked, outlook: Outlook) -> bool:
    return (known.snapshot_hash, known.prompt_hash, known.asked_model) == (
        asked.snapshot_hash,
        asked.prompt_hash,
        outlook.asked_model,
    )


def _row(asked: Asked, outlook: Outlook, **values: Any) -> dict[str, Any]:
    nothing = ("reason", "raw", "parsed", "tokens_in", "tokens_out", "tokens_cached", "latency_ms", "reused_from")
    return {
        "request_id": asked.request_id,
        "provider": outlook.provider,
        "as_of": asked.as_of,
        "asked_model": outlook.asked_model,
        "model": outlook.asked_model,
        "prompt_hash": asked.prompt_hash,
        **dict.fromkeys((*nothing, "available_until")),
        "cost_usd": 0.0,
        "cost_known": True,
        **values,
    }


def _without(asked: Asked, outlook: Outlook, status: str, reason: str) -> Answered:
    return Answered(_row(asked, outlook, status=status, reason=reason))


def _reused(asked: Asked, outlook: Outlook, known: Earlier) -> Answered:
    origin = known.reused_from or known.request_id
    return Answered(
        _row(asked, outlook, status="ok", model=known.model, raw=known.raw, parsed=dict(known.parsed), reused_from=origin)
    )


def _answered(asked: Asked, outlook: Outlook, replies: list[Reply], costs: list[tuple[float, bool]]) -> Answered:
    last = _judged(asked, replies)
    texts = [storable(reply.text) for reply in replies if reply.text is not None]
    raw = None if not texts else texts[0] if len(replies) == 1 else json.dumps(texts, ensure_ascii=False)
    row = _row(
        asked,
        outlook,
        status=last[0],
        reason=last[1],
        parsed=last[2],
        model=storable(replies[-1].model),
        raw=raw,
        tokens_in=_total([reply.tokens_in for reply in replies]),
        tokens_out=_total([reply.tokens_out for reply in replies]),
        tokens_cached=_total([reply.tokens_cached for reply in replies]),
        latency_ms=_total([reply.latency_ms for reply in replies]),
        cost_usd=sum(cost for cost, _ in costs),
        cost_known=all(known for _, known in costs),
        available_until=replies[-1].ask_again_at,
    )
    return Answered(row, [reply.payload for reply in replies if reply.payload])


def _judged(asked: Asked, replies: list[Reply]) -> tuple[str, str | None, dict[str, Any] | None]:
    last = replies[-1]
    if last.status != "ok":
        return last.status, storable(last.reason or last.status), None
    try:
        texts = [reply.text or "" for reply in replies]
        return "ok", None, parse(asked.kind, asked.snapshot, asked.question_swapped, texts)
    except InvalidAnswerError as error:
        return "invalid", storable(str(error)), None


def storable(text: str) -> str:
    """A text as PostgreSQL takes it: without NUL and without halves of surrogate pairs."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def with_place(answered: Answered, recorded_at: datetime, payload_id: int | None) -> dict[str, Any]:
    """The row as it is stored."""
    return {**answered.row, "recorded_at": recorded_at, "payload_id": payload_id}
