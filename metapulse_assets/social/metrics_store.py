"""Keeping `social_metrics` and `trending_topics` in step: which moments have rows, what they are made of, writing them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.platform.bulk import Array, Columns, Labels, read_columns, replace_rows, write_columns
from metapulse_assets.platform.day_partitions import day_bounds, day_start, ensure_days, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.social.automation_signs import BOT_CUT
from metapulse_assets.social.moment_figures import Collected, Reception, token_rows, topic_rows
from metapulse_assets.social.post_tables import collection_passes, post_engagement, social_posts
from metapulse_assets.social.scam import SCAM_CUT
from metapulse_assets.social.social_figures import LOOKBACK_HOURS
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics, trending_topics
from metapulse_assets.social.voices import Voices

PLATFORM = "x"
GRID = timedelta(minutes=10)
LOOKBACK = timedelta(hours=LOOKBACK_HOURS)
# A pass that was broken off before it read anything has nothing to say, and its silence is no zero.
USEFUL = ("complete", "partial", "budget_spent")
TOPIC_KINDS = ("cashtag", "hashtag", "name")


@dataclass(frozen=True)
class Material:
    """What the rows of some moments are made of. `subjects`: token ids, or topics as places in `names`."""

    voices: Voices
    subjects: Array
    reception: Reception
    collected: Collected
    names: tuple[str, ...] = ()


MakeRows = Callable[[Voices, Array, Reception, Collected, int], Columns]


def add_metrics(connection: sa.Connection, now: datetime) -> int:
    """Rows of `social_metrics` for the passes finished since the last call."""
    return _add(connection, social_metrics, now, _token_material, token_rows)


def make_metrics_again(connection: sa.Connection, day: date, now: datetime) -> int:
    """Rows of `social_metrics` of a day, in place of what is stored; returns how many changed."""
    return _make_again(connection, social_metrics, day, now, _token_material, token_rows)


def make_metrics_at(connection: sa.Connection, moments: Sequence[datetime]) -> int:
    """Rows of `social_metrics` of single moments, ascending, where there are none yet; returns how many."""
    if not moments:
        return 0
    ensure_days(connection, social_metrics.name, {utc_day(moment) for moment in moments})
    return write_columns(connection, social_metrics, _columns(connection, social_metrics, moments, _token_material, token_rows))


def add_topics(connection: sa.Connection, now: datetime) -> int:
    """Rows of `trending_topics` for the passes finished since the last call."""
    return _add(connection, trending_topics, now, _topic_material, topic_rows)


def make_topics_again(connection: sa.Connection, day: date, now: datetime) -> int:
    """Rows of `trending_topics` of a day, in place of what is stored; returns how many changed."""
    return _make_again(connection, trending_topics, day, now, _topic_material, topic_rows)


def moments_of_day(connection: sa.Connection, day: date, now: datetime) -> list[datetime]:
    """The moments of a day that have rows: ends of passes; every ten minutes of a past day that had none."""
    start, end = day_bounds(day)
    passes = _passes(connection, start - timedelta(microseconds=1), min(end - timedelta(microseconds=1), now))
    if passes or utc_day(now) <= day:
        return passes
    return [start + step * GRID for step in range(timedelta(days=1) // GRID)]


def _add(connection: sa.Connection, table: sa.Table, now: datetime, read: Callable[..., Material], make: MakeRows) -> int:
    done = progress_of(connection, table.name) or day_start(utc_day(now)) - timedelta(microseconds=1)
    moments = _passes(connection, done, now)
    if not moments:
        return 0
    set_progress(connection, table.name, moments[-1])
    columns = _columns(connection, table, moments, read, make)
    ensure_days(connection, table.name, {utc_day(moment) for moment in moments})
    return write_columns(connection, table, columns, conflict="replace_changed")


def _make_again(
    connection: sa.Connection, table: sa.Table, day: date, now: datetime, read: Callable[..., Material], make: MakeRows
) -> int:
    start, end = day_bounds(day)
    ensure_days(connection, table.name, {day})
    columns = _columns(connection, table, moments_of_day(connection, day, now), read, make)
    return replace_rows(connection, table, columns, sa.and_(table.c.as_of >= start, table.c.as_of < end))


def _columns(
    connection: sa.Connection, table: sa.Table, moments: Sequence[datetime], read: Callable[..., Material], make: MakeRows
) -> dict[str, Any]:
    """The rows of some moments as columns of the table."""
    parts: list[Columns] = []
    names: tuple[str, ...] = ()
    if moments:
        material = read(connection, moments[0] - LOOKBACK, moments[-1])
        names = material.names
        for moment in moments:
            at = np.datetime64(moment.replace(tzinfo=None), "us")
            rows = make(material.voices, material.subjects, material.reception, material.collected, int(at.astype(np.int64)))
            parts.append({"as_of": np.full(len(rows["mentions_1h"]), at), **rows})
    columns: dict[str, Any] = {}
    for column in (column.name for column in table.columns if column.name not in ("platform", "available_at")):
        kept = [part[column] for part in parts if len(part["as_of"])]
        columns[column] = np.concatenate(kept) if kept else np.zeros(0, "datetime64[us]" if column == "as_of" else np.int64)
    if "topic" in columns:
        used, codes = np.unique(columns["topic"], return_inverse=True)
        columns["topic"] = Labels(codes.astype(np.int16), tuple(names[int(place)] for place in used) or ("",))
    return {**columns, "available_at": columns["as_of"], "platform": PLATFORM}


def _passes(connection: sa.Connection, after: datetime, until: datetime) -> list[datetime]:
    """When the useful passes of a span ended, ascending."""
    c = collection_passes.c
    rows = connection.execute(
        sa.select(c.finished_at)
        .where(c.platform == PLATFORM, c.finished_at > after, c.finished_at <= until, c.status.in_(USEFUL))
        # One that asked nothing, for want of money, heard nothing: its silence is no zero.
        .where(c.requests > 0)
        .distinct()
        .order_by(c.finished_at)
    )
    return [row.finished_at for row in rows]


def _token_material(connection: sa.Connection, start: datetime, end: datetime) -> Material:
    rows = _voice_rows(connection, start, end, mentions.c.token_id, mentions.c.token_id.is_not(None))
    subjects, places = np.unique(rows["subject"], return_inverse=True)
    return Material(_voices(rows, places), subjects, _reception(connection, start, end), _collected(connection, start, end))


def _topic_material(connection: sa.Connection, start: datetime, end: datetime) -> Material:
    m = mentions.c
    topic = sa.func.hashtextextended(m.matched, 0, type_=sa.BigInteger)
    rows = _voice_rows(connection, start, end, topic, m.kind.in_(TOPIC_KINDS))
    named = connection.execute(
        sa.select(m.matched, topic.label("number"))
        .where(m.observed_at > start, m.observed_at <= end, m.kind.in_(TOPIC_KINDS))
        .distinct()
    )
    by_number = {row.number: row.matched for row in named}
    names = tuple(sorted(by_number.values()))
    place_of = {name: place for place, name in enumerate(names)}
    numbers, places = np.unique(rows["subject"], return_inverse=True)
    # Subjects in the order of their names, so that ties are broken alike whatever else was read.
    to_place = np.array([place_of[by_number[int(number)]] for number in numbers], np.int64)
    subjects = np.arange(len(names), dtype=np.int64)
    voices = _voices(rows, to_place[places] if len(numbers) else places)
    return Material(voices, subjects, _reception(connection, start, end), _collected(connection, start, end), names)


def _voice_rows(
    connection: sa.Connection, start: datetime, end: datetime, subject: sa.ColumnElement[Any], which: sa.ColumnElement[bool]
) -> Columns:
    """One row a post and subject."""
    m, p, s = mentions.c, social_posts.c, post_sentiments.c
    named = (
        sa.select(
            *(m.observed_at, m.platform, m.post_id, subject.label("subject")),
            sa.func.max(sa.func.coalesce(m.token_id, -1)).label("meaning"),
            sa.func.bool_or(m.kind == "hashtag", type_=sa.Boolean).label("tagged"),
        )
        .where(m.observed_at > start, m.observed_at <= end, m.platform == PLATFORM, which)
        .group_by(m.observed_at, m.platform, m.post_id, subject)
        .subquery()
    )
    same_post = sa.and_(p.observed_at == named.c.observed_at, p.platform == named.c.platform, p.post_id == named.c.post_id)
    judged = sa.and_(s.observed_at == named.c.observed_at, s.platform == named.c.platform, s.post_id == named.c.post_id)
    number = sa.BigInteger
    return read_columns(
        connection,
        sa.select(
            sa.cast(named.c.subject, number).label("subject"),
            sa.func.hashtextextended(p.author_id, 0, type_=number).label("author"),
            p.observed_at.label("observed"),
            sa.func.hashtextextended(p.post_id, 0, type_=number).label("post"),
            sa.cast(named.c.meaning, number).label("meaning"),
            p.available_at.label("available"),
            s.text_key.label("text"),
            sa.cast(s.score, sa.Double).label("score"),
            (s.bot_likeness >= BOT_CUT).label("automated"),
            (s.scam_probability >= SCAM_CUT).label("scam"),
            named.c.tagged.label("tagged"),
        )
        .select_from(named)
        .join(social_posts, same_post)
        .join(post_sentiments, judged)
        .where(p.observed_at > start, p.observed_at <= end, s.observed_at > start, s.observed_at <= end),
    )


def _voices(rows: Columns, places: Array) -> Voices:
    columns = {**rows, "subject": places.astype(np.int64)}
    for name in ("observed", "available"):
        columns[name] = rows[name].astype("datetime64[us]").astype(np.int64)
    return Voices.sorted_from(**{name: np.ascontiguousarray(values) for name, values in columns.items()})


def _reception(connection: sa.Connection, start: datetime, end: datetime) -> Reception:
    e, number = post_engagement.c, sa.BigInteger
    rows = read_columns(
        connection,
        sa.select(
            sa.func.hashtextextended(e.post_id, 0, type_=number).label("post"),
            e.recorded_at.label("recorded"),
            sa.cast(e.likes + e.replies + e.reposts + e.quotes, number).label("engagement"),
            sa.cast(e.author_followers, number).label("followers"),
        ).where(
            # Only posts of the last hour are asked about.
            e.posted_at > start + LOOKBACK - timedelta(hours=1),
            e.posted_at <= end,
            e.recorded_at <= end,
            e.platform == PLATFORM,
        ),
    )
    recorded = rows["recorded"].astype("datetime64[us]").astype(np.int64)
    order = np.lexsort((recorded, rows["post"]))
    return Reception(rows["post"][order], recorded[order], rows["engagement"][order], rows["followers"][order])


def _collected(connection: sa.Connection, start: datetime, end: datetime) -> Collected:
    p = social_posts.c
    rows = read_columns(
        connection,
        sa.select(p.observed_at, p.available_at).where(p.observed_at > start, p.observed_at <= end, p.platform == PLATFORM),
    )
    passes = np.array([moment.replace(tzinfo=None) for moment in _passes(connection, start, end)], "datetime64[us]")
    observed, available = (rows[name].astype("datetime64[us]").astype(np.int64) for name in ("observed_at", "available_at"))
    return Collected(observed, available, passes.astype(np.int64))
