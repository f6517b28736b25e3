"""What was refused: items that failed validation and requests that failed for good, kept with the reason."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.platform.tables import dead_letters

# A refused answer of megabytes is in raw_payloads; here its head is enough to recognise it.
LONGEST_TEXT = 20_000
LONGEST_PAYLOAD = 200_000
DEEPEST_NESTING = 50
# Bytes of UTF-8: the unique index holds both, and an entry of it at most 2704 bytes.
LONGEST_KEY, LONGEST_REASON = 500, 1_000


@dataclass(frozen=True)
class DeadLetter:
    """One refused item or request. `reason` names the field and its place; nothing here may hold a secret."""

    source: str
    kind: str
    item_key: str
    reason: str
    payload: Any


def store_dead_letters(
    connection: sa.Connection, letters: Sequence[DeadLetter], at: datetime, run_id: str | None = None
) -> int:
    """Store refusals; the same refusal again only raises its count. Returns how many distinct ones came."""
    rows: dict[tuple[str, str, str, bytes], dict[str, Any]] = {}
    for letter in letters:
        payload = _headed(_storable(letter.payload))
        digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).digest()
        key = (letter.source, _cut(letter.item_key, LONGEST_KEY), _cut(letter.reason, LONGEST_REASON), digest)
        if key in rows:
            rows[key]["occurrences"] += 1
            continue
        rows[key] = {
            "first_at": at,
            "last_at": at,
            "occurrences": 1,
            "source": letter.source,
            "kind": letter.kind,
            "item_key": key[1],
            "reason": key[2],
            "payload": payload,
            "payload_sha256": digest,
            "run_id": run_id,
        }
    if rows:
        statement = insert(dead_letters)
        connection.execute(
            statement.on_conflict_do_update(
                constraint="dead_letters_same_refusal_key",
                set_={
                    "last_at": statement.excluded.last_at,
                    "occurrences": dead_letters.c.occurrences + statement.excluded.occurrences,
                    "run_id": statement.excluded.run_id,
                },
            ),
            list(rows.values()),
        )
    return len(rows)


def _storable(value: Any, depth: int = 0) -> Any:
    """What JSONB can hold: no NUL, no lone surrogate, no infinity; long texts and deep nesting cut and marked."""
    if isinstance(value, dict | list | tuple) and depth >= DEEPEST_NESTING:
        return f"… ({type(value).__name__} of {len(value)}, nested too deep)"
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        clean = _clean(value)
        return clean if len(clean) <= LONGEST_TEXT else f"{clean[:LONGEST_TEXT]}… ({len(clean)} characters)"
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _headed(payload: Any) -> Any:
    text = json.dumps(payload)
    return payload if len(text) <= LONGEST_PAYLOAD else {"head": text[:LONGEST_TEXT], "characters": len(text)}


def _cut(text: str, longest: int) -> str:
    return _clean(text).encode()[:longest].decode("utf-8", "ignore")


def _clean(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
