"""The history of jobs: runs as rows, taken over as they change, with errors that hold no secret."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.operations import job_history
from metapulse_assets.operations.job_history import STATUSES, cause_of, sync_runs
from metapulse_assets.operations.tables import job_logs
from metapulse_assets_tests.operations.dagster_history import broken, measured, summed

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DEFINITIONS = dg.Definitions(
    assets=[measured, summed, broken],
    jobs=[dg.define_asset_job("good", [measured, summed]), dg.define_asset_job("bad", [broken])],
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def run(instance: dg.DagsterInstance, job: str, tags: dict[str, str] | None = None, key: str | None = None) -> str:
    definition = DEFINITIONS.resolve_job_def(job)
    result = definition.execute_in_process(
        instance=instance, partition_key=key, run_config=QUIET, tags=tags or {}, raise_on_error=False
    )
    return result.run_id


def sync(engine: sa.Engine, instance: dg.DagsterInstance, days: int = 7) -> int:
    with engine.begin() as connection:
        return sync_runs(connection, instance, datetime.now(UTC) - timedelta(days=days), ["hidden-value"])


def rows(engine: sa.Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return {row.job_id: row for row in connection.execute(sa.select(job_logs))}


def test_runs_become_rows_with_their_times_results_and_errors(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    good = run(instance, "good", {"dagster/schedule_name": "good_schedule"}, "2026-03-04")
    bad = run(instance, "bad")
    queued = instance.create_run_for_job(DEFINITIONS.resolve_job_def("good")).run_id
    assert sync(engine, instance) == 3
    found = rows(engine)
    assert found.keys() == {good, bad, queued}
    row = found[good]
    assert (row.job, row.status, row.cause, row.partition) == ("good", "success", "schedule good_schedule", "2026-03-04")
    assert row.result == {"steps_succeeded": 2, "steps_failed": 0, "materializations": 2}
    assert row.created_at <= row.started_at <= row.ended_at
    assert row.duration_seconds == pytest.approx((row.ended_at - row.started_at).total_seconds())
    assert (row.error, row.run_id, row.attempt) == (None, good, 1)
    row = found[bad]
    assert (row.status, row.cause) == ("failure", "manual")
    assert "ValueError: no token=" in row.error
    assert "abc-secret-123" not in row.error
    assert row.result["steps_failed"] == 1
    assert (found[queued].status, found[queued].ended_at, found[queued].result) == ("queued", None, None)


def test_only_what_changed_is_taken_over_and_a_run_that_ends_changes_its_row(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    waiting = instance.create_run_for_job(DEFINITIONS.resolve_job_def("good"))
    assert sync(engine, instance) == 1
    assert sync(engine, instance) == 0
    instance.report_run_canceled(waiting)
    assert sync(engine, instance) == 1
    row = rows(engine)[waiting.run_id]
    assert (row.status, row.duration_seconds) == ("canceled", None)
    assert row.ended_at is not None
    assert sync(engine, instance) == 0


def test_many_changes_are_taken_over_page_by_page(
    engine: sa.Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_history, "PAGE", 2)
    job = DEFINITIONS.resolve_job_def("good")
    created = {instance.create_run_for_job(job).run_id for _ in range(7)}
    assert sync(engine, instance) == 7
    assert rows(engine).keys() == created


def test_what_is_past_its_time_is_not_taken_over(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    run(instance, "bad")
    assert sync(engine, instance, days=-1) == 0


def test_a_retry_is_a_row_of_its_own_and_says_so(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    first = run(instance, "bad")
    second = run(instance, "bad", {"dagster/parent_run_id": first, "dagster/retry_number": "1"})
    sync(engine, instance)
    row = rows(engine)[second]
    assert (row.attempt, row.cause) == (2, f"retry {first}")


@pytest.mark.parametrize(
    ("tags", "cause"),
    [
        ({}, "manual"),
        ({"dagster/sensor_name": "s"}, "sensor s"),
        ({"dagster/backfill": "b"}, "backfill b"),
        ({"dagster/schedule_name": "c", "dagster/parent_run_id": "p"}, "schedule c"),
    ],
)
def test_the_cause_is_read_from_the_tags(tags: dict[str, str], cause: str) -> None:
    assert cause_of(tags) == cause


def test_every_status_of_dagster_has_a_word() -> None:
    assert set(STATUSES) == set(dg.DagsterRunStatus)
