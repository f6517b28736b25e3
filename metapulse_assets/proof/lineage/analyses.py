"""Technical hits: the values a rule read, held against the analyses they were read from."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.proof.lineage.hits import stored_hit
from metapulse_assets.proof.lineage.links import Link, differing, missing
from metapulse_assets.proof.lineage.market import candle_chain_link

PREVIOUS = "previous_"


def technical_hit_link(connection: sa.Connection, token_id: int, timeframe: str, rule: str, opened_at: datetime) -> Link:
    """A hit of a technical rule, the analyses of its candle and the one before, and the candles below."""
    key = f"{rule} {timeframe} {opened_at.isoformat()}"
    hit = stored_hit(connection, "technical", token_id, timeframe, rule, opened_at)
    if hit is None:
        return missing("technical hit", key)
    link = Link(
        "technical hit",
        key,
        {"direction": hit.direction, "strength": hit.strength, "confidence": hit.confidence, "price_usd": hit.price_usd}
        | hit.inputs,
    )
    read = {name: value for name, value in hit.inputs.items() if not name.startswith(PREVIOUS)}
    link.parts.append(analysis_link(connection, token_id, timeframe, opened_at, read | {"close": hit.price_usd}))
    before = {name.removeprefix(PREVIOUS): value for name, value in hit.inputs.items() if name.startswith(PREVIOUS)}
    if before:
        previous = _previous(connection, token_id, timeframe, opened_at)
        if previous is None:
            link.parts.append(missing("technical analysis", f"{timeframe} before {opened_at.isoformat()}"))
        else:
            link.parts.append(analysis_link(connection, token_id, timeframe, previous, before, deep=False))
    return link


def analysis_link(
    connection: sa.Connection,
    token_id: int,
    timeframe: str,
    opened_at: datetime,
    read: dict[str, Any],
    deep: bool = True,
) -> Link:
    """An analysis, the values read from it, and (`deep`) the candles it rests on."""
    a = technical_analyses.c
    row = connection.execute(
        sa.select(technical_analyses).where(a.token_id == token_id, a.timeframe == timeframe, a.opened_at == opened_at)
    ).one_or_none()
    key = f"{timeframe} {opened_at.isoformat()}"
    if row is None:
        return missing("technical analysis", key)
    stored = dict(row._mapping)
    # The histogram is not stored: it is the difference of two values that are.
    if stored["macd"] is not None and stored["macd_signal"] is not None:
        stored["macd_histogram"] = stored["macd"] - stored["macd_signal"]
    link = Link(
        "technical analysis",
        key,
        {name: stored.get(name) for name in read} | {"bar_count": row.bar_count, "available_at": row.available_at},
        broken=differing(read, stored),
    )
    if deep:
        link.parts.append(candle_chain_link(connection, token_id, timeframe, opened_at, row.available_at))
    return link


def _previous(connection: sa.Connection, token_id: int, timeframe: str, opened_at: datetime) -> datetime | None:
    a = technical_analyses.c
    return connection.execute(
        sa.select(sa.func.max(a.opened_at)).where(a.token_id == token_id, a.timeframe == timeframe, a.opened_at < opened_at)
    ).scalar()
