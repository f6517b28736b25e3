"""Reads what is known of the tracked tokens at a moment: rows usable by then, and never a name, symbol or description."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.intelligence.snapshots import ANALYSED, Hit, Numbers, PostText, TechnicalReading, TokenState
from metapulse_assets.intelligence.tables import ai_analyses
from metapulse_assets.market.tables import token_metrics
from metapulse_assets.risk.tables import risk_assessments
from metapulse_assets.signals.tables import technical_signals
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics

METRICS_AGE = timedelta(minutes=15)
"""A token not seen for three ticks is not asked about."""
READING_AGE: Mapping[str, timedelta] = {"5m": timedelta(minutes=30), "1h": timedelta(hours=3)}
RISK_AGE = timedelta(days=2)
"""Assessments are stored once a UTC day at least."""
SOCIAL_AGE = timedelta(hours=1)
SENTIMENT_AGE = timedelta(hours=2)
POST_AGE = timedelta(hours=4)
HIT_CANDLE_AGE = timedelta(days=2)
MOST_AUTOMATED, MOST_SCAM = 0.5, 0.5
"""Posts more likely than not to be automated or a scam are not shown to a model."""

_METRICS = (
    *("liquidity_usd", "fdv_usd", "volume_h1_usd", "volume_h24_usd", "buys_h1", "sells_h1"),
    *(f"price_change_{window}_pct" for window in ("m5", "h1", "h6", "h24")),
)
_READING = (
    *("rsi_14", "macd", "macd_signal", "sma_20", "ema_50", "ema_200", "bb_upper", "bb_lower", "atr_14", "adx_14"),
    *("plus_di_14", "minus_di_14", "stoch_k", "roc_10", "support_20", "resistance_20", "volume_ratio_20", "trend_strength"),
)
_SOCIAL = ("unique_posts_1h", "authors_1h", "velocity_z", "sentiment", "sentiment_24h", "bot_share")


def read_states(connection: sa.Connection, token_ids: Sequence[int], as_of: datetime, since: datetime) -> list[TokenState]:
    """The state of each of these tokens that was seen lately, by token id; hits are those that became usable after `since`."""
    ids = sorted(token_ids)
    metrics = _newest(
        connection,
        token_metrics,
        (token_metrics.c.observed_at, token_metrics.c.price_usd, *(token_metrics.c[name] for name in _METRICS)),
        ids,
        token_metrics.c.observed_at,
        [token_metrics.c.observed_at > as_of - METRICS_AGE, token_metrics.c.recorded_at <= as_of],
    )
    readings = _read_readings(connection, ids, as_of)
    hits = _read_hits(connection, ids, as_of, since)
    r, s, a = risk_assessments.c, social_metrics.c, ai_analyses.c
    risks = _newest(
        connection,
        risk_assessments,
        (r.level, r.score),
        ids,
        r.observed_at,
        [r.observed_at > as_of - RISK_AGE, r.available_at <= as_of],
    )
    social = _newest(
        connection,
        social_metrics,
        (s.as_of, *(s[name] for name in _SOCIAL)),
        ids,
        s.as_of,
        [s.as_of > as_of - SOCIAL_AGE, s.available_at <= as_of],
    )
    moods = _newest(
        connection,
        ai_analyses,
        (a.probability_up,),
        ids,
        a.as_of,
        [a.kind == "sentiment", a.as_of > as_of - SENTIMENT_AGE, a.available_at <= as_of],
    )
    states = []
    for token_id, row in metrics.items():
        risk, posts, mood = risks.get(token_id), social.get(token_id), moods.get(token_id)
        states.append(
            TokenState(
                token_id=token_id,
                price_usd=row.price_usd,
                metrics_at=row.observed_at,
                metrics=metrics_of(row),
                readings=readings.get(token_id, {}),
                hits=hits.get(token_id, ()),
                risk_level=risk.level if risk else "unknown",
                risk_score=risk.score if risk else None,
                social_at=posts.as_of if posts else None,
                social=social_of(posts) if posts else {},
                # From 0 to 1 to the scale of the other sentiments.
                model_sentiment=2 * mood.probability_up - 1 if mood and mood.probability_up is not None else None,
            )
        )
    return sorted(states, key=lambda state: state.token_id)


def read_posts(connection: sa.Connection, token_id: int, as_of: datetime) -> list[PostText]:
    """Posts of the last hours that mean a token, without repetitions of others' posts, automated ones and scams."""
    p, m, s = social_posts.c, mentions.c, post_sentiments.c
    lately = as_of - POST_AGE
    meant = sa.exists().where(
        m.observed_at == p.observed_at,
        m.platform == p.platform,
        m.post_id == p.post_id,
        m.observed_at > lately,
        m.token_id == token_id,
        m.available_at <= as_of,
    )
    same = sa.and_(s.observed_at == p.observed_at, s.platform == p.platform, s.post_id == p.post_id)
    rows = connection.execute(
        sa.select(p.observed_at, p.post_id, p.author_id, p.text)
        .select_from(social_posts.join(post_sentiments, same))
        .where(
            p.observed_at > lately,
            p.observed_at <= as_of,
            p.available_at <= as_of,
            p.kind != "repost",
            s.observed_at > lately,
            s.available_at <= as_of,
            s.bot_likeness < MOST_AUTOMATED,
            s.scam_probability < MOST_SCAM,
            meant,
        )
        .order_by(p.observed_at, p.post_id)
    )
    return [PostText(row.observed_at, row.post_id, row.author_id, row.text) for row in rows]


def _newest(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[sa.ColumnElement[Any]],
    token_ids: Sequence[int],
    when: sa.ColumnElement[Any],
    within: Sequence[sa.ColumnElement[bool]],
) -> dict[int, sa.Row[Any]]:
    """The newest row of each token."""
    rows = connection.execute(
        sa.select(table.c.token_id, *columns)
        .ext(distinct_on(table.c.token_id))
        .where(table.c.token_id.in_(token_ids), *within)
        .order_by(table.c.token_id, when.desc())
    )
    return {row.token_id: row for row in rows}


def _read_readings(
    connection: sa.Connection, token_ids: Sequence[int], as_of: datetime
) -> dict[int, dict[str, TechnicalReading]]:
    t = technical_analyses.c
    found: dict[int, dict[str, TechnicalReading]] = {}
    for timeframe in ANALYSED:
        rows = _newest(
            connection,
            technical_analyses,
            (t.opened_at, t.close, t.trend, t.recommendation, *(t[name] for name in _READING)),
            token_ids,
            t.opened_at,
            [t.timeframe == timeframe, t.opened_at > as_of - READING_AGE[timeframe], t.available_at <= as_of],
        )
        for token_id, row in rows.items():
            found.setdefault(token_id, {})[timeframe] = reading_of(row)
    return found


def reading_of(row: sa.Row[Any]) -> TechnicalReading:
    """What models are shown of a row of `technical_analyses`, which may hold more."""
    return TechnicalReading(row.opened_at, row.close, row.trend, row.recommendation, _numbers(row, _READING))


def metrics_of(row: sa.Row[Any]) -> Numbers:
    """Of a row of `token_metrics`."""
    return _numbers(row, _METRICS)


def social_of(row: sa.Row[Any]) -> Numbers:
    """Of a row of `social_metrics`."""
    return _numbers(row, _SOCIAL)


def _read_hits(connection: sa.Connection, token_ids: Sequence[int], as_of: datetime, since: datetime) -> dict[int, list[Hit]]:
    t = technical_signals.c
    rows = connection.execute(
        sa.select(t.token_id, t.rule, t.timeframe, t.direction, t.strength, t.confidence)
        .where(
            t.token_id.in_(token_ids),
            t.timeframe.in_(ANALYSED),
            t.opened_at > as_of - HIT_CANDLE_AGE,
            t.available_at > since,
            t.available_at <= as_of,
        )
        .order_by(t.token_id, t.opened_at, t.timeframe, t.rule)
    )
    found: dict[int, dict[tuple[str, str, str], Hit]] = {}
    for row in rows:
        # The newest of a rule that fired on several candles stands for all.
        key = (row.timeframe, row.rule, row.direction)
        found.setdefault(row.token_id, {})[key] = Hit(row.rule, row.timeframe, row.direction, row.strength, row.confidence)
    return {token_id: list(hits.values()) for token_id, hits in found.items()}


def _numbers(row: sa.Row[Any], names: Sequence[str]) -> Numbers:
    values = row._mapping
    return {name: None if values[name] is None else float(values[name]) for name in names}
