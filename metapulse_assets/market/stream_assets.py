"""The stream's tables in Dagster's graph: `metapulse stream` fills them, no run does, and reports what it wrote."""

from datetime import timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.market.stream_tables import token_launches, token_migrations, token_trades
from metapulse_assets.platform.asset_policy import column_schema, daily_partitions
from metapulse_assets.vendors.pumpportal import VENDOR

GROUP = "stream"
# Reports come once a minute. Launches come every few seconds, migrations every minute or two; trades are those of few tokens.
MINUTE = timedelta(minutes=1)


def _heard(table: sa.Table, warn: timedelta, fail: timedelta) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=f"{table.comment} Written by `metapulse stream`, which is no run.",
        group_name=GROUP,
        owners=[f"team:{GROUP}"],
        kinds={VENDOR, "postgres"},
        partitions_def=daily_partitions(),
        freshness_policy=dg.FreshnessPolicy.time_window(warn_window=warn, fail_window=fail),
        metadata={"dagster/column_schema": column_schema(table), "dagster/relation_identifier": table.name},
        tags={"cadence": "1min"},
    )


def stream_specs() -> list[dg.AssetSpec]:
    """The external assets of the stream."""
    return [
        _heard(token_launches, 5 * MINUTE, 15 * MINUTE),
        _heard(token_migrations, 15 * MINUTE, 60 * MINUTE),
        _heard(token_trades, 30 * MINUTE, 120 * MINUTE),
    ]
