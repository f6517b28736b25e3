"""A link of the chain: what it is, the values used, what it rests on, and whether it holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isclose
from typing import Any


@dataclass
class Link:
    """One step. `broken` says why it does not hold; `parts` are what it rests on."""

    what: str
    key: str
    values: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    parts: list["Link"] = field(default_factory=list)

    def walk(self) -> Iterator["Link"]:
        """This link and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def problems(self) -> list[str]:
        """Every reason for which the chain does not hold, with the link it is about."""
        return [f"{link.what} {link.key}: {reason}" for link in self.walk() for reason in link.broken]

    def as_json(self) -> dict[str, Any]:
        """The whole chain below as plain values."""
        return {
            "what": self.what,
            "key": self.key,
            "values": {name: _plain(value) for name, value in self.values.items()},
            "broken": self.broken,
            "parts": [part.as_json() for part in self.parts],
        }


def missing(what: str, key: str) -> Link:
    """A link of which nothing is stored."""
    return Link(what, key, broken=["not stored (any more)"])


def differing(told: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Where two accounts of the same values differ, beyond what single precision loses; a name in `told` must be stored."""
    problems = []
    for name, value in told.items():
        if name not in stored:
            problems.append(f"{name} is not among the stored values")
        elif not _same(value, stored[name]):
            problems.append(f"{name} is {_plain(stored[name])}, not {_plain(value)}")
    return problems


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int) and not isinstance(one, bool):
        return isclose(one, other, rel_tol=1e-6, abs_tol=1e-30)
    return bool(one == other)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value
