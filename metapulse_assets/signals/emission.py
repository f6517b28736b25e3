"""What an emitted signal is: its id, times, target and stop, risk and reasons.

Belongs here: filling every column of `signals` that follows from the data. Does not: which candidates are emitted
(`selection`), nor the columns of one particular run (recorded_at, origin, mode, run_id).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from metapulse_assets.intelligence.kinds import HORIZON_SECONDS as ASKED_HORIZON
from metapulse_assets.platform.bulk import Column, JsonTexts
from metapulse_assets.risk.history import MAX_AGE_SECONDS, RiskHistory, risk_rows_as_of
from metapulse_assets.signals.ai_rules import MIN_CONFIDENCE_BY_STATUS, SIGNAL_KINDS
from metapulse_assets.signals.candidates import (
    VIEW,
    Candidates,
    FloatArray,
    IntArray,
    RecentSignals,
    StrArray,
    by_timeframe,
)
from metapulse_assets.signals.reasons import range_reason, risk_reason, rule_reason
from metapulse_assets.signals.selection import select_signals

STOP_ATR = 2.0
TARGET_ATR = 3.0
"""Distances from the price in average true ranges. Own choice: wider than a usual candle, reward 1.5 times the risk."""

HORIZON_SECONDS: Mapping[str, int] = {"5m": 3_600, "1h": 24 * 3_600, "1d": 7 * 24 * 3_600, VIEW: 24 * 3_600}
"""The time that the move is given, by timeframe of its candle; for a view the day that it is about. Own choice among the
horizons of the outcomes."""

AI_HORIZON_SECONDS: Mapping[str, int] = {
    f"{kind}_{status}": ASKED_HORIZON[kind] for kind in SIGNAL_KINDS for status in MIN_CONFIDENCE_BY_STATUS
}
"""The time that the models were asked about, by rule."""

EXPIRY_SECONDS = 24 * 3_600
"""How long a signal may be acted upon: 24 h, a start value that the requirements give."""

ID_HEX_DIGITS = 20
"""80 bits: among a billion signals two share an id with a chance of one in two million."""


@dataclass(frozen=True)
class EmittedSignals:
    """Columns of `signals`, by moment, token and rank. Times: float64 seconds since 1970 UTC; NaN: null."""

    signal_id: list[str]
    token_id: IntArray
    kind: StrArray
    rule: StrArray
    timeframe: StrArray
    direction: StrArray
    strength: FloatArray
    confidence: FloatArray
    risk: StrArray
    price_usd: FloatArray
    target_usd: FloatArray
    stop_usd: FloatArray
    horizon_seconds: IntArray
    reasons: list[list[dict[str, Any]]]
    opened_at: FloatArray
    observed_at: FloatArray
    emitted_at: FloatArray
    expires_at: FloatArray

    def __len__(self) -> int:
        return len(self.signal_id)

    def as_recent(self) -> RecentSignals:
        """What the next selection must remember of them."""
        return RecentSignals(self.token_id, self.kind, self.rule, self.direction, self.price_usd, self.emitted_at)

    def columns(self) -> dict[str, Column]:
        """The same as columns of the table."""
        columns: dict[str, Column] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("opened_at", "observed_at", "emitted_at", "expires_at"):
            columns[name] = _moments(getattr(self, name))
        columns["signal_id"] = np.array(self.signal_id, np.str_)
        columns["reasons"] = JsonTexts([json.dumps(reasons) for reasons in self.reasons])
        return columns

    def rows(self) -> list[dict[str, Any]]:
        """One dict a signal by column name: times as aware datetimes, None for null."""
        columns: dict[str, list[Any]] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            column = values if isinstance(values, list) else values.tolist()
            if field.name.endswith("_at"):
                column = [_time(at) for at in column]
            elif field.name in ("target_usd", "stop_usd"):
                column = [None if value != value else value for value in column]
            columns[field.name] = column
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def emit_signals(
    candidates: Candidates,
    recent: RecentSignals,
    risk: RiskHistory,
    token_keys: Mapping[int, str],
    max_risk_age_seconds: float = MAX_AGE_SECONDS,
) -> EmittedSignals:
    """The candidates that `select_signals` accepts, made into signals.

    token_keys: "chain:address" of each token. emitted_at is available_at, observed_at the candle's close.
    Raises KeyError naming a token without a key or a rule without a sentence.
    """
    chosen = candidates.take(select_signals(candidates, recent))
    risk_rows = risk_rows_as_of(chosen.token_id, chosen.available_at, risk, max_risk_age_seconds)
    target, stop = target_and_stop(chosen.direction, chosen.price_usd, chosen.atr_usd)
    return EmittedSignals(
        signal_id=_signal_ids(chosen, token_keys),
        token_id=chosen.token_id,
        kind=chosen.kind,
        rule=chosen.rule,
        timeframe=chosen.timeframe,
        direction=chosen.direction,
        strength=chosen.strength,
        confidence=chosen.confidence,
        risk=np.append(risk.assessment.level, "unknown")[risk_rows],
        price_usd=chosen.price_usd,
        target_usd=target,
        stop_usd=stop,
        horizon_seconds=_horizons(chosen),
        reasons=_reasons(chosen, target, stop, risk, risk_rows),
        opened_at=chosen.opened_at,
        observed_at=chosen.closed_at,
        emitted_at=chosen.available_at,
        expires_at=chosen.available_at + EXPIRY_SECONDS,
    )


def _horizons(chosen: Candidates) -> IntArray:
    usual = by_timeframe(chosen.timeframe, HORIZON_SECONDS).astype(np.int64)
    asked = [AI_HORIZON_SECONDS.get(rule, seconds) for rule, seconds in zip(chosen.rule.tolist(), usual.tolist(), strict=True)]
    return np.array(asked, dtype=np.int64)


def target_and_stop(direction: StrArray, price_usd: FloatArray, atr_usd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Target TARGET_ATR average true ranges with the signal, stop STOP_ATR against it, USD.

    Both NaN where the range is unknown, or so small or large that they would not lie on both sides of the price and
    above 0.
    """
    sign = np.where(direction == "buy", 1.0, -1.0)
    atr = np.where(np.isfinite(atr_usd), atr_usd, np.nan)
    target = price_usd + sign * TARGET_ATR * atr
    stop = price_usd - sign * STOP_ATR * atr
    sound = (sign * (target - price_usd) > 0) & (sign * (price_usd - stop) > 0) & (np.minimum(target, stop) > 0)
    return np.where(sound, target, np.nan), np.where(sound, stop, np.nan)


def signal_id(token_key: str, kind: str, rule: str, direction: str, timeframe: str, opened_at: float) -> str:
    """The same in every database: hash of the token's chain:address, what fired, and the candle's start in ISO 8601."""
    identity = f"{token_key}|{kind}|{rule}|{direction}|{timeframe}|{_iso(opened_at)}"
    return hashlib.sha256(identity.encode()).hexdigest()[:ID_HEX_DIGITS]


def _signal_ids(chosen: Candidates, token_keys: Mapping[int, str]) -> list[str]:
    tokens = chosen.token_id.tolist()
    unknown = sorted({token for token in tokens if token not in token_keys})
    if unknown:
        raise KeyError(f"token_keys: no chain:address of token {', '.join(map(str, unknown[:5]))}")
    columns = (chosen.kind, chosen.rule, chosen.direction, chosen.timeframe, chosen.opened_at)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [signal_id(token_keys[token], *row) for token, row in zip(tokens, rows, strict=True)]


def _reasons(
    chosen: Candidates, target: FloatArray, stop: FloatArray, risk: RiskHistory, risk_rows: IntArray
) -> list[list[dict[str, Any]]]:
    numbers = (target, stop, chosen.atr_usd, chosen.price_usd)
    ranges = zip(*(column.tolist() for column in numbers), strict=True)
    rules = zip(chosen.rule.tolist(), chosen.inputs, strict=True)
    reasons = []
    for (rule, inputs), row, levels in zip(rules, risk_rows.tolist(), ranges, strict=True):
        told = [rule_reason(rule, inputs)]
        if levels[0] == levels[0]:
            told.append(range_reason(*levels))
        told.append(_risk_reason(risk, row))
        reasons.append(told)
    return reasons


def _risk_reason(risk: RiskHistory, row: int) -> dict[str, Any]:
    if row < 0:
        return risk_reason("unknown", None, None, None, None)
    assessment = risk.assessment
    score = float(assessment.score[row])
    return risk_reason(
        level=str(assessment.level[row]),
        score=None if score != score else score,
        known_share=float(assessment.known_share[row]),
        hard_fail=assessment.hard_fail[row],
        observed_at=_iso(float(risk.observed_at[row])),
    )


def _moments(seconds: FloatArray) -> npt.NDArray[np.datetime64]:
    """As `_time`, rounded to the microsecond as there: the fraction by itself, so that nothing is lost before."""
    whole = np.floor(seconds)
    return (whole.astype(np.int64) * 1_000_000 + np.rint((seconds - whole) * 1e6).astype(np.int64)).astype("datetime64[us]")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


@lru_cache(maxsize=4096)
def _iso(seconds: float) -> str:
    return _time(seconds).isoformat()
