"""Hits of the rules that read no candle of their own (social, AI, combined): their rows, and keeping them in step.

Belongs here: the row, its quote, replacing a span of a table. Does not: any rule (`social_rules`, `ai_rules`, `combining`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from psycopg.types.json import Jsonb

from metapulse_assets.platform.bulk import driver
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.signals.candidates import VIEW
from metapulse_assets.signals.quotes import quotes_as_of

HIT_COLUMNS = (
    *("opened_at", "token_id", "timeframe", "rule", "available_at", "direction", "strength", "confidence"),
    *("price_usd", "atr_usd", "inputs"),
)


@dataclass(frozen=True)
class View:
    """What a rule found at a moment: as_of, when it could be used, and why; strength and confidence 0 to 1.

    `inputs` must be JSON: numbers, texts, lists of them.
    """

    as_of: datetime
    token_id: int
    rule: str
    available_at: datetime
    direction: str
    strength: float
    confidence: float
    inputs: Mapping[str, Any]


def store_views(connection: sa.Connection, table: sa.Table, start: datetime, end: datetime, views: Sequence[View]) -> int:
    """Put views of [start, end) in place of what a table holds of that span; returns how many have a price and are stored.

    One whose token had no known price at its moment is left out: nobody could have acted on it.
    """
    connection.execute(sa.delete(table).where(table.c.opened_at >= start, table.c.opened_at < end))
    quotes = quotes_as_of(connection, [view.token_id for view in views], [view.available_at for view in views])
    priced = np.flatnonzero(quotes.price_usd > 0).tolist()
    if not priced:
        return 0
    ensure_days(connection, table.name, {utc_day(views[place].as_of) for place in priced})
    with driver(connection).cursor().copy(f"COPY {table.name} ({', '.join(HIT_COLUMNS)}) FROM STDIN") as copy:
        for place in priced:
            view, atr = views[place], float(quotes.atr_usd[place])
            copy.write_row(
                (
                    *(view.as_of, view.token_id, VIEW, view.rule, view.available_at, view.direction),
                    *(view.strength, view.confidence, float(quotes.price_usd[place])),
                    *(None if np.isnan(atr) else atr, Jsonb(dict(view.inputs))),
                )
            )
    return len(priced)
