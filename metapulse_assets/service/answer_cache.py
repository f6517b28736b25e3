"""Answers that were made a moment ago, shown again; a question that is being answered is not asked twice."""

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request, Response

MOST_ANSWERS = 64


@dataclass(frozen=True)
class Answer:
    """An answer's JSON, with the tag by which a program knows it again."""

    body: bytes
    etag: str


class AnswerCache:
    """For answers that do not depend on who asks. Used in one event loop."""

    def __init__(self, seconds: float) -> None:
        """How long an answer is shown again; 0: never, and then only those who ask at once share it."""
        self._seconds = seconds
        self._answers: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._under_way: dict[Hashable, asyncio.Task[Answer]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Answer:
        """The answer to a question, made if none is fresh. What `make` raises, everybody who waits for it gets."""
        kept = self._answers.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._make(key, make))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # One who hangs up must not take the answer from the others.
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Answer:
        body = as_json_bytes(await make())
        answer = Answer(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        if self._seconds > 0:
            self._answers[key] = time.monotonic() + self._seconds, answer
            self._answers.move_to_end(key)
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        return answer


def respond(request: Request, answer: Answer) -> Response:
    """The answer over HTTP: 304 without a body for who has it already."""
    asked = request.headers.get("if-none-match")
    if asked is not None and (
        asked.strip() == "*" or answer.etag in (tag.strip().removeprefix("W/") for tag in asked.split(","))
    ):
        return Response(status_code=304, headers={"ETag": answer.etag})
    return Response(answer.body, media_type="application/json", headers={"ETag": answer.etag})


def as_json_bytes(value: Any) -> bytes:
    """A value as JSON, times in ISO 8601."""
    return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(
        errors="replace"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} in an answer")
