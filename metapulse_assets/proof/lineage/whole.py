"""The whole chain of one signal."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.proof.lineage.analyses import technical_hit_link
from metapulse_assets.proof.lineage.hits import stored_hit
from metapulse_assets.proof.lineage.links import Link, missing
from metapulse_assets.proof.lineage.market import risk_link
from metapulse_assets.proof.lineage.models import ai_hit_link
from metapulse_assets.proof.lineage.talk import social_hit_link
from metapulse_assets.signals.tables import signals

HitLink = Callable[[sa.Connection, int, str, str, datetime], Link]


class UnknownSignalError(LookupError):
    """No signal of this id is stored."""


def explain(connection: sa.Connection, signal_id: str) -> Link:
    """A signal and everything that it rests on. Raises `UnknownSignalError`."""
    row = connection.execute(
        sa.select(signals, tokens.c.chain, tokens.c.address, tokens.c.symbol)
        .join(tokens, tokens.c.token_id == signals.c.token_id)
        .where(signals.c.signal_id == signal_id)
    ).one_or_none()
    if row is None:
        raise UnknownSignalError(f"no signal {signal_id!r} is stored")
    names = (
        *("chain", "address", "symbol", "kind", "rule", "timeframe", "direction", "strength", "confidence", "risk"),
        *("price_usd", "target_usd", "stop_usd", "emitted_at", "recorded_at", "origin", "mode", "run_id"),
    )
    link = Link("signal", signal_id, {name: getattr(row, name) for name in names})
    hit = HIT_LINKS[row.kind](connection, row.token_id, row.timeframe, row.rule, row.opened_at)
    link.broken += _unlike_hit(connection, row)
    link.parts.append(hit)
    for reason in row.reasons:
        risk = risk_link(connection, row.token_id, row.risk, reason["inputs"])
        if risk is not None:
            link.parts.append(risk)
    return link


def combined_hit_link(connection: sa.Connection, token_id: int, timeframe: str, rule: str, opened_at: datetime) -> Link:
    """An agreement, and the hit of each source that took part."""
    key = f"{rule} {opened_at.isoformat()}"
    row = stored_hit(connection, "combined", token_id, timeframe, rule, opened_at)
    if row is None:
        return missing("agreement", key)
    sources: Mapping[str, Any] = row.inputs["sources"]
    return Link(
        "agreement",
        key,
        {"direction": row.direction, "strength": row.strength, "confidence": row.confidence, "sources": list(sources)},
        parts=[
            HIT_LINKS[kind](
                connection, token_id, source["timeframe"], source["rule"], datetime.fromisoformat(source["opened_at"])
            )
            for kind, source in sources.items()
        ],
    )


HIT_LINKS: Mapping[str, HitLink] = {
    "technical": technical_hit_link,
    "social": social_hit_link,
    "ai": ai_hit_link,
    "combined": combined_hit_link,
}


def _unlike_hit(connection: sa.Connection, signal: sa.Row[Any]) -> list[str]:
    """Where a signal says something else than the hit it was made of."""
    hit = stored_hit(connection, signal.kind, signal.token_id, signal.timeframe, signal.rule, signal.opened_at)
    if hit is None:
        return []
    names = ("direction", "strength", "confidence", "price_usd")
    return [
        f"{name} is {getattr(signal, name)}, its hit's {getattr(hit, name)}"
        for name in names
        if getattr(hit, name) != getattr(signal, name)
    ]
