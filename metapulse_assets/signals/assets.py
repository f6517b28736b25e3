"""The signals' assets: what the rules found, each token's risk, and the signals emitted."""

from collections import Counter
from datetime import datetime

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.asset_policy import days_of_run, days_to_recompute, is_tick, table_asset
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.signals import assessing, chart, emitting, finding, tables
from metapulse_assets.signals.listing import TABLE_HEADERS, list_signals, table_row

GROUP = "signals"
SHOWN_SIGNALS = 20


@table_asset(tables.technical_signals, group=GROUP, deps=["technical_analyses"], kinds={"numpy"})
def technical_signals(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Apply the technical rules to candles analysed since the last tick, or to whole days again."""
    found = 0
    with platform.engine.begin() as connection:
        for timeframe in TIMEFRAMES.values():
            if is_tick(context, platform):
                found += finding.find_new(connection, timeframe, platform.now())
            for day in days_to_recompute(context, platform):
                found += finding.find_again(connection, timeframe, day)
        start, end = _span(context)
        table = tables.technical_signals
        counts = connection.execute(
            sa.select(table.c.rule, table.c.direction, table.c.timeframe, sa.func.count().label("hits"))
            .where(table.c.opened_at >= start, table.c.opened_at < end)
            .group_by(table.c.rule, table.c.direction, table.c.timeframe)
            .order_by(sa.desc("hits"), table.c.rule, table.c.timeframe)
        ).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(row.hits for row in counts),
            "found in this run": found,
            "by rule": dg.MetadataValue.md(markdown_table(("rule", "direction", "frame", "hits"), counts)),
        }
    )


@table_asset(tables.risk_assessments, group=GROUP, deps=["token_metrics"], kinds={"numpy"})
def risk_assessments(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Assess each token's risk from its snapshots; a row only where it changed."""
    stored = 0
    with platform.engine.begin() as connection:
        if is_tick(context, platform):
            stored += assessing.assess_new(connection, platform.now())
        for day in days_to_recompute(context, platform):
            stored += assessing.assess_again(connection, day)
        start, end = _span(context)
        table = tables.risk_assessments
        newest = connection.execute(
            sa.select(table.c.level, table.c.hard_fail)
            .ext(distinct_on(table.c.token_id))
            .where(table.c.observed_at >= start, table.c.observed_at < end)
            .order_by(table.c.token_id, table.c.observed_at.desc())
        ).all()
        rows = connection.execute(
            sa.select(sa.func.count()).where(table.c.observed_at >= start, table.c.observed_at < end)
        ).scalar_one()
    levels = Counter((row.level, row.hard_fail) for row in newest)
    shown = [(level, fail, count) for (level, fail), count in levels.most_common()]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "stored in this run": stored,
            "tokens by newest level": dg.MetadataValue.md(markdown_table(("level", "hard fail", "tokens"), shown)),
        }
    )


@table_asset(tables.signals, group=GROUP, deps=["technical_signals", "risk_assessments"], kinds={"numpy"})
def signals(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Emit signals: deduplicated, at most five a token and moment, with risk, target, stop, reasons and expiry."""
    mode, run_id = platform.settings.mode.value, context.run.run_id
    emitted = 0
    with platform.engine.begin() as connection:
        now = platform.now()
        if is_tick(context, platform):
            emitted += emitting.emit_new(connection, now, mode, run_id)
        for day in days_to_recompute(context, platform):
            emitted += emitting.emit_again(connection, day, now, mode, run_id)
    with platform.engine.connect() as connection:
        start, end = _span(context)
        table = tables.signals
        rows = connection.execute(
            sa.select(sa.func.count()).where(table.c.opened_at >= start, table.c.opened_at < end)
        ).scalar_one()
        newest = list_signals(connection, open_at=now, limit=SHOWN_SIGNALS)
        picture = _picture(connection, platform)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "emitted in this run": emitted,
            "mode": mode,
            "open signals": dg.MetadataValue.md(markdown_table(TABLE_HEADERS, [table_row(signal) for signal in newest])),
            **picture,
        }
    )


def _span(context: dg.AssetExecutionContext) -> tuple[datetime, datetime]:
    days = days_of_run(context)
    return day_bounds(days[0], days[-1])


def _picture(connection: sa.Connection, platform: Platform) -> dict[str, dg.MetadataValue]:
    """The token with the strongest of the newest signals, drawn."""
    table = tables.signals
    token_id = connection.execute(
        sa.select(table.c.token_id)
        .where(table.c.timeframe == "5m", table.c.expires_at > platform.now())
        .order_by(table.c.emitted_at.desc(), (table.c.strength * table.c.confidence).desc(), table.c.signal_id)
        .limit(1)
    ).scalar()
    if token_id is None:
        return {}
    data = chart.read_chart(connection, token_id, platform.now(), platform.settings.mode.value)
    return {"chart": dg.MetadataValue.md(chart.markdown_picture(chart.draw_png(data), "price, means, RSI and signals"))}
