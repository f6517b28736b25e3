"""Values as JSON text that PostgreSQL's jsonb takes."""

import json
from typing import Any


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
    return text
