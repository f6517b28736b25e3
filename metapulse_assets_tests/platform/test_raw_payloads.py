"""Raw payloads: the bytes come back as they were, equal ones of a call are stored once, damage is noticed."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.day_partitions import existing_days
from metapulse_assets.platform.raw_payloads import RawPayload, load_payload, store_payloads
from metapulse_assets.platform.tables import raw_payloads

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def payload(body: bytes, url: str = "https://h/x", at: datetime = NOON) -> RawPayload:
    """An answer of a vendor."""
    return RawPayload("dexscreener", url, 200, at, body)


@settings(max_examples=30)
@given(bodies=st.lists(st.one_of(st.binary(max_size=50), st.sampled_from([b"", b"[]", b"x" * 100_000])), max_size=8))
def test_bytes_come_back_and_equal_ones_are_stored_once(connection: sa.Connection, bodies: list[bytes]) -> None:
    payloads = [payload(body, f"https://h/{n}") for n, body in enumerate(bodies)]
    ids = store_payloads(connection, payloads)
    assert set(ids) == {hashlib.sha256(body).digest() for body in bodies}
    assert connection.execute(sa.select(sa.func.count()).select_from(raw_payloads)).scalar() == len(set(bodies))
    assert [load_payload(connection, ids[p.sha256]) for p in payloads] == bodies
    connection.rollback()


def test_a_stored_answer_says_what_was_asked_and_when(connection: sa.Connection) -> None:
    body = b'{"pairs": null}' * 1000
    stored = store_payloads(connection, [payload(body, "https://h/y?q=%00")])
    row = connection.execute(sa.select(raw_payloads)).one()
    assert (row.recorded_at, row.payload_id, row.vendor, row.url, row.status) == (
        NOON,
        stored[hashlib.sha256(body).digest()],
        "dexscreener",
        "https://h/y?q=%00",
        200,
    )
    assert row.size == len(body)
    assert len(row.body) < row.size / 10


def test_answers_lie_in_the_partitions_of_their_days(connection: sa.Connection) -> None:
    store_payloads(connection, [payload(b"a"), payload(b"b", at=NOON + timedelta(days=1))])
    assert existing_days(connection, "raw_payloads") == [NOON.date(), NOON.date() + timedelta(days=1)]


def test_ids_of_later_calls_are_new(connection: sa.Connection) -> None:
    first, second = store_payloads(connection, [payload(b"a")]), store_payloads(connection, [payload(b"b"), payload(b"c")])
    assert len({*first.values(), *second.values()}) == 3
    assert load_payload(connection, first[payload(b"a").sha256]) == b"a"


@pytest.mark.parametrize(
    "damage", ["'\\x00'::bytea", "substr(body, 1, length(body) - 3)", "(SELECT body FROM raw_payloads WHERE size = 1)"]
)
def test_a_damaged_body_is_noticed(connection: sa.Connection, damage: str) -> None:
    ids = store_payloads(connection, [payload(b"the real answer"), payload(b"z")])
    damaged = ids[payload(b"the real answer").sha256]
    connection.execute(sa.text(f"UPDATE raw_payloads SET body = {damage} WHERE payload_id = {damaged}"))
    with pytest.raises(ValueError, match=f"raw payload {damaged} is damaged"):
        load_payload(connection, damaged)


def test_an_answer_that_is_gone_is_no_value_error(connection: sa.Connection) -> None:
    assert store_payloads(connection, []) == {}
    with pytest.raises(LookupError, match="raw payload 4711"):
        load_payload(connection, 4711)
