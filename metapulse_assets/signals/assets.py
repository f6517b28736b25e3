"""The signals' assets: what the rules found, and the signals emitted."""

from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.asset_policy import days_to_recompute, is_tick, span_of_run, table_asset
from metapulse_assets.platform.display import markdown_picture, markdown_table
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.signals import chart, emitting, finding, source_hits, tables
from metapulse_assets.signals.listing import TABLE_HEADERS, list_signals, table_row

GROUP = "signals"
SHOWN_SIGNALS = 20
PICTURE_MARK = "signals_chart"
PICTURE_EVERY = timedelta(hours=1)


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
        start, end = span_of_run(context)
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


@table_asset(tables.social_signals, group=GROUP, deps=["social_metrics", "candles", "technical_analyses"])
def social_signals(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Apply the social rules to the metrics of the last hours, or of whole days again."""
    return _find_views(context, platform, "social")


@table_asset(tables.ai_signals, group=GROUP, deps=["ai_analyses", "candles", "technical_analyses"])
def ai_signals(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Pick the analyses by models that are sure enough, of the last hours or of whole days again."""
    return _find_views(context, platform, "ai")


@table_asset(
    tables.combined_signals,
    group=GROUP,
    deps=["technical_signals", "social_signals", "ai_signals", "candles", "technical_analyses"],
)
def combined_signals(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Find where sources of different kinds begin to agree, in the last hours or in whole days again."""
    return _find_views(context, platform, "combined")


@table_asset(
    tables.signals,
    group=GROUP,
    deps=["technical_signals", "social_signals", "ai_signals", "combined_signals", "risk_assessments"],
    kinds={"numpy"},
)
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
        start, end = span_of_run(context)
        table = tables.signals
        rows = connection.execute(
            sa.select(sa.func.count()).where(table.c.opened_at >= start, table.c.opened_at < end)
        ).scalar_one()
        newest = list_signals(connection, open_at=now, limit=SHOWN_SIGNALS)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "emitted in this run": emitted,
            "mode": mode,
            "open signals": dg.MetadataValue.md(markdown_table(TABLE_HEADERS, [table_row(signal) for signal in newest])),
            **_picture(platform, now),
        }
    )


def _find_views(context: dg.AssetExecutionContext, platform: Platform, kind: str) -> dg.MaterializeResult[None]:
    """Bring one source's table of hits up to date."""
    found = 0
    with platform.engine.begin() as connection:
        now = platform.now()
        if is_tick(context, platform):
            found += source_hits.find_new(connection, kind, now)
        for day in days_to_recompute(context, platform):
            found += source_hits.find_again(connection, kind, day, now)
        start, end = span_of_run(context)
        table = tables.SOURCES[kind]
        counts = connection.execute(
            sa.select(table.c.rule, table.c.direction, sa.func.count().label("hits"))
            .where(table.c.opened_at >= start, table.c.opened_at < end)
            .group_by(table.c.rule, table.c.direction)
            .order_by(sa.desc("hits"), table.c.rule)
        ).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(row.hits for row in counts),
            "found in this run": found,
            "by rule": dg.MetadataValue.md(markdown_table(("rule", "direction", "hits"), counts)),
        }
    )


def _picture(platform: Platform, now: datetime) -> dict[str, dg.MetadataValue]:
    """The token with the strongest of the newest signals, drawn once an hour: it takes as long as all the rest of a tick."""
    with platform.engine.begin() as connection:
        drawn_at = progress_of(connection, PICTURE_MARK)
        if drawn_at is not None and drawn_at <= now < drawn_at + PICTURE_EVERY:
            return {"chart": dg.MetadataValue.text(f"drawn once an hour, last at {drawn_at:%H:%M} UTC")}
        table = tables.signals
        token_id = connection.execute(
            sa.select(table.c.token_id)
            .where(table.c.timeframe == "5m", table.c.expires_at > now)
            .order_by(table.c.emitted_at.desc(), (table.c.strength * table.c.confidence).desc(), table.c.signal_id)
            .limit(1)
        ).scalar()
        if token_id is None:
            return {}
        data = chart.read_chart(connection, token_id, now, platform.settings.mode.value)
        set_progress(connection, PICTURE_MARK, now)
    return {"chart": dg.MetadataValue.md(markdown_picture(chart.draw_png(data), "price, means, RSI and signals"))}
