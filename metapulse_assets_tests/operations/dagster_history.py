"""Dagster's own storage with a long history: real runs, copied back in time as the storage would have kept them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import sqlalchemy as sa
from dagster._core.instance.ref import InstanceRef

from metapulse_assets.platform.database import dagster_storage_url
from metapulse_assets.platform.settings import Settings

PARTITIONS = dg.DailyPartitionsDefinition(start_date="2020-01-01", end_offset=1)


@dg.asset(partitions_def=PARTITIONS)
def measured() -> dg.MaterializeResult[None]:
    """An asset of days, with a good deal of metadata."""
    return dg.MaterializeResult(metadata={"row_count": 5, "table": dg.MetadataValue.md("| a |\n" * 100)})


@dg.asset(deps=[measured])
def summed() -> None:
    """An asset without partitions."""


@dg.asset_check(asset=summed)
def is_right() -> dg.AssetCheckResult:
    """A check that passes."""
    return dg.AssetCheckResult(passed=True)


@dg.asset
def broken() -> None:
    """An asset that cannot be made."""
    raise ValueError("no token=abc-secret-123 for you")


@contextmanager
def postgres_instance(settings: Settings, folder: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster whose storage is in a PostgreSQL database of its own."""
    url = dagster_storage_url(settings)
    ref = InstanceRef.from_dir(
        str(folder),
        overrides={"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}, "nux": {"enabled": False}},
    )
    try:
        with dg.DagsterInstance.from_ref(ref) as instance:
            yield instance
    finally:
        plain = url.replace("postgresql+psycopg2://", "postgresql://")
        name = sa.make_url(url).database
        assert settings.database_url
        with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        assert plain.startswith("postgresql://")


def run_for_real(instance: dg.DagsterInstance, day: datetime) -> str:
    """Run both assets and the check for a day; the run's id."""
    result = dg.materialize(
        [measured, summed, is_right],
        instance=instance,
        partition_key=f"{day:%Y-%m-%d}",
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
    assert result.success
    return result.run_id


def copy_back(engine: sa.Engine, template: str, moments: list[datetime], day_of_template: datetime) -> list[str]:
    """Copies of a run as if it had run at each of the moments, ascending, for the days of those; their ids."""
    ids = [str(uuid.uuid4()) for _ in moments]
    with engine.begin() as connection:
        for new, moment in zip(ids, moments, strict=True):
            values = {
                "old": template,
                "new": new,
                "at": moment.astimezone(UTC).replace(tzinfo=None),
                "epoch": moment.timestamp(),
                "old_day": f"{day_of_template:%Y-%m-%d}",
                "new_day": f"{moment:%Y-%m-%d}",
            }
            for statement in _COPIES:
                connection.execute(sa.text(statement), values)
    return ids


_COPIES = (
    "INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set,"
    " create_timestamp, update_timestamp, start_time, end_time, backfill_id)"
    " SELECT :new, snapshot_id, pipeline_name, mode, status, replace(replace(run_body, :old, :new), :old_day, :new_day),"
    " replace(partition, :old_day, :new_day), partition_set, :at, :at, :epoch, CAST(:epoch AS float8) + 3, backfill_id"
    " FROM runs WHERE run_id = :old",
    "INSERT INTO run_tags (run_id, key, value) SELECT :new, key, replace(value, :old_day, :new_day)"
    " FROM run_tags WHERE run_id = :old ORDER BY id",
    "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)"
    " SELECT :new, regexp_replace(replace(replace(event, :old, :new), :old_day, :new_day), '\"timestamp\"\\: [0-9.]+',"
    " '\"timestamp\"\\: ' || CAST(:epoch AS text), 'g'), dagster_event_type, :at, step_key, asset_key,"
    " replace(partition, :old_day, :new_day) FROM event_logs WHERE run_id = :old ORDER BY id",
    "INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,"
    " evaluation_event_timestamp, evaluation_event_storage_id, create_timestamp)"
    " SELECT c.asset_key, c.check_name, replace(c.partition, :old_day, :new_day), :new, c.execution_status,"
    " replace(c.evaluation_event, :old, :new), :at, e.id, :at FROM asset_check_executions c"
    " LEFT JOIN event_logs e ON e.run_id = :new AND e.dagster_event_type = 'ASSET_CHECK_EVALUATION' WHERE c.run_id = :old",
    "INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body)"
    " VALUES ('origin', 'selector', 'SUCCESS', 'SCHEDULE', :at, '{}')",
)


def moments_back(now: datetime, days: int, each_day: int) -> list[datetime]:
    """So many moments a day, over so many days before a moment, ascending."""
    return [
        now - timedelta(days=back) + timedelta(minutes=10 * number) for back in range(days, 0, -1) for number in range(each_day)
    ]
