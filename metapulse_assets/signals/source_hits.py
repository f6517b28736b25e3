"""Keeping the hits of the social, AI and combined rules in step with what they read.

A tick makes the last hours anew, a backfill whole days: the rows are few, and what turned up a moment too late is not lost.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.intelligence.tables import ai_analyses
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.signals.ai_rules import find_ai_hits
from metapulse_assets.signals.combining import WINDOW, SourceHit, find_agreements
from metapulse_assets.signals.hits import View, store_views
from metapulse_assets.signals.social_rules import LONGEST_PAUSE, find_social_hits
from metapulse_assets.signals.tables import SOURCES, ai_signals, combined_signals, social_signals
from metapulse_assets.social.tables import social_metrics

MADE_ANEW = timedelta(hours=1)
"""A tick makes at least so much of the past anew: longer than any source takes from looking to having stored."""
LONGEST_CANDLE = timedelta(days=1)
SPOKEN = {kind: table for kind, table in SOURCES.items() if kind not in ("technical", "combined")}

Find = Callable[[sa.Connection, datetime, datetime], list[View]]


def social_hits(connection: sa.Connection, start: datetime, end: datetime) -> list[View]:
    """What the social rules find in the metrics of [start, end)."""
    m = social_metrics.c
    rows = connection.execute(
        sa.select(social_metrics).where(m.as_of >= start - LONGEST_PAUSE, m.as_of < end).order_by(m.token_id, m.as_of)
    )
    return find_social_hits([dict(row._mapping) for row in rows], start)


def ai_hits(connection: sa.Connection, start: datetime, end: datetime) -> list[View]:
    """Which analyses of [start, end) are sure enough."""
    a = ai_analyses.c
    rows = connection.execute(sa.select(ai_analyses).where(a.as_of >= start, a.as_of < end).order_by(a.as_of, a.analysis_id))
    return find_ai_hits([dict(row._mapping) for row in rows])


def combined_hits(connection: sa.Connection, start: datetime, end: datetime) -> list[View]:
    """Where sources begin to agree in [start, end)."""
    return find_agreements(stored_hits(connection, start - 2 * WINDOW, end), start, end)


def stored_hits(connection: sa.Connection, start: datetime, end: datetime) -> list[SourceHit]:
    """The stored hits of single sources that became usable in [start, end), of tokens that not only the candles speak of.

    Nearly all hits are technical ones, and where no other kind has any there can be no agreement.
    """
    found: list[SourceHit] = []
    for kind, table in SPOKEN.items():
        found += _hits_between(connection, kind, table, start, end, sa.true())
    spoken_of = sorted({hit.token_id for hit in found})
    if spoken_of:
        table = SOURCES["technical"]
        found += _hits_between(connection, "technical", table, start, end, table.c.token_id.in_(spoken_of))
    return found


def _hits_between(
    connection: sa.Connection, kind: str, table: sa.Table, start: datetime, end: datetime, which: sa.ColumnElement[bool]
) -> list[SourceHit]:
    t = table.c
    within = sa.and_(
        t.available_at >= start, t.available_at < end, t.opened_at >= start - 3 * LONGEST_CANDLE, t.opened_at < end
    )
    rows = connection.execute(
        sa.select(t.token_id, t.rule, t.timeframe, t.direction, t.strength, t.confidence, t.opened_at, t.available_at).where(
            within, which
        )
    )
    return [SourceHit(kind=kind, **row._mapping) for row in rows]


FINDERS: dict[str, tuple[sa.Table, Find]] = {
    "social": (social_signals, social_hits),
    "ai": (ai_signals, ai_hits),
    "combined": (combined_signals, combined_hits),
}
"""Each source's table and how its hits are found; a later one may read what an earlier one stored."""


def find_new(connection: sa.Connection, kind: str, as_of: datetime) -> int:
    """Make the hits of the last hour or two anew, up to a moment; returns how many there are."""
    start = as_of.replace(minute=0, second=0, microsecond=0) - MADE_ANEW
    return find_between(connection, kind, start, as_of + timedelta(microseconds=1), as_of)


def find_again(connection: sa.Connection, kind: str, day: date, as_of: datetime) -> int:
    """Make the hits of a day anew; returns how many there are."""
    return find_between(connection, kind, *day_bounds(day), as_of)


def find_between(connection: sa.Connection, kind: str, start: datetime, end: datetime, as_of: datetime) -> int:
    """Make the hits of [start, end) anew, as far as they were usable at a moment; returns how many there are."""
    table, find = FINDERS[kind]
    return store_views(connection, table, start, end, _usable(find(connection, start, end), as_of))


def _usable(views: Sequence[View], as_of: datetime) -> list[View]:
    return [view for view in views if view.available_at <= as_of]
