"""The rows of social_metrics and trending_topics of one moment, out of voices and what was known of their reception.

A row uses only what could be used at its moment, so it comes out the same whenever it is made. No database.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metapulse_assets.platform.bulk import NO_INT, Columns
from metapulse_assets.social import social_figures as figures
from metapulse_assets.social.voices import (
    DAY,
    HOUR,
    Floats,
    Ints,
    Voices,
    counted_authors,
    counted_posts,
    heard_voices,
    mean_sentiment,
)

# Who has so many followers is heard by many. Own choice.
INFLUENCER_FOLLOWERS = 10_000
# Topics kept of each moment, and how many must speak of one: one author makes no trend. Own choices.
TOPICS_KEPT, LEAST_TOPIC_AUTHORS = 20, 2


@dataclass(frozen=True)
class Reception:
    """How posts were received, one row a reading, sorted by post and time. `followers` is `NO_INT` where not known."""

    post: Ints
    recorded: Ints
    engagement: Ints
    followers: Ints

    def known_at(self, posts: Ints, as_of: int) -> tuple[Ints, Ints]:
        """Engagement and followers of some posts as last read by a moment; `NO_INT` where never."""
        engagement = np.full(len(posts), NO_INT, np.int64)
        followers = np.full(len(posts), NO_INT, np.int64)
        usable = self.recorded <= as_of
        post, rows = self.post[usable], np.flatnonzero(usable)
        place = np.searchsorted(post, posts, "right") - 1
        found = (place >= 0) & (post[np.maximum(place, 0)] == posts) if len(post) else np.zeros(len(posts), np.bool_)
        engagement[found] = self.engagement[rows[place[found]]]
        followers[found] = self.followers[rows[place[found]]]
        return engagement, followers


@dataclass(frozen=True)
class Collected:
    """When posts of the platform were written and could be used, whatever they are about; when each useful pass ended."""

    observed: Ints
    available: Ints
    passes: Ints

    def hours(self, as_of: int) -> npt.NDArray[np.bool_]:
        """Which hours before a moment were collected, newest first."""
        return figures.collected_hours(self.observed, self.available, self.passes, as_of)


def token_rows(voices: Voices, tokens: Ints, reception: Reception, collected: Collected, as_of: int) -> Columns:
    """The figures of each token mentioned in the 24 h before a moment. `voices.subject` are places in `tokens`."""
    count = len(tokens)
    known = voices.known_at(as_of, figures.LOOKBACK)
    day, hour = known.known_at(as_of, DAY), known.known_at(as_of, HOUR)
    volume = figures.hourly_volume(known, as_of, count)
    hours = collected.hours(as_of)
    pace = figures.pace(volume, hours)
    weighted = figures.hourly_sentiment_sum(known, as_of, volume)
    history = np.where(hours, weighted, np.nan)[:, 1 : figures.HISTORY_HOURS + 1]
    sentiment, balance = mean_sentiment(hour, count)
    newest = hour.take(hour.first_of_author())
    engagement, followers = reception.known_at(newest.post, as_of)
    automated = _share(newest, newest.automated, count)
    columns: Columns = {
        "token_id": tokens,
        "mentions_1h": counted_posts(hour, count),
        "unique_posts_1h": volume[:, 0].astype(np.int64),
        "authors_1h": counted_authors(hour, count),
        "mentions_24h": counted_posts(day, count),
        "authors_24h": counted_authors(day, count),
        "baseline_hourly": pace.baseline,
        "velocity": pace.velocity,
        "velocity_z": pace.velocity_z,
        "sentiment": sentiment,
        "sentiment_24h": mean_sentiment(day, count)[0],
        "heard_1h": np.bincount(heard_voices(hour).subject, minlength=count),
        "heard_24h": np.bincount(heard_voices(day).subject, minlength=count),
        "sentiment_balance": balance,
        "weighted_sentiment": figures.unusual(weighted[:, 0], history),
        "dominance": figures.dominance(volume[:, 0]),
        "engagement_1h": _sum_of_known(newest.subject, engagement, count),
        "bot_share": automated,
        "scam_share": _share(newest, newest.scam, count),
        "followers_1h": _sum_of_known(newest.subject, followers, count),
        "influencer_mentions_1h": _influencers(newest.subject, followers, count),
        "hashtags_1h": np.bincount(newest.subject[newest.tagged], minlength=count),
    }
    mentioned = columns["mentions_24h"] > 0
    return {name: values[mentioned] for name, values in columns.items()}


def topic_rows(voices: Voices, topics: Ints, reception: Reception, collected: Collected, as_of: int) -> Columns:
    """The topics that most authors spoke of in the hour before a moment. `topics`: a number each, sorted as the topics are."""
    hour = voices.known_at(as_of, HOUR)
    authors, posts = counted_authors(hour, len(topics)), counted_posts(hour, len(topics))
    order = np.lexsort((np.arange(len(topics)), -posts, -authors))
    top = order[authors[order] >= LEAST_TOPIC_AUTHORS][:TOPICS_KEPT]
    place = np.full(len(topics), -1, np.int64)
    place[top] = np.arange(len(top))
    known = voices.known_at(as_of, figures.LOOKBACK)
    known = known.take(place[known.subject] >= 0)
    known = replace(known, subject=place[known.subject])
    count = len(top)
    hour, day = known.known_at(as_of, HOUR), known.known_at(as_of, DAY)
    before = known.take(known.observed <= as_of - DAY).known_at(as_of, 2 * DAY)
    hours = collected.hours(as_of)
    hourly = figures.hourly_authors(known, as_of, count)
    history = np.where(hours, hourly, np.nan)[:, 1 : figures.HISTORY_HOURS + 1]
    newest = hour.take(hour.first_of_author())
    engagement, _ = reception.known_at(newest.post, as_of)
    volume = counted_posts(day, count)
    return {
        "topic": topics[top],
        "token_id": _meaning(newest, count),
        "rank": np.arange(1, count + 1),
        "mentions_1h": counted_posts(hour, count),
        "authors": counted_authors(hour, count),
        "sentiment": mean_sentiment(hour, count)[0],
        "engagement": _sum_of_known(newest.subject, engagement, count),
        "volume_24h": volume,
        "volume_change": figures.change(volume, counted_posts(before, count), figures.day_was_collected(hours, 1)),
        "z": figures.unusual(hourly[:, 0], history),
    }


def _meaning(newest: Voices, count: int) -> Ints:
    """The token that more than half of a topic's authors mean; `NO_INT` for none."""
    result = np.full(count, NO_INT, np.int64)
    for subject in range(count):
        meant = newest.meaning[newest.subject == subject]
        tokens, times = np.unique(meant[meant >= 0], return_counts=True)
        if len(tokens) and 2 * times.max() > len(meant):
            result[subject] = tokens[times.argmax()]
    return result


def _share(newest: Voices, flags: npt.NDArray[np.bool_], count: int) -> Floats:
    total = np.bincount(newest.subject, minlength=count)
    flagged = np.bincount(newest.subject[flags], minlength=count)
    return np.asarray(np.where(total > 0, flagged / np.maximum(total, 1), np.nan))


def _sum_of_known(subject: Ints, values: Ints, count: int) -> Ints:
    """Sum a subject of what is known; `NO_INT` where nothing is."""
    known = values != NO_INT
    sums = np.zeros(count, np.int64)
    np.add.at(sums, subject[known], values[known])
    return np.where(np.bincount(subject[known], minlength=count) > 0, sums, NO_INT)


def _influencers(subject: Ints, followers: Ints, count: int) -> Ints:
    known = followers != NO_INT
    large = np.bincount(subject[known & (followers >= INFLUENCER_FOLLOWERS)], minlength=count)
    return np.where(np.bincount(subject[known], minlength=count) > 0, large, NO_INT)
