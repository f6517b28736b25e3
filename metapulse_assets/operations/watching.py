"""What is done each minute: the history of jobs is carried on, queues and health measured, alarms brought in line with them."""

from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from metapulse_assets.operations import alarms, health, job_history, queue_history, queue_measuring
from metapulse_assets.operations.dagster_facts import GraphFacts
from metapulse_assets.operations.health_facts import read_facts
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.work_queue.registry import load_handlers


@dataclass(frozen=True)
class Measured:
    """What a measurement found, and the rows it stored: none where the minute was measured already."""

    stored: int
    summary: health.HealthSummary
    rows: list[health.HealthRow]


def carry_history_on(platform: Platform, instance: dg.DagsterInstance) -> int:
    """Copy runs that changed, and the queue's attempts that ended, into `job_logs`; returns the rows added or changed."""
    settings = platform.settings
    kept_since = platform.now() - timedelta(days=settings.job_logs_retention_days)
    with platform.engine.begin() as connection:
        changed = job_history.sync_runs(connection, instance, kept_since, settings.secrets())
    return changed + queue_history.copy_attempts(platform.engine, kept_since)


def measure_queues(platform: Platform) -> list[queue_measuring.QueueRow]:
    """Measure the work queue, and store it as this minute's."""
    now, queues = platform.now(), load_handlers(platform.settings.job_modules)
    with platform.engine.begin() as connection:
        rows = queue_measuring.read_queues(connection, queues, now)
        queue_measuring.store_queues(connection, rows, now)
    return rows


def measure(platform: Platform) -> Measured:
    """Measure health, and store it as this minute's."""
    now = platform.now()
    with platform.engine.begin() as connection:
        rows = health.health_rows(read_facts(connection, platform.settings, now), platform.settings)
        stored = health.store_health(connection, rows, now)
    minute = now.replace(second=0, microsecond=0)
    return Measured(stored, health.summary_of(minute, rows), rows)


def raise_alarms(platform: Platform, graph: GraphFacts | None) -> alarms.Changes:
    """Bring the alarms in line with the newest health, the queues, the history of jobs, the checks and the assets' freshness.

    Where one of these is not known, as without a recent measurement, the alarms that come from it stay as they are.
    """
    now = platform.now()
    with platform.engine.begin() as connection:
        minute, rows = health.newest_health(connection, now)
        is_recent = minute is not None and now - minute <= health.MEASURED_WITHIN
        conditions = alarms.failed_runs(connection)
        undecided: set[str] = set()
        if is_recent:
            conditions += alarms.of_health(rows)
        else:
            undecided |= alarms.open_keys(connection, *alarms.HEALTH_PREFIXES)
        queues = queue_measuring.newest_queues(connection, now, health.MEASURED_WITHIN)
        conditions += alarms.of_queues(queues)
        if not queues:
            undecided |= alarms.open_keys(connection, *alarms.QUEUE_PREFIXES)
        if graph is not None:
            conditions += alarms.failed_checks(graph.failed_checks)
            conditions += alarms.stale_assets(graph.stale, graph.parents)
            undecided |= graph.undecided
        else:
            undecided |= alarms.open_keys(connection, *alarms.GRAPH_PREFIXES)
        return alarms.evaluate(connection, conditions, now, undecided)


def note_failed_run(platform: Platform, instance: dg.DagsterInstance, run_id: str) -> tuple[str, ...]:
    """Take a run that failed into the history, and open its alarm at once; returns the keys of alarms opened.

    Where a later run of the job has succeeded already, there is nothing to tell.
    """
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return ()
    with platform.engine.begin() as connection:
        job_history.store_runs(connection, instance, [record], platform.settings.secrets())
        key = alarms.run_failed(record.dagster_run.job_name, run_id, None).key
        failed = [condition for condition in alarms.failed_runs(connection) if condition.key == key]
        return alarms.observe(connection, failed, platform.now())
