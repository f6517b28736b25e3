"""Tokens, posts, engagement and passes put into a database directly, and rows read back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.market.tables import pools, token_metrics, tokens
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.social import metrics_store, reading_store
from metapulse_assets.social.post_tables import collection_passes, post_engagement, social_posts

DAY = datetime(2026, 11, 20, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LONG_AGO = DAY - timedelta(days=60)
TABLES = ("mentions", "post_sentiments", "social_metrics", "trending_topics")


@dataclass(frozen=True)
class PostRow:
    """A post as a test writes it."""

    post_id: str
    at: datetime
    text: str
    author: str = "a1"
    delay: timedelta = timedelta(minutes=2)
    name: str | None = "somebody"
    created: datetime | None = LONG_AGO
    kind: str = "post"
    urls: Sequence[str] = field(default=())


def add_posts(connection: sa.Connection, rows: Iterable[PostRow]) -> None:
    """Posts, usable `delay` after they were written."""
    posts = list(rows)
    if not posts:
        return
    ensure_days(connection, social_posts.name, {utc_day(post.at) for post in posts})
    connection.execute(
        sa.insert(social_posts),
        [
            {
                "observed_at": post.at,
                "platform": "x",
                "post_id": post.post_id,
                "recorded_at": post.at + post.delay,
                "available_at": post.at + post.delay,
                "author_id": post.author,
                "author_name": post.name,
                "author_created_at": post.created,
                "text": post.text,
                "kind": post.kind,
                "cashtags": [],
                "hashtags": [],
                "urls": list(post.urls),
                "source": "test",
            }
            for post in posts
        ],
    )


def add_engagement(connection: sa.Connection, post: PostRow, at: datetime, likes: int, followers: int | None) -> None:
    """A reading of how a post was received."""
    ensure_days(connection, post_engagement.name, {utc_day(at)})
    connection.execute(
        sa.insert(post_engagement).values(
            recorded_at=at,
            platform="x",
            post_id=post.post_id,
            posted_at=post.at,
            likes=likes,
            replies=0,
            reposts=0,
            quotes=0,
            author_followers=followers,
        )
    )


def add_pass(connection: sa.Connection, finished_at: datetime, status: str = "complete", **values: Any) -> None:
    """A pass that ended."""
    required = {"budget_usd": 1.0, "requests": 1}
    connection.execute(
        sa.insert(collection_passes).values(
            platform="x", started_at=finished_at - MINUTE, finished_at=finished_at, status=status, **{**required, **values}
        )
    )


def add_token(
    connection: sa.Connection,
    symbol: str,
    name: str,
    address: str,
    chain: str = "solana",
    since: datetime = LONG_AGO,
    pool: str | None = None,
) -> int:
    """A token, known since then, with a pool as old if one is named."""
    statement = sa.insert(tokens).values(chain=chain, address=address, symbol=symbol, name=name, first_recorded_at=since)
    token_id: int = connection.execute(statement.returning(tokens.c.token_id)).scalar_one()
    if pool:
        connection.execute(
            sa.insert(pools).values(
                token_id=token_id, chain=chain, address=pool, dex="raydium", created_at=since, first_recorded_at=since
            )
        )
    return token_id


def add_market(connection: sa.Connection, token_id: int, at: datetime, volume: float, liquidity: float | None) -> None:
    """A snapshot of a token's market, usable at once."""
    ensure_days(connection, token_metrics.name, {utc_day(at)})
    connection.execute(
        sa.insert(token_metrics).values(
            observed_at=at,
            recorded_at=at,
            token_id=token_id,
            pool_id=1,
            price_usd=1.0,
            volume_h24_usd=volume,
            liquidity_usd=liquidity,
        )
    )


def recompute(engine: sa.Engine, day: date, now: datetime) -> int:
    """Everything of a day made anew; returns how many rows changed."""
    with engine.begin() as connection:
        changed = reading_store.find_mentions_again(connection, day) + reading_store.judge_again(connection, day)
    with engine.begin() as connection:
        changed += metrics_store.make_metrics_again(connection, day, now) + metrics_store.make_topics_again(
            connection, day, now
        )
    return changed


def tick(engine: sa.Engine, now: datetime) -> None:
    """What a tick does, step by step."""
    for step in (
        reading_store.find_new_mentions,
        reading_store.judge_new_posts,
        metrics_store.add_metrics,
        metrics_store.add_topics,
    ):
        with engine.begin() as connection:
            step(connection, now)


def rows(engine: sa.Engine, table: str, where: str = "true") -> list[Mapping[str, Any]]:
    """Rows of a table in the order of its key."""
    order = {"mentions": "1, 3, 4", "post_sentiments": "1, 3", "social_metrics": "1, 2", "trending_topics": "1, rank"}[table]
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {table} WHERE {where} ORDER BY {order}"))
        return [dict(row) for row in found.mappings()]
