"""Whether the signals can be relied upon: ranges, inputs that exist, no repetition."""

from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.intelligence.tables import ai_analyses
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.signals.combining import MIN_KINDS
from metapulse_assets.signals.selection import DUPLICATE_PRICE_SHARE, DUPLICATE_SECONDS, MAX_PER_TOKEN_AND_MOMENT
from metapulse_assets.signals.tables import (
    ai_signals,
    combined_signals,
    signals,
    social_signals,
    technical_signals,
)
from metapulse_assets.social.tables import social_metrics


def _rest_on_analyses(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each hit's candle was analysed, at the very price that the hit names."""
    t, a = technical_signals.c, technical_analyses.c
    in_span = sa.and_(t.opened_at >= start, t.opened_at < end)
    analysed = sa.exists().where(
        a.opened_at == t.opened_at, a.token_id == t.token_id, a.timeframe == t.timeframe, a.close == t.price_usd
    )
    total = connection.execute(sa.select(sa.func.count()).where(in_span)).scalar_one()
    unfounded = connection.execute(sa.select(sa.func.count()).where(in_span, sa.not_(analysed))).scalar_one()
    return Finding(unfounded == 0, {"hits": total, "without an analysis": unfounded})


def _rest_on_metrics(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each hit's token had social metrics at that very moment."""
    s, m = social_signals.c, social_metrics.c
    return _founded(connection, social_signals, start, end, sa.exists().where(m.as_of == s.opened_at, m.token_id == s.token_id))


def _rest_on_ai_analyses(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each hit's analysis is stored, with the direction that the hit names."""
    s, a = ai_signals.c, ai_analyses.c
    founded = sa.exists().where(
        a.as_of == s.opened_at,
        a.analysis_id == s.inputs["analysis_id"].astext,
        a.token_id == s.token_id,
        a.direction == s.direction,
    )
    return _founded(connection, ai_signals, start, end, founded)


def _rest_on_sources(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each agreement names at least two kinds of sources."""
    s = combined_signals.c
    kinds = sa.select(sa.func.count()).select_from(sa.func.jsonb_object_keys(s.inputs["sources"]).alias("kind"))
    return _founded(connection, combined_signals, start, end, kinds.correlate(combined_signals).scalar_subquery() >= MIN_KINDS)


def _founded(
    connection: sa.Connection, table: sa.Table, start: datetime, end: datetime, founded: sa.ColumnElement[bool]
) -> Finding:
    in_span = sa.and_(table.c.opened_at >= start, table.c.opened_at < end)
    total = connection.execute(sa.select(sa.func.count()).select_from(table).where(in_span)).scalar_one()
    unfounded = connection.execute(sa.select(sa.func.count()).select_from(table).where(in_span, sa.not_(founded))).scalar_one()
    return Finding(unfounded == 0, {"hits": total, "without what they rest on": unfounded})


def _no_repetition(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No signal repeats one of the same token, rule and direction at nearly the same price shortly before."""
    earlier = signals.alias("earlier")
    s = signals.c
    same_topic = sa.and_(
        earlier.c.token_id == s.token_id,
        earlier.c.kind == s.kind,
        earlier.c.rule == s.rule,
        earlier.c.direction == s.direction,
        earlier.c.signal_id != s.signal_id,
    )
    shortly_before = sa.and_(
        earlier.c.emitted_at < s.emitted_at,
        earlier.c.emitted_at > s.emitted_at - timedelta(seconds=DUPLICATE_SECONDS),
    )
    same_price = sa.func.abs(earlier.c.price_usd - s.price_usd) < (DUPLICATE_PRICE_SHARE - 1e-9) * earlier.c.price_usd
    in_span = sa.and_(s.opened_at >= start, s.opened_at < end)
    repeated = connection.execute(
        sa.select(sa.func.count()).where(in_span, sa.exists().where(same_topic, shortly_before, same_price))
    ).scalar_one()
    crowded = connection.execute(
        sa.select(sa.func.count()).select_from(
            sa.select(s.token_id)
            .where(in_span)
            .group_by(s.token_id, s.emitted_at)
            .having(sa.func.count() > MAX_PER_TOKEN_AND_MOMENT)
            .subquery()
        )
    ).scalar_one()
    return Finding(
        repeated == 0 and crowded == 0,
        {"repeated": repeated, f"moments with more than {MAX_PER_TOKEN_AND_MOMENT} signals of a token": crowded},
    )


VIEW_CHECKS = (
    (social_signals, "rest_on_metrics", "Each hit's token had social metrics at that moment.", _rest_on_metrics),
    (ai_signals, "rest_on_analyses", "Each hit's analysis is stored and names its direction.", _rest_on_ai_analyses),
    (combined_signals, "rest_on_sources", "Each agreement names at least two kinds of sources.", _rest_on_sources),
)


def signal_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this domain."""
    return [
        checks_of(
            technical_signals,
            [
                values_check(technical_signals, "opened_at"),
                TableCheck(
                    "rest_on_analyses",
                    "Each hit's candle was analysed, at the price that the hit names.",
                    _rest_on_analyses,
                ),
            ],
        ),
        *(
            checks_of(table, [values_check(table, "opened_at"), TableCheck(name, description, look)])
            for table, name, description, look in VIEW_CHECKS
        ),
        checks_of(
            signals,
            [
                values_check(signals, "opened_at"),
                TableCheck(
                    "no_repetition", "No signal repeats a recent one, and no token has too many at once.", _no_repetition
                ),
            ],
        ),
    ]
