"""The rows `risk.*`: how well the models of pools rank labelled ones that they have not seen."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metapulse_assets.risk.pool_risk import assess_pools
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.training.pool_risk import (
    Pools,
    columns_of,
    drained,
    fitted,
    out_of_sample,
    raydium,
    roc_auc,
    solrpds,
)

RECORDINGS = "METAPULSE_RECORDINGS"
UNIT = "AUC"

METHOD = """
Area under the ROC curve of labels made by others; a score of chance is 0.5. SolRPDS, pools of 2021: 90 of 1,702 rows are
called inactive, and every label follows from one rule, the last liquidity action or swap before 26 December 00:15 UTC; both
of those times are left out, also as the end of a span. Each pool is scored by a model fitted on the other four fifths of the
pools; for `.later`, the later half of the rows by one fitted on the earlier half. A pool that began in the last days cannot
have been called inactive, which helps what knows its age. Raydium, launches of October 2024: drained means that nine tenths
of the largest reserve of SOL went within the first hour; no column of the reserve is read, and each day is scored by a model
fitted on other days. Mind that the remaining columns are of the same hour, and that the price falls with the reserve: a high
figure says that a drained pool is recognised, not that it was foreseen. `.at_peak` is what was known when the price was
highest (that price, and how many transfers it had taken): next to nothing. The peer is the best single one of the facts that
may be read. The recordings are needed (`METAPULSE_RECORDINGS`); without them there are no rows. n is the number of rows
scored.
"""

_GOOD = Goal("≥", 0.8)
TARGETS: Mapping[str, Target] = {
    "risk.auc.solrpds": Target("out of fold, by pool", _GOOD, peer="best single fact"),
    "risk.auc.solrpds.later": Target("fitted on earlier pools, asked about later ones", peer="best single fact"),
    "risk.auc.raydium_q4_2024": Target("out of fold, by day; of the same hour as the label", _GOOD, peer="best single fact"),
    "risk.auc.raydium_q4_2024.at_peak": Target("the better of the two facts known at the peak", peer="chance"),
}


def measure(bench: Bench) -> Iterator[Row]:
    """Out of sample, beside the best single fact."""
    folder = os.environ.get(RECORDINGS)
    if not folder:
        bench.say(f"risk: {RECORDINGS} is not set, nothing to measure")
        return
    if bench.wants("risk.auc.solrpds"):
        bench.say("risk: SolRPDS")
        pools = solrpds(Path(folder))
        yield _row("risk.auc.solrpds", pools, out_of_sample(pools), np.arange(len(pools.bad)))
        yield _later(pools)
    if bench.wants("risk.auc.raydium_q4_2024"):
        bench.say("risk: Raydium")
        pools = raydium(Path(folder))
        yield _row("risk.auc.raydium_q4_2024", pools, out_of_sample(pools), np.arange(len(pools.bad)))
        yield _at_peak(Path(folder))


def _row(name: str, pools: Pools, score: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]) -> Row:
    bad = pools.bad[rows]
    best = max(roc_auc(pools.readings[term.name].value[rows], bad) for term in pools.model.terms)
    ours = roc_auc(score[rows], bad)
    return Row(name, ours, UNIT, len(rows), best, ours / best)


def _later(pools: Pools) -> Row:
    began = pools.began
    early, late = np.flatnonzero(began < np.median(began)), np.flatnonzero(began >= np.median(began))
    score = assess_pools(fitted(pools, early), pools.readings).score
    return _row("risk.auc.solrpds.later", pools, score, late)


def _at_peak(folder: Path) -> Row:
    files = sorted((folder / "rug_raydium_q4_2024" / "target_components" / "2024-10").glob("*.csv.gz"))
    columns = [columns_of(path, ("max_price", "max_price_idx")) for path in files]
    bad = np.concatenate([drained(path) for path in files])
    aucs = [roc_auc(np.concatenate(part), bad) for part in zip(*columns, strict=True)]
    value = max(max(auc, 1 - auc) for auc in aucs)
    return Row("risk.auc.raydium_q4_2024.at_peak", value, UNIT, len(bad), 0.5, value / 0.5)


PART = Part("risk", METHOD, TARGETS, measure)
