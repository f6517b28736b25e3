"""Ticks: one run a moment, on the moment's UTC day, and none while the one before still runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import dagster as dg
import pytest

from metapulse_assets.platform.job_runs import IN_PROGRESS, still_running, tick_request, tick_schedule

MOMENT = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)


@dg.asset
def nothing() -> None:
    """An asset to make a job of."""


JOB = dg.define_asset_job("tick", selection=[nothing])
SCHEDULE = tick_schedule(JOB, "*/5 * * * *", "A tick.", running_by_default=True)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance without runs of ours."""
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture(autouse=True)
def no_runs(instance: dg.DagsterInstance) -> None:
    """Each test begins without runs."""
    instance.wipe()


def evaluate(instance: dg.DagsterInstance) -> object:
    """What the schedule answers at the moment."""
    return SCHEDULE(dg.build_schedule_context(instance, scheduled_execution_time=MOMENT))


def test_a_tick_asks_for_its_day_once() -> None:
    request = tick_request(MOMENT)
    assert (request.partition_key, request.run_key) == ("2026-03-04", tick_request(MOMENT).run_key)
    assert request.run_key != tick_request(MOMENT + timedelta(minutes=5)).run_key


def test_a_tick_counts_days_in_utc() -> None:
    late = datetime(2026, 3, 4, 23, 30, tzinfo=timezone(timedelta(hours=-3)))
    assert tick_request(late).partition_key == "2026-03-05"


def test_a_queued_run_counts_as_running() -> None:
    assert dg.DagsterRunStatus.QUEUED in IN_PROGRESS


# Dagster lets no test make a queued run.
@pytest.mark.parametrize("status", [status for status in IN_PROGRESS if status is not dg.DagsterRunStatus.QUEUED])
def test_a_tick_is_skipped_while_the_one_before_runs(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    assert isinstance(evaluate(instance), dg.RunRequest)
    run = dg.DagsterRun(job_name="tick", status=status)
    instance.add_run(run)
    instance.add_run(dg.DagsterRun(job_name="other", status=dg.DagsterRunStatus.STARTED))
    assert still_running(instance, "tick") == run.run_id
    skipped = evaluate(instance)
    assert isinstance(skipped, dg.SkipReason)
    assert run.run_id in str(skipped.skip_message)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_an_ended_run_holds_nobody_up(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    instance.add_run(dg.DagsterRun(job_name="tick", status=status))
    assert still_running(instance, "tick") is None


@pytest.mark.parametrize(
    ("running", "status"), [(True, dg.DefaultScheduleStatus.RUNNING), (False, dg.DefaultScheduleStatus.STOPPED)]
)
def test_a_schedule_runs_by_default_only_if_told_to(running: bool, status: dg.DefaultScheduleStatus) -> None:
    schedule = tick_schedule(JOB, "0 * * * *", "A tick.", running_by_default=running)
    assert (schedule.default_status, schedule.cron_schedule, schedule.execution_timezone) == (status, "0 * * * *", "UTC")
