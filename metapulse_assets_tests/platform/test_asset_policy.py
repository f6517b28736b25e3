"""What all assets have in common: the days they are made of, what a run does with each, and what people see of a table."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.asset_policy import (
    BACKFILL_TAG,
    column_schema,
    daily_partitions,
    days_of_run,
    days_to_recompute,
    is_tick,
    table_asset,
)
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import load_settings

NOW = datetime(2026, 3, 4, 23, 59, 30, tzinfo=UTC)
TODAY = NOW.date()
readings = sa.Table(
    "readings",
    sa.MetaData(),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True, comment="when; UTC"),
    sa.Column("value", sa.Double, comment="USD"),
    comment="What was read.",
)
seen: list[dict[str, Any]] = []


@table_asset(readings, group="market", kinds={"stub"}, pool="stub", asks_vendor=True, tick=timedelta(minutes=10))
def asset(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Notes what the run is to do."""
    seen.append(
        {
            "days": days_of_run(context),
            "anew": days_to_recompute(context, platform),
            "tick": is_tick(context, platform),
        }
    )


def run(first: date, last: date, backfill: bool) -> dict[str, Any]:
    """What a run over these days is to do."""
    tags = {"dagster/asset_partition_range_start": first.isoformat(), "dagster/asset_partition_range_end": last.isoformat()}
    if first == last:
        tags = {"dagster/partition": first.isoformat()}
    if backfill:
        tags[BACKFILL_TAG] = "b1"
    job = dg.Definitions(assets=[asset], resources={"platform": Platform(load_settings(), lambda: NOW)})
    with dg.DagsterInstance.ephemeral() as instance:
        job.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, tags=tags)
    return seen.pop()


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("first", "last", "backfill", "anew", "tick"),
    [
        (TODAY, TODAY, False, [], True),
        (TODAY, TODAY, True, [TODAY], False),
        (TODAY - DAY, TODAY - DAY, False, [TODAY - DAY], False),
        (TODAY - 2 * DAY, TODAY, False, [TODAY - 2 * DAY, TODAY - DAY], True),
        (TODAY - 2 * DAY, TODAY, True, [TODAY - 2 * DAY, TODAY - DAY, TODAY], False),
    ],
)
def test_a_run_carries_today_on_and_makes_past_days_anew(
    first: date, last: date, backfill: bool, anew: list[date], tick: bool
) -> None:
    days = [first + n * DAY for n in range((last - first).days + 1)]
    assert run(first, last, backfill) == {"days": days, "anew": anew, "tick": tick}


def test_partitions_are_utc_days_from_the_first_to_today() -> None:
    partitions = daily_partitions()
    assert partitions.timezone == "UTC"
    keys = partitions.get_partition_keys(current_time=NOW)
    assert (keys[0], keys[-1]) == (load_settings().first_day.isoformat(), "2026-03-04")
    assert partitions.get_partition_keys(current_time=NOW + timedelta(minutes=1))[-1] == "2026-03-05"


def test_an_asset_says_what_its_table_says() -> None:
    spec = asset.get_asset_spec()
    assert (spec.key, spec.group_name, spec.description, spec.owners) == (
        dg.AssetKey("readings"),
        "market",
        "What was read.",
        ["team:market"],
    )
    assert spec.kinds == {"stub", "postgres"}
    assert spec.tags["cadence"] == "10min"
    assert asset.op.pool == "stub"
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=30), fail_window=timedelta(minutes=60)
    )
    assert spec.metadata["dagster/column_schema"] == column_schema(readings)
    assert [
        (column.name, column.type, column.description, column.constraints.nullable)
        for column in column_schema(readings).columns
    ] == [
        ("at", "datetime", "when; UTC", False),
        ("value", "double", "USD", True),
    ]


def test_only_assets_of_days_have_partitions_and_are_backfilled_in_one_run() -> None:
    plain = table_asset(readings, group="market", partitioned=False)(lambda: None)
    assert plain.partitions_def is None
    assert plain.backfill_policy is None
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


@pytest.mark.parametrize("monitoring", [True, False])
def test_timings_are_in_the_metadata_if_they_are_asked_for(monitoring: bool) -> None:
    settings = load_settings(enable_performance_monitoring=monitoring)

    @table_asset(readings, group="market", partitioned=False)
    def timed(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
        deadline = time.perf_counter() + 0.02
        while time.perf_counter() < deadline:
            pass
        return dg.MaterializeResult(metadata={"rows": 3})

    job = dg.Definitions(assets=[timed], resources={"platform": Platform(settings, lambda: NOW)})
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    [event] = done.get_asset_materialization_events()
    found: dict[str, Any] = {name: entry.value for name, entry in event.materialization.metadata.items()}
    assert found["rows"] == 3
    assert {"seconds", "processor seconds"} & found.keys() == ({"seconds", "processor seconds"} if monitoring else set())
    if monitoring:
        assert found["seconds"] >= 0.02
        assert found["processor seconds"] > 0
