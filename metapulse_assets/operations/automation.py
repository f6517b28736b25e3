"""When operations run: an hourly job for what is heavy, a sensor each minute for what is light, a sensor for failed runs.

The minute's work is done in the sensor itself and reported as runless materializations: a run of its own each minute would take
seconds of a processor and more room in Dagster's storage than what it measures.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from metapulse_assets.operations import assets, watching
from metapulse_assets.operations.dagster_facts import read_graph_facts
from metapulse_assets.platform.intervals import cron_for_interval
from metapulse_assets.platform.job_runs import still_running
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings

CLEANUP_TAGS = {"dagster/max_runtime": "1800", "dagster/priority": "-10"}
OPERATIONS = dg.AssetSelection.groups(assets.GROUP)
WATCH_SECONDS = 60
FAILURES_SECONDS = 30

Jobs = list[UnresolvedAssetJobDefinition]
Schedules = list[dg.ScheduleDefinition]


def operations_jobs_and_schedules(settings: Settings) -> tuple[Jobs, Schedules]:
    """The hourly clean-up: all assets of operations with their checks."""
    job = dg.define_asset_job(
        "cleanup",
        selection=OPERATIONS,
        description="Remove what is past its time, vacuum, and check health, history and alarms.",
        executor_def=dg.in_process_executor,
        tags=CLEANUP_TAGS,
        config={"loggers": {"console": {"config": {}}}},
    )

    @dg.schedule(
        name="cleanup_schedule",
        job=job,
        cron_schedule=cron_for_interval(settings.cleanup_interval),
        execution_timezone="UTC",
        description="The clean-up; left out while the one before still runs.",
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if settings.enable_scheduled_jobs else dg.DefaultScheduleStatus.STOPPED
        ),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        running = still_running(context.instance, job.name)
        if running:
            return dg.SkipReason(f"run {running} of {job.name} has not ended yet")
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    return [job], [schedule]


def operations_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The watch of each minute, and the alarm for runs that fail."""
    status = dg.DefaultSensorStatus.RUNNING if settings.enable_scheduled_jobs else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="operations_watch",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=status,
        description="Carries the history of jobs on, measures queues and health, and brings the alarms in line; each minute.",
    )
    def operations_watch(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult:
        return watch(context, platform)

    @dg.run_failure_sensor(
        name="run_failures",
        minimum_interval_seconds=FAILURES_SECONDS,
        default_status=status,
        description="Opens an alarm for a job as soon as a run of it has failed.",
    )
    def run_failures(context: dg.RunFailureSensorContext, platform: dg.ResourceParam[Platform]) -> None:
        watching.note_failed_run(platform, context.instance, context.dagster_run.run_id)

    return [operations_watch, run_failures]


def watch(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    """One look at everything; a part that fails does not keep the others from being done, and fails the tick at its end."""
    instance, repository = context.instance, context.repository_def
    events: list[dg.AssetMaterialization] = []
    failures: list[Exception] = []

    def part(asset: str, work: Callable[[], dict[str, Any]]) -> None:
        try:
            events.append(dg.AssetMaterialization(asset_key=asset, metadata=work()))
        except Exception as error:  # whatever it is, the other parts matter no less
            failures.append(error)

    part("job_logs", lambda: {"changed": watching.carry_history_on(platform, instance)})
    part("queue_stats", lambda: dict(assets.queue_metadata(watching.measure_queues(platform))))
    part("health_metrics", lambda: dict(assets.health_metadata(watching.measure(platform))))
    if repository is not None:
        part("alarms", lambda: _alarms(platform, instance, repository))
    if failures:
        raise failures[0]
    said = "; ".join(f"{event.asset_key.to_user_string()}: {_in_short(event)}" for event in events)
    return dg.SensorResult(skip_reason=dg.SkipReason(f"done, no run needed: {said}"), asset_events=events)


def _in_short(event: dg.AssetMaterialization) -> str:
    return ", ".join(f"{name} {value.value}" for name, value in event.metadata.items() if name not in ("culprits",))


def _alarms(platform: Platform, instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> dict[str, Any]:
    return dict(assets.alarm_metadata(watching.raise_alarms(platform, read_graph_facts(instance, repository))))
