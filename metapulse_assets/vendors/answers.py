"""What a vendor's answer is turned into: the items that are good, and a dead letter for each that is not."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload

Item = TypeVar("Item", bound=BaseModel)


def plain_text(value: Any) -> Any:
    """A text that PostgreSQL can hold: without NUL, and without lone surrogates, which have no UTF-8."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode() if isinstance(value, str) else value


PlainText = Annotated[str, BeforeValidator(plain_text)]


def unwrapped(body: Any, name: str) -> Any:
    """The value of an answer's envelope; a body without that envelope as it is."""
    return body[name] if isinstance(body, dict) and name in body else body


@dataclass
class Batch(Generic[Item]):
    """Items of one or several answers, each with the answer it was read from, and what was refused."""

    items: list[tuple[Item, RawPayload]] = field(default_factory=list)
    refused: list[DeadLetter] = field(default_factory=list)
    payloads: list[RawPayload] = field(default_factory=list)

    def extend(self, other: "Batch[Item]") -> None:
        """Take in another batch."""
        self.items += other.items
        self.refused += other.refused
        self.payloads += other.payloads


def read_items(
    payload: RawPayload,
    adapter: TypeAdapter[list[Item]],
    source: str,
    key_of: Callable[[Any], str],
    unwrap: Callable[[Any], Any] = lambda body: body,
) -> Batch[Item]:
    """Validate each item of an answer by itself.

    `unwrap` takes the list out of the body; null stands for an empty list. A body of another shape is one dead letter.
    """
    body = unwrap(json.loads(payload.body))
    batch: Batch[Item] = Batch(payloads=[payload])
    if body is None:
        return batch
    if not isinstance(body, list):
        batch.refused.append(
            DeadLetter(source, "request", payload.url, f"{type(body).__name__} where a list was expected", body)
        )
        return batch
    try:
        # Nearly every answer is all good, and one call for the list is several times faster than one per item.
        batch.items = [(item, payload) for item in adapter.validate_python(body)]
    except ValidationError:
        for position, raw in enumerate(body):
            try:
                batch.items.append((adapter.validate_python([raw])[0], payload))
            except ValidationError as error:
                key = _safely(key_of, raw) or f"{payload.url}#{position}"
                batch.refused.append(DeadLetter(source, "item", key, describe(error), raw))
    return batch


def describe(error: ValidationError) -> str:
    """Which field of an item is wrong, and how; without the value, which is kept beside it.

    Nor its place in the list: the same item comes again at another place, and is then the same refusal once more.
    """
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in problem["loc"][1:])
        problems.append(f"{place or 'item'}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(sorted(problems))


def first_of_each(pairs: Iterable[tuple[Item, RawPayload]], key: Callable[[Item], Any]) -> list[tuple[Item, RawPayload]]:
    """Drop repetitions: vendors list the same thing twice at times."""
    seen: dict[Any, tuple[Item, RawPayload]] = {}
    for item, payload in pairs:
        seen.setdefault(key(item), (item, payload))
    return list(seen.values())


def _safely(key_of: Callable[[Any], str], raw: Any) -> str:
    try:
        return key_of(raw)
    except (KeyError, TypeError, AttributeError, IndexError):
        return ""
