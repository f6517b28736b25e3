"""Whether what posts say was read whole: ranges, known tokens, every post judged, shares that add up, ranks in order."""

from datetime import datetime

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.progress import progress_of
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics, trending_topics

# Shares are stored as real numbers: their sum may be off by rounding.
ROUNDING = 1e-4


def _of_known_tokens(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each mention that means a token means one that is stored, and that was among its candidates."""
    m = mentions.c
    in_span = sa.and_(m.observed_at >= start, m.observed_at < end, m.token_id.is_not(None))
    total = connection.execute(sa.select(sa.func.count()).where(in_span)).scalar_one()
    known = sa.exists().where(tokens.c.token_id == m.token_id)
    unknown = connection.execute(sa.select(sa.func.count()).where(in_span, sa.not_(known))).scalar_one()
    uncalled = connection.execute(
        sa.select(sa.func.count()).where(in_span, sa.not_(sa.func.coalesce(m.token_id == sa.func.any(m.candidates), False)))
    ).scalar_one()
    return Finding(
        unknown == 0 and uncalled == 0,
        {"mentions of tokens": total, "of tokens not stored": unknown, "of tokens that were no candidates": uncalled},
    )


def _every_post_judged(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each post that the last tick could see has its row, and no row is without its post."""
    p, s = social_posts.c, post_sentiments.c
    done = progress_of(connection, post_sentiments.name)
    posts = sa.and_(p.observed_at >= start, p.observed_at < end)
    if done is not None:
        # What was recorded since is the next tick's.
        posts = sa.and_(posts, p.recorded_at <= done)
    judged = sa.exists().where(s.observed_at == p.observed_at, s.platform == p.platform, s.post_id == p.post_id)
    exists = sa.exists().where(s.observed_at == p.observed_at, s.platform == p.platform, s.post_id == p.post_id)
    total = connection.execute(sa.select(sa.func.count()).select_from(social_posts).where(posts)).scalar_one()
    missing = connection.execute(
        sa.select(sa.func.count()).select_from(social_posts).where(posts, sa.not_(judged))
    ).scalar_one()
    orphans = connection.execute(
        sa.select(sa.func.count())
        .select_from(post_sentiments)
        .where(s.observed_at >= start, s.observed_at < end, sa.not_(exists.correlate(post_sentiments)))
    ).scalar_one()
    return Finding(missing == 0 and orphans == 0, {"posts": total, "not judged": missing, "judged without a post": orphans})


def _dominance_adds_up(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """At no moment do the tokens' shares exceed the whole."""
    m = social_metrics.c
    sums = (
        sa.select(m.as_of, m.platform, sa.func.sum(m.dominance).label("whole"))
        .where(m.as_of >= start, m.as_of < end)
        .group_by(m.as_of, m.platform)
        .subquery()
    )
    row = connection.execute(
        sa.select(
            sa.func.count().label("moments"), sa.func.count().filter(sums.c.whole > 1 + ROUNDING).label("over")
        ).select_from(sums)
    ).one()
    return Finding(row.over == 0, {"moments": row.moments, "with more than the whole": row.over})


def _hour_within_day(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """The last hour's counts do not exceed those of the 24 hours that hold it."""
    m = social_metrics.c
    in_span = sa.and_(m.as_of >= start, m.as_of < end)
    broken = sa.or_(
        m.authors_1h > m.authors_24h,
        m.unique_posts_1h > m.authors_1h,
        m.authors_1h > m.mentions_1h,
        m.hashtags_1h > m.authors_1h,
    )
    total = connection.execute(sa.select(sa.func.count()).where(in_span)).scalar_one()
    wrong = connection.execute(sa.select(sa.func.count()).where(in_span, broken)).scalar_one()
    return Finding(wrong == 0, {"rows": total, "with more in a part than in the whole": wrong})


def _ranks_in_order(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """At each moment the ranks are 1, 2, 3, … and follow the number of authors."""
    t = trending_topics.c
    of_moment = (t.as_of, t.platform)
    placed = (
        sa.select(
            t.rank,
            t.authors,
            sa.func.row_number().over(partition_by=of_moment, order_by=t.rank).label("place"),
            sa.func.lag(t.authors).over(partition_by=of_moment, order_by=t.rank).label("above"),
        )
        .where(t.as_of >= start, t.as_of < end)
        .subquery()
    )
    wrong = sa.or_(placed.c.rank != placed.c.place, placed.c.authors > placed.c.above)
    row = connection.execute(
        sa.select(sa.func.count().label("topics"), sa.func.count().filter(wrong).label("wrong")).select_from(placed)
    ).one()
    return Finding(row.wrong == 0, {"topics": row.topics, "out of order": row.wrong})


def social_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of what posts say."""
    return [
        checks_of(
            mentions,
            [
                values_check(mentions, "observed_at"),
                TableCheck("of_known_tokens", "Mentions mean stored tokens that they could mean.", _of_known_tokens),
            ],
        ),
        checks_of(
            post_sentiments,
            [
                values_check(post_sentiments, "observed_at"),
                TableCheck("every_post_judged", "Every post is judged, and nothing else.", _every_post_judged),
            ],
        ),
        checks_of(
            social_metrics,
            [
                values_check(social_metrics, "as_of"),
                TableCheck("dominance_adds_up", "The tokens' shares do not exceed the whole.", _dominance_adds_up),
                TableCheck("hour_within_day", "No part holds more than its whole.", _hour_within_day),
            ],
        ),
        checks_of(
            trending_topics,
            [
                values_check(trending_topics, "as_of"),
                TableCheck("ranks_in_order", "Ranks are unique, whole and in order.", _ranks_in_order),
            ],
        ),
    ]
