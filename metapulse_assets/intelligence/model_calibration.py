"""How a model's probabilities are to be read, learnt from what became of its earlier answers. Arrays in, a few numbers out.

Platt scaling with a ridge towards the identity: with no outcomes a model is taken at its word, with few nearly so.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.intelligence.ensemble import MOST_EXTREME_LOGIT, logit, sigmoid

FloatArray = npt.NDArray[np.float64]

RIDGE = 20.0
"""Weight of the prior a = 1, b = 0: about that of as many outcomes. Own choice."""
WEIGHT_PRIOR = 50.0
"""Outcomes' worth of a Brier score of 1/4 that every model begins with, so that weights move slowly. Own choice."""
BASE_PRIOR = 50.0
"""Outcomes' worth of a base rate of a half. Own choice."""
_STEPS, _DONE = 50, 1e-10


@dataclass(frozen=True)
class Calibration:
    """Calibrated logit = slope x logit + intercept; `weight` before it is shared out among the models."""

    slope: float = 1.0
    intercept: float = 0.0
    n: int = 0
    hits: int = 0
    brier: float | None = None
    base_brier: float | None = None
    weight: float = 4.0

    def apply(self, probability: float) -> float:
        """The calibrated probability."""
        return sigmoid(self.slope * logit(probability) + self.intercept)


IDENTITY = Calibration()


def fit(probability: FloatArray, hit: npt.NDArray[np.bool_]) -> Calibration:
    """Fit on a model's probabilities and whether what they were about came true. Platt (1999); Newton's method."""
    n = int(probability.size)
    if not n:
        return IDENTITY
    x = np.array([logit(p) for p in probability.tolist()])
    y = hit.astype(np.float64)
    design = np.column_stack([x, np.ones(n)])
    prior = np.array([1.0, 0.0])
    parameters = prior.copy()
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-np.clip(design @ parameters, -30, 30)))
        gradient = design.T @ (expected - y) + RIDGE * (parameters - prior)
        curvature = design.T @ (design * (expected * (1 - expected))[:, None]) + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        parameters = parameters - step
        if float(np.abs(step).max()) < _DONE:
            break
    # A negative slope would turn a model's words round; a model that is wrong so often is not heard instead.
    slope = max(float(parameters[0]), 0.0)
    brier = float(np.mean((probability - y) ** 2))
    share = float(y.mean())
    return Calibration(
        slope=slope,
        intercept=float(np.clip(parameters[1], -MOST_EXTREME_LOGIT, MOST_EXTREME_LOGIT)),
        n=n,
        hits=int(hit.sum()),
        brier=brier,
        base_brier=share * (1 - share),
        weight=weight_of(brier, n),
    )


def weight_of(brier: float, n: int) -> float:
    """The inverse of the Brier score, drawn towards that of a coin by `WEIGHT_PRIOR` outcomes."""
    return (n + WEIGHT_PRIOR) / (n * brier + WEIGHT_PRIOR * 0.25)


def base_rate(calibrations: list[Calibration]) -> float:
    """Share of hits in what the models were asked, drawn towards a half; the models' own shares are averaged."""
    known = [calibration for calibration in calibrations if calibration.n]
    if not known:
        return 0.5
    n, hits = math.fsum(c.n for c in known) / len(known), math.fsum(c.hits for c in known) / len(known)
    return (hits + BASE_PRIOR / 2) / (n + BASE_PRIOR)
