"""Dead letters: nothing that arrived is too ugly to be kept, and the same refusal is one row that counts."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.dead_letters import LONGEST_PAYLOAD, LONGEST_TEXT, DeadLetter, store_dead_letters
from metapulse_assets.platform.tables import dead_letters

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
# Everything that JSON or Python can hold, lone surrogates, NUL and infinities included.
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4),
    max_leaves=12,
)


def letter(payload: Any, key: str = "solana:pool", reason: str = "item 3: priceUsd: missing") -> DeadLetter:
    """A refused item."""
    return DeadLetter("dexscreener", "item", key, reason, payload)


def stored(connection: sa.Connection) -> list[Any]:
    """The rows in the order they first came."""
    return list(connection.execute(sa.select(dead_letters).order_by(dead_letters.c.dead_letter_id)))


@settings(max_examples=60)
@given(payload=anything, key=st.text(st.characters()), reason=st.text(st.characters()))
def test_anything_can_be_kept_and_is_known_again(connection: sa.Connection, payload: Any, key: str, reason: str) -> None:
    assert store_dead_letters(connection, [letter(payload, key, reason)], NOON) == 1
    assert store_dead_letters(connection, [letter(payload, key, reason)] * 2, NOON) == 1
    (row,) = stored(connection)
    assert row.occurrences == 3
    assert "\x00" not in row.item_key + row.reason + json.dumps(row.payload)
    connection.rollback()


@settings(max_examples=30)
@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abc…é"), lambda x: st.lists(x, max_size=4)
    )
)
def test_plain_payloads_are_kept_as_they_were(connection: sa.Connection, payload: Any) -> None:
    store_dead_letters(connection, [letter(payload)], NOON)
    assert stored(connection)[0].payload == payload
    connection.rollback()


def test_the_same_refusal_again_only_counts_up(connection: sa.Connection) -> None:
    store_dead_letters(connection, [letter({"a": 1, "b": 2})], NOON, run_id="r1")
    store_dead_letters(connection, [letter({"b": 2, "a": 1})], NOON + timedelta(minutes=5), run_id="r2")
    (row,) = stored(connection)
    assert (row.first_at, row.last_at, row.occurrences, row.run_id) == (NOON, NOON + timedelta(minutes=5), 2, "r2")
    assert (row.source, row.kind, row.item_key, row.reason) == (
        "dexscreener",
        "item",
        "solana:pool",
        "item 3: priceUsd: missing",
    )


@pytest.mark.parametrize(
    "other", [letter({"a": 2}), letter({"a": 1}, key="solana:other"), letter({"a": 1}, reason="item 4: priceUsd: missing")]
)
def test_another_refusal_is_another_row(connection: sa.Connection, other: DeadLetter) -> None:
    assert store_dead_letters(connection, [letter({"a": 1}), other, other], NOON) == 2
    assert [row.occurrences for row in stored(connection)] == [1, 2]


def test_what_jsonb_cannot_hold_is_kept_in_another_form(connection: sa.Connection) -> None:
    payload = {
        "nul\x00key": "a\x00b",
        "lone": "\ud800!",
        "inf": float("inf"),
        "nan": float("nan"),
        "raw": b"\xff<html>",
        "at": NOON,
    }
    store_dead_letters(connection, [letter(payload, "key\x00\udfff", "reason\x00")], NOON)
    (row,) = stored(connection)
    assert row.payload == {
        "nul\ufffdkey": "a\ufffdb",
        "lone": "?!",
        "inf": "inf",
        "nan": "nan",
        "raw": "\ufffd<html>",
        "at": "2026-03-04 12:00:00+00:00",
    }
    assert (row.item_key, row.reason) == ("key\ufffd?", "reason\ufffd")


def test_keys_and_reasons_of_any_length_fit_into_the_index(connection: sa.Connection) -> None:
    shuffled = random.Random(7)
    # Four bytes each, in an order that does not compress.
    noise = "".join(chr(shuffled.randrange(0x10000, 0x110000)) for _ in range(5_000))
    store_dead_letters(connection, [letter(1, noise, noise)], NOON)
    (row,) = stored(connection)
    assert noise.startswith(row.item_key)
    assert noise.startswith(row.reason)
    assert len(row.item_key) > 100


def deep(levels: int) -> Any:
    """A list in a list in a list …"""
    nested: Any = "end"
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ("x" * 5_000_000, f"{'x' * 20}…"),
        ({"body": b"y" * 5_000_000}, f"{'y' * 20}…"),
        (deep(100_000), "nested too deep"),
        ([{"n": n, "text": "z" * 50} for n in range(20_000)], '"head"'),
        ([["w" * LONGEST_TEXT] * 20] * 20, '"head"'),
    ],
)
def test_huge_payloads_are_kept_by_their_head(connection: sa.Connection, payload: Any, kept: str) -> None:
    store_dead_letters(connection, [letter(payload)], NOON)
    text = json.dumps(stored(connection)[0].payload, ensure_ascii=False)
    assert kept in text
    assert len(text) <= LONGEST_PAYLOAD


def test_nothing_to_store_is_no_error(connection: sa.Connection) -> None:
    assert store_dead_letters(connection, [], NOON) == 0
    assert stored(connection) == []
