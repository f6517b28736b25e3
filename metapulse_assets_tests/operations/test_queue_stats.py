"""The work queue measured minute by minute: counts, rates, and totals that no clean-up lowers."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.operations import assets, tables, watching
from metapulse_assets.operations.checks import operations_checks
from metapulse_assets.operations.queue_measuring import MANY_DEAD_LETTERS, newest_queues, read_queues
from metapulse_assets.operations.queue_retention import thin_out
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.work_queue import pausing
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue, enqueue_many
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets.platform.work_queue.totals import read_totals
from metapulse_assets_tests.conftest import FixedClock
from metapulse_assets_tests.platform.queue_running import change, work

MINUTE = timedelta(minutes=1)
FINISHED = """
INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, ended_at, duration_seconds, worker)
SELECT :first + n, :queue, 1, :status, now() - interval '1 hour', now() - interval '1 hour' + n * interval '1 second', 0.1, 'w'
FROM generate_series(1, :count) AS n
"""
DUE_SINCE = "UPDATE pgqueuer.pgqueuer SET execute_after = now() - interval '90 s'"


def finish(engine: sa.Engine, queue: str, status: str, count: int, first: int) -> None:
    change(engine, FINISHED, queue=queue, status=status, count=count, first=first)


def by_queue(platform: Platform) -> dict[str, Any]:
    return {row.queue: row for row in watching.measure_queues(platform)}


def test_a_minutes_row_counts_what_is_there(quiet: Platform) -> None:
    with quiet.engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {})] * 3)
        enqueue(connection, "t-hopeless", {})
    work(quiet.settings, "t-noop", "t-hopeless")
    with quiet.engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {}), NewJob("t-noop", {}, delay=timedelta(hours=1)), NewJob("t-echo", {})])
        pausing.pause(connection, "t-echo")
        connection.exec_driver_sql(f"{DUE_SINCE} WHERE execute_after <= now()")
    rows = by_queue(quiet)
    noop, hopeless, echo = rows["t-noop"], rows["t-hopeless"], rows["t-echo"]
    assert (noop.waiting, noop.active, noop.completed, noop.delayed, noop.completed_total) == (1, 0, 3, 1, 3)
    assert 90 <= noop.oldest_waiting_seconds < 120
    assert noop.is_stuck
    assert (hopeless.failed, hopeless.dead_letters, hopeless.failed_total, hopeless.completed) == (1, 1, 1, 0)
    assert (echo.waiting, echo.paused, echo.oldest_waiting_seconds, echo.is_stuck) == (0, 1, None, False)
    # A queue that is registered and was never used has a row, too.
    assert rows["t-story"].waiting == 0
    with quiet.engine.connect() as connection:
        assert newest_queues(connection, quiet.now()) == list(rows.values())
        assert newest_queues(connection, quiet.now() + timedelta(days=1, minutes=1)) == []


def test_rates_are_those_since_the_row_before(quiet: Platform, clock: FixedClock) -> None:
    finish(quiet.engine, "a", "completed", 10, 0)
    assert by_queue(quiet)["a"].completed_per_minute is None
    clock.moment += MINUTE
    finish(quiet.engine, "a", "completed", 30, 100)
    finish(quiet.engine, "a", "failed", 4, 200)
    first = by_queue(quiet)["a"]
    assert (first.completed_per_minute, first.failed_per_minute) == (30.0, 4.0)
    # The minute is taken: a second look at it changes nothing.
    finish(quiet.engine, "a", "completed", 5, 300)
    by_queue(quiet)
    with quiet.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.max(tables.queue_stats.c.completed_total))).scalar() == 40
    clock.moment += 5 * MINUTE
    assert by_queue(quiet)["a"].completed_per_minute == 1.0
    clock.moment += timedelta(hours=2)
    assert by_queue(quiet)["a"].completed_per_minute is None


@settings(max_examples=8)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["completed", "failed", "retried"]), st.integers(1, 9))))
def test_a_clean_up_changes_no_total(quiet: Platform, done: list[tuple[str, str, int]]) -> None:
    change(quiet.engine, "TRUNCATE job_attempts, forgotten_attempts, job_logs")
    for place, (queue, status, count) in enumerate(done):
        finish(quiet.engine, queue, status, count, place * 100)
    with quiet.engine.connect() as connection:
        before = read_totals(connection)
    assert sum(each.completed + each.failed + each.retried for each in before.values()) == sum(count for *_, count in done)
    for _ in range(2):
        thin_out(quiet.engine, {"a": Policy(keep_completed=3, keep_failed=0)}, quiet.now())
        with quiet.engine.connect() as connection:
            assert read_totals(connection) == before


def test_totals_count_each_ending_by_itself(quiet: Platform) -> None:
    with quiet.engine.begin() as connection:
        enqueue(connection, "t-hasty", {"failures": 1})
        enqueue(connection, "t-hasty", {"failures": 9})
    work(quiet.settings, "t-hasty")
    with quiet.engine.connect() as connection:
        [found] = read_totals(connection).values()
    assert (found.queue, found.completed, found.failed, found.retried, found.canceled) == ("t-hasty", 1, 1, 3, 0)
    assert found.seconds > 0


def test_the_clean_up_leaves_a_hundred_and_fifty_and_says_so(quiet: Platform) -> None:
    finish(quiet.engine, "a", "completed", 130, 0)
    finish(quiet.engine, "a", "failed", 70, 1000)
    result = dg.materialize([assets.retention], resources={"platform": quiet})
    assert result.success
    with quiet.engine.connect() as connection:
        [row] = read_queues(connection, [], quiet.now())
        removed = connection.execute(
            sa.select(tables.retention.c.rows).where(tables.retention.c.name == "job_attempts")
        ).scalar_one()
        kept = connection.execute(sa.select(tables.job_logs.c.job, sa.func.count()).group_by(tables.job_logs.c.job)).all()
    assert (row.completed, row.failed, row.completed_total, row.failed_total) == (100, 50, 130, 70)
    assert removed == 30 + 20
    # What went is in the history of jobs.
    assert kept == [("a", 50)]


@pytest.mark.parametrize(
    ("letters", "waits", "failing"), [(0, False, set()), (MANY_DEAD_LETTERS, True, {"queues_get_on", "few_dead_letters"})]
)
def test_the_checks_warn_of_what_does_not_get_on(quiet: Platform, letters: int, waits: bool, failing: set[str]) -> None:
    change(
        quiet.engine,
        "INSERT INTO failed_jobs (job_type, job_data, error_message) SELECT 'a', '{}', 'e' FROM generate_series(1, :n)",
        n=letters,
    )
    if waits:
        with quiet.engine.begin() as connection:
            enqueue(connection, "t-noop", {})
            connection.exec_driver_sql(DUE_SINCE)
    [checks] = [one for one in operations_checks() if {key.asset_key for key in one.check_keys} == {assets.queue_stats.key}]
    result = dg.materialize([assets.queue_stats, checks], resources={"platform": quiet})
    failed = {each.check_name for each in result.get_asset_check_evaluations() if not each.passed}
    assert failed == failing


def test_a_queue_that_does_not_get_on_is_an_alarm_while_it_lasts(quiet: Platform, clock: FixedClock) -> None:
    with quiet.engine.begin() as connection:
        enqueue(connection, "t-noop", {})
        connection.exec_driver_sql(DUE_SINCE)
    letters = "INSERT INTO failed_jobs (job_type, job_data, error_message) SELECT 'a', '{}', 'e' FROM generate_series(1, :n)"
    change(quiet.engine, letters, n=MANY_DEAD_LETTERS)
    ours = {"queue_stuck:t-noop", "queue_letters:a"}
    watching.measure_queues(quiet)
    assert ours <= set(watching.raise_alarms(quiet, None).opened)
    assert not ours & set(watching.raise_alarms(quiet, None).opened)
    # Without a measurement nothing can be said of them.
    clock.moment += timedelta(hours=1)
    assert not ours & set(watching.raise_alarms(quiet, None).resolved)
    change(quiet.engine, "DELETE FROM pgqueuer.pgqueuer")
    change(quiet.engine, "DELETE FROM failed_jobs")
    clock.moment += MINUTE
    watching.measure_queues(quiet)
    assert ours <= set(watching.raise_alarms(quiet, None).resolved)
