"""The schedule and the sensors, evaluated as the daemon does, over several ticks and on an instance with real runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from metapulse_assets.operations import assets, watching
from metapulse_assets.operations.automation import operations_jobs_and_schedules, operations_sensors
from metapulse_assets.operations.checks import operations_checks
from metapulse_assets.operations.health import health_summary
from metapulse_assets.operations.tables import alarms, health_metrics, job_logs
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import load_settings
from metapulse_assets_tests.conftest import FixedClock
from metapulse_assets_tests.operations.dagster_history import broken, measured, summed

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
MINUTE = timedelta(minutes=1)


class Switch:
    """Whether the check passes and the asset can be made."""

    is_broken = True


@dg.asset
def mended() -> None:
    """An asset that is broken until it is mended."""
    if Switch.is_broken:
        raise ValueError("out of order")


@dg.asset_check(asset=summed)
def is_mended() -> dg.AssetCheckResult:
    """A check that fails until it is mended."""
    return dg.AssetCheckResult(passed=not Switch.is_broken)


SETTINGS = load_settings()
JOBS, SCHEDULES = operations_jobs_and_schedules(SETTINGS)
DEFINITIONS = dg.Definitions(
    assets=[*dg.load_assets_from_modules([assets]), measured, summed, broken, mended],
    asset_checks=[*operations_checks(), is_mended],
    jobs=[*JOBS, dg.define_asset_job("mending", [mended]), dg.define_asset_job("summing", [summed])],
    schedules=SCHEDULES,
    sensors=operations_sensors(SETTINGS),
    executor=dg.in_process_executor,
    resources={"platform": Platform(SETTINGS)},
)


@pytest.fixture(autouse=True)
def _break_again() -> None:
    Switch.is_broken = True


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def watch(platform: Platform, instance: dg.DagsterInstance) -> dict[str, dict[str, Any]]:
    """One tick of the watch; what it reported of each asset."""
    repository = DEFINITIONS.get_repository_def()
    with dg.build_sensor_context(instance=instance, repository_def=repository, resources={"platform": platform}) as context:
        result = repository.get_sensor_def("operations_watch").evaluate_tick(context)
    assert not result.run_requests
    return {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events
    }


def open_alarms(platform: Platform) -> set[str]:
    with platform.engine.connect() as connection:
        return set(connection.execute(sa.select(alarms.c.key).where(alarms.c.resolved_at.is_(None))).scalars())


def run(instance: dg.DagsterInstance, job: str) -> str:
    definition = DEFINITIONS.resolve_job_def(job)
    return definition.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False).run_id


def test_each_minute_history_health_and_alarms_are_carried_on(
    quiet: Platform, clock: FixedClock, instance: dg.DagsterInstance
) -> None:
    clock.moment = datetime.now(UTC)
    failed = run(instance, "mending")
    run(instance, "summing")
    breaker = CircuitBreaker(quiet.engine, "x", BreakerPolicy(failures=1), clock=clock.moment.timestamp)
    breaker.failed("HTTP 500")
    ours = {"run_failed:mending", "check_failed:summed:is_mended", "breaker_open:x"}

    report = watch(quiet, instance)
    assert report["job_logs"] == {"changed": 2}
    assert report["health_metrics"]["status"] == "degraded"
    assert set(report["alarms"]["opened"]) >= ours
    for _ in range(3):
        clock.moment += MINUTE
        report = watch(quiet, instance)
        assert report["job_logs"] == {"changed": 0}
        assert set(report["alarms"]["opened"]) & ours == set()
    assert open_alarms(quiet) >= ours
    with quiet.engine.connect() as connection:
        text = connection.execute(sa.select(alarms.c.text).where(alarms.c.key == "run_failed:mending")).scalar_one()
        assert "out of order" in text
        assert failed in text
        assert connection.execute(sa.select(sa.func.count(health_metrics.c.measured_at.distinct()))).scalar_one() == 4
        assert "x" in {row.service for row in health_summary(connection, clock.moment).culprits}

    Switch.is_broken = False
    breaker.succeeded()
    run(instance, "mending")
    run(instance, "summing")
    resolved: list[str] = []
    for _ in range(6):
        clock.moment += MINUTE
        resolved += watch(quiet, instance)["alarms"]["resolved"]
    assert sorted(set(resolved) & ours) == sorted(ours)
    assert len(resolved) == len(set(resolved))
    Switch.is_broken = True
    run(instance, "mending")
    clock.moment += MINUTE
    assert "run_failed:mending" in watch(quiet, instance)["alarms"]["opened"]


def test_a_stale_asset_is_told_once_with_what_follows_from_it(
    quiet: Platform, clock: FixedClock, instance: dg.DagsterInstance
) -> None:
    clock.moment = datetime.now(UTC)

    def becomes(key: dg.AssetKey, state: FreshnessState) -> None:
        instance._report_runless_asset_event(
            FreshnessStateChange(
                key=key, new_state=state, previous_state=FreshnessState.UNKNOWN, state_change_timestamp=clock().timestamp()
            )
        )

    for key in (measured.key, summed.key):
        becomes(key, FreshnessState.FAIL)
    opened: list[str] = []
    for _ in range(3):
        opened += watch(quiet, instance)["alarms"]["opened"]
        clock.moment += MINUTE
    assert [key for key in opened if key.startswith("stale:")] == ["stale:measured"]
    becomes(measured.key, FreshnessState.PASS)
    assert "stale:summed" in watch(quiet, instance)["alarms"]["opened"]


def test_one_part_that_fails_keeps_no_other_from_being_done(
    quiet: Platform, clock: FixedClock, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.moment = datetime.now(UTC)

    def fail(_: Platform) -> None:
        raise RuntimeError("cannot measure")

    monkeypatch.setattr(watching, "measure", fail)
    run(instance, "mending")
    with pytest.raises(RuntimeError, match="cannot measure"):
        watch(quiet, instance)
    assert "run_failed:mending" in open_alarms(quiet)


def test_alarms_of_what_is_not_measured_stay_as_they_are(
    quiet: Platform, clock: FixedClock, instance: dg.DagsterInstance
) -> None:
    clock.moment = datetime.now(UTC)
    CircuitBreaker(quiet.engine, "x", BreakerPolicy(failures=1), clock=clock.moment.timestamp).failed("HTTP 500")
    watch(quiet, instance)
    clock.moment += timedelta(hours=1)
    changes = watching.raise_alarms(quiet, None)
    assert "breaker_open:x" not in changes.resolved
    assert "breaker_open:x" in open_alarms(quiet)


def test_a_run_that_fails_is_told_at_once_and_only_while_nothing_better_came(
    quiet: Platform, clock: FixedClock, instance: dg.DagsterInstance
) -> None:
    clock.moment = datetime.now(UTC)
    failed = run(instance, "mending")
    assert watching.note_failed_run(quiet, instance, failed) == ("run_failed:mending",)
    assert watching.note_failed_run(quiet, instance, failed) == ()
    with quiet.engine.connect() as connection:
        assert connection.execute(sa.select(job_logs.c.status)).scalars().all() == ["failure"]
        assert len(connection.execute(sa.select(alarms)).all()) == 1
    assert watching.note_failed_run(quiet, instance, "no such run") == ()
    Switch.is_broken = False
    run(instance, "mending")
    watching.carry_history_on(quiet, instance)
    with quiet.engine.begin() as connection:
        connection.execute(sa.delete(alarms))
    assert watching.note_failed_run(quiet, instance, failed) == ()


def test_the_failure_sensor_opens_the_alarm(quiet: Platform, clock: FixedClock, instance: dg.DagsterInstance) -> None:
    clock.moment = datetime.now(UTC)
    result = DEFINITIONS.resolve_job_def("mending").execute_in_process(
        instance=instance, run_config=QUIET, raise_on_error=False
    )
    sensor = next(one for one in operations_sensors(SETTINGS) if one.name == "run_failures")
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=next(event for event in result.all_events if event.is_run_failure),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        resources={"platform": quiet},
    ).for_run_failure()
    sensor(context)
    assert open_alarms(quiet) == {"run_failed:mending"}


def test_a_clean_up_is_left_out_while_the_one_before_still_runs(instance: dg.DagsterInstance) -> None:
    [schedule] = SCHEDULES
    assert (schedule.name, schedule.cron_schedule) == ("cleanup_schedule", "0 * * * *")

    def ask() -> object:
        moment = datetime(2026, 3, 4, 12, tzinfo=UTC)
        return schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=moment))

    request = ask()
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key is None
    instance.create_run_for_job(DEFINITIONS.resolve_job_def("cleanup"), status=dg.DagsterRunStatus.STARTED)
    assert isinstance(ask(), dg.SkipReason)


@pytest.mark.parametrize("enabled", [True, False])
def test_everything_runs_by_default_only_where_the_settings_say_so(enabled: bool) -> None:
    settings = load_settings(enable_scheduled_jobs=enabled, cleanup_interval=7_200_000)
    _, [schedule] = operations_jobs_and_schedules(settings)
    assert schedule.cron_schedule == "0 */2 * * *"
    assert (schedule.default_status is dg.DefaultScheduleStatus.RUNNING) == enabled
    for sensor in operations_sensors(settings):
        assert (sensor.default_status is dg.DefaultSensorStatus.RUNNING) == enabled


def test_every_asset_of_operations_keeps_the_policy() -> None:
    nodes = [node for node in DEFINITIONS.resolve_asset_graph().asset_nodes if node.group_name == "operations"]
    names = {node.key.to_user_string() for node in nodes}
    assert names == {"retention", "database_optimisation", "job_logs", "health_metrics", "queue_stats", "alarms"}
    for node in nodes:
        assert node.owners == ["team:operations"]
        assert node.kinds
        assert node.description
        assert node.freshness_policy is not None
        assert node.check_keys
        assert node.assets_def.op.retry_policy is not None
        plain = {"severity"}
        for column in node.metadata["dagster/column_schema"].columns:
            assert column.description or column.name in plain
