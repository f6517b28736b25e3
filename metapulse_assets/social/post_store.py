"""Reading and writing posts, how they were received, their counts, and the cursors of the questions that bring them.

A page of posts, the cursor that it moves and what it cost are written in one transaction: a stop in the middle neither loses a
post nor pays for one twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.market.token_store import latest_views
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.raw_payloads import store_payloads
from metapulse_assets.social.budget import cost_usd
from metapulse_assets.social.pass_store import bill, charge, count_posts
from metapulse_assets.social.post_tables import (
    billed_reads,
    post_counts,
    post_engagement,
    query_cursors,
    social_posts,
)
from metapulse_assets.social.query_building import TokenWords
from metapulse_assets.social.query_cursors import Cursor, Gap
from metapulse_assets.social.standing_questions import TOKENS
from metapulse_assets.vendors.x import VENDOR
from metapulse_assets.vendors.x_posts import Author, Bucket, Page, Post

# How far back the last counts of a post are looked for: X searches seven days.
REVISED_WITHIN = timedelta(days=8)
_ENGAGEMENT = ("likes", "replies", "reposts", "quotes", "impressions", "author_followers")


@dataclass(frozen=True)
class StoredPage:
    """What a page added."""

    read: int
    new: int
    revised: int
    cost_usd: float


def words_of_tracked(connection: sa.Connection, now: datetime) -> list[TokenWords]:
    """What the tracked tokens are called, and how much each was traded."""
    latest = latest_views(now).subquery()
    found = connection.execute(
        sa.select(tokens.c.token_id, tokens.c.chain, tokens.c.address, tokens.c.symbol, tokens.c.name, latest.c.volume_h24_usd)
        .join(tracked_tokens, tracked_tokens.c.token_id == tokens.c.token_id)
        .outerjoin(latest, latest.c.token_id == tokens.c.token_id)
        .where(tracked_tokens.c.active)
        .order_by(tokens.c.token_id)
    )
    return [TokenWords(row.token_id, row.chain, row.address, row.symbol, row.name, row.volume_h24_usd or 0.0) for row in found]


def load_cursors(connection: sa.Connection) -> list[Cursor]:
    """All standing questions, in a fixed order."""
    return [
        Cursor(
            row.query_key,
            row.query,
            tuple(row.members),
            row.newest_id,
            tuple(Gap(above, below) for above, below in row.gaps),
            row.checked_at,
        )
        for row in connection.execute(sa.select(query_cursors).order_by(query_cursors.c.query_key))
    ]


def save_cursor(connection: sa.Connection, cursor: Cursor, now: datetime) -> None:
    """Write down how far a question was read."""
    values = {
        "query": cursor.query,
        "members": list(cursor.members),
        "since_id": cursor.since_id,
        "newest_id": cursor.newest_id,
        "gaps": [[gap.above, gap.below] for gap in cursor.gaps],
        "checked_at": cursor.checked_at,
        "updated_at": now,
    }
    statement = insert(query_cursors).values(query_key=cursor.key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["query_key"], set_=values))


def forget_questions(connection: sa.Connection, standing: Collection[str]) -> None:
    """Delete the questions about tokens that no longer stand."""
    connection.execute(
        sa.delete(query_cursors).where(
            query_cursors.c.query_key.startswith(TOKENS, autoescape=True), query_cursors.c.query_key.not_in(standing)
        )
    )


def store_page(connection: sa.Connection, pass_id: int, page: Page[Post], source: str, now: datetime) -> StoredPage:
    """Store a page's bytes, its new posts and the counts that changed, and note what it cost."""
    payload_id = store_payloads(connection, [page.payload])[page.payload.sha256]
    new = _new_posts(connection, page.items)
    if new:
        ensure_days(connection, social_posts.name, {utc_day(post.created_at) for post in new})
        rows = [
            {**_post_row(post, page.authors.get(post.author_id), source, payload_id), "recorded_at": now, "available_at": now}
            for post in new
        ]
        connection.execute(insert(social_posts).on_conflict_do_nothing(), rows)
    revised = store_engagement(connection, page, payload_id, now)
    paid = bill(connection, pass_id, now, posts=page.ids, authors=page.authors)
    count_posts(connection, pass_id, len(page.items), len(new))
    return StoredPage(len(page.items), len(new), revised, paid)


def store_engagement(connection: sa.Connection, page: Page[Post], payload_id: int, now: datetime) -> int:
    """Store how posts were received where it differs from what is known; returns how many of those were known before."""
    known = _latest_engagement(connection, [post.id for post in page.items], now)
    rows = []
    for post in page.items:
        if post.metrics is None:
            continue
        author = page.authors.get(post.author_id)
        values: dict[str, Any] = {
            **post.metrics.model_dump(),
            # An account that did not come along is not known worse than before.
            "author_followers": author.metrics.followers if author else known.get(post.id, {}).get("author_followers"),
        }
        if known.get(post.id) != values:
            place = {"recorded_at": now, "platform": VENDOR, "post_id": post.id}
            rows.append({**place, "posted_at": post.created_at, "payload_id": payload_id, **values})
    if rows:
        ensure_days(connection, post_engagement.name, {utc_day(now)})
        connection.execute(insert(post_engagement).on_conflict_do_nothing(), rows)
    return sum(row["post_id"] in known for row in rows)


def store_counts(connection: sa.Connection, pass_id: int, topic: str, query: str, page: Page[Bucket], now: datetime) -> int:
    """Store the counts that differ from the last ones known, and note what they cost; returns how many rows were added."""
    payload_id = store_payloads(connection, [page.payload])[page.payload.sha256]
    charge(connection, pass_id, cost_usd(counts=1))
    c = post_counts.c
    known = {
        row.bucket_start: (row.bucket_end, row.posts)
        for row in connection.execute(
            sa.select(c.bucket_start, c.bucket_end, c.posts)
            .ext(distinct_on(c.bucket_start))
            .where(c.platform == VENDOR, c.topic == topic, c.bucket_start.in_([bucket.start for bucket in page.items]))
            .order_by(c.bucket_start, c.recorded_at.desc())
        )
    }
    changed = [bucket for bucket in page.items if known.get(bucket.start) != (bucket.end, bucket.posts)]
    if changed:
        ensure_days(connection, post_counts.name, {utc_day(bucket.start) for bucket in changed})
        rows = [
            {
                "bucket_start": bucket.start,
                "platform": VENDOR,
                "topic": topic,
                "recorded_at": now,
                "bucket_end": bucket.end,
                "query": query,
                "posts": bucket.posts,
                "payload_id": payload_id,
            }
            for bucket in changed
        ]
        connection.execute(insert(post_counts).on_conflict_do_nothing(), rows)
    return len(changed)


def last_counted(connection: sa.Connection, topics: Sequence[str], now: datetime) -> dict[str, datetime]:
    """When each topic was last counted, of late."""
    c = post_counts.c
    return {
        row.topic: row.recorded_at
        for row in connection.execute(
            sa.select(c.topic, sa.func.max(c.recorded_at).label("recorded_at"))
            .where(c.platform == VENDOR, c.topic.in_(topics), c.bucket_start >= now - timedelta(days=1))
            .group_by(c.topic)
        )
    }


def posts_to_revise(connection: sa.Connection, now: datetime, age: timedelta, at_least: timedelta, most: int) -> list[str]:
    """Posts paid for on this UTC day, so that looking again is free: younger than `age`, not looked at for `at_least`.

    The best received come first.
    """
    e = post_engagement.c
    latest = (
        sa.select(e.post_id, e.recorded_at, (e.likes + e.reposts + e.replies + e.quotes).label("reactions"))
        .ext(distinct_on(e.post_id))
        .where(e.platform == VENDOR, e.recorded_at > now - age, e.posted_at > now - age)
        .order_by(e.post_id, e.recorded_at.desc())
        .subquery()
    )
    paid = sa.select(billed_reads.c.resource_id).where(
        billed_reads.c.day == utc_day(now), billed_reads.c.platform == VENDOR, billed_reads.c.resource == "post"
    )
    return list(
        connection.execute(
            sa.select(latest.c.post_id)
            .where(latest.c.recorded_at <= now - at_least, latest.c.post_id.in_(paid))
            .order_by(latest.c.reactions.desc(), latest.c.post_id)
            .limit(most)
        ).scalars()
    )


def _new_posts(connection: sa.Connection, posts: Sequence[Post]) -> list[Post]:
    if not posts:
        return []
    times = [post.created_at for post in posts]
    known = set(
        connection.execute(
            sa.select(social_posts.c.post_id).where(
                social_posts.c.observed_at.between(min(times), max(times)),
                social_posts.c.platform == VENDOR,
                social_posts.c.post_id.in_([post.id for post in posts]),
            )
        ).scalars()
    )
    return [post for post in posts if post.id not in known]


def _post_row(post: Post, author: Author | None, source: str, payload_id: int) -> dict[str, Any]:
    return {
        "observed_at": post.created_at,
        "platform": VENDOR,
        "post_id": post.id,
        "payload_id": payload_id,
        "author_id": post.author_id,
        "author_name": author.username if author else None,
        "author_created_at": author.created_at if author else None,
        "text": post.text,
        "lang": post.lang,
        "kind": post.kind,
        "referenced_id": post.referenced_id,
        "cashtags": [tag.tag for tag in post.entities.cashtags],
        "hashtags": [tag.tag for tag in post.entities.hashtags],
        "urls": [url.target for url in post.entities.urls],
        "source": source,
    }


def _latest_engagement(connection: sa.Connection, ids: Sequence[str], now: datetime) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    e = post_engagement.c
    found = connection.execute(
        sa.select(e.post_id, *(e[name] for name in _ENGAGEMENT))
        .ext(distinct_on(e.post_id))
        .where(e.recorded_at > now - REVISED_WITHIN, e.platform == VENDOR, e.post_id.in_(ids))
        .order_by(e.post_id, e.recorded_at.desc())
    )
    return {row.post_id: {name: getattr(row, name) for name in _ENGAGEMENT} for row in found}
