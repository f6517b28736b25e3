"""Whether the analyses are whole: every number in its range, and a row for each candle that came in time."""

from datetime import datetime

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.indicators.guards import PRICE_LIMIT
from metapulse_assets.indicators.tables import indicator_chains, technical_analyses
from metapulse_assets.indicators.warm_up_tables import warm_up_report
from metapulse_assets.market.tables import candles
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check

LARGEST_ERROR = 0.1
"""Points, or per cent of the price: a tenth of what moves a rule. Own choice."""


def _complete(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each candle that the chains have passed has its analysis, unless it came after a newer one of its token."""
    newer = candles.alias("newer")
    analysed = sa.exists().where(
        technical_analyses.c.opened_at == candles.c.opened_at,
        technical_analyses.c.token_id == candles.c.token_id,
        technical_analyses.c.timeframe == candles.c.timeframe,
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
    # A candle with an impossible price or volume says nothing, and gets no analysis.
    usable = sa.and_(candles.c.high < PRICE_LIMIT, sa.func.coalesce(candles.c.volume_usd, 0) < PRICE_LIMIT)
    total = connection.execute(sa.select(sa.func.count()).where(in_span)).scalar_one()
    # Few are without an analysis; only for those is it worth looking at all newer candles.
    without = (
        sa.select(candles.c.timeframe, candles.c.token_id, candles.c.opened_at, candles.c.available_at)
        .where(in_span, usable, passed_by, sa.not_(analysed))
        .cte("without")
        .prefix_with("MATERIALIZED")
    )
    came_late = sa.exists().where(
        newer.c.timeframe == without.c.timeframe,
        newer.c.token_id == without.c.token_id,
        newer.c.opened_at > without.c.opened_at,
        newer.c.available_at < without.c.available_at,
    )
    missing = connection.execute(sa.select(sa.func.count()).select_from(without).where(sa.not_(came_late))).scalar_one()
    return Finding(missing == 0, {"candles": total, "without an analysis": missing})


def _long_enough(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """The shortest history measured that has the candles an indicator requires is as good as the tolerance asks."""
    w = warm_up_report.c
    first = (
        sa.select(w.indicator, w.p95_error, w.error_unit)
        .ext(distinct_on(w.indicator))
        .where(w.bars >= w.required_bars, w.error_unit != "% of value")
        .order_by(w.indicator, w.bars)
        .subquery()
    )
    rows = connection.execute(sa.select(first)).all()
    wrong = {row.indicator: row.p95_error for row in rows if (row.p95_error or 0.0) > LARGEST_ERROR}
    return Finding(not wrong, {"indicators": len(rows), "further off than 0.1": wrong})


def indicator_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this domain."""
    return [
        checks_of(
            technical_analyses,
            [
                values_check(technical_analyses, "opened_at"),
                TableCheck("complete", "Each candle that came in time has its analysis.", _complete),
            ],
        ),
        checks_of(
            warm_up_report,
            [
                TableCheck(
                    "long_enough",
                    "With as many candles as are required, an indicator is right within its tolerance.",
                    _long_enough,
                    blocking=False,
                )
            ],
            partitioned=False,
        ),
    ]
