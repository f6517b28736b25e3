"""The database as it was at a moment: temporary tables that stand before the real ones and hold only what could be used then.

PostgreSQL looks for an unqualified table among the session's temporary ones first. So the very code that fills the real
tables, run on such a connection, sees nothing from after the moment, and what it writes goes nowhere.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.indicators.tables import indicator_chains, indicator_states, technical_analyses
from metapulse_assets.intelligence.tables import ai_analyses, ai_answers, ai_requests
from metapulse_assets.market.tables import candles, token_metrics
from metapulse_assets.platform.tables import progress_marks
from metapulse_assets.risk.tables import risk_assessments, token_security
from metapulse_assets.signals.tables import SOURCES, signals
from metapulse_assets.social.post_tables import collection_passes, post_engagement, social_posts
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics

DERIVED = (
    *(technical_analyses, indicator_states, indicator_chains, risk_assessments, social_metrics, ai_analyses),
    *(*SOURCES.values(), progress_marks),
)
"""Tables that are made anew, and so begin empty."""


@dataclass(frozen=True)
class Cut:
    """What is to be seen: rows usable by `moment`, of one token where a table knows tokens one by one.

    `since` is how far back candles of each timeframe go, and `memory` how far everything else does. Posts, and what models
    were asked, are shown only where `talk` and `models` say so: they are many.
    """

    moment: datetime
    token_id: int
    since: Mapping[str, datetime]
    memory: timedelta
    talk: bool
    models: bool
    without_signal: str


Condition = Callable[[Cut], sa.ColumnElement[bool]]


def _candles(cut: Cut) -> sa.ColumnElement[bool]:
    c = candles.c
    reach = [sa.and_(c.timeframe == name, c.opened_at >= since) for name, since in cut.since.items()]
    return sa.and_(c.token_id == cut.token_id, c.available_at <= cut.moment, sa.or_(*reach) if reach else sa.false())


def _snapshots(cut: Cut) -> sa.ColumnElement[bool]:
    m = token_metrics.c
    return sa.and_(m.token_id == cut.token_id, m.recorded_at <= cut.moment, m.observed_at >= cut.moment - cut.memory)


def _security(cut: Cut) -> sa.ColumnElement[bool]:
    s = token_security.c
    return sa.and_(s.token_id == cut.token_id, s.available_at <= cut.moment)


def _posts(table: sa.Table) -> Condition:
    # Dominance and trends weigh a token against all others, so these are seen whole.
    def seen(cut: Cut) -> sa.ColumnElement[bool]:
        t = table.c
        return sa.and_(sa.literal(cut.talk), t.available_at <= cut.moment, t.observed_at >= cut.moment - cut.memory)

    return seen


def _engagement(cut: Cut) -> sa.ColumnElement[bool]:
    e = post_engagement.c
    return sa.and_(sa.literal(cut.talk), e.recorded_at <= cut.moment, e.posted_at >= cut.moment - cut.memory)


def _passes(cut: Cut) -> sa.ColumnElement[bool]:
    p = collection_passes.c
    return sa.and_(sa.literal(cut.talk), p.finished_at <= cut.moment, p.finished_at >= cut.moment - cut.memory)


def _requests(cut: Cut) -> sa.ColumnElement[bool]:
    r = ai_requests.c
    of_token = sa.and_(r.token_id == cut.token_id, r.recorded_at <= cut.moment)
    return sa.and_(sa.literal(cut.models), of_token, r.as_of >= cut.moment - cut.memory, r.as_of <= cut.moment)


def _answers(cut: Cut) -> sa.ColumnElement[bool]:
    a = ai_answers.c
    return sa.and_(sa.literal(cut.models), a.recorded_at <= cut.moment, a.recorded_at >= cut.moment - cut.memory)


def _signals(cut: Cut) -> sa.ColumnElement[bool]:
    s = signals.c
    return sa.and_(s.token_id == cut.token_id, s.emitted_at <= cut.moment, s.signal_id != cut.without_signal)


CUT: Mapping[sa.Table, Condition] = {
    candles: _candles,
    token_metrics: _snapshots,
    token_security: _security,
    social_posts: _posts(social_posts),
    mentions: _posts(mentions),
    post_sentiments: _posts(post_sentiments),
    post_engagement: _engagement,
    collection_passes: _passes,
    ai_requests: _requests,
    ai_answers: _answers,
    signals: _signals,
}
"""What each table of facts shows at a moment."""


class TimeMachine:
    """A connection on which time can be set back. Made by `time_machine`."""

    def __init__(self, connection: sa.Connection) -> None:
        """Put empty temporary tables before all tables that depend on time."""
        self.connection = connection
        for table in (*CUT, *DERIVED):
            connection.execute(
                sa.text(f'CREATE TEMP TABLE "{table.name}" (LIKE public."{table.name}" INCLUDING ALL) ON COMMIT DROP')
            )

    def go_to(self, cut: Cut) -> None:
        """Fill the tables with what could be used at a moment."""
        names = ", ".join(f'pg_temp."{table.name}"' for table in (*CUT, *DERIVED))
        self.connection.execute(sa.text(f"TRUNCATE {names}"))
        for table, condition in CUT.items():
            real = in_public(table)
            shown = sa.select(real).where(_of(real, table, condition(cut)))
            self.connection.execute(sa.insert(table).from_select([column.name for column in table.columns], shown))


@contextmanager
def time_machine(engine: sa.Engine) -> Iterator[TimeMachine]:
    """A connection whose tables can be set back to a moment; everything done on it is undone at the end."""
    with engine.connect() as connection, connection.begin() as transaction:
        try:
            yield TimeMachine(connection)
        finally:
            transaction.rollback()


def in_public(table: sa.Table) -> sa.Table:
    """The real table, named with its schema so that no temporary one stands before it."""
    return table.to_metadata(sa.MetaData(), schema="public")


def _of(real: sa.Table, table: sa.Table, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """A condition on a table, said of its namesake."""

    def swap(element: Any, **_: Any) -> Any:
        if isinstance(element, sa.Column) and element.table is table:
            return real.c[element.name]
        return None

    return sa.sql.visitors.replacement_traverse(condition, {}, swap)
