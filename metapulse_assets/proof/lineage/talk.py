"""Social hits: the metrics a rule read, the mentions behind them, the posts, and the answers these were read from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.proof.lineage.hits import stored_hit
from metapulse_assets.proof.lineage.links import Link, differing, missing
from metapulse_assets.proof.lineage.payloads import payload_links
from metapulse_assets.proof.lineage.rereading import POST_COLUMNS, posts_unlike_bytes
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics

SHOWN_POSTS = 5
WINDOW = timedelta(hours=24)
LONGEST_TEXT = 140


def social_hit_link(connection: sa.Connection, token_id: int, timeframe: str, rule: str, opened_at: datetime) -> Link:
    """A hit of a social rule, and the metrics of its moment."""
    key = f"{rule} {opened_at.isoformat()}"
    hit = stored_hit(connection, "social", token_id, timeframe, rule, opened_at)
    if hit is None:
        return missing("social hit", key)
    return Link(
        "social hit",
        key,
        {"direction": hit.direction, "strength": hit.strength, "confidence": hit.confidence} | hit.inputs,
        parts=[metrics_link(connection, token_id, opened_at, hit.inputs)],
    )


def metrics_link(connection: sa.Connection, token_id: int, as_of: datetime, read: dict[str, Any]) -> Link:
    """A token's social metrics of a moment, the values read from them, and the posts that they count."""
    m = social_metrics.c
    row = connection.execute(sa.select(social_metrics).where(m.token_id == token_id, m.as_of == as_of)).one_or_none()
    if row is None:
        return missing("social metrics", as_of.isoformat())
    stored = dict(row._mapping)
    return Link(
        "social metrics",
        as_of.isoformat(),
        {name: stored.get(name) for name in read} | {"mentions_24h": row.mentions_24h, "authors_24h": row.authors_24h},
        broken=differing(read, stored),
        parts=[_posts_link(connection, token_id, as_of, row.mentions_24h)],
    )


def _posts_link(connection: sa.Connection, token_id: int, as_of: datetime, counted: int) -> Link:
    rows = _mentioned(connection, token_id, as_of)
    posts = [row for row in rows if row.text is not None]
    link = Link("posts", f"{len(rows)} within 24 h", {"mentions": len(rows)})
    if lost := len(rows) - len(posts):
        link.broken.append(f"{lost} posts that are mentioned are not stored (any more)")
    if len(rows) < counted:
        link.broken.append(f"{counted} were counted")
    link.parts = [_post_link(row) for row in posts[:SHOWN_POSTS]]
    _add_bytes(connection, link, posts)
    return link


def shown_posts_link(connection: sa.Connection, as_of: datetime, post_ids: Sequence[str]) -> Link:
    """The posts of which a model was asked, by their ids, and the answers that they were read from."""
    p = social_posts.c
    rows = connection.execute(
        sa.select(p.post_id, p.payload_id, *(p[name] for name in POST_COLUMNS))
        .where(p.post_id.in_(post_ids), p.observed_at > as_of - WINDOW, p.observed_at <= as_of)
        .order_by(p.observed_at.desc(), p.post_id)
    ).all()
    link = Link("posts", f"{len(post_ids)} shown to the models", {"stored": len(rows)})
    if len(rows) < len(set(post_ids)):
        link.broken.append(f"{len(set(post_ids)) - len(rows)} of them are not stored (any more)")
    _add_bytes(connection, link, rows)
    return link


def _add_bytes(connection: sa.Connection, link: Link, posts: Sequence[Any]) -> None:
    unlike = posts_unlike_bytes(connection, posts)
    link.broken += [f"post {post_id}: {problem}" for post_id, problems in unlike.items() for problem in problems]
    link.parts += payload_links(connection, [row.payload_id for row in posts])
    if any(row.payload_id is None for row in posts):
        link.broken.append("a post names no payload")


def _mentioned(connection: sa.Connection, token_id: int, as_of: datetime) -> Sequence[Any]:
    """The posts that mention a token in the day before a moment, newest first, each once; without text where it is gone."""
    n, p, s = mentions.c, social_posts.c, post_sentiments.c
    named = (
        sa.select(n.observed_at, n.platform, n.post_id, sa.func.min(n.resolution).label("resolution"))
        .where(n.token_id == token_id, n.observed_at > as_of - WINDOW, n.observed_at <= as_of, n.available_at <= as_of)
        .group_by(n.observed_at, n.platform, n.post_id)
        .subquery()
    )

    def same(other: Any) -> sa.ColumnElement[bool]:
        return sa.and_(
            other.observed_at == named.c.observed_at,
            other.platform == named.c.platform,
            other.post_id == named.c.post_id,
        )

    statement = (
        sa.select(
            *(named.c.observed_at, named.c.post_id, named.c.resolution),
            *(p[name] for name in POST_COLUMNS if name != "observed_at"),
            *(p.author_name, p.payload_id, s.score, s.scam_probability, s.bot_likeness),
        )
        .select_from(named.outerjoin(social_posts, same(p)).outerjoin(post_sentiments, same(s)))
        .order_by(named.c.observed_at.desc(), named.c.post_id)
    )
    return connection.execute(statement).all()


def _post_link(row: Any) -> Link:
    text = " ".join(row.text.split())
    return Link(
        "post",
        row.post_id,
        {
            "observed_at": row.observed_at,
            "author": row.author_name,
            "text": text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…",
            "names the token by": row.resolution,
            "sentiment": row.score,
            "scam": row.scam_probability,
            "bot": row.bot_likeness,
        },
        broken=[] if row.score is not None else ["its sentiment is not stored (any more)"],
    )
