"""What every asset of MetaPulse has in common, so that no asset says it again: partitions, retries, owners, columns.

An asset is made for a table: its description and column schema are the table's own comments.
"""

import functools
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.platform.day_partitions import day_bounds, utc_day
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import get_settings

BACKFILL_TAG = "dagster/backfill"
VENDOR_RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
DATABASE_RETRIES = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
# Every tick is allowed to be missed twice before people are told, four times before it is a failure.
WARN_AFTER_TICKS, FAIL_AFTER_TICKS = 3, 6


def daily_partitions() -> dg.DailyPartitionsDefinition:
    """UTC days since `METAPULSE_FIRST_DAY`, today included: a tick updates today's partition."""
    return dg.DailyPartitionsDefinition(start_date=get_settings().first_day.isoformat(), end_offset=1)


def table_asset(
    table: sa.Table,
    *,
    group: str,
    deps: Sequence[str] = (),
    kinds: set[str] | None = None,
    pool: str | None = None,
    asks_vendor: bool = False,
    partitioned: bool = True,
    tick: timedelta | None = None,
    code_version: str = "1",
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset decorator with MetaPulse's policy, for the table that the asset fills."""
    every = tick or timedelta(milliseconds=get_settings().token_data_interval)
    # Backfill policies are "beta" in Dagster 1.13; the pinned version is the one this was tried on.
    with warnings.catch_warnings(action="ignore", category=dg.BetaWarning):
        decorate = dg.asset(
            name=table.name,
            group_name=group,
            deps=list(deps),
            description=table.comment,
            kinds=(kinds or set()) | {"postgres"},
            owners=[f"team:{group}"],
            pool=pool,
            partitions_def=daily_partitions() if partitioned else None,
            backfill_policy=dg.BackfillPolicy.single_run() if partitioned else None,
            retry_policy=VENDOR_RETRIES if asks_vendor else DATABASE_RETRIES,
            freshness_policy=dg.FreshnessPolicy.time_window(
                warn_window=WARN_AFTER_TICKS * every, fail_window=FAIL_AFTER_TICKS * every
            ),
            code_version=code_version,
            metadata={"dagster/column_schema": column_schema(table), "dagster/relation_identifier": table.name},
            tags={"cadence": f"{every.total_seconds() / 60:g}min"},
        )
    return lambda function: decorate(_timed(function))


def _timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The asset's function; with ENABLE_PERFORMANCE_MONITORING its metadata says what it took.

    Seconds on the clock, and seconds of the processor: what is between them was spent waiting for the database and vendors.
    """

    @functools.wraps(function)
    def measured(*arguments: Any, **keywords: Any) -> Any:
        platform: Platform | None = keywords.get("platform")
        if platform is None or not platform.settings.enable_performance_monitoring:
            return function(*arguments, **keywords)
        context: dg.AssetExecutionContext = arguments[0]
        begun, worked = time.perf_counter(), time.process_time()
        result = function(*arguments, **keywords)
        took = {"seconds": time.perf_counter() - begun, "processor seconds": time.process_time() - worked}
        context.add_output_metadata({name: round(value, 6) for name, value in took.items()})
        return result

    return measured


def column_schema(table: sa.Table) -> dg.TableSchema:
    """A table's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.type).lower(),
                description=column.comment,
                constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=False),
            )
            for column in table.columns
        ]
    )


def days_of_run(context: dg.AssetExecutionContext) -> list[date]:
    """The UTC days that a run is to bring up to date, ascending."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def span_of_run(context: dg.AssetExecutionContext) -> tuple[datetime, datetime]:
    """From the first moment of those days to the one after their last; UTC."""
    days = days_of_run(context)
    return day_bounds(days[0], days[-1])


def days_to_recompute(context: dg.AssetExecutionContext, platform: Platform) -> list[date]:
    """Which of the run's days are to be made anew: past days always, today only in a backfill."""
    today = utc_day(platform.now())
    is_backfill = BACKFILL_TAG in context.run.tags
    return [day for day in days_of_run(context) if day < today or (is_backfill and day == today)]


def is_tick(context: dg.AssetExecutionContext, platform: Platform) -> bool:
    """Whether the run is to carry today's partition on from where the last one left it."""
    return utc_day(platform.now()) in days_of_run(context) and BACKFILL_TAG not in context.run.tags
