"""Signals and tokens over HTTP: the same as the command line shows, narrowed, a page at a time, and quick."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from starlette.testclient import TestClient

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.settings import Settings
from metapulse_assets.service.answer_cache import Answer, AnswerCache
from metapulse_assets.service.problems import Problem
from metapulse_assets.service.routes.stored_signals import Place
from metapulse_assets.signals.listing import as_json, list_signals
from metapulse_assets.signals.tables import signals
from metapulse_assets_tests.cli.conftest import filled
from metapulse_assets_tests.service.conftest import StartService

__all__ = ["filled"]
EVM = "0xabcdef0000000000000000000000000000000001"


@pytest.fixture
def many(engine: sa.Engine) -> int:
    """Signals of two tokens, several of one moment and weight; how many."""
    now = datetime.now(UTC).replace(microsecond=0)
    with engine.begin() as connection:
        for number, (chain, address) in enumerate((("solana", "Abc"), ("ethereum", EVM)), 1):
            row = {"token_id": number, "chain": chain, "address": address, "symbol": "S", "name": "N", "first_recorded_at": now}
            connection.execute(insert(tokens), [row])
        rows = [_signal(number, now) for number in range(60)]
        connection.execute(insert(signals), rows)
    return len(rows)


def _signal(number: int, now: datetime) -> dict[str, Any]:
    emitted_at = now - timedelta(hours=number // 4)
    return {
        "signal_id": f"s{number:03}",
        "token_id": 1 + number % 2,
        "kind": ("technical", "social", "ai", "combined")[number % 4],
        "rule": "rsi_oversold",
        "timeframe": "5m",
        "direction": ("buy", "sell")[number % 3 == 0],
        # Of a moment some are equally weighty, and none is a number that binary holds exactly.
        "strength": (number % 3 + 1) / 10,
        "confidence": 0.7,
        "risk": "low",
        "price_usd": 2.5,
        "horizon_seconds": 3600,
        "reasons": [],
        "opened_at": emitted_at,
        "observed_at": emitted_at,
        "emitted_at": emitted_at,
        "expires_at": emitted_at + timedelta(hours=10),
        "recorded_at": now,
        "origin": "live",
        "run_id": "run",
        "mode": "sandbox",
    }


def pages_of(service: TestClient, path: str, name: str, **asked: Any) -> list[dict[str, Any]]:
    """Everything there is, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = service.get(path, params={**asked, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page[name]) <= asked["limit"]
        found += page[name]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_page_by_page_come_all_signals_as_the_command_line_shows_them(
    service: TestClient, engine: sa.Engine, many: int, limit: int
) -> None:
    with engine.connect() as connection:
        every = [as_json(signal) for signal in list_signals(connection)]
        open_ones = [as_json(signal) for signal in list_signals(connection, open_at=datetime.now(UTC))]
    assert len(every) == many > len(open_ones) > 0
    assert pages_of(service, "/signals", "signals", limit=limit, status="all") == every
    if limit > 1:
        assert pages_of(service, "/signals", "signals", limit=limit) == open_ones


@pytest.mark.usefixtures("many")
def test_signals_are_narrowed_by_what_is_asked(service: TestClient) -> None:
    def found(**asked: Any) -> list[dict[str, Any]]:
        return pages_of(service, "/signals", "signals", limit=500, status="all", **asked)

    every = found()
    cases: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ({"chain": "solana"}, lambda s: s["chain"] == "solana"),
        ({"token": "Abc"}, lambda s: s["token"] == "Abc"),
        ({"kind": "ai"}, lambda s: s["kind"] == "ai"),
        ({"side": "sell"}, lambda s: s["direction"] == "sell"),
        ({"min_strength": 0.2}, lambda s: s["strength"] > 0.15),
        ({"chain": "ethereum", "side": "buy", "kind": "social"}, lambda s: s["kind"] == "social" and s["direction"] == "buy"),
    ]
    for asked, fits in cases:
        assert found(**asked) == [signal for signal in every if fits(signal)] != [], asked
    # Addresses of EVM chains are the same in upper and lower case, others are not.
    assert len(found(token=EVM.upper().replace("X", "x"))) == len(found(token=EVM)) > 0
    # A number that single precision cannot tell from 0.
    assert found(min_strength=1e-300) == every
    assert found(token="abc") == found(chain="tron") == []


def test_wrong_questions_are_refused_by_name(service: TestClient) -> None:
    for question, field in (
        ("limit=0", "query.limit"),
        ("limit=501", "query.limit"),
        ("limit=x", "query.limit"),
        ("min_strength=2", "query.min_strength"),
        ("min_strength=nan", "query.min_strength"),
        ("side=up", "query.side"),
        ("kind=x", "query.kind"),
        ("status=closed", "query.status"),
        ("chain=%00", "query.chain"),
        ("token=", "query.token"),
        (f"token={'a' * 201}", "query.token"),
        ("cursor=x", "query.cursor"),
        ("cursor=WzFd", "query.cursor"),
        ("cursor=" + Place(datetime(9999, 12, 31, tzinfo=UTC), 5.0, "x").cursor(), "query.cursor"),
    ):
        refused = service.get(f"/signals?{question}")
        assert refused.status_code in (400, 422), question
        assert [error["field"] for error in refused.json()["errors"]] == [field], question
    for path in ("/tokens?cursor=x", "/tokens?cursor=WzEuNV0", "/tokens/solana", "/tokens/:x", "/tokens/solana:"):
        assert service.get(path).status_code == 400, path
    assert service.get("/tokens/solana:'; DROP TABLE tokens; --").status_code == 404


def test_tokens_are_listed_with_their_newest_figures(service: TestClient, filled: str) -> None:
    found = pages_of(service, "/tokens", "tokens", limit=1)
    assert [(token["token"], token["price_usd"], token["risk"]) for token in found] == [
        ("address1", 2.5, "medium"),
        ("address2", None, None),
    ]
    assert {token["mode"] for token in found} == {"sandbox"}
    every = pages_of(service, "/tokens", "tokens", limit=2, status="all")
    assert [token["active"] for token in every] == [True, True, False]
    assert [token["token"] for token in service.get("/tokens?symbol=aaa&chain=solana").json()["tokens"]] == ["address1"]
    assert service.get("/tokens?chain=base").json()["tokens"] == []


def test_a_token_is_shown_with_everything_newest_of_it(service: TestClient, filled: str) -> None:
    shown = service.get("/tokens/solana:address1").json()
    assert shown["mode"] == "sandbox"
    assert (shown["symbol"], shown["tracking"]["active"]) == ("AAA", True)
    assert shown["metrics"]["price_usd"] == 2.5
    assert shown["risk"]["level"] == "medium"
    assert [signal["signal_id"] for signal in shown["signals"]] == ["open"]
    assert (shown["analyses"], shown["ai_analyses"], shown["social"]) == ({}, {}, None)
    assert service.get("/tokens/base:address1").status_code == 404


def test_an_answer_that_is_known_is_not_sent_again(service: TestClient, filled: str) -> None:
    first = service.get("/signals")
    assert first.headers["Cache-Control"] == "no-store"
    for tag in (first.headers["ETag"], f'"x", W/{first.headers["ETag"]}', "*"):
        again = service.get("/signals", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    assert service.get("/signals", headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_answer_is_shown_again_for_a_moment_but_not_to_other_questions(
    start_service: StartService, engine: sa.Engine, many: int
) -> None:
    service = start_service(service_cache_seconds=60)
    assert len(service.get("/signals?status=all&limit=500").json()["signals"]) == many
    with engine.begin() as connection:
        connection.execute(sa.delete(signals))
    assert len(service.get("/signals?status=all&limit=500").json()["signals"]) == many
    assert service.get("/signals?status=all&limit=499").json()["signals"] == []


def test_reads_go_to_the_replica_and_writes_do_not(
    start_service: StartService, database_url: str, filled: str, make_settings: Callable[..., Settings]
) -> None:
    import psycopg

    from metapulse_assets.platform.database import with_database

    copy = with_database(database_url, lambda name: f"{name}_replica")
    with psycopg.connect(with_database(database_url, lambda _: "postgres"), autocommit=True) as server:
        name = sa.make_url(copy).database
        assert name is not None
        # What a replica that lags would hold: the same tables, other rows.
        server.execute(
            psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE metapulse_test_template").format(psycopg.sql.Identifier(name))
        )
        try:
            service = start_service(database_replica_url=copy)
            assert service.get("/signals").json()["signals"] == []
            assert service.get("/tokens").json()["tokens"] == []
            job = service.post("/jobs", json={"type": "t-noop"}).json()["id"]
            assert service.get(f"/jobs/{job}").json()["status"] == "waiting"
            with psycopg.connect(copy) as other:
                other.execute("UPDATE database_identity SET mode = 'live'")
            # Live and sandbox are never mixed.
            assert start_service(database_replica_url=copy).get("/signals").status_code == 503
        finally:
            server.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


def test_one_question_is_answered_once_for_all_who_ask_at_once() -> None:
    asked: list[str] = []

    async def make() -> dict[str, int]:
        asked.append("")
        await asyncio.sleep(0)
        return {"n": len(asked)}

    async def fail() -> None:
        asked.append("")
        await asyncio.sleep(0)
        raise Problem(404)

    async def run() -> None:
        cache = AnswerCache(60)
        answers = await asyncio.gather(*(cache.get("question", make) for _ in range(50)))
        assert (len(asked), {answer.body for answer in answers}) == (1, {b'{"n":1}'})
        impatient = asyncio.create_task(cache.get("other", make))
        await asyncio.sleep(0)
        patient = asyncio.create_task(cache.get("other", make))
        await asyncio.sleep(0)
        impatient.cancel()
        assert isinstance(await patient, Answer)
        failed = await asyncio.gather(*(cache.get("failing", fail) for _ in range(5)), return_exceptions=True)
        assert [type(error) for error in failed] == [Problem] * 5
        # A failure is not remembered.
        assert isinstance(await cache.get("failing", make), Answer)

    asyncio.run(run())
    assert len(asked) == 4
