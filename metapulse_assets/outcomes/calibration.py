"""How good a source has been: hit rate, returns, Brier score, IC and a calibration curve, beside what chance would have done.

Belongs here: the numbers of `signal_calibration`, out of outcomes and counted moments. Does not: the outcomes themselves
(`resolving`), counting moments (`base_rates`), reading and storing (`calibration_store`).
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.base_rates import MomentCounts
from metapulse_assets.outcomes.rows import MINUTE, BoolArray, FloatArray, IntArray, StrArray

ALL = "all"
Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
PLACEBO_DRAWS = 200
BOOTSTRAP_DRAWS = 500
SEED = 20_260_101
DAY, HOUR = 24 * 60 * MINUTE, 60 * MINUTE
FEWEST_DAYS = 10
"""With fewer UTC days than this, blocks of the bootstrap are hours. Own choice."""
RELIABILITY_BINS = 10
LOG_LOSS_CLIP = 1e-3
"""Confidences are taken to be at least this far from 0 and 1, or one miss would outweigh all else. Own choice."""
FEWEST_OUTCOMES = 50
"""With fewer outcomes a source is uncalibrated. Own choice: the Wilson interval of 50 is ±14 points wide at 50 %."""
CURVE_BINS = 10
PRIOR_WEIGHT = 10.0
"""Each bin of the curve is drawn to the overall hit rate as by so many outcomes more. Own choice."""

Curve = list[list[float]]
Interval = tuple[float, float]


@dataclass(frozen=True)
class ScoredOutcomes:
    """Outcomes of one horizon that have a return: resolved or vanished. Shapes (n,).

    sign: 1 buy, -1 sell; strength, confidence 0 to 1; entry_at int64 µs; market_return: of the price; net_return: in the
    signal's direction, after costs; vanished: the pool stopped.
    """

    kind: StrArray
    rule: StrArray
    risk: StrArray
    token_id: IntArray
    sign: FloatArray
    strength: FloatArray
    confidence: FloatArray
    entry_at: IntArray
    market_return: FloatArray
    net_return: FloatArray
    vanished: BoolArray

    def __len__(self) -> int:
        return int(self.token_id.size)

    @property
    def hit(self) -> BoolArray:
        """Whether each was worth following."""
        return np.asarray(self.net_return > 0, np.bool_)

    def take(self, rows: npt.NDArray[np.intp] | BoolArray) -> "ScoredOutcomes":
        """The rows at these positions, or where this mask is true."""
        return ScoredOutcomes(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def sources(outcomes: ScoredOutcomes) -> Iterator[tuple[tuple[str, str, str], ScoredOutcomes]]:
    """Each (kind, rule or all, risk level or all) with its outcomes, by name."""
    for kind in np.unique(outcomes.kind).tolist():
        of_kind = outcomes.take(outcomes.kind == kind)
        for rule in (ALL, *np.unique(of_kind.rule).tolist()):
            of_rule = of_kind if rule == ALL else of_kind.take(of_kind.rule == rule)
            for risk in (ALL, *np.unique(of_rule.risk).tolist()):
                yield (kind, rule, risk), of_rule if risk == ALL else of_rule.take(of_rule.risk == risk)


def calibrate(outcomes: ScoredOutcomes, moments: MomentCounts, name: str) -> dict[str, Any]:
    """The numbers of one source, at least one outcome; NaN where there is none. `name` seeds what is random, with SEED."""
    hit, n = outcomes.hit, len(outcomes)
    random = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    low, high = wilson_interval(int(hit.sum()), n)
    base = float(moments.overall(outcomes.sign).mean())
    placebo, placebo_low, placebo_high = placebo_rates(outcomes.token_id, outcomes.sign, moments, random)
    brier = float(np.mean((outcomes.confidence - hit) ** 2))
    signed, blocks = outcomes.strength * outcomes.sign, block_of(outcomes.entry_at)
    ic, ic_band = correlation(signed, outcomes.market_return, blocks, random)
    rank_ic, rank_band = correlation(ranks(signed), ranks(outcomes.market_return), blocks, random)
    return {
        "n": n,
        "vanished": int(outcomes.vanished.sum()),
        "hit_rate": float(hit.mean()),
        "hit_rate_low": low,
        "hit_rate_high": high,
        "base_rate": base,
        "base_moments": int(moments.moments.sum()),
        "placebo_rate": placebo,
        "placebo_low": placebo_low,
        "placebo_high": placebo_high,
        "buy_and_hold_return": moments.mean_holding(outcomes.token_id),
        "mean_net_return": float(outcomes.net_return.mean()),
        "median_net_return": float(np.median(outcomes.net_return)),
        "mean_confidence": float(outcomes.confidence.mean()),
        "brier": brier,
        "brier_skill": brier_skill(brier, base, hit),
        "log_loss": log_loss(outcomes.confidence, hit),
        "ic": ic,
        "ic_low": ic_band[0],
        "ic_high": ic_band[1],
        "rank_ic": rank_ic,
        "rank_ic_low": rank_band[0],
        "rank_ic_high": rank_band[1],
        "reliability": reliability(outcomes.confidence, hit),
        "curve": fit_curve(outcomes.confidence, hit),
    }


def wilson_interval(hits: int, n: int, z: float = Z_95) -> Interval:
    """Interval of a share of `n` > 0 (Wilson 1927): where a normal test of the true share would not reject `hits`.

    It takes outcomes to be independent: where spans of many signals of a token overlap, it is narrower than it should be.
    """
    share, weight = hits / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * float(np.sqrt(share * (1 - share) / n + weight / (4 * n)))
    # At no hits and at all hits an end is 0 or 1 exactly; rounding must not carry it past the share.
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def placebo_rates(
    token_id: IntArray, sign: FloatArray, moments: MomentCounts, random: np.random.Generator
) -> tuple[float, float, float]:
    """Mean and 95 % band of the hit rate of PLACEBO_DRAWS sets of random entries: same tokens and directions, any moment.

    A random moment of a token pays with the token's own rate, so that entries need not be drawn one by one: those of a token
    and direction together are binomial. NaN where no moment was counted.
    """
    pairs, count = np.unique(np.stack([token_id, sign.astype(np.int64)]), axis=1, return_counts=True)
    rates = moments.rates(pairs[0], pairs[1].astype(np.float64))
    if np.isnan(rates).any():
        return float("nan"), float("nan"), float("nan")
    drawn = random.binomial(count, rates, (PLACEBO_DRAWS, count.size)).sum(axis=1) / token_id.size
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return float(drawn.mean()), low, high


def brier_skill(brier: float, base_rate: float, hit: BoolArray) -> float:
    """1 less the Brier score over that of always saying the base rate; NaN if that is unknown or never wrong."""
    reference = float(np.mean((base_rate - hit) ** 2))
    return 1 - brier / reference if reference > 0 else float("nan")


def log_loss(confidence: FloatArray, hit: BoolArray) -> float:
    """Mean negative log-likelihood of the hits, nats; confidences clipped by LOG_LOSS_CLIP."""
    told = np.clip(confidence, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    return float(-np.mean(np.log(np.where(hit, told, 1 - told))))


def reliability(confidence: FloatArray, hit: BoolArray) -> list[dict[str, float | int | None]]:
    """Ten equal bins of confidence, the last one closed: from, to, n, mean confidence and hit rate (None if empty)."""
    bins = np.minimum((confidence * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    n = np.bincount(bins, minlength=RELIABILITY_BINS)
    told = np.bincount(bins, confidence, RELIABILITY_BINS)
    came = np.bincount(bins, hit.astype(np.float64), RELIABILITY_BINS)
    return [
        {
            "from": number / RELIABILITY_BINS,
            "to": (number + 1) / RELIABILITY_BINS,
            "n": int(n[number]),
            "mean_confidence": float(told[number] / n[number]) if n[number] else None,
            "hit_rate": float(came[number] / n[number]) if n[number] else None,
        }
        for number in range(RELIABILITY_BINS)
    ]


def ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count + 1) / 2)[place], np.float64)


def block_of(entry_at: IntArray) -> npt.NDArray[np.intp]:
    """Blocks of outcomes that are not independent: UTC days, or hours where there are fewer than FEWEST_DAYS days."""
    days = np.unique(entry_at // DAY, return_inverse=True)
    return days[1] if days[0].size >= FEWEST_DAYS else np.unique(entry_at // HOUR, return_inverse=True)[1]


def correlation(
    x: FloatArray, y: FloatArray, block: npt.NDArray[np.intp], random: np.random.Generator
) -> tuple[float, Interval]:
    """Pearson's correlation, and its 95 % interval by BOOTSTRAP_DRAWS draws of whole blocks; NaN where it is not defined.

    On ranks it is Spearman's; the ranks are then not taken anew in each draw.
    """
    nothing = float("nan")
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return nothing, (nothing, nothing)
    # Centred and scaled, so that the sums below lose no digits.
    u, v = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    blocks = int(block.max()) + 1
    sums = np.stack([np.bincount(block, part, blocks) for part in (np.ones(x.size), u, v, u * u, v * v, u * v)], axis=1)
    value = float(_correlations(sums.sum(axis=0)[None])[0])
    if blocks < 2:
        return value, (nothing, nothing)
    drawn = _correlations(random.multinomial(blocks, np.full(blocks, 1 / blocks), BOOTSTRAP_DRAWS) @ sums)
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist() if drawn.size else (nothing, nothing)
    return value, (low, high)


def fit_curve(confidence: FloatArray, hit: BoolArray) -> Curve | None:
    """How probable a hit was at each confidence, never falling: [confidence, probability], ascending; None below
    FEWEST_OUTCOMES.

    Up to CURVE_BINS bins of equally many outcomes (equal confidences stay together), each rate drawn to the overall one by
    PRIOR_WEIGHT, then made monotone by pooling adjacent violators (Ayer et al. 1955).
    """
    if confidence.size < FEWEST_OUTCOMES:
        return None
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, CURVE_BINS + 1)[1:-1], method="inverted_cdf"))
    bins = np.unique(np.searchsorted(edges, confidence, "left"), return_inverse=True)[1]
    n = np.bincount(bins).astype(np.float64)
    rate = (np.bincount(bins, hit.astype(np.float64)) + PRIOR_WEIGHT * hit.mean()) / (n + PRIOR_WEIGHT)
    where = np.bincount(bins, confidence) / n
    return [list(point) for point in zip(where.tolist(), pooled(rate, n).tolist(), strict=True)]


def pooled(values: FloatArray, weight: FloatArray) -> FloatArray:
    """The non-decreasing sequence nearest to the values in weighted least squares."""
    blocks: list[tuple[float, float, int]] = []
    for value, mass in zip(values.tolist(), weight.tolist(), strict=True):
        mean, total, length = value, mass, 1
        while blocks and blocks[-1][0] >= mean:
            before, mass_before, length_before = blocks.pop()
            mean = (before * mass_before + mean * total) / (mass_before + total)
            total, length = total + mass_before, length + length_before
        blocks.append((mean, total, length))
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


def on_curve(curve: Sequence[Sequence[float]], confidence: float) -> float:
    """The curve at a confidence: straight between its points, level beyond its ends."""
    points = np.asarray(curve, np.float64)
    return float(np.interp(confidence, points[:, 0], points[:, 1]))


def _correlations(sums: npt.NDArray[Any]) -> FloatArray:
    """Correlation of each row of sums: n, Σu, Σv, Σu², Σv², Σuv; NaN where one does not vary."""
    n, u, v, uu, vv, uv = sums.astype(np.float64).T
    spread = (n * uu - u * u) * (n * vv - v * v)
    defined = spread > 1e-12 * np.maximum(n, 1.0) ** 4
    return np.where(defined, np.clip((n * uv - u * v) / np.sqrt(np.where(defined, spread, 1.0)), -1, 1), np.nan)
