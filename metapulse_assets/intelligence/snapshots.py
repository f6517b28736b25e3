"""What a prompt may show: numbers and words of our own, rounded, without dates, prices in USD or anybody's text.

Belongs here: making a snapshot of the figures of a token or the market, its hash, and the rule that says what one may hold.
Does not: reading those figures (`market_state`), putting them into words (`prompts`).
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

import numpy as np

from metapulse_assets.outcomes.resolving import kept_share

Numbers = Mapping[str, float | None]

SIGNIFICANT_DIGITS = 2
"""So few that noise asks no model anew: an equal snapshot reuses the answer. Own choice."""

WORDS = frozenset(
    {
        *("up", "down", "sideways", "unknown"),
        *("strong_buy", "buy", "neutral", "hold", "sell", "strong_sell", "abstain"),
        *("low", "medium", "high"),
    }
)
"""Words that a snapshot may hold beside the names of our rules; all of them are ours."""

ANALYSED = ("5m", "1h")


@dataclass(frozen=True)
class TechnicalReading:
    """The newest analysis of one timeframe: `values` by column of `technical_analyses`, and when its candle opened."""

    opened_at: datetime
    close: float
    trend: str
    recommendation: str
    values: Numbers


@dataclass(frozen=True)
class Hit:
    """A technical rule that fired of late."""

    rule: str
    timeframe: str
    direction: str
    strength: float
    confidence: float


@dataclass(frozen=True)
class PostText:
    """One post about a token: its key, its author, and what it says. The text is never to be trusted."""

    observed_at: datetime
    post_id: str
    author_id: str
    text: str


@dataclass(frozen=True)
class TokenState:
    """What is known of a token at a moment. Absent parts are None or empty; no name, symbol or description is among them."""

    token_id: int
    price_usd: float
    metrics_at: datetime
    metrics: Numbers
    readings: Mapping[str, TechnicalReading] = field(default_factory=dict)
    hits: Sequence[Hit] = ()
    risk_level: str = "unknown"
    risk_score: float | None = None
    social_at: datetime | None = None
    social: Numbers = field(default_factory=dict)
    model_sentiment: float | None = None
    posts: Sequence[PostText] = ()


def rounded(value: float | None) -> float | None:
    """A number with few significant digits; None for what is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if math.isinf(short):
        return None
    # Minus zero, and whole numbers as floats, would come back from the database as another text.
    return int(short) if short == int(short) else short


def technical_snapshot(state: TokenState) -> dict[str, Any]:
    """Indicators of each timeframe relative to the price, and the rules that fired."""
    return {
        "cost_pct": rounded(cost_pct(state.metrics.get("liquidity_usd"))),
        "timeframes": {name: shown_reading(state.readings[name]) for name in ANALYSED if name in state.readings},
        "rules_fired": [_hit(hit) for hit in sorted(state.hits, key=lambda hit: (hit.timeframe, hit.rule, hit.direction))],
    }


def comprehensive_snapshot(state: TokenState) -> dict[str, Any]:
    """Everything known of a token as numbers: technical, market, social, risk."""
    return {
        **technical_snapshot(state),
        "market": shown_market(state.metrics),
        "social": {**shown_social(state.social), "model_sentiment": rounded(state.model_sentiment)},
        "risk": {"level": state.risk_level, "score": rounded(state.risk_score)},
    }


def shown_market(m: Numbers) -> dict[str, Any]:
    """What a snapshot shows of a row of `token_metrics`."""
    return {
        **{f"price_change_{w}_pct": rounded(m.get(f"price_change_{w}_pct")) for w in ("m5", "h1", "h6", "h24")},
        "volume_h24_to_liquidity": rounded(_ratio(m.get("volume_h24_usd"), m.get("liquidity_usd"))),
        "volume_h1_to_hourly_mean": rounded(_ratio(_times(m.get("volume_h1_usd"), 24), m.get("volume_h24_usd"))),
        "liquidity_to_valuation": rounded(_ratio(m.get("liquidity_usd"), m.get("fdv_usd"))),
        "buys_share_h1": rounded(_share(m.get("buys_h1"), m.get("sells_h1"))),
        "trades_h1": rounded(_sum(m.get("buys_h1"), m.get("sells_h1"))),
    }


def shown_social(s: Numbers) -> dict[str, Any]:
    """What a snapshot shows of a row of `social_metrics`."""
    names = ("unique_posts_1h", "authors_1h", "velocity_z", "sentiment", "sentiment_24h", "bot_share")
    return {name: rounded(s.get(name)) for name in names}


def market_snapshot(states: Sequence[TokenState]) -> dict[str, Any]:
    """The tracked tokens together: breadth, changes, trends, risk, mood."""
    hourly = [state.readings["1h"] for state in states if "1h" in state.readings]
    rsi = [reading.values["rsi_14"] for reading in hourly if reading.values.get("rsi_14") is not None]
    moods = [value for state in states if (value := state.social.get("sentiment")) is not None]
    changes = {w: _known(state.metrics.get(f"price_change_{w}_pct") for state in states) for w in ("h1", "h6", "h24")}
    return {
        "tokens": rounded(float(len(states))),
        "cost_pct": rounded(_median(_known(cost_pct(state.metrics.get("liquidity_usd")) for state in states))),
        **{f"share_rising_{w}": rounded(_mean([float(v > 0) for v in values])) for w, values in changes.items()},
        **{f"median_change_{w}_pct": rounded(_median(values)) for w, values in changes.items()},
        "share_in_uptrend": rounded(_mean([float(reading.trend == "up") for reading in hourly])),
        "share_in_downtrend": rounded(_mean([float(reading.trend == "down") for reading in hourly])),
        "median_rsi_14": rounded(_median(_known(rsi))),
        "share_high_risk": rounded(_mean([float(state.risk_level == "high") for state in states])),
        "median_sentiment": rounded(_median(moods)),
        "volume_h1_to_hourly_mean": rounded(
            _ratio(
                _times(_total(state.metrics.get("volume_h1_usd") for state in states), 24),
                _total(state.metrics.get("volume_h24_usd") for state in states),
            )
        ),
    }


def cost_pct(liquidity_usd: float | None) -> float:
    """What fees and slippage take of a small trade there and back, percent: the bar that the question sets."""
    liquidity = np.array([np.nan if liquidity_usd is None else liquidity_usd])
    return 100 * (1 - float(kept_share(liquidity, liquidity)[0]))


def atr_usd(state: TokenState) -> float | None:
    """Average true range of the hourly candles, USD; None: not known."""
    reading = state.readings.get("1h")
    return reading.values.get("atr_14") if reading else None


def snapshot_hash(kind: str, snapshot: Mapping[str, Any]) -> str:
    """SHA-256 of a kind and its snapshot, in hexadecimal."""
    return hashlib.sha256(f"{kind}\n{canonical(snapshot)}".encode()).hexdigest()


def canonical(snapshot: Mapping[str, Any]) -> str:
    """A snapshot as text, the same for equal ones. Raises ValueError for NaN and infinity."""
    return json.dumps(snapshot, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def foreign_values(snapshot: object, rules: frozenset[str], path: str = "") -> list[str]:
    """Where a snapshot holds anything but numbers, our words and our rules' names; paths, none for a good one."""
    if isinstance(snapshot, Mapping):
        found = [place for key, value in snapshot.items() for place in foreign_values(value, rules, f"{path}.{key}")]
        return found + [f"{path}.{key}" for key in snapshot if not _is_own_name(key)]
    if isinstance(snapshot, list | tuple):
        return [place for i, value in enumerate(snapshot) for place in foreign_values(value, rules, f"{path}[{i}]")]
    if snapshot is None or isinstance(snapshot, bool | int | float):
        return []
    return [] if isinstance(snapshot, str) and (snapshot in WORDS or snapshot in rules or snapshot in ANALYSED) else [path]


def _is_own_name(key: object) -> bool:
    return isinstance(key, str) and len(key) <= 40 and key.isascii() and key.replace("_", "").isalnum()


def shown_reading(reading: TechnicalReading) -> dict[str, Any]:
    """What a snapshot shows of one timeframe's analysis."""
    v, close = reading.values, reading.close
    return {
        "trend": reading.trend,
        "reading": reading.recommendation,
        **{
            name: rounded(v.get(name))
            for name in ("rsi_14", "adx_14", "plus_di_14", "minus_di_14", "stoch_k", "roc_10", "volume_ratio_20")
        },
        "trend_strength": rounded(v.get("trend_strength")),
        "macd_histogram_pct": rounded(_times(_ratio(_difference(v.get("macd"), v.get("macd_signal")), close), 100)),
        **{f"above_{name}_pct": rounded(_above(close, v.get(name))) for name in ("sma_20", "ema_50", "ema_200")},
        "place_in_bollinger_band": rounded(_place(close, v.get("bb_lower"), v.get("bb_upper"))),
        "atr_pct": rounded(_times(_ratio(v.get("atr_14"), close), 100)),
        "above_support_pct": rounded(_above(close, v.get("support_20"))),
        "above_resistance_pct": rounded(_above(close, v.get("resistance_20"))),
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "rule": hit.rule,
        "timeframe": hit.timeframe,
        "direction": hit.direction,
        "strength": rounded(hit.strength),
    }


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _difference(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


def _share(part: float | None, rest: float | None) -> float | None:
    return _ratio(part, _sum(part, rest))


def _above(price: float, level: float | None) -> float | None:
    return None if not level else 100 * (price / level - 1)


def _place(price: float, low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else _ratio(price - low, high - low)


def _known(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def _total(values: Any) -> float | None:
    known = _known(values)
    return sum(known) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
