"""Keeping `mentions` and `post_sentiments` in step with the posts: what each post names, and what it says.

A row is made of the post and of what was known when the post could be used, whenever it is made: today's tick and a
recomputation years later give the same.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.platform.bulk import driver
from metapulse_assets.platform.day_partitions import day_bounds, ensure_days, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.social import automation_signs, evidence_store, scam, sentiment, text_model
from metapulse_assets.social.mention_finding import Reading, read_post
from metapulse_assets.social.mention_resolving import Mention, TokenBook, resolve
from metapulse_assets.social.post_tables import post_engagement, social_posts
from metapulse_assets.social.tables import mentions, post_sentiments
from metapulse_assets.social.text_features import tokens_of

# Posts stored by a transaction that was open while the last tick read: looked for once more.
OVERLAP = timedelta(minutes=10)
# A tick reads posts of these last days; older ones, imported, are a backfill's.
TICK_REACH = timedelta(days=9)
REPETITION_SPAN = timedelta(hours=24)
Key = tuple[datetime, str, str]


@dataclass(frozen=True)
class Post:
    """What is looked at of a post."""

    observed_at: datetime
    platform: str
    post_id: str
    available_at: datetime
    recorded_at: datetime
    author_id: str
    author_name: str | None
    author_created_at: datetime | None
    text: str
    kind: str
    urls: Sequence[str]

    @property
    def key(self) -> Key:
        """What names the post."""
        return self.observed_at, self.platform, self.post_id


def find_new_mentions(connection: sa.Connection, now: datetime) -> int:
    """Mentions in the posts stored since the last call; returns how many were stored."""
    posts = _new_posts(connection, mentions.name, now)
    return _put(connection, mentions, {post.key for post in posts}, mention_rows(connection, posts))


def find_mentions_again(connection: sa.Connection, day: date) -> int:
    """Mentions in all posts of a day, in place of what is stored; returns how many rows changed."""
    posts = read_posts(connection, *day_bounds(day))
    return _put(connection, mentions, _stored_keys(connection, mentions, day), mention_rows(connection, posts))


def judge_new_posts(connection: sa.Connection, now: datetime) -> int:
    """Sentiment, scam and automation of the posts stored since the last call; returns how many were stored."""
    posts = _new_posts(connection, post_sentiments.name, now)
    return _put(connection, post_sentiments, {post.key for post in posts}, sentiment_rows(connection, posts))


def judge_again(connection: sa.Connection, day: date) -> int:
    """The same for all posts of a day, in place of what is stored; returns how many rows changed."""
    posts = read_posts(connection, *day_bounds(day))
    return _put(connection, post_sentiments, _stored_keys(connection, post_sentiments, day), sentiment_rows(connection, posts))


def read_posts(connection: sa.Connection, start: datetime, end: datetime, recorded_after: datetime | None = None) -> list[Post]:
    """Posts of a span, by time; `recorded_after`: only those stored later than that."""
    p = social_posts.c
    statement = sa.select(
        *(p.observed_at, p.platform, p.post_id, p.available_at, p.recorded_at, p.author_id, p.author_name),
        *(p.author_created_at, p.text, p.kind, p.urls),
    ).where(p.observed_at >= start, p.observed_at < end)
    if recorded_after is not None:
        statement = statement.where(p.recorded_at > recorded_after)
    return [Post(*row) for row in connection.execute(statement.order_by(p.observed_at, p.platform, p.post_id))]


def mention_rows(connection: sa.Connection, posts: Sequence[Post]) -> list[tuple[Any, ...]]:
    """The rows of `mentions` for these posts."""
    if not posts:
        return []
    book = TokenBook(evidence_store.known_tokens(connection, max(post.available_at for post in posts)))
    readings = [read_post(post.text, book.names, post.urls) for post in posts]
    wanted = _candidate_ids(readings, posts, book)
    market = evidence_store.market_sizes(
        connection, wanted, min(post.available_at for post in posts), max(post.available_at for post in posts)
    )
    rows: list[tuple[Any, ...]] = []
    for post, reading in zip(posts, readings, strict=True):
        found = resolve(reading, post.author_name, post.available_at, book, market.size_at)
        rows += [_mention_row(post, place, mention) for place, mention in enumerate(found)]
    return rows


def sentiment_rows(connection: sa.Connection, posts: Sequence[Post]) -> list[tuple[Any, ...]]:
    """The rows of `post_sentiments` for these posts."""
    if not posts:
        return []
    texts = [post.text for post in posts]
    judged, scams = sentiment.judge_sentiment(texts), scam.scam_probabilities(texts)
    tokens = [tokens_of(text) for text in texts]
    bots = _bot_likeness(connection, posts, tokens)
    version = f"{text_model.load(sentiment.MODEL).version} {text_model.load(scam.MODEL).version} signs-1"
    return [
        (
            *(post.observed_at, post.platform, post.post_id, post.available_at, _real(judged.score[i]), judged.label[i]),
            *(_real(judged.strength[i]), _real(judged.coverage[i]), _real(scams[i]), _real(bots[i])),
            *(automation_signs.text_key(tokens[i]), version),
        )
        for i, post in enumerate(posts)
    ]


def _new_posts(connection: sa.Connection, mark: str, now: datetime) -> list[Post]:
    """Posts stored since the mark; the mark is set behind them."""
    done = progress_of(connection, mark)
    after = done - OVERLAP if done else None
    posts = read_posts(connection, now - TICK_REACH, now + timedelta(days=1), after)
    through = max((post.recorded_at for post in posts), default=done)
    if through is not None:
        set_progress(connection, mark, max(through, done) if done else through)
    return posts


def _candidate_ids(readings: Iterable[Reading], posts: Iterable[Post], book: TokenBook) -> set[int]:
    """Tokens whose market may have to decide: those that tickers and names could mean."""
    return {
        token.token_id
        for reading, post in zip(readings, posts, strict=True)
        for found in reading.found
        if found.kind in ("cashtag", "hashtag", "name")
        for token in book.candidates(found, post.available_at)
    }


def _mention_row(post: Post, place: int, mention: Mention) -> tuple[Any, ...]:
    found = mention.found
    return (
        *(post.observed_at, post.platform, post.post_id, place, post.available_at, mention.token_id, found.kind, found.key),
        *(found.start, found.end, mention.resolution, list(mention.candidates) or None, _real(mention.confidence)),
    )


def _bot_likeness(connection: sa.Connection, posts: Sequence[Post], tokens: Sequence[list[str]]) -> automation_signs.Floats:
    first, last = posts[0].observed_at, max(post.observed_at for post in posts)
    own = {post.key: place for place, post in enumerate(posts)}
    around = read_posts(connection, first - REPETITION_SPAN, last + timedelta(microseconds=1))
    around_tokens = [tokens[own[post.key]] if post.key in own else tokens_of(post.text) for post in around]
    authors = {author: number for number, author in enumerate(sorted({post.author_id for post in around}))}
    seen = automation_signs.Seen(
        author=np.array([authors[post.author_id] for post in around], np.int64),
        text=np.array([automation_signs.text_key(words) for words in around_tokens], np.int64),
        observed=np.array([_microseconds(post.observed_at) for post in around], np.int64),
        available=np.array([_microseconds(post.available_at) for post in around], np.int64),
        long_enough=np.array([automation_signs.is_long_enough(words) for words in around_tokens], np.bool_),
        is_repost=np.array([post.kind == "repost" for post in around], np.bool_),
    )
    rows = np.array([place for place, post in enumerate(around) if post.key in own], np.intp)
    followers = _followers(connection, posts)
    known = [
        automation_signs.Author(
            around[row].author_name,
            _age(around[row]),
            followers.get(around[row].key),
        )
        for row in rows.tolist()
    ]
    tickers = [around_tokens[row].count("<ticker>") for row in rows.tolist()]
    result = np.empty(len(posts))
    result[[own[around[row].key] for row in rows.tolist()]] = automation_signs.bot_likeness(seen, rows, known, tickers)
    return result


def _age(post: Post) -> int | None:
    """How old its author's account was, microseconds."""
    return None if post.author_created_at is None else _microseconds(post.observed_at) - _microseconds(post.author_created_at)


def _followers(connection: sa.Connection, posts: Sequence[Post]) -> dict[Key, int]:
    """The followers of each post's author as read by the time the post could be used."""
    p, e = social_posts.c, post_engagement.c
    rows = connection.execute(
        sa.select(p.observed_at, p.platform, p.post_id, e.author_followers)
        .join(post_engagement, sa.and_(e.platform == p.platform, e.post_id == p.post_id, e.recorded_at <= p.available_at))
        .where(p.observed_at >= posts[0].observed_at, p.observed_at <= posts[-1].observed_at)
        .where(e.posted_at >= posts[0].observed_at, e.posted_at <= posts[-1].observed_at, e.author_followers.is_not(None))
        .order_by(e.recorded_at)
    )
    return {(row.observed_at, row.platform, row.post_id): row.author_followers for row in rows}


def _stored_keys(connection: sa.Connection, table: sa.Table, day: date) -> set[Key]:
    start, end = day_bounds(day)
    t = table.c
    rows = connection.execute(
        sa.select(t.observed_at, t.platform, t.post_id).distinct().where(t.observed_at >= start, t.observed_at < end)
    )
    return {(row.observed_at, row.platform, row.post_id) for row in rows}


def _put(connection: sa.Connection, table: sa.Table, keys: Collection[Key], rows: Sequence[tuple[Any, ...]]) -> int:
    """Make these posts' rows the given ones; posts whose rows are equal already stay untouched. Returns rows written."""
    keys = set(keys) | {row[:3] for row in rows}
    if not keys:
        return 0
    names = [column.name for column in table.columns]
    given = _by_post(rows)
    stored = _by_post(_stored_rows(connection, table, keys))
    changed = [key for key in keys if given.get(key, []) != stored.get(key, [])]
    outdated = [key for key in changed if key in stored]
    t = table.c
    for at in range(0, len(outdated), 1_000):
        connection.execute(
            sa.delete(table).where(sa.tuple_(t.observed_at, t.platform, t.post_id).in_(outdated[at : at + 1_000]))
        )
    new = [row for key in sorted(changed) for row in given.get(key, [])]
    if new:
        ensure_days(connection, table.name, {utc_day(row[0]) for row in new})
        with driver(connection).cursor().copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
            for row in new:
                copy.write_row(row)
    return len(new) + sum(len(stored[key]) for key in outdated if key not in given)


def _stored_rows(connection: sa.Connection, table: sa.Table, keys: Collection[Key]) -> list[tuple[Any, ...]]:
    t = table.c
    first, last = min(key[0] for key in keys), max(key[0] for key in keys)
    rows = connection.execute(
        sa.select(table).where(t.observed_at >= first, t.observed_at <= last).order_by(*table.primary_key.columns)
    )
    return [tuple(row) for row in rows if (row.observed_at, row.platform, row.post_id) in keys]


def _by_post(rows: Iterable[tuple[Any, ...]]) -> dict[Key, list[tuple[Any, ...]]]:
    found: dict[Key, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[:3], []).append(row)
    return found


def _real(value: float) -> float:
    """A number as a column of type real gives it back."""
    return float(str(np.float32(value)))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
