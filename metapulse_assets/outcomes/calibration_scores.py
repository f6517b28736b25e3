"""Scores of told probabilities against what came: Brier, what it is made of, log loss, reliability; and ranks.

Belongs here: plain functions of probabilities and hits. Does not: where the probabilities come from (`calibration_curves`).
"""

from dataclasses import dataclass

import numpy as np

from metapulse_assets.outcomes.rows import BoolArray, FloatArray

RELIABILITY_BINS = 10
LOG_LOSS_CLIP = 1e-3
"""Probabilities are taken to be at least this far from 0 and 1, or one miss would outweigh all else. Own choice."""


@dataclass(frozen=True)
class BrierParts:
    """Murphy (1973): the Brier score is about loss - resolution + hit rate times miss rate; NaN without outcomes.

    loss: mean squared distance of what was told and how often it came, 0 if every probability means what it says;
    resolution: how far apart the hit rates of different probabilities lie.
    """

    loss: float
    resolution: float


def brier(told: FloatArray, hit: BoolArray) -> float:
    """Mean squared distance of probability and hit (Brier 1950); NaN without outcomes."""
    return float(np.mean((told - hit) ** 2)) if told.size else float("nan")


def brier_parts(told: FloatArray, hit: BoolArray) -> BrierParts:
    """What a Brier score is made of, in RELIABILITY_BINS bins of equally many outcomes (equal probabilities together)."""
    if not told.size:
        return BrierParts(float("nan"), float("nan"))
    # In whole numbers: three tenths of ten outcomes are three of them, whatever 0.3 is in binary.
    last = (np.arange(1, RELIABILITY_BINS) * told.size + RELIABILITY_BINS - 1) // RELIABILITY_BINS - 1
    edges = np.unique(np.sort(told)[last])
    bins = np.unique(np.searchsorted(edges, told, "left"), return_inverse=True)[1]
    n = np.bincount(bins)
    mean, rate = np.bincount(bins, told) / n, np.bincount(bins, hit.astype(np.float64)) / n
    share = n / told.size
    return BrierParts(float(share @ (mean - rate) ** 2), float(share @ (rate - hit.mean()) ** 2))


def skill(score: float, reference: float) -> float:
    """1 less a score over that of a reference; NaN if either is unknown or the reference is never wrong."""
    return 1 - score / reference if reference > 0 else float("nan")


def log_loss(told: FloatArray, hit: BoolArray) -> float:
    """Mean negative log-likelihood of the hits, nats; probabilities clipped by LOG_LOSS_CLIP; NaN without outcomes."""
    if not told.size:
        return float("nan")
    clipped = np.clip(told, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    return float(-np.mean(np.log(np.where(hit, clipped, 1 - clipped))))


def reliability(told: FloatArray, hit: BoolArray) -> list[dict[str, float | int | None]]:
    """Ten equal bins of probability, the last one closed: from, to, n, mean told and hit rate (None if empty)."""
    bins = np.minimum((told * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    n = np.bincount(bins, minlength=RELIABILITY_BINS)
    sums = np.bincount(bins, told, RELIABILITY_BINS)
    came = np.bincount(bins, hit.astype(np.float64), RELIABILITY_BINS)
    return [
        {
            "from": number / RELIABILITY_BINS,
            "to": (number + 1) / RELIABILITY_BINS,
            "n": int(n[number]),
            "mean_confidence": float(sums[number] / n[number]) if n[number] else None,
            "hit_rate": float(came[number] / n[number]) if n[number] else None,
        }
        for number in range(RELIABILITY_BINS)
    ]


def ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count + 1) / 2)[place], np.float64)
