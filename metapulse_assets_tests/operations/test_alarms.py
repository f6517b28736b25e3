"""Alarms over time: one a condition while it lasts, a new one after it was over, and texts that name the cure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.operations.alarms import (
    CALM,
    Condition,
    FailedCheck,
    evaluate,
    failed_checks,
    failed_runs,
    mark_delivered,
    observe,
    of_health,
    of_queues,
    open_keys,
    stale_assets,
)
from metapulse_assets.operations.health import HealthRow
from metapulse_assets.operations.queue_measuring import MANY_DEAD_LETTERS, QueueRow
from metapulse_assets.operations.tables import alarms, job_logs
from metapulse_assets_tests.operations.conftest import NOON

OPEN = Condition("breaker_open:x", "error", "x is not being called: look at its key")
MINUTE = timedelta(minutes=1)


def rows(connection: sa.Connection) -> Sequence[Any]:
    return connection.execute(sa.select(alarms).order_by(alarms.c.alarm_id)).mappings().all()


def test_a_condition_that_lasts_is_one_alarm_and_its_return_another(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for minute in range(30):
            changes = evaluate(connection, [OPEN], NOON + minute * MINUTE)
            assert changes.opened == ((OPEN.key,) if minute == 0 else ())
        [one] = rows(connection)
        assert (one["count"], one["first_seen"], one["last_seen"]) == (30, NOON, NOON + 29 * MINUTE)
        assert one["resolved_at"] is None
        assert one["delivered_at"] is None
        over = NOON + 29 * MINUTE + CALM
        assert evaluate(connection, [], over - MINUTE).resolved == ()
        assert evaluate(connection, [], over).resolved == (OPEN.key,)
        assert evaluate(connection, [], over + MINUTE).resolved == ()
        assert evaluate(connection, [OPEN], over + 2 * MINUTE).opened == (OPEN.key,)
        assert [row["resolved_at"] for row in rows(connection)] == [over, None]


def test_one_that_flickers_is_one_alarm(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        opened = [evaluate(connection, [OPEN] if m % 2 == 0 else [], NOON + m * MINUTE).opened for m in range(20)]
        assert sum(map(len, opened)) == len(rows(connection)) == 1


def test_the_text_is_that_of_the_newest_look(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        evaluate(connection, [Condition("k", "warning", "20 refusals")], NOON)
        evaluate(connection, [Condition("k", "error", "200 refusals\x00")], NOON + MINUTE)
        [one] = rows(connection)
        assert (one["severity"], one["text"]) == ("error", "200 refusals")


def test_what_cannot_be_decided_stays_as_it_is(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        evaluate(connection, [OPEN], NOON)
        assert evaluate(connection, [], NOON + 3 * CALM, undecided={OPEN.key}).lasting == 1
        assert open_keys(connection, "breaker_open:") == {OPEN.key}
        assert open_keys(connection, "stale:") == set()
        assert evaluate(connection, [], NOON + 3 * CALM).resolved == (OPEN.key,)


def test_observing_ends_no_alarm(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        observe(connection, [OPEN], NOON)
        assert observe(connection, [Condition("k", "error", "t")], NOON + 2 * CALM) == ("k",)
        assert observe(connection, [], NOON + 2 * CALM) == ()
        assert [row["resolved_at"] for row in rows(connection)] == [None, None]


def test_an_alarm_is_delivered_once(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        evaluate(connection, [OPEN], NOON)
        [one] = rows(connection)
        assert mark_delivered(connection, [one["alarm_id"]], NOON) == 1
        assert mark_delivered(connection, [one["alarm_id"]], NOON + MINUTE) == 0
        assert evaluate(connection, [OPEN], NOON + MINUTE).opened == ()
        assert rows(connection)[0]["delivered_at"] == NOON


@settings(max_examples=25)
@given(seen=st.lists(st.sets(st.sampled_from("abc")), max_size=25))
def test_there_are_as_many_alarms_as_spells_of_a_condition(engine: sa.Engine, seen: list[set[str]]) -> None:
    """Against a plain count: a spell begins with the first sighting, and again after five quiet minutes."""
    spells = 0
    last: dict[str, int] = {}
    for minute, keys in enumerate(seen):
        for key in [key for key, at in last.items() if key not in keys and (minute - at) * MINUTE >= CALM]:
            del last[key]
        spells += len(keys - last.keys())
        last.update(dict.fromkeys(keys, minute))
    with engine.connect() as connection:
        for minute, keys in enumerate(seen):
            evaluate(connection, [Condition(key, "error", key) for key in keys], NOON + minute * MINUTE)
        found = rows(connection)
        connection.rollback()
    assert len(found) == spells
    assert {row["key"] for row in found if row["resolved_at"] is None} == last.keys()


def log(connection: sa.Connection, job: str, run: str, status: str, ended_at: datetime, error: str | None = None) -> None:
    connection.execute(
        sa.insert(job_logs).values(
            engine="dagster", job_id=run, attempt=1, job=job, status=status, cause="manual", created_at=ended_at,
            ended_at=ended_at, run_id=run, updated_at=ended_at, error=error,
        )
    )  # fmt: skip


def test_a_job_whose_newest_run_failed_is_an_alarm_until_one_succeeds(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        log(connection, "market_tick", "1", "failure", NOON, "token_metrics: no such table")
        log(connection, "social_tick", "2", "failure", NOON)
        log(connection, "social_tick", "3", "success", NOON + MINUTE)
        # A canceled run says nothing of the job.
        log(connection, "market_tick", "4", "canceled", NOON + MINUTE)
        [one] = failed_runs(connection)
        assert one.key == "run_failed:market_tick"
        assert "no such table" in one.text
        assert "open the run 1" in one.text
        log(connection, "market_tick", "5", "success", NOON + 2 * MINUTE)
        assert failed_runs(connection) == []


PARENTS = {"candles": {"token_metrics"}, "analyses": {"candles"}, "posts": set[str](), "signals": {"analyses", "posts"}}


@pytest.mark.parametrize(
    ("stale", "roots"),
    [
        (set(), []),
        ({"signals"}, ["stale:signals"]),
        ({"token_metrics", "candles", "analyses", "signals"}, ["stale:token_metrics"]),
        ({"candles", "posts", "signals"}, ["stale:candles", "stale:posts"]),
        # What lies between is fresh, and yet the one below rests on the one above.
        ({"token_metrics", "signals"}, ["stale:token_metrics"]),
    ],
)
def test_only_where_staleness_begins_is_told(stale: set[str], roots: list[str]) -> None:
    found = stale_assets(stale, PARENTS)
    assert [condition.key for condition in found] == roots
    assert all("`metapulse up`" in condition.text for condition in found)
    if len(stale) == 4:
        assert "with it 3 assets" in found[0].text


def test_checks_that_do_not_pass_are_alarms_as_grave_as_they() -> None:
    found = failed_checks(
        [
            FailedCheck("signals", "values", True, "r1"),
            FailedCheck("candles", "gaps", False, "r2"),
            FailedCheck("health_metrics", "nothing_fails", False, "r3"),
        ]
    )
    assert [(one.key, one.severity) for one in found] == [
        ("check_failed:signals:values", "error"),
        ("check_failed:candles:gaps", "warning"),
    ]
    assert "run signals again" in found[0].text


def test_whatever_a_queue_is_called_its_alarms_can_be_stored(engine: sa.Engine) -> None:
    name = "".join(chr(0x4E00 + place * 7919 % 20_000) for place in range(880))
    row = QueueRow(name, *(3, 0, 0, 0, 0, 0, 3600.0, MANY_DEAD_LETTERS), *(None, None, 0, 0, 0, 0.0))
    with engine.begin() as connection:
        opened = evaluate(connection, of_queues([row]), NOON).opened
        assert opened == (f"queue_letters:{name[:200]}", f"queue_stuck:{name[:200]}")
        assert evaluate(connection, of_queues([row]), NOON).opened == ()


def test_of_health_only_what_has_no_alarm_of_its_own_is_told() -> None:
    found = of_health(
        [
            HealthRow("x", "breaker", 1.0, "state", "fail", "down"),
            HealthRow("groq", "breaker", 0.5, "state", "warn", "probing"),
            HealthRow("gemini", "breaker", 0.0, "state"),
            HealthRow("dead_letters", "dexscreener /pairs.last_hour", 30, "count", "warn", "many"),
            HealthRow("process", "memory", 1.0, "bytes", "warn", "much"),
            HealthRow("database", "latency", 2.0, "s", "fail", "slow"),
            HealthRow("data", "candles.newest_age", 9_999.0, "s", "fail", "old"),
            HealthRow("jobs", "market_tick.failed_share", 1.0, "share", "fail", "failing"),
        ]
    )
    assert [(one.key, one.severity) for one in found] == [
        ("breaker_open:x", "error"),
        ("breaker_open:groq", "error"),
        ("dead_letters:dexscreener /pairs", "warning"),
        ("health:database:latency", "error"),
    ]
