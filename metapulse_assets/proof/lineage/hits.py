"""Hits of every source: the one row that a signal was made of."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.signals.tables import SOURCES


def stored_hit(
    connection: sa.Connection, kind: str, token_id: int, timeframe: str, rule: str, opened_at: datetime
) -> sa.Row[Any] | None:
    """What one source's rule found at a moment; None if it is not stored (any more)."""
    table = SOURCES[kind]
    return connection.execute(
        sa.select(table).where(
            table.c.token_id == token_id,
            table.c.timeframe == timeframe,
            table.c.rule == rule,
            table.c.opened_at == opened_at,
        )
    ).one_or_none()
