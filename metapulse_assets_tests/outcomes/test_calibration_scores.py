"""Scores against their definitions, and entries shifted in time against a count by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.outcomes.base_rates import BUY_HIT, COUNTED, SELL_HIT, MomentCounts, MomentGrid
from metapulse_assets.outcomes.calibration_placebo import PLACEBO_DRAWS, shifted_entries
from metapulse_assets.outcomes.calibration_scores import brier, brier_parts, log_loss, ranks, reliability, skill
from metapulse_assets_tests.outcomes.outcome_markets import FIVE, START
from metapulse_assets_tests.outcomes.test_calibration_curves import hits_of, shares


@given(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=40))
def test_ranks_count_what_is_smaller_and_half_of_what_is_equal(values: list[float]) -> None:
    found = ranks(np.array(values))
    for rank, value in zip(found, values, strict=True):
        assert rank == sum(v < value for v in values) + (sum(v == value for v in values) - 1) / 2


@given(shares, st.integers(0, 9))
def test_the_reliability_table_counts_each_outcome_once(confidences: list[float], seed: int) -> None:
    confidence = np.array(confidences)
    hit = hits_of(confidence, seed)
    table: list[dict[str, Any]] = reliability(confidence, hit)
    assert len(table) == 10
    assert sum(row["n"] for row in table) == confidence.size
    assert sum(row["n"] * (row["hit_rate"] or 0) for row in table) == pytest.approx(hit.sum())
    for row in table:
        assert row["n"] == 0 or row["from"] - 1e-9 <= row["mean_confidence"] <= row["to"] + 1e-9


def test_scores_of_probabilities() -> None:
    hit = np.array([True, False, False, True])
    assert brier(np.full(4, 0.5), hit) == 0.25
    assert skill(0.25, 0.25) == 0
    assert skill(0.0, 0.25) == 1
    assert np.isnan(skill(0.1, 0.0))
    assert np.isnan(skill(0.1, float("nan")))
    assert log_loss(np.full(4, 0.5), hit) == pytest.approx(np.log(2))
    assert log_loss(np.array([1.0, 0.0, 0.0, 0.0]), hit) == pytest.approx(-(np.log(0.001) + 3 * np.log(0.999)) / 4)
    nothing = np.zeros(0)
    assert np.isnan([brier(nothing, nothing > 0), log_loss(nothing, nothing > 0), brier_parts(nothing, nothing > 0).loss]).all()


@given(st.lists(st.integers(0, 6).map(lambda v: v / 6), min_size=1, max_size=150), st.integers(0, 9))
def test_the_parts_of_a_brier_score_add_up(told: list[float], seed: int) -> None:
    # Seven probabilities have a bin each, or share one only where few outcomes are; Murphy's sum is exact for bins of one.
    probability = np.array(told)
    hit = hits_of(probability, seed)
    parts = brier_parts(probability, hit)
    assert parts.loss >= 0
    assert 0 <= parts.resolution <= 0.25
    share = hit.mean()
    within = sum(
        ((probability[hit_bin] - probability[hit_bin].mean()) ** 2).sum()
        - 2 * ((probability[hit_bin] - probability[hit_bin].mean()) * (hit[hit_bin] - hit[hit_bin].mean())).sum()
        for hit_bin in bins_of(probability)
    )
    # Stephenson, Coelho and Jolliffe 2008: what bins of several probabilities add.
    expected = parts.loss - parts.resolution + share * (1 - share) + within / probability.size
    assert brier(probability, hit) == pytest.approx(expected, abs=1e-12)


def bins_of(probability: Any) -> list[Any]:
    """The places of each bin of equally many probabilities, equal ones together."""
    ordered = np.sort(probability)
    edges = sorted({ordered[-(-k * ordered.size // 10) - 1] for k in range(1, 10)})
    number = np.array([sum(edge < value for edge in edges) for value in probability])
    return [np.flatnonzero(number == n) for n in np.unique(number)]


@pytest.mark.parametrize("seed", range(4))
def test_true_probabilities_lose_nearly_nothing_and_false_ones_what_they_are_off(seed: int) -> None:
    probability = np.random.default_rng(seed).random(20_000)
    hit = hits_of(probability, seed + 100)
    true = brier_parts(probability, hit)
    # Ten bins of 2,000: a loss of 10 · p (1 - p) / 20,000 is chance.
    assert true.loss < 4e-4
    assert true.resolution == pytest.approx(1 / 12, abs=0.005)
    assert brier(probability, hit) == pytest.approx(1 / 6, abs=0.005)
    off = brier_parts(np.minimum(probability + 0.2, 1.0), hit)
    assert off.loss == pytest.approx(0.04, rel=0.2)
    assert off.resolution == pytest.approx(true.resolution, abs=0.01)


def grid_of(codes: Any) -> MomentCounts:
    """Counted moments of tokens 1, 2, … with these codes."""
    codes = np.asarray(codes, np.uint8)
    moments, buys, sells = ((codes & bit > 0).sum(axis=1) for bit in (COUNTED, BUY_HIT, SELL_HIT))
    tokens = np.arange(1, len(codes) + 1)
    return MomentCounts(tokens, moments, buys, sells, np.zeros(len(codes)), MomentGrid(START, FIVE, codes))


@given(
    st.integers(2, 12).flatmap(
        lambda slots: st.tuples(
            st.lists(st.lists(st.sampled_from([0, 1, 3, 5, 7]), min_size=slots, max_size=slots), min_size=1, max_size=3),
            st.lists(st.tuples(st.integers(1, 4), st.integers(0, slots - 1), st.booleans()), min_size=1, max_size=12),
        )
    )
)
def test_all_entries_are_shifted_together_by_every_number_of_slots(world: Any) -> None:
    codes, entries = world
    token, slot, buy = (np.array(part) for part in zip(*entries, strict=True))
    found = shifted_entries(
        np.arange(token.size) % 2,
        token,
        np.where(buy, 1.0, -1.0),
        START + slot * FIVE + 7,
        grid_of(codes),
        np.random.default_rng(0),
    )
    slots = len(codes[0])
    assert found.counted.shape == (slots - 1, int((np.arange(token.size) % 2).max()) + 1)
    for shift in range(1, slots):
        for group in range(found.counted.shape[1]):
            there = [
                (codes[t - 1][(s + shift) % slots], b)
                for place, (t, s, b) in enumerate(entries)
                if place % 2 == group and t <= len(codes)
            ]
            assert found.counted[shift - 1, group] == sum(code & 1 for code, _ in there)
            assert found.paid[shift - 1, group] == sum(code & (2 if b else 4) > 0 for code, b in there)


def test_of_many_shifts_some_are_drawn_and_none_twice() -> None:
    codes = np.zeros((1, 1_000), np.uint8)
    codes[0, 500] = COUNTED | BUY_HIT
    nothing = np.zeros(1, np.int64)
    found = shifted_entries(nothing, nothing + 1, np.ones(1), nothing + START, grid_of(codes), np.random.default_rng(1))
    assert found.counted.shape == (PLACEBO_DRAWS, 1)
    assert found.counted.sum() <= 1
    assert found.rates(np.array([0])).size == found.counted.sum()
