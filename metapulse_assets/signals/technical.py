"""The technical rules: what each looks for on a closed candle, and how strongly it fired.

Belongs here: thresholds, rules, strength. Does not: which of the hits are emitted (`selection`), wording (`reasons`).

Every rule is an event: a cross, or the first candle in a state. A rule reads a candle and its previous one, nothing
later, and stays silent while a value it reads is unknown or not yet warmed up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.signals.analysed_candles import AnalysedCandles, BoolArray, FloatArray, IntArray, read_analyses
from metapulse_assets.signals.confidence import Family, confidence, family_votes

# Wilder, New Concepts in Technical Trading Systems, 1978.
RSI_OVERSOLD = 30.0
RSI_OVERBOUGHT = 70.0

# Start values that the requirements give; to be refitted once outcomes are counted.
LEVEL_BREAK = 0.02
"""A level is broken by a close this far beyond it (fraction of the level)."""
LEVEL_NEAR = 0.02
"""A close this near to a level (fraction of the level) touches it."""
LEVEL_TURN = 0.02
"""After a touch, a change of the close by this fraction away from the level is a bounce or a rejection."""
MOMENTUM_PCT = 15.0
"""Change over 10 candles, percent."""
VOLUME_SPIKE_RATIO = 3.0
"""Volume over the mean of the 20 candles before."""

# How far past its threshold a rule has strength 1. Own choices: near the 95th percentile of the hits on 65,000 candles
# (5m, 1h and 1d) of 50 exchange-traded tokens, rounded.
RSI_FULL_POINTS = 10.0
MACD_FULL_ATR = 0.1
MEAN_CROSS_FULL_BANDS = 0.08
"""Distance of the means in half widths of the Bollinger bands, which need no longer warm-up than the means."""
LEVEL_FULL = 0.08
MOMENTUM_FULL_PCT = 20.0
VOLUME_FULL_RATIO = 7.0

Verdict = tuple[BoolArray, FloatArray]
"""Where a rule fires, and how far past its threshold in units of its full scale (NaN where unknown)."""


@dataclass(frozen=True)
class Rule:
    """A rule: reads are columns of the candle, reads_before columns of its previous one.

    needs_before: whether it is silent without a previous candle; the others take one that is absent as "not in it".
    family: what its indicator measures; None for price levels, which belong to none.
    """

    name: str
    sign: int
    family: Family | None
    reads: tuple[str, ...]
    reads_before: tuple[str, ...]
    needs_before: bool
    judge: Callable[[AnalysedCandles], Verdict]

    @property
    def direction(self) -> str:
        """buy or sell."""
        return "buy" if self.sign > 0 else "sell"


@dataclass(frozen=True)
class RuleHits:
    """What fired, by row and then by the order of RULES.

    row: int64, the candle's row in the input. previous_row: int64, the row of the previous candle, -1 where the rule
    had none: a hit was known only when both were. rule, direction: str. strength, confidence: float32, 0 to 1, as
    stored. inputs: the values read, by column name; those of the previous candle are named previous_….
    """

    row: IntArray
    previous_row: IntArray
    rule: npt.NDArray[np.str_]
    direction: npt.NDArray[np.str_]
    strength: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    inputs: list[dict[str, float]]

    def __len__(self) -> int:
        return int(self.row.size)


def find_rule_hits(analyses: Mapping[str, npt.ArrayLike], interval_seconds: float) -> RuleHits:
    """Applies every rule to every candle of one timeframe.

    analyses: see `read_analyses`. A token's first row is judged as if nothing came before it, so pass at least
    MAX_GAP_INTERVALS intervals of older rows along with the rows of interest, and keep the hits of the latter.
    strength: min(1, distance past the threshold / full scale), so 0 is just at the threshold and it never falls as the
    distance grows. confidence: see `confidence.confidence`.
    """
    candles = read_analyses(analyses, interval_seconds)
    votes = family_votes(candles)
    found = [_hits_of(rule, candles, votes) for rule in RULES]
    row = np.concatenate([hits.row for hits in found])
    order = np.argsort(row, kind="stable")
    inputs = [values for hits in found for values in hits.inputs]
    return RuleHits(
        row=row[order],
        previous_row=np.concatenate([hits.previous_row for hits in found])[order],
        rule=np.concatenate([hits.rule for hits in found])[order],
        direction=np.concatenate([hits.direction for hits in found])[order],
        strength=np.concatenate([hits.strength for hits in found])[order],
        confidence=np.concatenate([hits.confidence for hits in found])[order],
        inputs=[inputs[i] for i in order.tolist()],
    )


def _hits_of(rule: Rule, candles: AnalysedCandles, votes: FloatArray) -> RuleHits:
    fires, distance = rule.judge(candles)
    rows = np.flatnonzero(fires).astype(np.int64)
    return RuleHits(
        row=rows,
        previous_row=np.where(candles.has_previous[rows], rows - 1, -1),
        rule=np.full(rows.size, rule.name),
        direction=np.full(rows.size, rule.direction),
        strength=np.clip(distance[rows], 0.0, 1.0).astype(np.float32),
        confidence=confidence(votes, rows, rule.sign, rule.family).astype(np.float32),
        inputs=_values_read(rule, candles, rows),
    )


def _values_read(rule: Rule, candles: AnalysedCandles, rows: IntArray) -> list[dict[str, float]]:
    columns = {name: candles.values[name][rows] for name in rule.reads}
    columns |= {f"previous_{name}": candles.previous(name)[rows] for name in rule.reads_before}
    values = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    if rule.needs_before:
        return values
    # A first candle has no previous value; JSON has no NaN, so the name is left out.
    return [{name: value for name, value in row.items() if value == value} for row in values]


def _rsi(sign: int, threshold: float) -> Callable[[AnalysedCandles], Verdict]:
    def judge(candles: AnalysedCandles) -> Verdict:
        past = sign * (threshold - candles.values["rsi_14"])
        return candles.entering(past > 0), past / RSI_FULL_POINTS

    return judge


def _macd_cross(sign: int) -> Callable[[AnalysedCandles], Verdict]:
    def judge(candles: AnalysedCandles) -> Verdict:
        gap = sign * (candles.values["macd"] - candles.values["macd_signal"])
        gap_before = sign * (candles.previous("macd") - candles.previous("macd_signal"))
        atr = candles.values["atr_14"]
        fires = (gap_before <= 0) & (gap > 0) & (atr > 0)
        return fires, gap / np.where(atr > 0, atr, np.nan) / MACD_FULL_ATR

    return judge


def _mean_cross(sign: int) -> Callable[[AnalysedCandles], Verdict]:
    def judge(candles: AnalysedCandles) -> Verdict:
        gap = sign * (candles.values["sma_20"] - candles.values["sma_50"])
        gap_before = sign * (candles.previous("sma_20") - candles.previous("sma_50"))
        half_width = (candles.values["bb_upper"] - candles.values["bb_lower"]) / 2
        fires = (gap_before <= 0) & (gap > 0) & (half_width > 0)
        return fires, gap / np.where(half_width > 0, half_width, np.nan) / MEAN_CROSS_FULL_BANDS

    return judge


def _level_break(sign: int, column: str) -> Callable[[AnalysedCandles], Verdict]:
    def judge(candles: AnalysedCandles) -> Verdict:
        level = np.where(candles.values[column] > 0, candles.values[column], np.nan)
        close = candles.values["close"]
        state = sign * (close - level * (1 + sign * LEVEL_BREAK)) >= 0
        past = sign * (close / level - 1) - LEVEL_BREAK
        return candles.entering(state), past / LEVEL_FULL

    return judge


def _level_turn(sign: int, column: str) -> Callable[[AnalysedCandles], Verdict]:
    """The previous candle closed at a level that stood before it, and this one closed away from it."""

    def judge(candles: AnalysedCandles) -> Verdict:
        level = candles.previous(column)
        level = np.where(level > 0, level, np.nan)
        close, before = candles.values["close"], candles.previous("close")
        inside = sign * (before - level)
        touched = (inside >= 0) & (inside <= LEVEL_NEAR * level)
        turned = sign * (close - before * (1 + sign * LEVEL_TURN)) >= 0
        past = sign * (close / before - 1) - LEVEL_TURN
        return touched & turned, past / LEVEL_FULL

    return judge


def _momentum(sign: int) -> Callable[[AnalysedCandles], Verdict]:
    def judge(candles: AnalysedCandles) -> Verdict:
        past = sign * candles.values["roc_10"] - MOMENTUM_PCT
        return candles.entering(past > 0), past / MOMENTUM_FULL_PCT

    return judge


def _volume_spike(sign: int) -> Callable[[AnalysedCandles], Verdict]:
    def judge(candles: AnalysedCandles) -> Verdict:
        past = candles.values["volume_ratio_20"] - VOLUME_SPIKE_RATIO
        moved = sign * (candles.values["close"] - candles.previous("close")) > 0
        return candles.entering(past >= 0) & moved, past / VOLUME_FULL_RATIO

    return judge


_MACD = ("macd", "macd_signal")
_MEANS = ("sma_20", "sma_50")
_BANDS = ("bb_upper", "bb_lower")

RULES: tuple[Rule, ...] = (
    Rule("rsi_oversold", 1, Family.MOMENTUM, ("rsi_14",), ("rsi_14",), False, _rsi(1, RSI_OVERSOLD)),
    Rule("rsi_overbought", -1, Family.MOMENTUM, ("rsi_14",), ("rsi_14",), False, _rsi(-1, RSI_OVERBOUGHT)),
    Rule("macd_bullish_cross", 1, Family.MOMENTUM, (*_MACD, "atr_14"), _MACD, True, _macd_cross(1)),
    Rule("macd_bearish_cross", -1, Family.MOMENTUM, (*_MACD, "atr_14"), _MACD, True, _macd_cross(-1)),
    Rule("golden_cross", 1, Family.TREND, (*_MEANS, *_BANDS), _MEANS, True, _mean_cross(1)),
    Rule("death_cross", -1, Family.TREND, (*_MEANS, *_BANDS), _MEANS, True, _mean_cross(-1)),
    Rule(
        "resistance_breakout", 1, None, ("close", "resistance_20"), ("close", "resistance_20"), False,
        _level_break(1, "resistance_20"),
    ),
    Rule(
        "support_breakdown", -1, None, ("close", "support_20"), ("close", "support_20"), False,
        _level_break(-1, "support_20"),
    ),
    Rule("support_bounce", 1, None, ("close",), ("close", "support_20"), True, _level_turn(1, "support_20")),
    Rule("resistance_rejection", -1, None, ("close",), ("close", "resistance_20"), True,
         _level_turn(-1, "resistance_20")),
    Rule("momentum_up", 1, Family.MOMENTUM, ("roc_10",), ("roc_10",), False, _momentum(1)),
    Rule("momentum_down", -1, Family.MOMENTUM, ("roc_10",), ("roc_10",), False, _momentum(-1)),
    Rule(
        "volume_spike_up", 1, Family.VOLUME, ("volume_ratio_20", "close"), ("volume_ratio_20", "close"), False,
        _volume_spike(1),
    ),
    Rule(
        "volume_spike_down", -1, Family.VOLUME, ("volume_ratio_20", "close"), ("volume_ratio_20", "close"), False,
        _volume_spike(-1),
    ),
)  # fmt: skip
"""Every rule. Golden and death cross are of SMA 20 over SMA 50, not the classic 50 over 200: DEX tokens are young."""
