"""Risk of a token from one DexScreener snapshot: hard fails first, then a weighted sum of stepped factors.

Belongs here: thresholds, weights, bands, the assessment. Does not: which assessments are stored, or which one a signal
sees (`risk_history`).

What a snapshot cannot show is not judged: mint and freeze authority, holders, taxes, who provides the liquidity.
Thresholds and weights are v0: mostly unvalidated choices of small sites or our own, to be refitted once outcomes of
signals are counted. Factors move in steps, so that an assessment changes only when something happened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

HOUR = 3_600.0
DAY = 24 * HOUR

# Hard fails.
MIN_LIQUIDITY_USD = 1_000.0
"""Lowest band of rugsol.live's scoring; a finished pump-and-dump leaves at most 300 USD (Chainalysis)."""
HONEYPOT_MIN_BUYS = 20
"""So many buys in 24 h and no sale: selling may be impossible. Own choice; Mobula flags the ratio without a number."""
COLLAPSE_PCT = -90.0
"""Price change over 24 h, percent. Own choice."""

# Steps of the factors: edges, and the points of each step below, between and from them on.
LIQUIDITY_USD_STEPS = ((1_000.0, 5_000.0, 10_000.0, 250_000.0), (1.0, 0.75, 0.5, 0.25, 0.0))
"""1k, 5k, 10k: rugsol.live; full marks from 250k: "DEX pool health score" (Apify)."""
LIQUIDITY_TO_FDV_STEPS = ((0.05, 0.10), (1.0, 0.5, 0.0))
"""oatsai.fun gives 0, 50 and 100 marks at 0, 5 and 10 %; below 10 % a published scanner skips the token."""
POOL_AGE_STEPS = ((DAY, 7 * DAY), (1.0, 0.5, 0.0))
"""rugsol.live; seconds."""
VOLUME_TO_LIQUIDITY_STEPS = ((0.05, 5.0), (0.5, 0.0, 1.0))
"""24 h volume: 5 % to 5 times the liquidity is normal, above suggests wash trades ("DEX pool health score", Apify)."""
IMBALANCE_STEPS = ((0.5, 0.8), (0.0, 0.5, 1.0))
"""|buys - sells| / (buys + sells) of 24 h. Own choice."""
IMBALANCE_MIN_TRADES = 20
"""With fewer trades the imbalance is noise, and unknown. Own choice."""
PRICE_CHANGE_STEPS = ((50.0, 100.0), (0.0, 0.5, 1.0))
"""Size of the 24 h change, percent. Own choice. Vendors report 500,822 % on thin pools: all above 100 is one step."""
TRADES_STEPS = ((20.0, 100.0), (1.0, 0.5, 0.0))
"""Trades in 24 h. Own choice."""

# RugCheck's bands of its normalised score (0-30, 30-60, 60-100).
MEDIUM_FROM = 0.3
HIGH_FROM = 0.6

MIN_KNOWN_SHARE = 0.3
"""Less than this share of the weights known, and the level is unknown (rugorrich.gg caps its score there)."""

METRIC_COLUMNS = (
    "liquidity_usd",
    "fdv_usd",
    "market_cap_usd",
    "volume_h24_usd",
    "buys_h24",
    "sells_h24",
    "price_change_h24_pct",
    "pool_age_seconds",
)
_NEVER_NEGATIVE = METRIC_COLUMNS[:6]

LEVELS = ("low", "medium", "high", "unknown")

Metrics = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Factor:
    """One summand: its weight (whole per cent, all together 100) and what it reads; NaN input means unknown."""

    name: str
    weight: int
    steps: tuple[tuple[float, ...], tuple[float, ...]]
    read: Callable[[Metrics], FloatArray]

    def points(self, metrics: Metrics) -> FloatArray:
        """0 (safe) to 1 (risky) in quarters for each row, NaN where unknown."""
        edges, points = self.steps
        value = self.read(metrics)
        stepped = np.array(points)[np.searchsorted(edges, value, side="right")]
        return np.where(np.isfinite(value), stepped, np.nan)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # an infinite ratio is no number, and counts as unknown
        return np.asarray(numerator / np.where(denominator > 0, denominator, np.nan), dtype=np.float64)


def _liquidity_to_fdv(metrics: Metrics) -> FloatArray:
    value = np.where(np.isfinite(metrics["fdv_usd"]), metrics["fdv_usd"], metrics["market_cap_usd"])
    return _ratio(metrics["liquidity_usd"], value)


def _trades(metrics: Metrics) -> FloatArray:
    return metrics["buys_h24"] + metrics["sells_h24"]


def _imbalance(metrics: Metrics) -> FloatArray:
    trades = _trades(metrics)
    imbalance = _ratio(np.abs(metrics["buys_h24"] - metrics["sells_h24"]), trades)
    return np.where(trades >= IMBALANCE_MIN_TRADES, imbalance, np.nan)


FACTORS: tuple[Factor, ...] = (
    Factor("liquidity", 25, LIQUIDITY_USD_STEPS, lambda m: m["liquidity_usd"]),
    Factor("liquidity_to_fdv", 15, LIQUIDITY_TO_FDV_STEPS, _liquidity_to_fdv),
    Factor("pool_age", 15, POOL_AGE_STEPS, lambda m: m["pool_age_seconds"]),
    Factor("volume_to_liquidity", 15, VOLUME_TO_LIQUIDITY_STEPS, lambda m: _ratio(m["volume_h24_usd"], m["liquidity_usd"])),
    Factor("buy_sell_imbalance", 10, IMBALANCE_STEPS, _imbalance),
    Factor("price_change", 10, PRICE_CHANGE_STEPS, lambda m: np.abs(m["price_change_h24_pct"])),
    Factor("trades", 10, TRADES_STEPS, _trades),
)
"""Weights are v0 and our own choice: what decides whether one can get out (liquidity) weighs most."""

_WEIGHTS = np.array([factor.weight for factor in FACTORS], dtype=np.float64)
_LIQUIDITY = next(i for i, factor in enumerate(FACTORS) if factor.name == "liquidity")


def _no_liquidity(metrics: Metrics, on_bonding_curve: BoolArray) -> BoolArray:
    # On a curve the launchpad's contract is the other side, whatever the vendor shows as liquidity.
    return np.less(metrics["liquidity_usd"], MIN_LIQUIDITY_USD) & ~on_bonding_curve


def _no_sells(metrics: Metrics, on_bonding_curve: BoolArray) -> BoolArray:
    return np.greater_equal(metrics["buys_h24"], HONEYPOT_MIN_BUYS) & np.equal(metrics["sells_h24"], 0)


def _collapsed(metrics: Metrics, on_bonding_curve: BoolArray) -> BoolArray:
    return np.less_equal(metrics["price_change_h24_pct"], COLLAPSE_PCT)


def _no_trades(metrics: Metrics, on_bonding_curve: BoolArray) -> BoolArray:
    return np.equal(_trades(metrics), 0)


HARD_FAILS: Mapping[str, Callable[[Metrics, BoolArray], BoolArray]] = {
    "no_liquidity": _no_liquidity,
    "no_sells": _no_sells,
    "price_collapse": _collapsed,
    "no_trades": _no_trades,
}
"""Each makes the level high whatever the sum; of several the first is named. Unknown inputs fail nothing."""


@dataclass(frozen=True)
class RiskTable:
    """Assessments, one a row.

    level: str, low, medium, high or unknown. score: float64, weighted mean of the known points, 0 (safe) to 1, NaN
    where fewer than MIN_KNOWN_SHARE are known. known_share: float64, 0 to 1, weight of the known factors.
    hard_fail: object, a name of HARD_FAILS or None. points: float64 (rows, factors) in the order of FACTORS, NaN
    unknown.
    """

    level: npt.NDArray[np.str_]
    score: FloatArray
    known_share: FloatArray
    hard_fail: npt.NDArray[np.object_]
    points: FloatArray

    def __len__(self) -> int:
        return int(self.level.size)

    def factors(self) -> list[dict[str, float | None]]:
        """Each row's points by factor name, None where unknown, as stored."""
        names = [factor.name for factor in FACTORS]
        points = self.points.astype(object)
        points[np.isnan(self.points)] = None
        return [dict(zip(names, row, strict=True)) for row in points.tolist()]

    def take(self, rows: npt.ArrayLike) -> "RiskTable":
        """The rows at these positions, or where this mask is true."""
        where = np.asarray(rows)
        return RiskTable(
            self.level[where], self.score[where], self.known_share[where], self.hard_fail[where], self.points[where]
        )


def assess(metrics: Mapping[str, npt.ArrayLike]) -> RiskTable:
    """Risk of each row by itself.

    metrics: METRIC_COLUMNS as in `token_metrics` (NaN or None: unknown; counts as numbers), pool_age_seconds at the
    time of the snapshot (NaN: unknown), and on_bonding_curve (bool: the pool's exchange is a launchpad's curve).
    A factor whose input is unknown is in neither numerator nor denominator. Without known liquidity the level is never
    low, on a curve or off it. Raises KeyError naming a missing column, ValueError naming column and row of a negative
    amount.
    """
    values, on_bonding_curve = _read_metrics(metrics)
    points = np.stack([factor.points(values) for factor in FACTORS], axis=1)
    known = np.isfinite(points)
    known_weight = known @ _WEIGHTS
    known_share = known_weight / _WEIGHTS.sum()
    # Weights are whole and points are quarters, so the sum is exact and a score on a band's edge is on it everywhere.
    total = np.where(known, points, 0.0) @ _WEIGHTS
    enough = known_share >= MIN_KNOWN_SHARE
    score = np.where(enough, total / np.maximum(known_weight, 1.0), np.nan)

    failed = np.stack([fails(values, on_bonding_curve) for fails in HARD_FAILS.values()], axis=1)
    fails_any = failed.any(axis=1)
    names = np.array([*HARD_FAILS, None], dtype=object)
    hard_fail = names[np.where(fails_any, failed.argmax(axis=1), len(HARD_FAILS))]

    medium = (score >= MEDIUM_FROM) | ~known[:, _LIQUIDITY]
    level = np.select([fails_any, ~enough, score >= HIGH_FROM, medium], ["high", "unknown", "high", "medium"], "low")
    return RiskTable(level, score, known_share, hard_fail, points)


def stored_assessments(
    level: Sequence[str],
    score: Sequence[float | None],
    known_share: Sequence[float],
    hard_fail: Sequence[str | None],
    factors: Sequence[Mapping[str, Any]] | None = None,
) -> RiskTable:
    """Rows of `risk_assessments` as a table again. A factor not stored is unknown, as are all without `factors`.

    Give the factors when the rows are to be compared with new ones; a signal's risk needs only the rest.
    """
    names = [factor.name for factor in FACTORS]
    points = [[row.get(name) for name in names] for row in factors or [{}] * len(level)]
    fails = np.empty(len(hard_fail), dtype=object)
    fails[:] = hard_fail
    return RiskTable(
        level=np.array(level, dtype="<U7"),
        score=np.array(score, dtype=np.float64),
        known_share=np.array(known_share, dtype=np.float64),
        hard_fail=fails,
        points=np.array(points, dtype=np.float64).reshape(len(points), len(names)),
    )


def concatenate(tables: Sequence[RiskTable]) -> RiskTable:
    """The rows of several tables (at least one), one after the other."""
    return RiskTable(
        level=np.concatenate([table.level for table in tables]),
        score=np.concatenate([table.score for table in tables]),
        known_share=np.concatenate([table.known_share for table in tables]),
        hard_fail=np.concatenate([table.hard_fail for table in tables]),
        points=np.concatenate([table.points for table in tables]),
    )


def _read_metrics(metrics: Mapping[str, npt.ArrayLike]) -> tuple[dict[str, FloatArray], BoolArray]:
    missing = [name for name in (*METRIC_COLUMNS, "on_bonding_curve") if name not in metrics]
    if missing:
        raise KeyError(f"metrics: missing columns {', '.join(missing)}")
    on_bonding_curve = np.asarray(metrics["on_bonding_curve"], dtype=np.bool_)
    values = {name: np.asarray(metrics[name], dtype=np.float64) for name in METRIC_COLUMNS}
    for name, column in values.items():
        if column.shape != on_bonding_curve.shape:
            raise ValueError(f"{name}: expected one value for each of {on_bonding_curve.size} rows, got {column.shape}")
    for name in _NEVER_NEGATIVE:
        wrong = np.flatnonzero(values[name] < 0)
        if wrong.size:
            raise ValueError(f"{name}: row {wrong[0]} is {values[name][wrong[0]]}, which is below 0")
    return values, on_bonding_curve
