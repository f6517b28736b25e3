"""How the two models of `signals/pool_risk` were fitted: `python -m metapulse_assets_tests.training.pool_risk`.

Prints each term's weight, typical and unknown value as they stand there, and how well they do out of sample. Reads the
labelled pools of the recordings (`METAPULSE_RECORDINGS`). Fitting is a logistic regression on standardised terms with a ridge
penalty, in which a term that would lower the risk as its fact gets worse is left out; nothing in it is random.
"""

import csv
import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metapulse_assets.risk.pool_csv import FIRST_ACTION, read_pools
from metapulse_assets.risk.pool_risk import FIRST_HOUR, Model, Reading, assess_pools

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

RIDGE = 1.0
FOLDS = 5
STEPS = 50
DRAINED = 0.9
DIGITS = 3


@dataclass(frozen=True)
class Pools:
    """Labelled pools: what the model reads, which are bad, which rows belong together (one pool, one day), when they began."""

    model: Model
    readings: Mapping[str, Reading]
    bad: Labels
    group: npt.NDArray[np.intp]
    began: Floats

    def values(self) -> Floats:
        """Terms in columns, unknown ones at the upper quartile of the known."""
        columns = []
        for term in self.model.terms:
            value = self.readings[term.name].value
            known = np.isfinite(value)
            columns.append(np.where(known, value, np.quantile(value[known], 0.75)))
        return np.stack(columns, axis=1)


def solrpds(folder: Path) -> Pools:
    """The pools of 2021; bad: no action and no swap at the end of the year. One pool's rows belong together."""
    path = folder / "rug_solrpds" / "2021.csv"
    table = read_pools(path)
    with path.open(encoding="utf-8-sig", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["INACTIVITY_STATUS"]]
    bad = np.array([row["INACTIVITY_STATUS"] == "Inactive" for row in rows])
    began = np.array([datetime.fromisoformat(row[FIRST_ACTION]).timestamp() for row in rows])
    pools = np.unique(np.array(table.names["LIQUIDITY_POOL_ADDRESS"]), return_inverse=True)[1]
    return Pools(table.model, table.readings, bad, pools, began)


def raydium(folder: Path) -> Pools:
    """Launches of October 2024; bad: the reserve lost 90 % after its peak. One day's launches belong together."""
    files = sorted((folder / "rug_raydium_q4_2024" / "target_components" / "2024-10").glob("*.csv.gz"))
    tables = [read_pools(path) for path in files]
    parts = [[table.readings[term.name] for table in tables] for term in FIRST_HOUR.terms]
    readings = {
        term.name: Reading(
            np.concatenate([reading.value for reading in part]), np.concatenate([reading.shown for reading in part])
        )
        for term, part in zip(FIRST_HOUR.terms, parts, strict=True)
    }
    bad = np.concatenate([drained(path) for path in files])
    days = np.repeat(np.arange(len(files)), [len(table) for table in tables])
    return Pools(FIRST_HOUR, readings, bad, days, days.astype(np.float64))


def columns_of(path: Path, names: Sequence[str]) -> list[Floats]:
    """Columns of numbers of a packed file, NaN where a cell is empty."""
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
        rows = list(csv.DictReader(text))
    return [np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in names]


def drained(path: Path) -> Labels:
    """The label of the Raydium set, by the rule that its makers give: 90 % of the largest reserve gone after its peak."""
    largest, lowest = columns_of(path, ("max_tvl", "posterior_min_tvl"))
    after = np.where(np.isnan(lowest), largest, lowest)
    same = np.isclose(largest, after) | np.isclose(largest, 0)
    return np.asarray((largest - after >= DRAINED * largest) & ~same)


def fitted(pools: Pools, rows: npt.NDArray[np.intp] | None = None) -> Model:
    """The model with coefficients of these rows (all of them if None), rounded as they are committed."""
    values, bad = pools.values(), pools.bad
    chosen = np.arange(len(bad)) if rows is None else rows
    values, target = values[chosen], bad[chosen].astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    kept = np.arange(values.shape[1])
    while True:
        bias, weights = _logistic((values[:, kept] - mean[kept]) / spread[kept], target)
        if (weights >= 0).all():
            break
        kept = kept[weights > weights.min()]
    whole = np.zeros(values.shape[1])
    whole[kept] = weights / spread[kept]
    terms = tuple(
        replace(
            term,
            weight=round(float(whole[place]), DIGITS),
            typical=round(float(np.median(values[:, place])), DIGITS) + 0.0,
            unknown=round(float(np.quantile(values[:, place], 0.75)), DIGITS) + 0.0,
        )
        for place, term in enumerate(pools.model.terms)
    )
    return replace(pools.model, bias=round(float(bias - whole @ mean), DIGITS), terms=terms)


def _logistic(values: Floats, target: Floats) -> tuple[float, Floats]:
    """Bias and weights by Newton's method, the weights under the ridge penalty."""
    design = np.column_stack([np.ones(len(values)), values])
    penalty = np.diag([0.0, *([RIDGE] * values.shape[1])])
    beta = np.zeros(design.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-design @ beta))
        slope = design.T @ (probability - target) + penalty @ beta
        step = np.linalg.solve((design.T * (probability * (1 - probability))) @ design + penalty, slope)
        beta = beta - step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0]), np.asarray(beta[1:])


def out_of_sample(pools: Pools) -> Floats:
    """Each row's score by a model that saw nothing of its group."""
    fold = np.random.default_rng(20211231).permutation(pools.group.max() + 1)[pools.group] % FOLDS
    score = np.empty(len(pools.bad))
    for part in range(FOLDS):
        model = fitted(pools, np.flatnonzero(fold != part))
        score[fold == part] = assess_pools(model, pools.readings).score[fold == part]
    return score


def roc_auc(score: Floats, bad: Labels) -> float:
    """Probability that a bad row has a higher score than a good one; ties count a half. Rows with NaN are left out."""
    known = np.isfinite(score)
    score, bad = score[known], bad[known]
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n_bad = int(bad.sum())
    return float((rank[bad].sum() - n_bad * (n_bad + 1) / 2) / (n_bad * (len(bad) - n_bad)))


def main() -> None:
    """Print both models."""
    folder = Path(os.environ["METAPULSE_RECORDINGS"])
    for pools in (solrpds(folder), raydium(folder)):
        model = fitted(pools)
        print(f"{model.name}: bias={model.bias}")
        for term in model.terms:
            alone = roc_auc(pools.readings[term.name].value, pools.bad)
            print(f"  {term.name}: {term.weight}, {term.typical}, {term.unknown}  (AUC alone {alone:.3f})")
        print(f"  AUC out of sample {roc_auc(out_of_sample(pools), pools.bad):.4f}, bad {pools.bad.mean():.3f}")


if __name__ == "__main__":
    main()
