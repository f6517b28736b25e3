"""Health: what is measured, when it is not well, that the reason names the cure, and how it stands over all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.tables import token_metrics
from metapulse_assets.operations import health, watching
from metapulse_assets.operations.health import HealthRow, health_rows, health_summary, judged, newest_health, store_health
from metapulse_assets.operations.health_facts import (
    DatabaseFacts,
    DataFacts,
    Facts,
    JobFacts,
    LetterFacts,
    ProcessFacts,
    VendorFacts,
    read_facts,
)
from metapulse_assets.operations.tables import health_metrics, job_logs
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.dead_letters import DeadLetter, store_dead_letters
from metapulse_assets.platform.raw_payloads import RawPayload, store_payloads
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import load_settings
from metapulse_assets_tests.conftest import FixedClock
from metapulse_assets_tests.operations.conftest import NOON

WELL = Facts(
    database=DatabaseFacts(0.001, 5, 97, 10**8),
    process=ProcessFacts(200_000_000, 0.1, 0.5, 4_000_000_000),
    vendors={"dexscreener": VendorFacts("closed", 0, "", 20.0)},
    data={"candles": DataFacts(60.0, 300.0), "signals": DataFacts(None, None)},
    table_bytes={"candles": 5_000_000, "signals": 8_192},
    table_bytes_before={"candles": 4_000_000.0},
    jobs={"market_tick": JobFacts(288, 2, 4.0, "success")},
    dead_letters={"dexscreener": LetterFacts(3, 4)},
)


def culprits(**changes: Any) -> list[tuple[str, str, str]]:
    rows = health_rows(replace(WELL, **changes), load_settings())
    assert all((row.status == "ok") == (row.reason is None) for row in rows)
    assert len({(row.service, row.metric) for row in rows}) == len(rows)
    return [(row.service, row.metric, row.status) for row in rows if row.status != "ok"]


def test_a_healthy_installation_has_no_culprit() -> None:
    assert culprits() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"database": DatabaseFacts(0.2, 5, 97, 1)}, ("database", "latency", "warn")),
        ({"database": DatabaseFacts(1.5, 5, 97, 1)}, ("database", "latency", "fail")),
        ({"database": DatabaseFacts(0.0, 95, 97, 1)}, ("database", "connections_share", "fail")),
        ({"process": ProcessFacts(450_000_000, 0, 0, 10**10)}, ("process", "memory", "warn")),
        ({"process": ProcessFacts(512_000_000, 0, 0, 10**10)}, ("process", "memory", "fail")),
        ({"process": ProcessFacts(1, 0, 2.5, 10**10)}, ("machine", "load_per_core", "warn")),
        ({"process": ProcessFacts(1, 0, 0, 90_000_000)}, ("machine", "memory_available", "fail")),
        ({"vendors": {"x": VendorFacts("open", 5, "HTTP 500", None)}}, ("x", "breaker", "fail")),
        ({"vendors": {"x": VendorFacts("half_open", 5, "HTTP 500", None)}}, ("x", "breaker", "warn")),
        ({"data": {"candles": DataFacts(900.0, 300.0)}}, ("data", "candles.newest_age", "warn")),
        ({"data": {"candles": DataFacts(1800.0, 300.0)}}, ("data", "candles.newest_age", "fail")),
        ({"data": {"candles": DataFacts(None, 300.0)}}, ("data", "candles.newest_age", "warn")),
        ({"table_bytes": {"candles": 10**9}}, ("table", "growth of all", "warn")),
        ({"jobs": {"j": JobFacts(10, 5, 1.0, "success")}}, ("jobs", "j.failed_share", "fail")),
        ({"jobs": {"j": JobFacts(1, 1, 1.0, "failure")}}, ("jobs", "j.failed_share", "warn")),
        ({"jobs": {"j": JobFacts(0, 0, None, "failure")}}, ("jobs", "j.failed_share", "warn")),
        ({"dead_letters": {"s": LetterFacts(20, 0)}}, ("dead_letters", "s.last_hour", "warn")),
        ({"dead_letters": {"s": LetterFacts(200, 0)}}, ("dead_letters", "s.last_hour", "fail")),
    ],
)
def test_what_is_not_well_is_named(changes: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert culprits(**changes) == [expected]


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_more_is_never_better(one: float, other: float, low: float, high: float) -> None:
    order = ("ok", "warn", "fail")
    warn, fail = sorted((low, high))
    less, more = sorted((one, other))
    assert order.index(judged(less, warn, fail)) <= order.index(judged(more, warn, fail))


def test_what_lies_in_the_database_is_measured(quiet: Platform) -> None:
    with quiet.engine.begin() as connection:
        answers = [
            RawPayload("dexscreener", "u", 200, NOON - timedelta(seconds=90), b"a"),
            RawPayload("dexscreener", "u", 500, NOON - timedelta(seconds=9), b"b"),
            RawPayload("groq", "u", 503, NOON - timedelta(seconds=9), b"c"),
            RawPayload("gemini", "u", 200, NOON - timedelta(hours=7), b"d"),
        ]
        store_payloads(connection, answers)
        ensure_days(connection, "token_metrics", [utc_day(NOON)])
        for back in (400, 100):
            at = NOON - timedelta(seconds=back)
            connection.execute(
                sa.insert(token_metrics).values(observed_at=at, recorded_at=at, price_usd=1.0, token_id=1, pool_id=1)
            )
        letters = [DeadLetter("dexscreener", "item", str(n), "price: not a number", {}) for n in range(3)]
        store_dead_letters(connection, letters[:1], NOON - timedelta(minutes=70))
        store_dead_letters(connection, letters, NOON - timedelta(minutes=5))
        store_dead_letters(connection, [DeadLetter("x", "item", "1", "r", {})], NOON - timedelta(minutes=70))
        for number, status in enumerate(("failure", "success", "success", "canceled")):
            ended = NOON - timedelta(minutes=number)
            connection.execute(
                sa.insert(job_logs).values(
                    engine="dagster", job_id=str(number), attempt=1, job="market_tick", status=status, cause="manual",
                    created_at=ended, started_at=ended, ended_at=ended, duration_seconds=number, updated_at=ended,
                )
            )  # fmt: skip
    breaker = CircuitBreaker(quiet.engine, "x", BreakerPolicy(failures=1), clock=NOON.timestamp)
    breaker.failed("HTTP 500")
    with quiet.engine.connect() as connection:
        facts = read_facts(connection, quiet.settings, NOON)
    assert facts.vendors == {
        "dexscreener": VendorFacts("closed", 0, "", 90.0),
        "x": VendorFacts("open", 1, "HTTP 500", None),
    }
    assert facts.data["token_metrics"] == DataFacts(100.0, 300.0)
    assert facts.data["candles"] == DataFacts(None, 300.0)
    assert facts.dead_letters == {"dexscreener": LetterFacts(3, 1), "x": LetterFacts(0, 1)}
    assert facts.jobs == {"market_tick": JobFacts(3, 1, 1.0, "failure")}
    assert facts.database.latency > 0
    assert 0 < facts.database.connections < facts.database.connections_allowed
    assert 10_000_000 < facts.process.memory < 10**11
    assert facts.table_bytes["token_metrics"] >= 3 * 8192
    assert not any(name.startswith("token_metrics_") for name in facts.table_bytes)
    assert facts.table_bytes_before == {}


def test_growth_is_measured_against_an_hour_ago(quiet: Platform, clock: FixedClock) -> None:
    watching.measure(quiet)
    clock.moment += timedelta(minutes=61)
    with quiet.engine.begin() as connection:
        letters = [DeadLetter("s", "item", str(n), "r", {"text": f"{n}" * 500}) for n in range(300)]
        store_dead_letters(connection, letters, clock())
    found = {(row.service, row.metric): row.value for row in watching.measure(quiet).rows}
    grown = found["table", "growth of dead_letters"]
    assert grown is not None
    assert grown > 100_000
    assert found["table", "growth of all"] is not None
    assert ("table", "growth of signals") not in found


def test_a_minute_is_stored_once_and_never_rewritten(quiet: Platform) -> None:
    rows = [HealthRow("database", "latency", 0.5, "s", "warn", "slow")]
    with quiet.engine.begin() as connection:
        assert store_health(connection, rows, NOON) == 1
        assert store_health(connection, [replace(rows[0], value=9.0)], NOON + timedelta(seconds=30)) == 0
        assert store_health(connection, rows, NOON + timedelta(minutes=1)) == 1
        stored = connection.execute(sa.select(health_metrics.c.measured_at, health_metrics.c.value)).all()
        assert [row.value for row in stored] == [0.5, 0.5]
        assert {row.measured_at.second for row in stored} == {0}
        assert newest_health(connection, NOON) == (NOON.replace(second=0), rows)


def test_how_it_stands_over_all(quiet: Platform) -> None:
    well = HealthRow("process", "memory", 1.0, "bytes")
    warning = HealthRow("x", "breaker", 0.5, "state", "warn", "probing")
    failing = HealthRow("groq", "breaker", 1.0, "state", "fail", "down")
    dead = HealthRow("database", "latency", 3.0, "s", "fail", "slow")
    with quiet.engine.begin() as connection:
        never = health_summary(connection, NOON)
        assert (never.status, never.measured_at) == ("degraded", None)
        assert "operations_watch" in str(never.culprits[0].reason)
        for minute, (rows, status, first) in enumerate(
            [([well], "ok", None), ([well, warning, failing], "degraded", failing), ([warning, dead], "down", dead)]
        ):
            now = NOON + timedelta(minutes=minute)
            store_health(connection, rows, now)
            summary = health_summary(connection, now)
            assert summary.status == status
            assert next(iter(summary.culprits), None) == first
        late = health_summary(connection, now + health.MEASURED_WITHIN + timedelta(minutes=1))
        assert late.status == "degraded"
        assert "not since 2026-03-04 12:02 UTC" in str(late.culprits[0].reason)
