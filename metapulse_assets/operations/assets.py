"""The assets of operations: read, call, write, say what came of it. What is done lies in this folder's plain modules."""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
import sqlalchemy as sa
from dagster_shared.check import CheckError
from pydantic import Field

from metapulse_assets.operations import dagster_retention, optimisation, queue_retention, tables, watching
from metapulse_assets.operations import retention as removing
from metapulse_assets.operations.alarms import Changes
from metapulse_assets.operations.dagster_facts import GraphFacts, read_graph_facts
from metapulse_assets.operations.job_history import newest_runs
from metapulse_assets.operations.queue_measuring import QueueRow
from metapulse_assets.operations.retention_rules import rules
from metapulse_assets.platform.asset_policy import table_asset
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import SettingsError, get_settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.platform.work_queue.registry import load_handlers

GROUP = "operations"
MINUTE = timedelta(minutes=1)
CLEANUP = timedelta(milliseconds=get_settings().cleanup_interval)
SHOWN_ROWS = 40


@table_asset(tables.retention, group=GROUP, partitioned=False, tick=CLEANUP)
def retention(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Remove what is past its time: from our tables, the work queue, Dagster's storage, and what runs printed."""
    now, settings = platform.now(), platform.settings
    if settings.mode is Mode.REPLAY:
        return dg.MaterializeResult(metadata={"dagster/row_count": 0, "why": "A replay is of past days: nothing is removed."})
    try:
        found = rules(settings)
        policies = {name: each.policy for name, each in load_handlers(settings.job_modules).items()}
    except SettingsError as error:
        raise dg.Failure(f"nothing was removed: {error}", allow_retries=False) from None
    removed = removing.clean_up(platform.engine, found, now)
    removed += queue_retention.thin_out(platform.engine, policies, now)
    before = now - timedelta(days=settings.dagster_retention_days)
    facts: dict[str, dg.MetadataValue] = {}
    with dagster_retention.storage_engine(context.instance) as storage:
        if storage is None:
            facts["Dagster's storage"] = dg.MetadataValue.text("left alone: it is not PostgreSQL")
        else:
            hours = settings.dagster_steps_retention_hours
            removed += dagster_retention.clean_up(storage, before, now - timedelta(hours=hours) if hours else None)
    removed.append(dagster_retention.delete_log_files(context.instance, before))
    with platform.engine.begin() as connection:
        rows = removing.store_removed(connection, removed, now)
    gone = [one for one in removed if one.is_something]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "bytes freed": sum(one.bytes_freed for one in removed),
            "days dropped": sum(one.partitions for one in removed),
            "rows and files deleted": sum(one.rows for one in removed),
            "days left for later": sum(one.left_for_later for one in removed),
            "what went": dg.MetadataValue.md(_removed_table(gone)),
            **facts,
        }
    )


def _removed_table(removed: Sequence[removing.Removed]) -> str:
    return markdown_table(
        ("store", "what", "kept since", "days", "rows or files", "bytes", "left for later", "complete"),
        [
            (
                one.store,
                one.name,
                one.kept_since,
                one.partitions,
                one.rows,
                one.bytes_freed,
                one.left_for_later,
                one.is_complete,
            )
            for one in removed[:SHOWN_ROWS]
        ],
    )


class OptimisationConfig(dg.Config):
    """Which tables are worked on."""

    everything: bool = Field(default=False, description="Vacuum and analyse every table, whether it needs it or not.")


@table_asset(tables.database_optimisation, group=GROUP, deps=["retention"], partitioned=False, tick=CLEANUP)
def database_optimisation(
    context: dg.AssetExecutionContext, config: OptimisationConfig, platform: dg.ResourceParam[Platform]
) -> dg.MaterializeResult[None]:
    """Vacuum and analyse the tables that need it, outside a transaction."""
    rows = optimisation.optimise(platform.engine, platform.now(), config.everything)
    columns = ("name", "action", "reason", "dead_rows", "changed_rows", "seconds")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "seconds": sum(float(str(row["seconds"])) for row in rows),
            "tables": dg.MetadataValue.md(
                markdown_table(columns, [[row[name] for name in columns] for row in rows[:SHOWN_ROWS]])
            ),
        }
    )


@table_asset(tables.job_logs, group=GROUP, kinds={"dagster"}, partitioned=False, tick=MINUTE)
def job_logs(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Copy runs that changed, and the queue's attempts that ended, since the last look into the history of jobs."""
    changed = watching.carry_history_on(platform, context.instance)
    with platform.engine.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(tables.job_logs)).scalar_one()
        newest = newest_runs(connection, SHOWN_ROWS)
    shown = [
        (row.engine, row.job, f"[{row.run_id}](/runs/{row.run_id})" if row.run_id else row.job_id, *row[4:]) for row in newest
    ]
    columns = ("engine", "job", "run or job", "attempt", "status", "ended", "seconds", "error")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "changed": changed,
            "newest": dg.MetadataValue.md(markdown_table(columns, shown)),
        }
    )


@table_asset(tables.queue_stats, group=GROUP, partitioned=False, tick=MINUTE)
def queue_stats(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Count the work queue's jobs by queue and state."""
    rows = watching.measure_queues(platform)
    columns = ("queue", "waiting", "active", "completed", "failed", "delayed", "paused", "dead_letters")
    shown = [[getattr(row, name) for name in columns] for row in rows[:SHOWN_ROWS]]
    return dg.MaterializeResult(
        metadata={**queue_metadata(rows), "queues": dg.MetadataValue.md(markdown_table(columns, shown))}
    )


def queue_metadata(rows: Sequence[QueueRow]) -> dict[str, dg.MetadataValue]:
    """The queues in few values, as they are reported each minute."""
    return {
        "dagster/row_count": dg.MetadataValue.int(len(rows)),
        "waiting": dg.MetadataValue.int(sum(row.waiting for row in rows)),
        "active": dg.MetadataValue.int(sum(row.active for row in rows)),
        "dead_letters": dg.MetadataValue.int(sum(row.dead_letters for row in rows)),
        "stuck": dg.MetadataValue.json([row.queue for row in rows if row.is_stuck]),
    }


@table_asset(tables.health_metrics, group=GROUP, deps=["job_logs"], partitioned=False, tick=MINUTE)
def health_metrics(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Measure the database, the vendors, the data, the jobs and this process."""
    measured = watching.measure(platform)
    return dg.MaterializeResult(
        metadata={**health_metadata(measured), "measurements": dg.MetadataValue.md(_health_table(measured))}
    )


def health_metadata(measured: watching.Measured) -> dict[str, dg.MetadataValue]:
    """A measurement in few values, as it is reported each minute."""
    culprits = [f"{row.service} {row.metric}: {row.reason}" for row in measured.summary.culprits[:SHOWN_ROWS]]
    return {
        "dagster/row_count": dg.MetadataValue.int(measured.stored),
        "status": dg.MetadataValue.text(measured.summary.status),
        "culprits": dg.MetadataValue.json(culprits),
    }


def _health_table(measured: watching.Measured) -> str:
    columns = ("service", "metric", "value", "unit", "status", "reason")
    return markdown_table(columns, [[getattr(row, name) for name in columns] for row in measured.rows])


@table_asset(tables.alarms, group=GROUP, deps=["health_metrics", "job_logs"], kinds={"dagster"}, partitioned=False, tick=MINUTE)
def alarms(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Open, keep alive and end alarms by what is wrong now."""
    changes = watching.raise_alarms(platform, graph_facts_of(context))
    return dg.MaterializeResult(metadata=alarm_metadata(changes))


def graph_facts_of(context: dg.AssetExecutionContext) -> GraphFacts | None:
    """What Dagster knows of checks and freshness; None where the run belongs to no repository, as `dg.materialize` has none."""
    try:
        repository = context.repository_def
    except CheckError:
        return None
    return read_graph_facts(context.instance, repository)


def alarm_metadata(changes: Changes) -> dict[str, dg.MetadataValue]:
    """An evaluation in few values, as it is reported each minute."""
    return {
        "dagster/row_count": dg.MetadataValue.int(changes.lasting),
        "opened": dg.MetadataValue.json(list(changes.opened)),
        "resolved": dg.MetadataValue.json(list(changes.resolved)),
    }
