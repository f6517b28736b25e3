"""The assets of what became of the signals: their outcomes, and how good each source is."""

from datetime import timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from metapulse_assets.outcomes import calibration_chart, calibration_store, store, tables
from metapulse_assets.outcomes.calibration import ALL
from metapulse_assets.outcomes.rows import HORIZONS
from metapulse_assets.platform.asset_policy import days_to_recompute, is_tick, span_of_run, table_asset
from metapulse_assets.platform.display import markdown_picture, markdown_table
from metapulse_assets.platform.runtime import Platform

GROUP = "outcomes"
SHOWN_ROWS = 60


@table_asset(tables.signal_outcomes, group=GROUP, deps=["signals", "candles", "token_metrics"], kinds={"numpy"})
def signal_outcomes(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Judge signals whose horizon has passed since the last tick, or those of whole days again."""
    stored = 0
    with platform.engine.begin() as connection:
        if is_tick(context, platform):
            stored += store.resolve_new(connection, platform.now())
        for day in days_to_recompute(context, platform):
            stored += store.resolve_again(connection, day, platform.now())
        start, end = span_of_run(context)
        table = tables.signal_outcomes.c
        counts = connection.execute(
            sa.select(
                table.horizon,
                table.status,
                table.reason,
                sa.func.count().label("signals"),
                sa.func.avg(table.net_return).label("mean"),
            )
            .where(table.opened_at >= start, table.opened_at < end)
            .group_by(table.horizon, table.status, table.reason)
            .order_by(sa.func.array_position(list(HORIZONS), table.horizon), table.status, table.reason)
        ).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(row.signals for row in counts),
            "stored in this run": stored,
            "by horizon": dg.MetadataValue.md(
                markdown_table(("horizon", "status", "reason", "signals", "mean net return"), counts)
            ),
        }
    )


class CalibrationConfig(dg.Config):
    """Whether to compute now."""

    force: bool = Field(default=False, description="Compute anew even if that was done in this hour.")
    period_days: int = Field(
        default=calibration_store.PERIOD.days, ge=1, description="How many days back outcomes are counted."
    )


@table_asset(tables.signal_calibration, group=GROUP, deps=["signal_outcomes"], kinds={"numpy"}, partitioned=False)
def signal_calibration(
    context: dg.AssetExecutionContext, config: CalibrationConfig, platform: dg.ResourceParam[Platform]
) -> dg.MaterializeResult[None]:
    """Count what became of each source's signals; once in each hour (UTC), or when forced.

    Confidences are judged by what was known when their signals were emitted: the curves of each hour, in `calibration_curves`.
    """
    table = tables.signal_calibration
    with platform.engine.begin() as connection:
        now = platform.now()
        lately = None if config.force else calibration_store.computed_lately(connection, now)
        if lately is not None:
            rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            return dg.MaterializeResult(
                metadata={
                    "dagster/row_count": rows,
                    "changed": 0,
                    "computed at": lately.isoformat(),
                    "why": "It is computed once an hour, or when the run's config says `force`.",
                }
            )
        rows = calibration_store.recalibrate(connection, now, timedelta(days=config.period_days))
        shown = connection.execute(
            sa.select(table)
            .where(table.c.risk == ALL)
            .order_by(sa.func.array_position(list(HORIZONS), table.c.horizon), table.c.kind, table.c.rule != ALL, table.c.rule)
        ).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "computed at": now.isoformat(),
            "sources": dg.MetadataValue.md(_source_table(shown)),
            **_picture(shown, platform.settings.mode.value),
        }
    )


def _source_table(rows: Any) -> str:
    headers = (
        *("horizon", "kind", "rule", "n", "worth", "hit rate", "95 %", "base rate", "placebo 95 %", "mean net", "median net"),
        *("hold", "judged", "Brier", "raw", "of base rate", "skill", "95 %", "IC", "95 %", "rank IC"),
    )
    return markdown_table(
        headers,
        [
            (
                *(row.horizon, row.kind, row.rule, row.n, f"{row.n_effective:.0f}"),
                *(row.hit_rate, _band(row.hit_rate_low, row.hit_rate_high)),
                *(row.base_rate, _band(row.placebo_low, row.placebo_high), row.mean_net_return, row.median_net_return),
                *(row.buy_and_hold_return, row.n_judged, row.brier, row.brier_raw, row.brier_base, row.brier_skill),
                *(_band(row.brier_skill_low, row.brier_skill_high), row.ic, _band(row.ic_low, row.ic_high), row.rank_ic),
            )
            for row in rows[:SHOWN_ROWS]
        ],
    )


def _band(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _picture(rows: Any, mode: str) -> dict[str, dg.MetadataValue]:
    """The reliability of all technical signals together, a line a horizon."""
    lines = [calibration_chart.ReliabilityLine.of(row) for row in rows if row.kind == "technical" and row.rule == ALL]
    if not lines:
        return {}
    png = calibration_chart.draw_png(f"hits by confidence, technical signals ({mode})", lines)
    return {"reliability": dg.MetadataValue.md(markdown_picture(png, "share of hits by confidence"))}
