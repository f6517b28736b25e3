"""The indicators' asset: a reading of every closed candle."""

from datetime import date

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.indicators import chain_store, tables
from metapulse_assets.indicators.kernel import STATE_VERSION
from metapulse_assets.market.tables import tokens
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.asset_policy import days_to_recompute, is_tick, span_of_run, table_asset
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.runtime import Platform

GROUP = "indicators"
SHOWN_ROWS = 12


@table_asset(tables.technical_analyses, group=GROUP, deps=["candles"], kinds={"numpy"}, code_version=f"state-{STATE_VERSION}")
def technical_analyses(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Go on from the last tick's state; in a backfill, make the days anew from their candles."""
    changed: dict[str, int] = {}
    rebuilt = 0
    for timeframe in TIMEFRAMES.values():
        with platform.engine.begin() as connection:
            now = platform.now()
            if is_tick(context, platform):
                result = chain_store.advance(connection, timeframe, now)
                changed[timeframe.name] = result.rows
                rebuilt += result.tokens_rebuilt
            if days := days_to_recompute(context, platform):

                def report(day: date, tokens_done: int, name: str = timeframe.name) -> None:
                    context.log.info(f"{day} {name}: {tokens_done} tokens analysed")

                result = chain_store.recompute(connection, timeframe, days, now, report)
                changed[timeframe.name] = changed.get(timeframe.name, 0) + result.rows
                rebuilt += result.tokens_rebuilt
    with platform.engine.connect() as connection:
        start, end = span_of_run(context)
        table = tables.technical_analyses
        span = (table.c.opened_at >= start) & (table.c.opened_at < end)
        rows = connection.execute(sa.select(sa.func.count()).where(span)).scalar_one()
        shown = connection.execute(
            sa.select(
                tokens.c.symbol,
                table.c.opened_at,
                table.c.close,
                table.c.rsi_14,
                table.c.adx_14,
                table.c.trend,
                table.c.recommendation,
                table.c.confidence,
            )
            .join(tokens, tokens.c.token_id == table.c.token_id)
            .where(span, table.c.timeframe == "1h")
            .order_by(table.c.opened_at.desc(), table.c.confidence.desc().nulls_last(), table.c.token_id)
            .limit(SHOWN_ROWS)
        ).all()
    headers = ("token", "hour", "close USD", "RSI 14", "ADX 14", "trend", "recommendation", "confidence")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "tokens started from the anchor": rebuilt,
            **{f"{name} rows changed": count for name, count in changed.items()},
            "surest readings of the last hour": dg.MetadataValue.md(markdown_table(headers, shown)),
        }
    )
