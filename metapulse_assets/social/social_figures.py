"""The figures of social_metrics and trending_topics out of voices: volume, its speed, and what is unusual. No database.

Null is NaN: what was not collected is unknown and never 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.social.voices import DAY, HOUR, Floats, Ints, Voices, distinct_texts, heard_voices, hours_ago

BASELINE_HOURS, HISTORY_HOURS = 24, 168
# A median, or a deviation, of fewer collected hours than these says nothing. Own choices.
LEAST_BASELINE_HOURS, LEAST_HISTORY_HOURS = 12, 48
LOOKBACK_HOURS = HISTORY_HOURS + BASELINE_HOURS + 1
LOOKBACK = LOOKBACK_HOURS * HOUR
# A token that nobody ever spoke of has a velocity that never moved: the first posts would be infinitely unusual. Own choice.
LEAST_VELOCITY_DEVIATION = 0.25


@dataclass(frozen=True)
class Pace:
    """How volume stands to what it was, an entry a subject."""

    baseline: Floats
    velocity: Floats
    velocity_z: Floats


def collected_hours(observed: Ints, available: Ints, passes: Ints, as_of: int) -> npt.NDArray[np.bool_]:
    """Which of the hours before a moment, newest first, were collected: a post is known of them, or a pass ended in them.

    `observed`, `available`: of all posts of the platform, whatever they are about; `passes`: when each useful pass ended.
    """
    known = observed[(available <= as_of) & (observed <= as_of) & (observed > as_of - LOOKBACK)]
    ended = passes[(passes <= as_of) & (passes > as_of - LOOKBACK)]
    hours = np.concatenate(((as_of - known) // HOUR, (as_of - ended) // HOUR))
    return np.asarray(np.bincount(hours, minlength=LOOKBACK_HOURS)[:LOOKBACK_HOURS] > 0)


def hourly_volume(voices: Voices, as_of: int, n_subjects: int) -> Floats:
    """Distinct texts, one post an author, in each hour before a moment: subjects x hours, newest first."""
    hours = hours_ago(voices, as_of)
    newest = voices.first_of_author(hours)
    votes, of_hour = voices.take(newest), hours[newest]
    rows = distinct_texts(votes, of_hour)
    return _table(votes.subject[rows], of_hour[rows], n_subjects)


def hourly_authors(voices: Voices, as_of: int, n_subjects: int) -> Floats:
    """Distinct authors in each hour before a moment: subjects x hours, newest first."""
    hours = hours_ago(voices, as_of)
    newest = voices.first_of_author(hours)
    return _table(voices.subject[newest], hours[newest], n_subjects)


def hourly_sentiment_sum(voices: Voices, as_of: int, volume: Floats) -> Floats:
    """Volume times mean sentiment in each hour before a moment; 0 where nobody was heard."""
    heard = heard_voices(voices, hours_ago(voices, as_of))
    of_hour = hours_ago(heard, as_of)
    counts = _table(heard.subject, of_hour, len(volume))
    sums = _table(heard.subject, of_hour, len(volume), heard.score)
    return np.asarray(volume * sums / np.maximum(counts, 1))


def pace(volume: Floats, collected: npt.NDArray[np.bool_]) -> Pace:
    """Baseline, velocity and how unusual the velocity is. `volume`: subjects x hours, newest first.

    velocity = log((v + 1) / (b + 1)), b the median of the 24 hours before; no standard is known, the formula is an own choice.
    """
    known = np.where(collected, volume, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(known[:, 1:], BASELINE_HOURS, axis=1)
    baselines = _median(windows, LEAST_BASELINE_HOURS)
    velocities = np.log1p(known[:, : baselines.shape[1]]) - np.log1p(baselines)
    deviation = LEAST_VELOCITY_DEVIATION
    # The last hour is known to have been collected by the pass that ends it.
    newest = np.log1p(volume[:, 0]) - np.log1p(baselines[:, 0])
    return Pace(baselines[:, 0], newest, unusual(newest, velocities[:, 1 : HISTORY_HOURS + 1], deviation))


def unusual(newest: Floats, history: Floats, least_deviation: float = 0.0) -> Floats:
    """By how many standard deviations the newest value differs from the mean of its history; NaN where that is too short.

    `history`: subjects x hours with NaN for hours that were not collected. The standard deviation is the population's.
    """
    known = np.isfinite(history)
    count = known.sum(axis=1)
    filled = np.where(known, history, 0.0)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    spread = np.sqrt((np.where(known, history - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(count, 1))
    spread = np.maximum(spread, least_deviation)
    usable = (count >= LEAST_HISTORY_HOURS) & (spread > 1e-9)
    return np.asarray(np.where(usable, (newest - mean) / np.where(usable, spread, 1.0), np.nan))


def dominance(volume: Ints | Floats) -> Floats:
    """Each subject's share of all volume; NaN where there is none at all."""
    total = volume.sum()
    return np.asarray(volume / total) if total else np.full(len(volume), np.nan)


def change(newer: Ints, older: Ints, older_known: bool) -> Floats:
    """Newer volume against older as a share; NaN where there was none, or it was not collected."""
    usable = (older > 0) & older_known
    return np.asarray(np.where(usable, newer / np.where(usable, older, 1) - 1.0, np.nan))


def day_was_collected(collected: npt.NDArray[np.bool_], days_ago: int) -> bool:
    """Whether at least half of the hours of a day before a moment were collected. Own choice."""
    hours = DAY // HOUR
    return bool(collected[days_ago * hours : (days_ago + 1) * hours].sum() >= LEAST_BASELINE_HOURS)


def _median(windows: Floats, least: int) -> Floats:
    """Median of the last axis over what is known; NaN where fewer than `least` are."""
    ordered = np.sort(windows, axis=-1)  # NaN come last
    count = np.isfinite(ordered).sum(axis=-1)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[-1] - 1)[..., None], axis=-1)[..., 0]
    return np.asarray(np.where(count >= least, (low + np.where(count % 2 == 1, low, high)) / 2, np.nan))


def _table(subject: Ints, hour: Ints, n_subjects: int, weights: Floats | None = None) -> Floats:
    cells = np.bincount(subject * LOOKBACK_HOURS + hour, weights, n_subjects * LOOKBACK_HOURS)
    return np.asarray(cells.astype(np.float64).reshape(n_subjects, LOOKBACK_HOURS))
