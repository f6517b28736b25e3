"""Intervals: against the literature, and as wide as outcomes that hang together demand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.outcomes.calibration_intervals import (
    DAY,
    FEWEST_BLOCKS,
    HOUR,
    BlockDraws,
    block_of,
    correlation,
    effective_size,
    student_95,
    wilson_interval,
)
from metapulse_assets.outcomes.rows import HORIZONS
from metapulse_assets_tests.outcomes.outcome_markets import START


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_the_wilson_interval_holds_the_shares_that_a_score_test_does_not_reject(n: int, part: float) -> None:
    share = round(part * n) / n
    low, high = wilson_interval(share, n)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(share - end) / np.sqrt(end * (1 - end) / n) == pytest.approx(1.959964, rel=1e-6)


def test_a_wilson_interval_from_the_literature() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423)]
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_95(freedom) == pytest.approx(quantile, rel=2e-3)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=60))
def test_outcomes_are_worth_at_least_one_and_at_most_all_of_them(pairs: list[tuple[bool, int]]) -> None:
    values, block = np.array([float(v) for v, _ in pairs]), np.array([b for _, b in pairs])
    assert 1 <= effective_size(values, block) <= values.size


def test_outcomes_that_do_not_hang_together_are_worth_nearly_all_of_them_and_copies_one_a_block() -> None:
    random = np.random.default_rng(1)
    block = np.repeat(np.arange(200), 10)
    apart = [effective_size((random.random(2_000) < 0.3).astype(float), block) for _ in range(20)]
    assert 1_700 < np.mean(apart) <= 2_000
    copies = np.repeat(random.random(200) < 0.3, 10).astype(float)
    assert effective_size(copies, block) == pytest.approx(200, rel=0.05)
    assert effective_size(copies, np.zeros(2_000, np.intp)) == 1
    # No spread to measure: each block counts as one.
    assert 150 < effective_size(np.ones(2_000), block) <= 200


def overlapping(random: np.random.Generator, days: int, span: int, n: int = 400) -> tuple[float, float]:
    """Share of rises over `span` hours at random hours of 20 tokens that follow one market, and what they are worth."""
    hours = days * 24 + span
    steps = random.normal(0, 1, hours) + random.normal(0, 1, (20, hours))
    price = np.concatenate([np.zeros((20, 1)), steps.cumsum(axis=1)], axis=1)
    at, token = random.integers(0, days * 24, n), random.integers(0, 20, n)
    rose = (price[token, at + span] > price[token, at]).astype(float)
    return float(rose.mean()), effective_size(rose, block_of(START // DAY * DAY + at * HOUR, span * HOUR))


@pytest.mark.parametrize(("days", "span"), [(3, 1), (30, 4), (30, 24)])
def test_intervals_hold_the_truth_where_spans_overlap_and_tokens_share_a_market(days: int, span: int) -> None:
    random = np.random.default_rng(span)
    found = [overlapping(random, days, span) for _ in range(150)]

    def held(sizes: list[float]) -> float:
        ends = [wilson_interval(share, size) for (share, _), size in zip(found, sizes, strict=True)]
        return float(np.mean([low <= 0.5 <= high for low, high in ends]))

    blocks, apart = held([size for _, size in found]), held([400.0] * len(found))
    assert blocks > 0.86
    assert apart < blocks - 0.05, "taken as independent they promise too much"


def test_blocks_are_days_once_there_are_enough_of_them_and_never_shorter_than_two_horizons() -> None:
    start = START // (28 * DAY) * 28 * DAY
    week, month = start + np.arange(0, 8 * 24) * HOUR, start + np.arange(0, 28 * 24) * HOUR
    assert np.unique(block_of(week, HORIZONS["5m"])).size == 8 * 24
    assert np.unique(block_of(week, HORIZONS["1h"])).size == 8 * 12
    assert np.unique(block_of(month, HORIZONS["1h"])).size == 28
    assert np.unique(block_of(month, HORIZONS["24h"])).size == 14
    assert np.unique(block_of(month, HORIZONS["7d"])).size == 2


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=30), st.integers(0, 9))
def test_correlation_is_pearsons_within_its_interval_ends(pairs: list[tuple[float, float]], seed: int) -> None:
    x, y = (np.round(np.array(column), 2) for column in zip(*pairs, strict=True))
    rows, random = np.arange(x.size), np.random.default_rng(seed)
    blocks = rows % 6
    value, (low, high) = correlation(x, y, BlockDraws.of(blocks, random), rows)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
        assert np.isnan(low) or -1 <= low <= high <= 1
        assert np.unique(blocks).size >= FEWEST_BLOCKS or math.isnan(low)


def test_few_blocks_say_nothing_of_chance() -> None:
    x, rows = np.arange(40.0), np.arange(40)
    draws = BlockDraws.of(rows % 8, np.random.default_rng(0))
    assert draws.sums([x], rows) is not None
    assert draws.sums([x[:3]], np.array([0, 8, 16])) is None


def test_a_draw_takes_whole_blocks() -> None:
    rows = np.arange(60)
    draws = BlockDraws.of(rows // 10, np.random.default_rng(0))
    sums = draws.sums([np.ones(60), np.where(rows // 10 == 2, 1.0, 0.0)], rows)
    assert sums is not None
    assert (sums[:, 0] == 60).all()
    assert set(np.unique(sums[:, 1] % 10)) == {0.0}
    assert sums[:, 1].mean() == pytest.approx(10, rel=0.15)
