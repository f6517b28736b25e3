"""Raw payloads: the bytes come back, equal ones of a call are stored once, repetitions small, and damage is noticed."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import alembic.command
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.database import alembic_config
from metapulse_assets.platform.day_partitions import existing_days
from metapulse_assets.platform.payload_coding import PIECE, pack_against, unpack, unpack_against
from metapulse_assets.platform.raw_payloads import RawPayload, asked_url, load_payload, store_payloads
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


def a_list(minute: int, tokens: int = 30) -> bytes:
    """An answer about so many tokens, of whom each minute says a little that is new."""
    return json.dumps(
        [
            {"address": hashlib.sha256(b"%d" % n).hexdigest(), "info": hashlib.sha512(b"%d" % n).hexdigest() * 4}
            | {"price": 1 + (n * 7919 + minute * 104729) % 10007 / 1e4}
            for n in range(tokens)
        ]
    ).encode()


def stored(connection: sa.Connection, payload_id: int) -> sa.Row[Any, Any, Any]:
    """How an answer is stored: what it is stored against, what was asked, its bytes."""
    p = raw_payloads.c
    return connection.execute(sa.select(p.base_id, p.url, p.body).where(p.payload_id == payload_id)).one()


def test_later_answers_of_an_hour_are_stored_as_what_they_differ_in(connection: sa.Connection) -> None:
    ids = []
    for minute in (0, 5, 55, 60, 65):
        answer = payload(a_list(minute), at=NOON + timedelta(minutes=minute))
        ids.append(store_payloads(connection, [answer])[answer.sha256])
    first, second, third, fourth, fifth = (stored(connection, payload_id) for payload_id in ids)
    assert (first.base_id, fourth.base_id) == (None, None)
    assert (second.base_id, third.base_id, fifth.base_id) == (ids[0], ids[0], ids[3])
    assert len(second.body) < len(first.body) / 3
    assert (first.url, second.url) == ("https://h/x", None)
    assert [asked_url(connection, payload_id) for payload_id in ids] == ["https://h/x"] * 5
    assert [load_payload(connection, payload_id) for payload_id in ids] == [a_list(minute) for minute in (0, 5, 55, 60, 65)]


def test_a_question_about_another_token_helps_where_the_answers_are_alike(connection: sa.Connection) -> None:
    tokens = ["A" * 44, "B" * 44]
    reports = [json.dumps({"token": token, "checks": ["a" * n for n in range(100)]}).encode() for token in tokens]
    answers = [payload(report, f"https://h/tokens/{token}/report") for token, report in zip(tokens, reports, strict=True)]
    ids = [store_payloads(connection, [answer])[answer.sha256] for answer in answers]
    assert [stored(connection, payload_id).base_id for payload_id in ids] == [None, ids[0]]
    assert [asked_url(connection, payload_id) for payload_id in ids] == [answer.url for answer in answers]
    assert [load_payload(connection, payload_id) for payload_id in ids] == reports


def test_an_answer_is_stored_by_itself_where_no_earlier_one_is_like_it(connection: sa.Connection) -> None:
    first = payload(a_list(0))
    base = store_payloads(connection, [first])[first.sha256]
    noise = b"".join(hashlib.sha512(b"%d" % n).digest() for n in range(100))
    others = [
        payload(a_list(5), url="https://h/another"),
        RawPayload("geckoterminal", "https://h/x", 200, NOON, a_list(6)),
        RawPayload("dexscreener", "https://h/x", 429, NOON, a_list(7)),
        payload(a_list(8), at=NOON + timedelta(hours=1)),
        payload(b"[]"),
        payload(noise),
    ]
    ids = store_payloads(connection, others)
    assert {stored(connection, payload_id).base_id for payload_id in ids.values()} == {None}
    # A damaged answer helps nobody.
    connection.execute(sa.update(raw_payloads).where(raw_payloads.c.url == "https://h/x").values(body=b"?"))
    again = payload(a_list(9))
    found = store_payloads(connection, [again])[again.sha256]
    assert (stored(connection, found).base_id, load_payload(connection, found)) == (None, a_list(9))
    with pytest.raises(ValueError, match=f"raw payload {base} is damaged"):
        load_payload(connection, base)


@pytest.mark.parametrize("damage", ["DELETE FROM raw_payloads", "UPDATE raw_payloads SET body = '?'"])
def test_an_answer_whose_base_is_damaged_or_gone_says_so(connection: sa.Connection, damage: str) -> None:
    answers = [payload(a_list(minute)) for minute in (0, 5)]
    base, later = (store_payloads(connection, [answer])[answer.sha256] for answer in answers)
    connection.execute(sa.text(f"{damage} WHERE payload_id = {base}"))
    with pytest.raises(ValueError, match=f"raw payload {later} is damaged: raw payload {base} is"):
        load_payload(connection, later)


def test_undoing_the_migration_stores_every_answer_by_itself_again(engine: sa.Engine, database_url: str) -> None:
    answers = [payload(a_list(minute)) for minute in (0, 5)]
    with engine.begin() as connection:
        ids = [store_payloads(connection, [answer])[answer.sha256] for answer in answers]
    engine.dispose()
    alembic.command.downgrade(alembic_config(database_url), "0018-1")
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT payload_id, url, body FROM raw_payloads ORDER BY payload_id")).all()
    assert [(row.payload_id, row.url, unpack(row.body)) for row in rows] == [
        (payload_id, answer.url, answer.body) for payload_id, answer in zip(ids, answers, strict=True)
    ]
    alembic.command.upgrade(alembic_config(database_url), "head")
    with engine.connect() as connection:
        assert [load_payload(connection, payload_id) for payload_id in ids] == [answer.body for answer in answers]


@given(
    base=st.binary(max_size=300).map(lambda part: part * 300),
    edits=st.lists(st.tuples(st.integers(0, 4 * PIECE), st.binary(max_size=40)), max_size=20),
)
def test_what_differs_gives_the_body_again(base: bytes, edits: list[tuple[int, bytes]]) -> None:
    body = bytearray(base)
    for place, new in edits:
        body[place : place + len(new) // 2] = new
    packed = pack_against(base, bytes(body))
    assert unpack_against(base, packed, len(body)) == bytes(body)


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
