"""Risk that a pool is abandoned or drained, from its liquidity actions or from the prices of its first hour.

Belongs here: what is read off a pool, the two models, the score. Does not: files (`pool_csv`), the risk of a tracked token
(`scoring`), how the coefficients were found (the tests' `training.pool_risk`).

Each model is a logistic one of a few terms, every one of which only raises the risk as its fact gets worse. They were
fitted to labels of others, without the columns that those labels were made from:

- `LIQUIDITY_ACTIONS`: SolRPDS (CODASPY 2025) calls a pool inactive when neither a liquidity action nor a swap came in the
  last days of the year that its file covers: in the file of 2021 that rule (last of the two before 26 December 00:15 UTC)
  gives every label. So the times of the last action and of the last swap are not read, nor a span that ends with one of
  them. What is read are the numbers of additions and removals, the time since the first of them, and how many pools the
  tokens have. Amounts are in each token's own unit, and their ratio, fitted on the earlier half of the pools, made the
  ranking of the later half worse: it is left out.
- `FIRST_HOUR`: launches on Raydium of October 2024; drained means that the pool lost 90 % of its largest reserve of SOL
  within the hour. Nothing that is computed from that reserve's column is read. What is left, the price and the longest
  silence, is of the same hour: the price is reserve over reserve and falls with it. It says that a pool was drained, hardly
  that it will be; what is known at the peak of the price alone says next to nothing (see `docs/benchmarks.md`).

A fact that is not known counts as in the riskier quarter of the pools that were learned from, and the level is then never
low.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.risk.scoring import DAY, BoolArray, FloatArray

MIN_AGE_DAYS = 1.0
"""A pool younger than a day counts as a day old: rates of hours say little. Own choice."""
MOST_POOLS = 4
"""More pools of a token than this are no safer. Own choice: what matters is whether anybody else trades it."""
LARGEST_LOG_RATIO = 3.0
"""Ratios are taken as logarithms and cut at e³, about 20 to 1: what lies beyond says nothing more. Own choice."""
DEEPEST_FALL = 6.0
"""A fall to a millionth is as bad as it gets (decimal logarithm). Own choice."""
SHORTEST_SILENCE = 1.0
"""Seconds; shorter ones count as this."""

REASONS_SHOWN = 3


@dataclass(frozen=True)
class Term:
    """One summand: weight times what is read, which grows with the risk.

    `typical`: median of the pools learned from; `unknown`: their upper quartile, which stands in where nothing is known.
    `text` says a value in words; it is given the plain value that was read off the pool.
    """

    name: str
    weight: float
    typical: float
    unknown: float
    text: Callable[[float], str]


@dataclass(frozen=True)
class Model:
    """Probability = 1 / (1 + exp(-(bias + sum of terms))), at the share of bad pools among those learned from.

    `medium_from`, `high_from`: bands of that probability.
    """

    name: str
    bias: float
    terms: tuple[Term, ...]
    medium_from: float
    high_from: float


@dataclass(frozen=True)
class Reading:
    """A fact of each pool: as the model takes it (NaN: unknown), and as it is said to people."""

    value: FloatArray
    shown: FloatArray


@dataclass(frozen=True)
class PoolRisk:
    """Per pool: score 0 to 1, level (low, medium, high), reasons (the worst first; empty: nothing out of the ordinary)."""

    score: FloatArray
    level: npt.NDArray[np.str_]
    reasons: list[list[str]]


LIQUIDITY_ACTIONS = Model(
    name="liquidity_actions",
    bias=-2.836,
    terms=(
        Term("slow_additions", 0.686, -0.354, 1.104, lambda v: f"{v:.3g} additions of liquidity a day"),
        Term("removals_per_addition", 0.247, -0.516, -0.165, lambda v: f"{v:.3g} removals for each addition"),
        Term("few_pools", 2.606, 0.0, 0.0, lambda v: f"a token of the pair is in {v:.0f} pool{'' if v == 1 else 's'}"),
    ),
    medium_from=0.05,
    high_from=0.15,
)
"""Bands are own choices: the share of bad pools in the training set (5.3 %), and three times that."""

FIRST_HOUR = Model(
    name="first_hour",
    bias=-9.235,
    terms=(
        Term("price_fall", 1.495, 1.494, 4.046, lambda v: f"the price fell {100 * v:.4g} % after its peak"),
        Term("silence", 1.082, 5.908, 6.891, lambda v: f"no transfer for {v:.0f} s"),
    ),
    medium_from=0.3,
    high_from=0.6,
)
"""Bands: RugCheck's of its normalised score, as in `risk`."""


def liquidity_readings(
    pool: Sequence[str],
    mint: Sequence[str],
    adds: npt.ArrayLike,
    removes: npt.ArrayLike,
    first_action_at: npt.ArrayLike,
    now: float,
) -> dict[str, Reading]:
    """What `LIQUIDITY_ACTIONS` reads. One row a pool and token of it; NaN: unknown; times in seconds since 1970 UTC.

    mint: empty where unknown. adds, removes: numbers of actions. The number of a token's pools is counted in the rows
    given, so give all that are known. The order of the rows means nothing.
    """
    n_adds, n_removes = np.asarray(adds, dtype=np.float64), np.asarray(removes, dtype=np.float64)
    days = np.maximum((now - np.asarray(first_action_at, dtype=np.float64)) / DAY, MIN_AGE_DAYS)
    # Half an action more on both sides, so that none at all has a logarithm; it changes no order.
    rate = (n_adds + 0.5) / days
    per_addition = (n_removes + 0.5) / (n_adds + 0.5)
    pools = _pools_of_rarest_token(pool, mint)
    return {
        "slow_additions": Reading(-np.log(rate), n_adds / days),
        "removals_per_addition": Reading(_log_ratio(per_addition), _ratio(n_removes, n_adds)),
        "few_pools": Reading(-np.log(np.minimum(pools, MOST_POOLS)), pools),
    }


def first_hour_readings(
    max_price: npt.ArrayLike, lowest_price_after: npt.ArrayLike, longest_silence_s: npt.ArrayLike
) -> dict[str, Reading]:
    """What `FIRST_HOUR` reads: prices in one unit, silence in seconds; NaN: unknown.

    lowest_price_after: the lowest price after the highest; give the highest itself where no trade came after it.
    Prices that are not above 0 are none, and unknown.
    """
    highest, lowest = np.asarray(max_price, dtype=np.float64), np.asarray(lowest_price_after, dtype=np.float64)
    silence = np.maximum(np.asarray(longest_silence_s, dtype=np.float64), SHORTEST_SILENCE)
    left = np.clip(_ratio(np.where(lowest > 0, lowest, np.nan), highest), 10.0**-DEEPEST_FALL, 1.0)
    return {"price_fall": Reading(-np.log10(left), 1 - left), "silence": Reading(np.log(silence), silence)}


def assess_pools(model: Model, readings: Mapping[str, Reading]) -> PoolRisk:
    """Score, level and reasons of each pool. Raises KeyError naming a reading that the model needs and is not there."""
    values = np.stack([readings[term.name].value for term in model.terms], axis=1)
    known = np.isfinite(values)
    weights = np.array([term.weight for term in model.terms])
    taken = np.where(known, values, [term.unknown for term in model.terms])
    # Term by term and never as a product of matrices, whose sums depend on how many rows there are.
    total = np.full(len(values), model.bias)
    for place, weight in enumerate(weights):
        total = total + weight * taken[:, place]
    score = 1 / (1 + np.exp(-total))
    bands = [score >= model.high_from, (score >= model.medium_from) | ~known.all(axis=1)]
    level = np.select(bands, ["high", "medium"], "low")
    excess = weights * (taken - [term.typical for term in model.terms])
    return PoolRisk(score, level, [_reasons(model, readings, row, excess[row], known[row]) for row in range(len(values))])


def _reasons(model: Model, readings: Mapping[str, Reading], row: int, excess: FloatArray, known: BoolArray) -> list[str]:
    """What makes this pool riskier than the typical one, by how much it does."""
    order = [place for place in np.argsort(-excess, kind="stable") if excess[place] > 0]
    said = []
    for place in order[:REASONS_SHOWN]:
        term = model.terms[place]
        said.append(
            term.text(float(readings[term.name].shown[row])) if known[place] else f"{term.name.replace('_', ' ')}: not known"
        )
    return said


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """A ratio, NaN where there is none. Of something to nothing it is as large as ratios get."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        ratio = numerator / np.where(denominator >= 0, denominator, np.nan)
    return np.asarray(np.where(np.isposinf(ratio), np.exp(LARGEST_LOG_RATIO), ratio), dtype=np.float64)


def _log_ratio(ratio: FloatArray) -> FloatArray:
    limit = np.exp(LARGEST_LOG_RATIO)
    return np.asarray(np.log(np.clip(ratio, 1 / limit, limit)), dtype=np.float64)


def _groups(names: Sequence[str]) -> npt.NDArray[np.intp]:
    return np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1]


def _pools_of_rarest_token(pool: Sequence[str], mint: Sequence[str]) -> FloatArray:
    """For each row, in how many pools that one of its pool's tokens is that is in the fewest; a nameless one is in one."""
    pool_of, mint_of = _groups(pool), _groups(mint)
    pairs = np.unique(np.stack([pool_of, mint_of], axis=1), axis=0)
    pools_of_mint = np.bincount(pairs[:, 1]).astype(np.float64) if len(pairs) else np.empty(0)
    named = np.array([bool(name) for name in mint], dtype=np.bool_)
    fewest = np.full(pool_of.max(initial=-1) + 1, np.inf)
    np.minimum.at(fewest, pool_of, np.where(named, pools_of_mint[mint_of], 1.0))
    return np.asarray(fewest[pool_of], dtype=np.float64)
