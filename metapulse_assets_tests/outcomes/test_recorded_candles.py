"""Rules and signals on recorded candles of 50 tokens, with indicators by TA-Lib."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import talib

from metapulse_assets.risk.history import RiskHistory
from metapulse_assets.signals.candidates import Candidates, RecentSignals
from metapulse_assets.signals.emission import EmittedSignals, emit_signals
from metapulse_assets.signals.technical import RULES, RuleHits, find_rule_hits
from metapulse_assets_tests.signals.analyses import Columns, joined, rows_of

HOUR = 3_600.0
Series = npt.NDArray[np.float64]


def _before(values: Series) -> Series:
    return np.concatenate([[np.nan], values[:-1]])


def _analyse(path: Path, token_id: int) -> Columns:
    times = np.loadtxt(path, delimiter=",", skiprows=1, usecols=0, dtype="datetime64[s]")[:-1]
    # The last candle of a file was still open when it was recorded.
    high, low, close, volume = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(2, 3, 4, 5), unpack=True)[:, :-1].copy()
    macd, macd_signal, _ = talib.MACD(close, 12, 26, 9)
    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    stoch_k, stoch_d = talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3)
    return {
        "token_id": np.full(close.size, token_id),
        "opened_at": times.astype(np.float64),
        "bar_count": np.arange(1, close.size + 1),
        "close": close,
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": macd_signal,
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "ema_200": talib.EMA(close, 200),
        "bb_upper": upper,
        "bb_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "stoch_k": stoch_k,
        "stoch_d": stoch_d,
        "roc_10": talib.ROC(close, 10),
        "support_20": _before(talib.MIN(low, 20)),
        "resistance_20": _before(talib.MAX(high, 20)),
        "volume_ratio_20": volume / _before(talib.SMA(volume, 20)),
    }


@pytest.fixture(scope="module")
def hourly(recordings: Path) -> Columns:
    """Hourly analyses of every recorded token."""
    paths = sorted((recordings / "ohlcv_bybit_50tokens").glob("*_1h.csv"))
    return joined(*(_analyse(path, token_id) for token_id, path in enumerate(paths, start=1)))


@pytest.fixture(scope="module")
def hits(hourly: Columns) -> RuleHits:
    """What fires on them."""
    return find_rule_hits(hourly, HOUR)


def as_candidates(columns: Columns, hits: RuleHits) -> Candidates:
    """The hits as stored candidates, each known half a minute after its candle's close."""
    return Candidates.from_columns(
        {
            "token_id": columns["token_id"][hits.row],
            "timeframe": np.full(len(hits), "1h"),
            "rule": hits.rule,
            "direction": hits.direction,
            "strength": hits.strength,
            "confidence": hits.confidence,
            "price_usd": columns["close"][hits.row],
            "atr_usd": columns["atr_14"][hits.row],
            "opened_at": columns["opened_at"][hits.row],
            "available_at": columns["opened_at"][hits.row] + HOUR + 30.0,
            "inputs": hits.inputs,
        }
    )


def emit(candidates: Candidates, recent: RecentSignals) -> EmittedSignals:
    """Signals of recorded tokens."""
    return emit_signals(candidates, recent, RiskHistory.empty(), {i: f"recorded:{i}" for i in range(1, 60)})


Candle = dict[str, float]

# The rules once more, on one candle and its previous one, written without numpy and without sharing any code.
PLAIN: dict[str, Callable[[Candle, Candle], bool]] = {
    "rsi_oversold": lambda now, was: now["rsi_14"] < 30 and not was["rsi_14"] < 30,
    "rsi_overbought": lambda now, was: now["rsi_14"] > 70 and not was["rsi_14"] > 70,
    "macd_bullish_cross": lambda now, was: now["macd"] > now["macd_signal"] and was["macd"] <= was["macd_signal"],
    "macd_bearish_cross": lambda now, was: now["macd"] < now["macd_signal"] and was["macd"] >= was["macd_signal"],
    "golden_cross": lambda now, was: now["sma_20"] > now["sma_50"] and was["sma_20"] <= was["sma_50"],
    "death_cross": lambda now, was: now["sma_20"] < now["sma_50"] and was["sma_20"] >= was["sma_50"],
    "resistance_breakout": lambda now, was: (
        now["close"] >= 1.02 * now["resistance_20"] and not was["close"] >= 1.02 * was["resistance_20"]
    ),
    "support_breakdown": lambda now, was: (
        now["close"] <= 0.98 * now["support_20"] and not was["close"] <= 0.98 * was["support_20"]
    ),
    "support_bounce": lambda now, was: (
        was["support_20"] <= was["close"] <= 1.02 * was["support_20"] and now["close"] >= 1.02 * was["close"]
    ),
    "resistance_rejection": lambda now, was: (
        0.98 * was["resistance_20"] <= was["close"] <= was["resistance_20"] and now["close"] <= 0.98 * was["close"]
    ),
    "momentum_up": lambda now, was: now["roc_10"] > 15 and not was["roc_10"] > 15,
    "momentum_down": lambda now, was: now["roc_10"] < -15 and not was["roc_10"] < -15,
    "volume_spike_up": lambda now, was: (
        now["volume_ratio_20"] >= 3 and not was["volume_ratio_20"] >= 3 and now["close"] > was["close"]
    ),
    "volume_spike_down": lambda now, was: (
        now["volume_ratio_20"] >= 3 and not was["volume_ratio_20"] >= 3 and now["close"] < was["close"]
    ),
}


def test_hits_are_those_of_the_plain_rules(hourly: Columns, hits: RuleHits) -> None:
    warmed = 200
    found = {rule: set(hits.row[hits.rule == rule].tolist()) for rule in PLAIN}
    assert set(PLAIN) == {rule.name for rule in RULES}
    names = list(hourly)
    candles = [dict(zip(names, row, strict=True)) for row in zip(*(hourly[n].tolist() for n in names), strict=True)]
    expected: dict[str, set[int]] = {rule: set() for rule in PLAIN}
    rows = [i for i in range(1, len(candles)) if candles[i]["bar_count"] > warmed]
    for row in rows:
        for rule, fires in PLAIN.items():
            if fires(candles[row], candles[row - 1]):
                expected[rule].add(row)
    for rule in PLAIN:
        assert {row for row in found[rule] if candles[row]["bar_count"] > warmed} == expected[rule], rule
        assert len(expected[rule]) > 20, rule


def test_every_rule_leaves_room_between_weak_and_strong(hits: RuleHits) -> None:
    for rule in PLAIN:
        strength = hits.strength[hits.rule == rule]
        assert 0 < np.median(strength) < 0.6, rule
        assert (strength >= 1).mean() < 0.25, rule


def test_cut_at_any_time_the_hits_are_the_same(hourly: Columns, hits: RuleHits) -> None:
    opened = hourly["opened_at"]
    for moment in np.quantile(opened, [0.4, 0.7, 0.95]):
        kept = np.flatnonzero(opened <= moment)
        then = find_rule_hits(rows_of(hourly, kept), HOUR)
        of_then = opened[hits.row] <= moment
        assert kept[then.row].tolist() == hits.row[of_then].tolist()
        assert then.rule.tolist() == hits.rule[of_then].tolist()
        assert then.strength.tolist() == hits.strength[of_then].tolist()
        assert then.confidence.tolist() == hits.confidence[of_then].tolist()
        assert len(then) > 500


def test_hour_by_hour_emits_the_same_as_all_at_once(hourly: Columns, hits: RuleHits) -> None:
    candidates = as_candidates(hourly, hits)
    at_once = emit(candidates, RecentSignals.empty())
    recent, ids = RecentSignals.empty(), []
    for moment in np.unique(candidates.available_at):
        part = emit(candidates.take(candidates.available_at == moment), recent)
        recent = recent.joined(part.as_recent())
        ids += part.signal_id
    assert ids == at_once.signal_id
    assert len(set(ids)) == len(ids)
    assert 0.5 * len(hits) < len(ids) < len(hits)


def test_recorded_signals_are_whole(hourly: Columns, hits: RuleHits) -> None:
    rows = emit(as_candidates(hourly, hits), RecentSignals.empty()).rows()
    assert {row["rule"] for row in rows} == set(PLAIN)
    with_target: list[dict[str, Any]] = [row for row in rows if row["target_usd"] is not None]
    assert len(with_target) > 0.9 * len(rows)
    for row in with_target:
        sign = 1 if row["direction"] == "buy" else -1
        assert sign * row["stop_usd"] < sign * row["price_usd"] < sign * row["target_usd"]
        assert len(row["reasons"]) == 3
        assert "nan" not in str(row["reasons"])
