"""The work queue's attempts in the history of jobs: each once, before the ledger forgets it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from metapulse_assets.operations import alarms, queue_history, watching
from metapulse_assets.operations.health_facts import read_jobs
from metapulse_assets.operations.queue_retention import thin_out
from metapulse_assets.operations.tables import job_logs
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.work_queue.enqueueing import NewJob, cancel, enqueue, enqueue_many
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets_tests.platform.queue_running import change, fetch, work

LONG = timedelta(days=7)
HISTORY = "SELECT job_id::bigint, attempt, status, cause FROM job_logs WHERE engine = 'queue' ORDER BY 1, 2"


def copy(platform: Platform) -> int:
    """What the minute's look copies; by the database's clock, as the ledger goes by it."""
    with platform.engine.connect() as connection:
        now = connection.execute(sa.select(sa.func.now())).scalar_one()
    return queue_history.copy_attempts(platform.engine, now - LONG)


def test_every_ended_attempt_is_a_row_with_result_or_error(quiet: Platform) -> None:
    with quiet.engine.begin() as connection:
        fine = enqueue(connection, "t-echo", {"result": {"n": 1}}).job_id
        again = enqueue(connection, "t-hasty", {"failures": 1, "message": "no luck"}).job_id
        gone = enqueue(connection, "t-slow", {"seconds": 60}).job_id
        cancel(connection, gone)
        # One that waits is no history yet.
        enqueue(connection, "t-noop", {}, delay=timedelta(hours=1))
    work(quiet.settings, "t-echo", "t-hasty")
    assert copy(quiet) == 4
    assert copy(quiet) == 0
    assert fetch(quiet.engine, HISTORY) == [
        (fine, 1, "success", "queue"),
        (again, 1, "failure", "queue"),
        (again, 2, "success", "retry"),
        (gone, 1, "canceled", "queue"),
    ]
    with quiet.engine.connect() as connection:
        rows = {(row.job, row.attempt): row for row in connection.execute(sa.select(job_logs))}
    echo, hasty = rows["t-echo", 1], rows["t-hasty", 1]
    assert (echo.result, echo.error, echo.run_id) == ({"n": 1}, None, None)
    assert echo.created_at <= echo.started_at <= echo.ended_at
    assert echo.duration_seconds == pytest.approx((echo.ended_at - echo.started_at).total_seconds(), abs=1e-3)
    assert (hasty.result, hasty.error) == (None, "ConnectionError: no luck")


LEDGER = """
INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, ended_at, duration_seconds, worker)
VALUES (:job, :queue, :attempt, :status, now(), now() - :ago * interval '1 second', 1, 'w')
"""


def put(platform: Platform, job: int, attempt: int, status: str, ago: float = 0, queue: str = "a") -> None:
    change(platform.engine, LEDGER, job=job, queue=queue, attempt=attempt, status=status, ago=ago)


def test_attempts_of_vanished_workers_are_numbered_on(quiet: Platform) -> None:
    for status, ago in (("lost", 30), ("lost", 20), ("completed", 10)):
        put(quiet, 7, 1, status, ago)
    put(quiet, 8, 1, "released", 5)
    assert copy(quiet) == 4
    wanted = [(7, 1, "failure", "queue"), (7, 2, "failure", "retry"), (7, 3, "success", "retry"), (8, 1, "canceled", "queue")]
    assert fetch(quiet.engine, HISTORY) == wanted
    # However it is thinned out, nothing is numbered otherwise or copied twice.
    thin_out(quiet.engine, {"a": Policy(keep_completed=0, keep_failed=0)}, quiet.now())
    assert fetch(quiet.engine, "SELECT count(*) FROM job_attempts") == [(0,)]
    assert fetch(quiet.engine, HISTORY) == wanted


def test_what_the_clean_up_forgets_is_copied_first_with_its_number(quiet: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metapulse_assets.platform.work_queue.retention.BATCH", 2)
    for job in (1, 2, 3):
        for attempt, status in ((1, "retried"), (2, "lost"), (2, "completed")):
            put(quiet, job, attempt, status, 100 - job)
    thin_out(quiet.engine, {"a": Policy(keep_completed=1)}, quiet.now())
    assert fetch(quiet.engine, "SELECT DISTINCT job_id FROM job_attempts") == [(3,)]
    statuses = ("failure", "failure", "success")
    causes = ("queue", "retry", "retry")
    wanted = [(job, n + 1, statuses[n], causes[n]) for job in (1, 2) for n in range(3)]
    assert fetch(quiet.engine, HISTORY) == wanted
    copy(quiet)
    assert fetch(quiet.engine, f"SELECT count(*) FROM ({HISTORY}) AS h") == [(9,)]


def test_many_are_copied_page_by_page_also_those_of_one_moment(quiet: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_history, "PAGE", 3)
    for job in range(10):
        put(quiet, job, 1, "completed", 50)
    change(quiet.engine, "UPDATE job_attempts SET ended_at = now() - interval '40 s' - (job_id / 4) * interval '1 s'")
    assert copy(quiet) == 10


def test_one_that_becomes_visible_late_is_copied_all_the_same(quiet: Platform) -> None:
    put(quiet, 1, 1, "completed", 0)
    assert copy(quiet) == 1
    put(quiet, 2, 1, "completed", 60)
    assert copy(quiet) == 1


def test_what_is_past_its_time_is_left(quiet: Platform) -> None:
    put(quiet, 1, 1, "completed", 8 * 86_400)
    assert copy(quiet) == 0


def test_failed_attempts_of_the_queue_are_no_failed_runs(quiet: Platform) -> None:
    with quiet.engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-hopeless", {})] * 4)
    work(quiet.settings, "t-hopeless")
    assert copy(quiet) == 4
    with quiet.engine.connect() as connection:
        assert alarms.failed_runs(connection) == []
        assert read_jobs(connection, quiet.now() + timedelta(days=36_500)) == {}
    assert watching.raise_alarms(quiet, None).opened == ()
