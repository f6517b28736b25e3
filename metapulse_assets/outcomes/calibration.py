"""How good a source has been: hit rate, returns, Brier score, IC, and whether its confidence can be believed, beside chance.

Belongs here: the numbers of `signal_calibration`, out of outcomes and counted moments. Does not: the outcomes themselves
(`resolving`), counting moments (`base_rates`), curves (`calibration_curves`), intervals (`calibration_intervals`), reading and
storing (`calibration_store`).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.base_rates import MomentCounts
from metapulse_assets.outcomes.calibration_curves import calibrated_when_emitted
from metapulse_assets.outcomes.calibration_intervals import (
    NO_INTERVAL,
    BlockDraws,
    Interval,
    block_of,
    correlation,
    effective_size,
    middle_95,
    wilson_interval,
)
from metapulse_assets.outcomes.calibration_placebo import Placebo, shifted_entries
from metapulse_assets.outcomes.calibration_scores import brier, brier_parts, log_loss, ranks, reliability, skill
from metapulse_assets.outcomes.rows import HORIZONS, BoolArray, FloatArray, IntArray, StrArray

ALL = "all"
SEED = 20_260_101

Source = tuple[str, str, str]
"""Kind, rule or all, risk level or all."""
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class ScoredOutcomes:
    """Outcomes of one horizon that have a return: resolved or vanished. Shapes (n,).

    sign: 1 buy, -1 sell; strength, confidence 0 to 1; emitted_at, entry_at, available_at: of the signal, its entry, its
    outcome, int64 µs; market_return: of the price; net_return: in the signal's direction, after costs; vanished: the pool
    stopped.
    """

    kind: StrArray
    rule: StrArray
    risk: StrArray
    token_id: IntArray
    sign: FloatArray
    strength: FloatArray
    confidence: FloatArray
    emitted_at: IntArray
    entry_at: IntArray
    available_at: IntArray
    market_return: FloatArray
    net_return: FloatArray
    vanished: BoolArray

    def __len__(self) -> int:
        return int(self.token_id.size)

    @property
    def hit(self) -> BoolArray:
        """Whether each was worth following."""
        return np.asarray(self.net_return > 0, np.bool_)

    def take(self, rows: Places | BoolArray) -> "ScoredOutcomes":
        """The rows at these positions, or where this mask is true."""
        return ScoredOutcomes(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class SourceCodes:
    """Which kind, rule and risk level each outcome is of: `code` (n,) into `names`, which are sorted."""

    names: list[Source]
    code: Places

    @classmethod
    def of(cls, outcomes: ScoredOutcomes) -> "SourceCodes":
        """The codes of outcomes by their names."""
        parts = [np.unique(part, return_inverse=True) for part in (outcomes.kind, outcomes.rule, outcomes.risk)]
        (kinds, kind), (rules, rule), (risks, risk) = parts
        joint = (kind * rules.size + rule) * risks.size + risk
        present, code = np.unique(joint, return_inverse=True)
        names = [
            (
                str(kinds[number // risks.size // rules.size]),
                str(rules[number // risks.size % rules.size]),
                str(risks[number % risks.size]),
            )
            for number in present.tolist()
        ]
        return cls(names, code)

    @property
    def rule(self) -> Places:
        """The same without the risk level: what a confidence is calibrated by."""
        pairs = {pair: number for number, pair in enumerate(sorted({name[:2] for name in self.names}))}
        return np.array([pairs[name[:2]] for name in self.names], np.intp)[self.code]

    def sources(self) -> Iterator[tuple[Source, Places]]:
        """Each kind, rule or all, and risk level or all, by name, with the codes that it is made of."""
        members: dict[Source, list[int]] = {}
        for number, (kind, rule, risk) in enumerate(self.names):
            for source in ((kind, ALL, ALL), (kind, ALL, risk), (kind, rule, ALL), (kind, rule, risk)):
                members.setdefault(source, []).append(number)
        for source in sorted(members):
            yield source, np.array(members[source], np.intp)


def calibrate(outcomes: ScoredOutcomes, horizon: str, moments: MomentCounts) -> Iterator[tuple[Source, dict[str, Any]]]:
    """The numbers of each source of a horizon, at least one outcome; NaN where there is none.

    What is random is seeded by SEED and the horizon, so that the same outcomes give the same numbers.
    """
    random = np.random.default_rng([SEED, zlib.crc32(horizon.encode())])
    codes = SourceCodes.of(outcomes)
    calibrated = calibrated_when_emitted(
        codes.rule, outcomes.confidence, outcomes.hit, outcomes.emitted_at, outcomes.available_at
    )
    draws = BlockDraws.of(block_of(outcomes.entry_at, HORIZONS[horizon]), random)
    placebo = shifted_entries(codes.code, outcomes.token_id, outcomes.sign, outcomes.entry_at, moments, random)
    for source, members in codes.sources():
        rows = np.flatnonzero(np.isin(codes.code, members))
        part = outcomes.take(rows)
        yield (
            source,
            {
                **_hits(part, moments, draws.block[rows]),
                **_chance(part, moments, placebo, members),
                **_returns(part),
                **_confidence(part, calibrated[rows], moments, draws, rows),
                **_information(part, draws, rows),
            },
        )


def _hits(outcomes: ScoredOutcomes, moments: MomentCounts, block: Places) -> dict[str, Any]:
    hit = outcomes.hit.astype(np.float64)
    share, size = float(hit.mean()), effective_size(hit, block)
    low, high = wilson_interval(share, size)
    return {
        "n": len(outcomes),
        "n_effective": size,
        "vanished": int(outcomes.vanished.sum()),
        "hit_rate": share,
        "hit_rate_low": low,
        "hit_rate_high": high,
        "base_rate": float(moments.overall(outcomes.sign).mean()),
        "base_moments": int(moments.moments.sum()),
    }


def _chance(outcomes: ScoredOutcomes, moments: MomentCounts, placebo: Placebo, members: Places) -> dict[str, Any]:
    rates = placebo.rates(members)
    low, high = middle_95(rates)
    return {
        "placebo_rate": float(rates.mean()) if rates.size else float("nan"),
        "placebo_low": low,
        "placebo_high": high,
        "buy_and_hold_return": moments.mean_holding(outcomes.token_id),
    }


def _returns(outcomes: ScoredOutcomes) -> dict[str, Any]:
    return {
        "mean_net_return": float(outcomes.net_return.mean()),
        "median_net_return": float(np.median(outcomes.net_return)),
    }


def _confidence(
    outcomes: ScoredOutcomes, calibrated: FloatArray, moments: MomentCounts, draws: BlockDraws, rows: Places
) -> dict[str, Any]:
    """Scores of what each signal was shown with, and of its raw confidence and the base rate for the same signals."""
    judged = np.flatnonzero(~np.isnan(calibrated))
    told, raw, hit = calibrated[judged], outcomes.confidence[judged], outcomes.hit[judged]
    base = moments.overall(outcomes.sign[judged])
    of_base, parts = brier(base, hit), brier_parts(told, hit)
    low, high = _skill_interval((told - hit) ** 2, (base - hit) ** 2, draws, rows[judged])
    return {
        "mean_confidence": float(outcomes.confidence.mean()),
        "n_judged": judged.size,
        "brier": brier(told, hit),
        "brier_raw": brier(raw, hit),
        "brier_base": of_base,
        "brier_skill": skill(brier(told, hit), of_base),
        "brier_skill_low": low,
        "brier_skill_high": high,
        "brier_skill_raw": skill(brier(raw, hit), of_base),
        "calibration_loss": parts.loss,
        "resolution": parts.resolution,
        "log_loss": log_loss(told, hit),
        "log_loss_raw": log_loss(raw, hit),
        "log_loss_base": log_loss(base, hit) if not np.isnan(base).any() else float("nan"),
        "reliability": reliability(told, hit),
        "reliability_raw": reliability(raw, hit),
    }


def _skill_interval(loss: FloatArray, of_base: FloatArray, draws: BlockDraws, rows: Places) -> Interval:
    sums = draws.sums([loss, of_base], rows) if rows.size and not np.isnan(of_base).any() else None
    if sums is None:
        return NO_INTERVAL
    scored = sums[:, 1] > 0
    return middle_95(1 - sums[scored, 0] / sums[scored, 1])


def _information(outcomes: ScoredOutcomes, draws: BlockDraws, rows: Places) -> dict[str, Any]:
    signed = outcomes.strength * outcomes.sign
    ic, ic_band = correlation(signed, outcomes.market_return, draws, rows)
    rank_ic, rank_band = correlation(ranks(signed), ranks(outcomes.market_return), draws, rows)
    return {
        "ic": ic,
        "ic_low": ic_band[0],
        "ic_high": ic_band[1],
        "rank_ic": rank_ic,
        "rank_ic_low": rank_band[0],
        "rank_ic_high": rank_band[1],
    }
