"""Values as JSON text that PostgreSQL's jsonb takes."""

import json
from typing import Any

DEEPEST_NESTING = 100
"""What every reader takes, however deep the code already is that reads it. Own choice."""

LONGEST_SHOWN = 100_000
"""Bytes of a payload that is none of ours."""


def storable_json(value: Any) -> str:
    """A value as JSON; raises ValueError for what JSON or jsonb cannot hold (NaN, NUL, halves of surrogate pairs, sets, …)."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be stored as JSON: {error}") from None
    # Written out, a NUL stands behind an odd number of backslashes.
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("cannot be stored as JSON: a text holds a NUL")
    if text.count("[") + text.count("{") > DEEPEST_NESTING and _is_too_deep(value):
        raise ValueError(f"cannot be stored as JSON: it is nested deeper than {DEEPEST_NESTING}")
    return text


def read_json(text: bytes) -> Any:
    """What a stored text says; raises ValueError for one that is no JSON, or that `storable_json` would refuse."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST_NESTING}") from None
    storable_json(value)
    return value


def unreadable(payload: bytes) -> dict[str, Any]:
    """What is shown and kept in the place of a payload that cannot be read: its bytes, or the first of very many."""
    shown = {"unreadable_payload": payload[:LONGEST_SHOWN].hex()}
    return shown if len(payload) <= LONGEST_SHOWN else {**shown, "bytes": len(payload)}


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST_NESTING + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
