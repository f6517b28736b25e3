"""Tokens read for the service: those that are or were tracked, and one with everything newest of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.intelligence.tables import ai_analyses
from metapulse_assets.market.tables import token_metrics, tokens, tracked_tokens
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.risk.tables import risk_assessments
from metapulse_assets.service.routes.stored_signals import SignalQuestion, read_signals
from metapulse_assets.social.tables import social_metrics

# Rows of a tracked token come every few minutes; older ones are not how it looks now.
LOOK_BACK = timedelta(days=3)
FIGURES = ("price_usd", "volume_h24_usd", "liquidity_usd", "market_cap_usd", "fdv_usd", "price_change_h24_pct", "observed_at")
TRACKING = ("active", "sources", "reason", "tracked_since", "last_listed_at", "failing_since")
AI_KINDS = ("technical", "sentiment", "comprehensive")
MOST_SIGNALS = 100


@dataclass(frozen=True)
class TokenQuestion:
    """Which tokens: None is any. `active`: only those that are tracked now. `after`: number of the last one of a page."""

    chain: str | None = None
    symbol: str | None = None
    active: bool = True
    after: int = 0
    limit: int = 100


def read_tokens(connection: sa.Connection, question: TokenQuestion, now: datetime) -> tuple[list[dict[str, Any]], int | None]:
    """A page of tokens with their newest figures, in the order they were first tracked; and the next page's `after`."""
    tracked = tracked_tokens.c
    newest = _newest(token_metrics, "observed_at", FIGURES, now).lateral("newest")
    assessed = (
        _newest(risk_assessments, "observed_at", ("level", "hard_fail"), now)
        .with_only_columns(risk_assessments.c.level.label("risk"), risk_assessments.c.hard_fail.label("risk_reason"))
        .lateral("assessed")
    )
    statement = (
        sa.select(
            tracked.token_id,
            tokens.c.chain,
            tokens.c.address.label("token"),
            tokens.c.symbol,
            tokens.c.name,
            *(newest.c[name] for name in FIGURES),
            assessed.c.risk,
            assessed.c.risk_reason,
            *(tracked[name] for name in TRACKING),
        )
        .select_from(tracked_tokens)
        .join(tokens, tokens.c.token_id == tracked.token_id)
        .outerjoin(newest, tracked.active)
        .outerjoin(assessed, tracked.active)
        .where(tracked.token_id > question.after)
        .order_by(tracked.token_id)
        .limit(question.limit + 1)
    )
    if question.active:
        statement = statement.where(tracked.active)
    if question.chain is not None:
        statement = statement.where(tokens.c.chain == question.chain)
    if question.symbol is not None:
        statement = statement.where(sa.func.lower(tokens.c.symbol) == question.symbol.lower())
    rows = [dict(row._mapping) for row in connection.execute(statement)]
    page = rows[: question.limit]
    numbers = [row.pop("token_id") for row in page]
    return page, numbers[-1] if len(rows) > question.limit else None


def read_token(connection: sa.Connection, chain: str, address: str, now: datetime) -> dict[str, Any] | None:
    """A token with its newest metrics, analyses, talk, risk, and its open signals; None if it was never seen."""
    found = connection.execute(
        sa.select(tokens.c.token_id, tokens.c.symbol, tokens.c.name, *(tracked_tokens.c[name] for name in TRACKING))
        .outerjoin(tracked_tokens, tracked_tokens.c.token_id == tokens.c.token_id)
        .where(tokens.c.chain == chain, tokens.c.address == address)
    ).one_or_none()
    if found is None:
        return None
    token_id = found.token_id
    analyses = {
        frame: _one(connection, technical_analyses, "opened_at", token_id, now, timeframe=frame) for frame in TIMEFRAMES
    }
    views = {kind: _one(connection, ai_analyses, "as_of", token_id, now, kind=kind) for kind in AI_KINDS}
    open_ones, _ = read_signals(connection, SignalQuestion(chain, address, open_at=now, limit=MOST_SIGNALS))
    return {
        "chain": chain,
        "token": address,
        "symbol": found.symbol,
        "name": found.name,
        "tracking": {name: found._mapping[name] for name in TRACKING} if found.active is not None else None,
        "metrics": _one(connection, token_metrics, "observed_at", token_id, now),
        "analyses": {frame: row for frame, row in analyses.items() if row},
        "ai_analyses": {kind: row for kind, row in views.items() if row},
        "social": _one(connection, social_metrics, "as_of", token_id, now),
        "risk": _one(connection, risk_assessments, "observed_at", token_id, now),
        "signals": open_ones,
    }


def _newest(table: sa.Table, moment: str, names: Iterable[str], now: datetime) -> sa.Select[Any]:
    """The newest row of the tracked token that the statement around it is at."""
    return (
        sa.select(*(table.c[name] for name in names))
        .where(table.c.token_id == tracked_tokens.c.token_id, table.c[moment] > now - LOOK_BACK)
        .order_by(table.c[moment].desc())
        .limit(1)
    )


def _one(
    connection: sa.Connection, table: sa.Table, moment: str, token_id: int, now: datetime, **also: str
) -> dict[str, Any] | None:
    """A token's newest row of a table."""
    row = connection.execute(
        sa.select(*(column for column in table.c if column.name != "token_id"))
        .where(table.c.token_id == token_id, table.c[moment] > now - LOOK_BACK)
        .where(*(table.c[name] == value for name, value in also.items()))
        .order_by(table.c[moment].desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else dict(row._mapping)
