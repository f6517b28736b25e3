"""A reading of the indicators: trend, votes for and against, a recommendation and how sure it is.

Belongs here: thresholds and the rules made of them. Does not: the indicators themselves, and signals that use other
data (social, AI, risk). What is missing stays missing: unknown, abstain or NaN, never 0 or 50.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import BoolMatrix, FloatArray
from metapulse_assets.indicators.warm_up import warmed_up

CodeArray = npt.NDArray[np.int8]
CodeMatrix = npt.NDArray[np.int8]

RSI_OVERSOLD, RSI_OVERBOUGHT = 30.0, 70.0
"""Wilder, New Concepts in Technical Trading Systems, 1978."""

ADX_TRENDING = 25.0
"""Wilder 1978: a trend worth following; below it the direction of DI+ and DI- says little."""

STOCHASTIC_OVERSOLD, STOCHASTIC_OVERBOUGHT = 20.0, 80.0
"""Lane, Lane's Stochastics, 1984."""

BUY_SCORE, STRONG_BUY_SCORE = 0.1, 0.5
"""TradingView, Technical Ratings: beyond 0.1 of the votes' mean a side, beyond 0.5 strongly so."""

MIN_VOTES = 4
"""Half of the votes: a smaller electorate abstains. Our own choice, not a published one."""


class Trend(IntEnum):
    """Where the price is going; UNKNOWN where there is too little to say."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2
    SIDEWAYS = 3

    @property
    def label(self) -> str:
        """The name in lower case, as stored."""
        return self.name.lower()


class Recommendation(IntEnum):
    """What the votes add up to; ABSTAIN where too few could be cast or the market is dead."""

    ABSTAIN = 0
    STRONG_BUY = 1
    BUY = 2
    NEUTRAL = 3
    SELL = 4
    STRONG_SELL = 5

    @property
    def label(self) -> str:
        """The name in lower case, as stored."""
        return self.name.lower()


class Vote(IntEnum):
    """One indicator's opinion. MISSING: it has no value here, or is still warming up."""

    SELL = -1
    NEUTRAL = 0
    BUY = 1
    MISSING = 2


@dataclass(frozen=True)
class Analysis:
    """One entry for each analysed bar (m of them).

    support, resistance: lowest low and highest high of the 20 bars before; price, NaN if there are fewer.
    trend: `Trend` codes. trend_strength: 0 to 1, NaN while the ADX is unknown.
    recommendation: `Recommendation` codes. confidence: 0 to 1, NaN where it abstains.
    votes: int8 (m, len(VOTERS)), `Vote` codes in the order of VOTERS.
    """

    support: FloatArray
    resistance: FloatArray
    trend: CodeArray
    trend_strength: FloatArray
    recommendation: CodeArray
    confidence: FloatArray
    votes: CodeMatrix


@dataclass(frozen=True)
class _Voter:
    """needs: the columns that must exist and be warmed up; lean: > 0 where it says buy, < 0 sell, 0 neither."""

    name: str
    needs: tuple[str, ...]
    lean: Callable[[Mapping[str, FloatArray]], FloatArray]


def _outside(value: FloatArray, low: FloatArray | float, high: FloatArray | float) -> FloatArray:
    """+1 below the low mark (a buy for who expects a return to the middle), -1 above the high one, else 0."""
    return np.subtract(value < low, value > high, dtype=np.float64)


def _directional(values: Mapping[str, FloatArray]) -> FloatArray:
    direction = np.sign(values["plus_di_14"] - values["minus_di_14"])
    return np.where(values["adx_14"] >= ADX_TRENDING, direction, 0.0)


_ELECTORATE: tuple[_Voter, ...] = (
    _Voter("rsi", ("rsi_14",), lambda v: _outside(v["rsi_14"], RSI_OVERSOLD, RSI_OVERBOUGHT)),
    # Appel 1979: the MACD above its signal line is bullish, below it bearish.
    _Voter("macd", ("macd_histogram",), lambda v: v["macd_histogram"]),
    # Murphy 1999: a price above its moving average is in an uptrend at that average's scale.
    _Voter("sma_20", ("close", "sma_20"), lambda v: v["close"] - v["sma_20"]),
    _Voter("sma_50", ("close", "sma_50"), lambda v: v["close"] - v["sma_50"]),
    _Voter("ema_200", ("close", "ema_200"), lambda v: v["close"] - v["ema_200"]),
    _Voter("adx", ("adx_14", "plus_di_14", "minus_di_14"), _directional),
    _Voter("stochastic", ("stoch_k",), lambda v: _outside(v["stoch_k"], STOCHASTIC_OVERSOLD, STOCHASTIC_OVERBOUGHT)),
    # Bollinger 2001: prices are high or low relative to the bands; read here as a stretch that tends to come back.
    _Voter("bollinger", ("close", "bb_lower", "bb_upper"), lambda v: _outside(v["close"], v["bb_lower"], v["bb_upper"])),
)  # fmt: skip

VOTERS: tuple[str, ...] = tuple(voter.name for voter in _ELECTORATE)
"""The columns of `Analysis.votes`."""


def analyse(values: Mapping[str, FloatArray], bar_count: npt.ArrayLike) -> Analysis:
    """Read m bars, whichever series they belong to.

    values: the columns of `columns.COLUMNS`, each (m,), for instance from `Values.at`; NaN where there is no value.
    bar_count: (m,), bars since each chain (re)started, which decides what is past its warm-up.

    Trend: with the ADX, up or down by the larger DI from ADX_TRENDING on, else sideways (Wilder 1978); before the ADX
    is warm, up where close > SMA 20 > SMA 50, down where close < SMA 20 < SMA 50, else sideways (Murphy 1999).
    Strength: ADX / 100. Recommendation: the mean of the votes cast against BUY_SCORE and STRONG_BUY_SCORE.
    Confidence: share of the cast votes that agree with the recommendation × share of all votes that could be cast.
    Where the RSI has no value (too young, flat, or without trades) the market is not read at all.
    """
    count = np.asarray(bar_count)
    if count.ndim != 1:
        raise ValueError(f"bar_count: expected one value a bar, got shape {count.shape}")
    for name, column in values.items():
        if column.shape != count.shape:
            raise ValueError(f"{name}: expected shape {count.shape} as of bar_count, got {column.shape}")
    alive = np.isfinite(values["rsi_14"])
    votes = np.stack([_cast(voter, values, count) for voter in _ELECTORATE], axis=1)
    recommendation, confidence = _count_votes(votes, alive)
    trend, strength = _trend(values, count, alive)
    return Analysis(
        support=values["support_20"],
        resistance=values["resistance_20"],
        trend=trend,
        trend_strength=strength,
        recommendation=recommendation,
        confidence=confidence,
        votes=votes,
    )


def _known(names: tuple[str, ...], values: Mapping[str, FloatArray], count: npt.NDArray[np.int32]) -> BoolMatrix:
    known = np.ones(count.shape, dtype=np.bool_)
    for name in names:
        known &= np.isfinite(values[name]) & warmed_up(name, count)
    return known


def _cast(voter: _Voter, values: Mapping[str, FloatArray], count: npt.NDArray[np.int32]) -> CodeArray:
    known = _known(voter.needs, values, count)
    lean = np.sign(voter.lean(values))
    return np.where(known, np.nan_to_num(lean), Vote.MISSING).astype(np.int8)


def _count_votes(votes: CodeMatrix, alive: BoolMatrix) -> tuple[CodeArray, FloatArray]:
    cast = (votes != Vote.MISSING).sum(axis=1)
    buys, sells = (votes == Vote.BUY).sum(axis=1), (votes == Vote.SELL).sum(axis=1)
    score = (buys - sells) / np.maximum(cast, 1)
    recommendation = np.select(
        [~alive | (cast < MIN_VOTES), score > STRONG_BUY_SCORE, score > BUY_SCORE, score < -STRONG_BUY_SCORE,
         score < -BUY_SCORE],
        [Recommendation.ABSTAIN, Recommendation.STRONG_BUY, Recommendation.BUY, Recommendation.STRONG_SELL,
         Recommendation.SELL],
        Recommendation.NEUTRAL,
    ).astype(np.int8)  # fmt: skip
    agreeing = np.select([score > BUY_SCORE, score < -BUY_SCORE], [buys, sells], cast - buys - sells)
    # (agreeing / cast) × (cast / all) = agreeing / all
    confidence = np.where(recommendation == Recommendation.ABSTAIN, np.nan, agreeing / votes.shape[1])
    return recommendation, confidence


def _trend(values: Mapping[str, FloatArray], count: npt.NDArray[np.int32], alive: BoolMatrix) -> tuple[CodeArray, FloatArray]:
    by_adx = alive & _known(("adx_14", "plus_di_14", "minus_di_14"), values, count)
    by_means = alive & ~by_adx & _known(("close", "sma_20", "sma_50"), values, count)
    direction = _directional(values)
    close, sma_20, sma_50 = values["close"], values["sma_20"], values["sma_50"]
    up = (by_adx & (direction > 0)) | (by_means & (close > sma_20) & (sma_20 > sma_50))
    down = (by_adx & (direction < 0)) | (by_means & (close < sma_20) & (sma_20 < sma_50))
    trend = np.select([up, down, by_adx | by_means], [Trend.UP, Trend.DOWN, Trend.SIDEWAYS], Trend.UNKNOWN)
    return trend.astype(np.int8), np.where(by_adx, values["adx_14"] / 100.0, np.nan)
