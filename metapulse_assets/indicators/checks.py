"""Whether the analyses are whole: every number in its range, and a row for each candle that came in time."""

from datetime import datetime

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.indicators.tables import indicator_chains, technical_analyses
from metapulse_assets.market.tables import candles
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check


def _complete(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each candle that the chains have passed has its analysis, unless it came after a newer one of its token."""
    newer = candles.alias("newer")
    analysed = sa.exists().where(
        technical_analyses.c.opened_at == candles.c.opened_at,
        technical_analyses.c.token_id == candles.c.token_id,
        technical_analyses.c.timeframe == candles.c.timeframe,
    )
    came_late = sa.exists().where(
        newer.c.timeframe == candles.c.timeframe,
        newer.c.token_id == candles.c.token_id,
        newer.c.opened_at > candles.c.opened_at,
        newer.c.available_at < candles.c.available_at,
    )
    passed_by = sa.exists().where(
        indicator_chains.c.timeframe == candles.c.timeframe,
        sa.or_(
            indicator_chains.c.chain_day > sa.cast(sa.func.timezone("UTC", candles.c.opened_at), sa.Date),
            sa.and_(
                candles.c.opened_at < indicator_chains.c.through,
                candles.c.available_at <= indicator_chains.c.updated_at,
            ),
        ),
    )
    in_span = sa.and_(candles.c.opened_at >= start, candles.c.opened_at < end, candles.c.timeframe.in_(["5m", "1h"]))
    total = connection.execute(sa.select(sa.func.count()).where(in_span)).scalar_one()
    missing = connection.execute(
        sa.select(sa.func.count()).where(in_span, passed_by, sa.not_(analysed), sa.not_(came_late))
    ).scalar_one()
    return Finding(missing == 0, {"candles": total, "without an analysis": missing})


def indicator_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this domain."""
    return [
        checks_of(
            technical_analyses,
            [
                values_check(technical_analyses, "opened_at"),
                TableCheck("complete", "Each candle that came in time has its analysis.", _complete),
            ],
        )
    ]
