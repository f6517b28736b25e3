"""Compares the shape of JSON values with recorded ones: which keys there are, which of them always, which types."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Shape:
    """What was seen at each path: types, keys, and the keys that no object at that path lacked."""

    types: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    always: dict[str, set[str]] = field(default_factory=dict)


def shape_of(values: Iterable[Any]) -> Shape:
    """Return the common shape of some values; integers and floats count as one type."""
    shape = Shape()
    for value in values:
        _walk(value, "", shape)
    return shape


def _walk(value: Any, path: str, shape: Shape) -> None:
    if isinstance(value, dict):
        shape.types[path].add("object")
        shape.keys[path] |= set(value)
        shape.always[path] = shape.always.get(path, set(value)) & set(value)
        for key, inner in value.items():
            _walk(inner, f"{path}.{key}", shape)
    elif isinstance(value, list):
        shape.types[path].add("array")
        for inner in value:
            _walk(inner, f"{path}[]", shape)
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        shape.types[path].add("number" if number else type(value).__name__)


def differences(seen: Shape, recorded: Shape) -> list[str]:
    """Return what ``seen`` has that was never recorded, and what it sometimes lacks though every recorded value has it."""
    found = []
    for path, types in seen.types.items():
        if extra := types - recorded.types.get(path, set()):
            found.append(f"{path or 'value'}: {sorted(extra)} instead of {sorted(recorded.types.get(path, set()))}")
    for path, keys in seen.keys.items():
        if extra := keys - recorded.keys.get(path, set()):
            found.append(f"{path or 'value'}: unknown keys {sorted(extra)}")
        if missing := recorded.always.get(path, set()) - seen.always[path]:
            found.append(f"{path or 'value'}: lacks {sorted(missing)}")
    return found
