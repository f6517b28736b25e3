"""A round of questions for history: each answer kept at once, a vendor in trouble left alone, nobody in the others' way."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from metapulse_assets.market.history import HistoryRequest, Imported, fetch_and_store
from metapulse_assets.market.tables import candle_requests
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.vendors.geckoterminal import History
from metapulse_assets_tests.market.stored import add_tokens, candle_rows

TEN = datetime(2026, 3, 4, 10, tzinfo=UTC)
NOW = TEN + timedelta(seconds=7)
ROW = (int((TEN - timedelta(minutes=5)).timestamp()), 1.0, 1.0, 1.0, 1.0, 5.0)


class Vendor:
    """Answers with what it was given, in turn: candles, the reason of a failure, or an exception."""

    def __init__(self, answers: Sequence[str | Exception]) -> None:
        self.answers: Iterator[str | Exception] = iter(answers)
        self.asked: list[str] = []

    async def candles(self, chain: str, pool_address: str, timeframe: str, before: datetime) -> History:
        self.asked.append(pool_address)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        if answer == "a candle":
            payload = RawPayload("geckoterminal", "http://vendor/", 200, NOW, pool_address.encode())
            return History([ROW], [DeadLetter("geckoterminal", "item", "key", "a bad candle", [])], payload, answered=True)
        return History([], [DeadLetter("geckoterminal", "request", "url", answer, None)], None, answered=False)


def fetch(engine: sa.Engine, vendor: Vendor, count: int) -> tuple[Imported, list[tuple[int, int]]]:
    with engine.begin() as connection:
        ids = add_tokens(connection, count, TEN)
    requests = [HistoryRequest(TrackedToken(n, ("solana", f"t{n}"), f"pool {n}", None), TIMEFRAMES["5m"], TEN) for n in ids]
    reports: list[tuple[int, int]] = []
    imported = asyncio.run(
        fetch_and_store(engine, vendor, requests, lambda: NOW, lambda done, total: reports.append((done, total)))  # type: ignore[arg-type]
    )
    return imported, reports


def asked_for(engine: sa.Engine) -> dict[int, int]:
    c = candle_requests.c
    with engine.connect() as connection:
        return {row.token_id: row.candles_received for row in connection.execute(sa.select(c.token_id, c.candles_received))}


def test_answers_are_stored_and_what_was_bad_in_them_is_handed_on(engine: sa.Engine) -> None:
    imported, reports = fetch(engine, Vendor(["a candle", "a candle"]), 2)
    assert (imported.requests, imported.candles, imported.left_for_later) == (2, 2, 0)
    assert [letter.reason for letter in imported.refused] == ["a bad candle"] * 2
    assert reports == [(1, 2), (2, 2)]
    with engine.connect() as connection:
        assert len(candle_rows(connection)) == 2


def test_a_failed_question_is_due_again_and_keeps_nobody_from_theirs(engine: sa.Engine) -> None:
    imported, _ = fetch(engine, Vendor(["HTTP 500", "HTTP 429, too many requests", "a candle"]), 3)
    assert imported.requests == 3
    assert list(asked_for(engine).values()) == [1]


@pytest.mark.parametrize("refusal", ["HTTP 404", "HTTP 422"])
def test_a_pool_the_vendor_does_not_have_is_not_asked_for_at_every_tick(engine: sa.Engine, refusal: str) -> None:
    imported, _ = fetch(engine, Vendor([refusal, "a candle"]), 2)
    assert sorted(asked_for(engine).values()) == [0, 1]
    assert [letter.reason for letter in imported.refused] == [refusal, "a bad candle"]


def test_a_vendor_that_is_not_being_called_is_not_asked_any_more(engine: sa.Engine) -> None:
    vendor = Vendor(["a candle", "circuit open: not called", "a candle", "a candle"])
    imported, reports = fetch(engine, vendor, 4)
    assert len(vendor.asked) == 2
    assert (imported.requests, imported.left_for_later) == (1, 3)
    assert reports == [(1, 4)]


def test_what_was_answered_before_a_stop_is_not_lost(engine: sa.Engine) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        fetch(engine, Vendor(["a candle", "a candle", RuntimeError("stopped")]), 3)
    assert len(asked_for(engine)) == 2
