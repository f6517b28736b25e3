"""Whether a job still runs, so that a tick is skipped rather than piled up."""

from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from metapulse_assets.platform.day_partitions import utc_day

IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def still_running(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """Id of a run of the job that has not ended, None if there is none."""
    runs = instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=IN_PROGRESS), limit=1)
    return runs[0].dagster_run.run_id if runs else None


def tick_schedule(
    job: UnresolvedAssetJobDefinition,
    cron_schedule: str,
    description: str,
    running_by_default: bool,
    partitioned: bool = True,
) -> dg.ScheduleDefinition:
    """A schedule that carries today's partition on at each tick, and skips a tick while the one before still runs.

    A job whose assets have no partitions (`partitioned` false) is just run.
    """
    name = f"{job.name}_schedule"

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        description=description,
        default_status=dg.DefaultScheduleStatus.RUNNING if running_by_default else dg.DefaultScheduleStatus.STOPPED,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        running = still_running(context.instance, job.name)
        if running:
            return dg.SkipReason(f"run {running} of {job.name} has not ended yet")
        request = tick_request(context.scheduled_execution_time)
        return request if partitioned else dg.RunRequest(run_key=request.run_key)

    return schedule


def tick_request(moment: datetime) -> dg.RunRequest:
    """A run that carries on the partition of a moment's UTC day; asked for twice at one moment, it runs once."""
    return dg.RunRequest(run_key=moment.isoformat(), partition_key=utc_day(moment).isoformat())
