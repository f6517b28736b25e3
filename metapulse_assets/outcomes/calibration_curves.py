"""What a confidence is worth, learnt from outcomes alone that were usable before: one curve an hour, and what each said.

Belongs here: fitting curves and reading them. Does not: scores of what they said (`calibration_scores`), nor storing
(`calibration_curve_store`). All times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.rows import MINUTE, BoolArray, FloatArray, IntArray

HOUR = 60 * MINUTE
# Curves are stored: another number here is a migration that empties `calibration_curves`.
FEWEST_OUTCOMES = 50
"""With fewer outcomes a source is uncalibrated. Own choice: the Wilson interval of 50 is ±14 points wide at 50 %."""
CURVE_BINS = 10
"""Equal bins of confidence. Own choice: with twice as many a curve learns half as fast."""
PRIOR_WEIGHT = 10.0
"""Each bin of the curve is drawn to the overall hit rate as by so many outcomes more. Own choice."""
DIGITS = 6
"""Decimals of a curve's points: what is stored is what was used."""
_PARTS = 10**DIGITS

Curve = list[list[float]]


@dataclass(frozen=True)
class Curves:
    """A source's curves at B moments. Shapes (B,), of bins (B, CURVE_BINS), NaN where a bin is empty.

    n, hits: outcomes counted, and how many of them were hits; first, last: when the first was emitted, when the last became
    usable (of those counted); confidence: mean of a bin; probability: of a hit, never falling with confidence.
    """

    known_at: IntArray
    n: IntArray
    hits: IntArray
    first: IntArray
    last: IntArray
    confidence: FloatArray
    probability: FloatArray

    def points(self, place: int) -> Curve | None:
        """One of them as [confidence, probability], ascending; None below FEWEST_OUTCOMES."""
        if self.n[place] < FEWEST_OUTCOMES:
            return None
        filled = ~np.isnan(self.confidence[place])
        pairs = zip(self.confidence[place, filled].tolist(), self.probability[place, filled].tolist(), strict=True)
        return [list(pair) for pair in pairs]


def fit_curves(
    confidence: FloatArray, hit: BoolArray, emitted_at: IntArray, available_at: IntArray, known_at: IntArray
) -> Curves:
    """The curve at each moment (ascending) of the outcomes of one source that were usable by then.

    In each bin of confidence the rate of hits, drawn to the overall one by PRIOR_WEIGHT, then made monotone by pooling
    adjacent violators (Ayer et al. 1955). All sums are of integers: a curve is the same to the last bit whichever other
    moments are asked for, and in whatever order the outcomes come.
    """
    moments = known_at.size
    slot = np.searchsorted(known_at, available_at, "left")
    counted = slot < moments
    slot, told = slot[counted], np.rint(confidence[counted] * _PARTS).astype(np.int64)
    place = slot * CURVE_BINS + np.minimum(told * CURVE_BINS // _PARTS, CURVE_BINS - 1)

    def total(part: IntArray) -> IntArray:
        # Sums of whole numbers below 2**53 are exact.
        sums = np.bincount(place, part, moments * CURVE_BINS).astype(np.int64)
        return np.cumsum(sums.reshape(moments, CURVE_BINS), axis=0)

    n, hits, sums = total(np.ones(slot.size, np.int64)), total(hit[counted].astype(np.int64)), total(told)
    first, last = np.full(moments, np.iinfo(np.int64).max), np.full(moments, np.iinfo(np.int64).min)
    np.minimum.at(first, slot, emitted_at[counted])
    np.maximum.at(last, slot, available_at[counted])
    all_n, all_hits = n.sum(axis=1), hits.sum(axis=1)
    overall = all_hits / np.maximum(all_n, 1)
    rate = (hits + PRIOR_WEIGHT * overall[:, None]) / (n + PRIOR_WEIGHT)
    filled = n > 0
    return Curves(
        known_at=known_at,
        n=all_n,
        hits=all_hits,
        first=np.minimum.accumulate(first),
        last=np.maximum.accumulate(last),
        confidence=np.where(filled, np.round(sums / np.maximum(n, 1) / _PARTS, DIGITS), np.nan),
        probability=np.where(filled, np.round(pooled(rate, n.astype(np.float64)), DIGITS), np.nan),
    )


def pooled(values: FloatArray, weight: FloatArray) -> FloatArray:
    """In each row the non-decreasing sequence nearest to the values in weighted least squares; a weight of 0: not there.

    The max-min formula of isotonic regression (Robertson et al. 1988): largest over starts, smallest over ends, of the mean
    between. O(columns²) a row, without a loop. Places of weight 0 hold a number without meaning.
    """
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values * weight, axis=1)], axis=1)
    mass = np.concatenate([np.zeros((len(values), 1)), np.cumsum(weight, axis=1)], axis=1)
    between = mass[:, None, 1:] - mass[:, :-1, None]
    backwards = np.tril(np.ones(between.shape[1:], np.bool_), -1)
    nothing = backwards | (between <= 0)
    means = np.where(nothing, np.inf, (sums[:, None, 1:] - sums[:, :-1, None]) / np.where(nothing, 1.0, between))
    smallest = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    largest = np.maximum.accumulate(np.where(backwards, -np.inf, smallest), axis=1)
    result: FloatArray = np.diagonal(largest, axis1=1, axis2=2)
    return result


def fit_curve(confidence: FloatArray, hit: BoolArray) -> Curve | None:
    """The curve of all these outcomes; None below FEWEST_OUTCOMES."""
    always = np.zeros(confidence.size, np.int64)
    return fit_curves(confidence, hit, always, always, np.zeros(1, np.int64)).points(0)


def on_curve(curve: Sequence[Sequence[float]], confidence: float) -> float:
    """The curve at a confidence: straight between its points, level beyond its ends."""
    return float(on_curve_each(curve, np.array([confidence]))[0])


def on_curve_each(curve: Sequence[Sequence[float]], confidence: FloatArray) -> FloatArray:
    """The curve at each confidence."""
    points = np.asarray(curve, np.float64)
    return np.asarray(np.interp(confidence, points[:, 0], points[:, 1]), np.float64)


def hour_of(moment: IntArray) -> IntArray:
    """The full hour (UTC) at or before each moment: the curve of that hour is what its signals are shown and judged by."""
    return np.asarray(moment // HOUR * HOUR, np.int64)


def calibrated_when_emitted(
    group: IntArray, confidence: FloatArray, hit: BoolArray, emitted_at: IntArray, available_at: IntArray
) -> FloatArray:
    """What each signal's own source (`group`) said of its confidence when it was emitted; NaN: uncalibrated then.

    An outcome takes part in what is said of a signal only if it was usable by the full hour at or before its emission.
    """
    said = np.full(confidence.size, np.nan)
    for rows in each_group(group):
        hours = hour_of(emitted_at[rows])
        known_at, place = np.unique(hours, return_inverse=True)
        curves = fit_curves(confidence[rows], hit[rows], emitted_at[rows], available_at[rows], known_at)
        for number, those in enumerate(each_group(place)):
            points = curves.points(number)
            if points is not None:
                said[rows[those]] = on_curve_each(points, confidence[rows[those]])
    return said


def each_group(group: npt.NDArray[np.integer]) -> Iterator[npt.NDArray[np.intp]]:
    """The places of each distinct number, by number; places ascend."""
    if group.size:
        order = np.argsort(group, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
