"""Risk of a token from a snapshot of its market and a scanner's report: hard fails first, then a weighted sum of steps.

Belongs here: thresholds, weights, bands, the assessment. Does not: what a report's fields mean (`security`), which report
was known when (`assessing`), which assessments are stored, or which one a signal sees (`history`).

Established tokens: issuers of dollars, and of wrapped or staked assets, can make more of them and freeze accounts, and
that is how such tokens work. A token on a scanner's list of established tokens is therefore not failed for its
authorities, nor held to locked liquidity, which comes from many providers there. Taxes, a honeypot and a pulled pool
count for everybody, and a token that no list was looked up for counts as not established.

Unknown is not safe: a fact that is not known is in no sum, and without known liquidity, or without a report on the
contract, the level is never low. Thresholds and weights are v0: mostly unvalidated choices of small sites or our own, to
be refitted once outcomes of signals are counted. Factors move in steps, so that an assessment changes only when something
happened.
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

CONFISCATORY_TAX = 0.5
"""Share of a sale, or of any transfer, that is taken. Own choice: more is lost than is left. Above 25 % TokenSentry gives
its full 30 marks."""

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

TAX_STEPS = ((0.10, 0.25), (0.0, 0.5, 1.0))
"""TokenSentry: a sell tax of 10 to 25 % +15, above +30. The worst of what a purchase, a sale and a transfer cost."""
TOP10_HOLDERS_STEPS = ((0.30, 0.50, 0.80), (0.0, 0.5, 0.75, 1.0))
"""rugsol.live: the ten largest hold more than 30, 50, 80 %."""
LP_LOCKED_STEPS = ((0.50, 0.90), (1.0, 0.5, 0.0))
"""Locked or burnt share of the liquidity. Own choice: what one hand can pull is below half, or below a tenth."""
VENDOR_SCORE_STEPS = ((0.3, 0.6), (0.0, 0.5, 1.0))
"""RugCheck's own bands of its normalised score (0-30, 30-60, 60-100)."""

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
SECURITY_FLAGS = ("mint_authority", "freeze_authority", "owner_can_change", "honeypot", "rugged", "trusted")
SECURITY_SHARES = ("buy_tax", "sell_tax", "transfer_fee", "top10_holder_share", "lp_locked_share", "vendor_score")
SECURITY_COLUMNS = (*SECURITY_FLAGS, *SECURITY_SHARES)
_NEVER_NEGATIVE = (*METRIC_COLUMNS[:6], *SECURITY_SHARES)

LEVELS = ("low", "medium", "high", "unknown")

Metrics = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Factor:
    """One summand: its weight (a whole number) and what it reads; NaN input means unknown."""

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


def _authorities(metrics: Metrics) -> FloatArray:
    """1: some authority is alive, 0: none is; NaN where that is not known of all of them."""
    flags = [metrics["mint_authority"], metrics["freeze_authority"], metrics["owner_can_change"]]
    alive = np.logical_or.reduce([np.equal(flag, 1) for flag in flags])
    # RugCheck says nothing of owners, for a mint on Solana has none: the two authorities are all there is.
    known = np.isfinite(flags[0]) & np.isfinite(flags[1])
    return np.where(_established(metrics), 0.0, np.where(alive, 1.0, np.where(known, 0.0, np.nan)))


def _tax(metrics: Metrics) -> FloatArray:
    return np.fmax(np.fmax(metrics["buy_tax"], metrics["sell_tax"]), metrics["transfer_fee"])


def _lp_locked(metrics: Metrics) -> FloatArray:
    return np.where(_established(metrics), 1.0, metrics["lp_locked_share"])


def _established(metrics: Metrics) -> BoolArray:
    return np.equal(metrics["trusted"], 1)


FACTORS: tuple[Factor, ...] = (
    Factor("liquidity", 25, LIQUIDITY_USD_STEPS, lambda m: m["liquidity_usd"]),
    Factor("liquidity_to_fdv", 15, LIQUIDITY_TO_FDV_STEPS, _liquidity_to_fdv),
    Factor("pool_age", 15, POOL_AGE_STEPS, lambda m: m["pool_age_seconds"]),
    Factor("volume_to_liquidity", 15, VOLUME_TO_LIQUIDITY_STEPS, lambda m: _ratio(m["volume_h24_usd"], m["liquidity_usd"])),
    Factor("buy_sell_imbalance", 10, IMBALANCE_STEPS, _imbalance),
    Factor("price_change", 10, PRICE_CHANGE_STEPS, lambda m: np.abs(m["price_change_h24_pct"])),
    Factor("trades", 10, TRADES_STEPS, _trades),
    Factor("authorities", 10, ((0.5,), (0.0, 1.0)), _authorities),
    Factor("tax", 10, TAX_STEPS, _tax),
    Factor("top10_holders", 10, TOP10_HOLDERS_STEPS, lambda m: m["top10_holder_share"]),
    Factor("lp_locked", 6, LP_LOCKED_STEPS, _lp_locked),
    Factor("vendor_score", 4, VENDOR_SCORE_STEPS, lambda m: m["vendor_score"]),
)
"""Weights are v0 and our own choice: what decides whether one can get out (liquidity) weighs most. The market's make 100,
what a scanner says 40: the worst of that fails by itself, below."""

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


def _said(flag: str) -> Callable[[Metrics, BoolArray], BoolArray]:
    return lambda metrics, on_bonding_curve: np.equal(metrics[flag], 1)


def _said_unless_established(flag: str) -> Callable[[Metrics, BoolArray], BoolArray]:
    return lambda metrics, on_bonding_curve: np.equal(metrics[flag], 1) & ~_established(metrics)


def _confiscatory_tax(metrics: Metrics, on_bonding_curve: BoolArray) -> BoolArray:
    return np.greater_equal(np.fmax(metrics["sell_tax"], metrics["transfer_fee"]), CONFISCATORY_TAX)


HARD_FAILS: Mapping[str, Callable[[Metrics, BoolArray], BoolArray]] = {
    "rugged": _said("rugged"),
    "honeypot": _said("honeypot"),
    "confiscatory_tax": _confiscatory_tax,
    "mint_authority": _said_unless_established("mint_authority"),
    "freeze_authority": _said_unless_established("freeze_authority"),
    "owner_can_change": _said_unless_established("owner_can_change"),
    "no_liquidity": _no_liquidity,
    "no_sells": _no_sells,
    "price_collapse": _collapsed,
    "no_trades": _no_trades,
}
"""Each makes the level high whatever the sum; of several the first is named. Unknown inputs fail nothing.

Any live authority caps anyscan.io's score at 10 of 100, and a live mint or freeze authority adds 35 and 40 there.
"""


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
    time of the snapshot (NaN: unknown), and on_bonding_curve (bool: the pool's exchange is a launchpad's curve);
    SECURITY_COLUMNS as in `token_security` (flags as 1 and 0; NaN or None: unknown), which may be left out: unknown.
    A factor whose input is unknown is in neither numerator nor denominator. Without known liquidity the level is never
    low, on a curve or off it, nor without knowing whether the token can be inflated or sold. Raises KeyError naming a
    missing column, ValueError naming column and row of a negative amount.
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

    contract_known = np.isfinite(values["mint_authority"]) | np.isfinite(values["honeypot"])
    medium = (score >= MEDIUM_FROM) | ~known[:, _LIQUIDITY] | ~contract_known
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
    unknown = np.full(on_bonding_curve.shape, np.nan)
    values = {name: np.asarray(metrics[name], dtype=np.float64) for name in METRIC_COLUMNS}
    values |= {name: np.asarray(metrics.get(name, unknown), dtype=np.float64) for name in SECURITY_COLUMNS}
    for name, column in values.items():
        if column.shape != on_bonding_curve.shape:
            raise ValueError(f"{name}: expected one value for each of {on_bonding_curve.size} rows, got {column.shape}")
    for name in _NEVER_NEGATIVE:
        wrong = np.flatnonzero(values[name] < 0)
        if wrong.size:
            raise ValueError(f"{name}: row {wrong[0]} is {values[name][wrong[0]]}, which is below 0")
    return values, on_bonding_curve
