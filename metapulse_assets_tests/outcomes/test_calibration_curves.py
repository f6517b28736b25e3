"""Curves: monotone, the same whatever else is asked for, and made of nothing that was not usable by their hour."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.outcomes.calibration_curves import (
    CURVE_BINS,
    FEWEST_OUTCOMES,
    HOUR,
    calibrated_when_emitted,
    each_group,
    fit_curve,
    fit_curves,
    hour_of,
    on_curve,
    pooled,
)

Floats = npt.NDArray[np.float64]
shares = st.lists(st.integers(0, 100).map(lambda v: v / 100), min_size=1, max_size=150)


def hits_of(confidence: Floats, seed: int) -> npt.NDArray[np.bool_]:
    """Hits that come as often as each confidence says."""
    return np.asarray(np.random.default_rng(seed).random(confidence.size) < confidence, np.bool_)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1, max_size=9))
def test_pooling_gives_the_nearest_sequence_that_never_falls(pairs: list[tuple[int, int]]) -> None:
    values, weight = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    there = np.flatnonzero(weight > 0)
    found = pooled(np.stack([values, values[::-1]]), np.stack([weight, weight[::-1]]))[0][there]
    assert (np.diff(found) >= 0).all()
    # No step up or down of a run of equal values comes nearer: it is its own mean, and so are no two neighbouring parts of it
    # in falling order (Barlow et al. 1972).
    place = 0
    for _, run in itertools.groupby(found.tolist()):
        size = len(list(run))
        part = there[place : place + size]
        assert found[place] == pytest.approx(np.average(values[part], weights=weight[part]))
        for cut in range(1, size):
            first, second = (np.average(values[p], weights=weight[p]) for p in (part[:cut], part[cut:]))
            assert first >= second - 1e-9
        place += size


@given(shares, st.integers(0, 9))
def test_a_curve_never_falls_lies_within_0_and_1_and_needs_enough_outcomes(confidences: list[float], seed: int) -> None:
    confidence = np.array(confidences)
    curve = fit_curve(confidence, hits_of(confidence, seed))
    assert (curve is None) is (confidence.size < FEWEST_OUTCOMES)
    if curve is not None:
        probability = [on_curve(curve, at) for at in np.linspace(0, 1, 21)]
        assert min(probability) >= 0
        assert max(probability) <= 1
        assert (np.diff(probability) >= 0).all()
        assert (np.diff([point[0] for point in curve]) > 0).all()
        assert len(curve) <= CURVE_BINS


def test_a_curve_finds_what_a_confidence_is_worth() -> None:
    confidence = np.random.default_rng(1).random(20_000)
    curve = fit_curve(confidence, hits_of(0.3 + 0.2 * confidence, 2))
    assert curve is not None
    for at in (0.1, 0.5, 0.9):
        assert on_curve(curve, at) == pytest.approx(0.3 + 0.2 * at, abs=0.03)


def test_a_curve_of_no_skill_is_the_hit_rate() -> None:
    confidence = np.random.default_rng(1).random(20_000)
    curve = fit_curve(confidence, hits_of(np.full(20_000, 0.3), 2))
    assert curve is not None
    assert [point[1] for point in curve] == pytest.approx([0.3] * len(curve), abs=0.02)


@given(st.integers(0, 2**32), st.sets(st.integers(0, 40), min_size=1, max_size=6))
def test_a_curve_is_the_same_to_the_last_bit_whatever_else_is_asked_for(seed: int, hours: set[int]) -> None:
    random = np.random.default_rng(seed)
    confidence, emitted = np.round(random.random(300), 3), random.integers(0, 40 * HOUR, 300)
    hit, available = hits_of(confidence, seed), emitted + random.integers(0, 10 * HOUR, 300)
    known_at = np.array(sorted(hours), np.int64) * HOUR
    curves = fit_curves(confidence, hit, emitted, available, known_at)
    order = random.permutation(300)
    for place, moment in enumerate(known_at.tolist()):
        usable = available <= moment
        assert curves.points(place) == fit_curve(confidence[usable], hit[usable])
        alone = fit_curves(confidence[order], hit[order], emitted[order], available[order], np.array([moment]))
        assert alone.points(0) == curves.points(place)
        assert (curves.n[place], curves.hits[place]) == (usable.sum(), (usable & hit).sum())
        if usable.any():
            assert curves.last[place] == available[usable].max() <= moment
            assert curves.first[place] == emitted[usable].min()


@given(st.integers(0, 2**32))
def test_each_signal_is_told_by_its_own_sources_outcomes_usable_by_its_full_hour(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 400
    group, confidence = random.integers(0, 2, n), np.round(random.random(n), 3)
    emitted = np.sort(random.integers(0, 30 * HOUR, n))
    available, hit = emitted + random.integers(0, 5 * HOUR, n), hits_of(confidence, seed)
    said = calibrated_when_emitted(group, confidence, hit, emitted, available)
    for row in random.choice(n, 25, replace=False).tolist():
        known = (group == group[row]) & (available <= emitted[row] // HOUR * HOUR)
        curve = fit_curve(confidence[known], hit[known])
        assert np.isnan(said[row]) if curve is None else said[row] == on_curve(curve, confidence[row])


def test_hours_are_full_ones_at_or_before() -> None:
    assert hour_of(np.array([0, HOUR - 1, HOUR, 5 * HOUR + 3])).tolist() == [0, 0, HOUR, 5 * HOUR]


def test_groups_come_by_number_with_places_ascending() -> None:
    assert [rows.tolist() for rows in each_group(np.array([3, 1, 3, 1, 7]))] == [[1, 3], [0, 2], [4]]
    assert list(each_group(np.zeros(0, np.int64))) == []
