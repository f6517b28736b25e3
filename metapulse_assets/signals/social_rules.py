"""Rules that read a token's social metrics.

Belongs here: when the talk about a token is worth a signal, and in which direction. Does not: the metrics (`social/`).

A rule fires when it begins to hold, or is first seen to, and not as long as it holds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metapulse_assets.signals.hits import View

SENTIMENT_EXTREME = 0.6
MIN_MENTIONS = 20
"""Sentiment above 0.6 with more than 20 mentions: start values that the requirements give; the mirror image sells."""
MIN_AUTHORS = 10
MIN_HEARD = 10
MIN_HEARD_OF_HOUR = 5
"""Twenty mentions by one author are one opinion, and so is one text from twenty accounts: so many authors must speak, and so
many distinct posts, neither automated nor scams, be heard. Own choices."""
GROWTH = 1.5
"""Mentions at least 1.5 times the usual hour: a start value that the requirements give."""
SPIKE_Z = 3.0
"""A spike lies three deviations above the week (Santiment's default for anomalies of dominance)."""
SURGE_Z = 3.0
"""Volume-weighted sentiment so many deviations from its week is a surge (the same default)."""
SURGE_WHOLE_Z = 6.0
LEANING = 0.2
"""A spike takes the direction of a sentiment at least this far from 0. Own choice."""
SENTIMENT_WHOLE = 1.0
SPIKE_WHOLE_Z = 6.0
"""Where the strength is 1. Own choice."""
MOST_NOISE = 0.5
"""With more than half of the posts by bots or scammers nothing fires. Own choice."""
LONGEST_PAUSE = timedelta(hours=2)
"""Metrics of longer before do not count as the moment before. Own choice."""

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class _Verdict:
    rule: str
    direction: str
    strength: float


def find_social_hits(rows: Iterable[Metrics], start: datetime) -> list[View]:
    """Hits at or after `start` in rows of `social_metrics`, sorted by token and moment (`as_of`); None is unknown.

    Rows of before `start` serve as the moment before. The confidence is the share of mentions with an author of their own,
    times the share that is neither bot nor scam.
    """
    hits = []
    before: Metrics | None = None
    for row in rows:
        follows = (
            before is not None and before["token_id"] == row["token_id"] and row["as_of"] - before["as_of"] <= LONGEST_PAUSE
        )
        held = {verdict.rule for verdict in _verdicts(before)} if follows and before is not None else set()
        if row["as_of"] >= start:
            hits += [_hit(row, verdict) for verdict in _verdicts(row) if verdict.rule not in held]
        before = row
    return hits


def _verdicts(row: Metrics) -> list[_Verdict]:
    if _noise(row) > MOST_NOISE:
        return []
    return [*_extreme_sentiment(row), *_spike(row), *_surge(row)]


def _is_talk_of_many(row: Metrics) -> bool:
    many = row["mentions_24h"] > MIN_MENTIONS and row["authors_24h"] >= MIN_AUTHORS
    return bool(many and (row["heard_24h"] or 0) >= MIN_HEARD)


def _extreme_sentiment(row: Metrics) -> Sequence[_Verdict]:
    sentiment = row["sentiment_24h"]
    if sentiment is None or not _is_talk_of_many(row):
        return ()
    if abs(sentiment) <= SENTIMENT_EXTREME:
        return ()
    strength = (abs(sentiment) - SENTIMENT_EXTREME) / (SENTIMENT_WHOLE - SENTIMENT_EXTREME)
    if sentiment > 0:
        return (_Verdict("sentiment_bullish", "buy", strength),)
    return (_Verdict("sentiment_bearish", "sell", strength),)


def _spike(row: Metrics) -> Sequence[_Verdict]:
    sentiment, z, velocity = row["sentiment"], row["velocity_z"], row["velocity"]
    if sentiment is None or z is None or velocity is None or row["authors_1h"] < MIN_AUTHORS:
        return ()
    if (row["heard_1h"] or 0) < MIN_HEARD_OF_HOUR:
        return ()
    if z < SPIKE_Z or velocity < math.log(GROWTH) or abs(sentiment) < LEANING:
        return ()
    strength = min((z - SPIKE_Z) / (SPIKE_WHOLE_Z - SPIKE_Z), 1.0)
    if sentiment > 0:
        return (_Verdict("mention_spike_up", "buy", strength),)
    return (_Verdict("mention_spike_down", "sell", strength),)


def _surge(row: Metrics) -> Sequence[_Verdict]:
    z = row["weighted_sentiment"]
    if z is None or abs(z) < SURGE_Z or not _is_talk_of_many(row):
        return ()
    strength = min((abs(z) - SURGE_Z) / (SURGE_WHOLE_Z - SURGE_Z), 1.0)
    if z > 0:
        return (_Verdict("sentiment_surge_up", "buy", strength),)
    return (_Verdict("sentiment_surge_down", "sell", strength),)


INPUTS = {
    "sentiment_surge_up": ("weighted_sentiment", "sentiment", "mentions_1h", "mentions_24h", "authors_24h", "heard_24h"),
    "sentiment_surge_down": ("weighted_sentiment", "sentiment", "mentions_1h", "mentions_24h", "authors_24h", "heard_24h"),
    "sentiment_bullish": ("sentiment_24h", "mentions_24h", "authors_24h", "heard_24h"),
    "sentiment_bearish": ("sentiment_24h", "mentions_24h", "authors_24h", "heard_24h"),
    "mention_spike_up": ("mentions_1h", "authors_1h", "heard_1h", "baseline_hourly", "velocity", "velocity_z", "sentiment"),
    "mention_spike_down": ("mentions_1h", "authors_1h", "heard_1h", "baseline_hourly", "velocity", "velocity_z", "sentiment"),
}
"""Which metrics each rule reads, beside the noise."""


def _hit(row: Metrics, verdict: _Verdict) -> View:
    window = "24h" if verdict.rule.startswith("sentiment") else "1h"
    own_voices = min(row[f"authors_{window}"] / max(row[f"mentions_{window}"], 1), 1.0)
    return View(
        as_of=row["as_of"],
        token_id=row["token_id"],
        rule=verdict.rule,
        available_at=row["available_at"],
        direction=verdict.direction,
        strength=min(max(verdict.strength, 0.0), 1.0),
        confidence=own_voices * (1.0 - _noise(row)),
        inputs={name: row[name] for name in (*INPUTS[verdict.rule], "bot_share", "scam_share")},
    )


def _noise(row: Metrics) -> float:
    return min(max(row["bot_share"] or 0.0, row["scam_share"] or 0.0), 1.0)
