"""Reading a model's probabilities by what became of the earlier ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metapulse_assets.intelligence.ensemble import logit, sigmoid
from metapulse_assets.intelligence.model_calibration import IDENTITY, RIDGE, base_rate, fit, weight_of


def answers(n: int, slope: float, intercept: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A model whose words mean sigmoid(slope * logit + intercept)."""
    rng = np.random.default_rng(seed)
    said = rng.uniform(0.05, 0.95, n)
    true = 1 / (1 + np.exp(-(slope * np.log(said / (1 - said)) + intercept)))
    return said, rng.uniform(size=n) < true


def test_without_outcomes_a_model_is_taken_at_its_word() -> None:
    found = fit(np.array([]), np.array([], np.bool_))
    assert found == IDENTITY
    assert found.apply(0.7) == pytest.approx(0.7)


def test_a_model_that_exaggerates_is_read_down() -> None:
    found = fit(*answers(20_000, 0.3, -0.4))
    assert found.slope == pytest.approx(0.3, abs=0.05)
    assert found.intercept == pytest.approx(-0.4, abs=0.05)
    assert found.n == 20_000
    assert found.apply(0.9) < 0.7


def test_few_outcomes_change_little() -> None:
    few, many = fit(*answers(10, 0.0, -1.0)), fit(*answers(5_000, 0.0, -1.0))
    assert abs(few.slope - 1) < abs(many.slope - 1)
    assert few.slope > 0.5


def test_the_fit_is_the_least_of_what_it_minimises() -> None:
    said, hit = answers(300, 0.5, 0.3, seed=3)
    x = np.array([logit(p) for p in said])

    def loss(slope: float, intercept: float) -> float:
        signed = np.where(hit, 1.0, -1.0) * (slope * x + intercept)
        return float(np.log1p(np.exp(-signed)).sum() + RIDGE / 2 * ((slope - 1) ** 2 + intercept**2))

    found = fit(said, hit)
    best = loss(found.slope, found.intercept)
    assert all(best <= loss(found.slope + a, found.intercept + b) for a in (-0.01, 0, 0.01) for b in (-0.01, 0, 0.01))


def test_a_model_that_is_wrong_is_not_turned_round() -> None:
    found = fit(*answers(5_000, -1.0, 0.0))
    assert found.slope == 0
    assert found.apply(0.9) == found.apply(0.1) == pytest.approx(sigmoid(found.intercept))


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(arrays(np.float64, n, elements=st.floats(0, 1)), arrays(np.bool_, n))))
def test_whatever_came_true_the_reading_keeps_its_order(case: tuple[np.ndarray, np.ndarray]) -> None:
    found = fit(*case)
    read = [found.apply(p) for p in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert read == sorted(read)
    assert all(0 < p < 1 for p in read)
    assert found.weight > 0
    assert found.brier is not None
    assert 0 <= found.brier <= 1


def test_the_better_model_has_the_greater_say_once_it_is_known_to_be() -> None:
    assert weight_of(0.25, 1_000) == weight_of(0.9, 0) == IDENTITY.weight
    assert weight_of(0.15, 1_000) > weight_of(0.15, 10) > IDENTITY.weight > weight_of(0.3, 10)


def test_the_base_rate_begins_at_a_half_and_follows_the_outcomes() -> None:
    assert base_rate([]) == base_rate([IDENTITY]) == 0.5
    seldom = fit(np.full(1_000, 0.5), np.arange(1_000) < 300)
    assert base_rate([seldom, seldom]) == pytest.approx((300 + 25) / 1_050)
