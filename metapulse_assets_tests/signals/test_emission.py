"""What an emitted signal carries."""

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.risk.history import RiskHistory
from metapulse_assets.signals.candidates import VIEW, RecentSignals
from metapulse_assets.signals.emission import HORIZON_SECONDS, EmittedSignals, emit_signals, signal_id, target_and_stop
from metapulse_assets.signals.tables import signals
from metapulse_assets_tests.risk.test_history import history
from metapulse_assets_tests.signals.streams import START, Row, candidate, candidates, emitted, streams

KEYS = {1: "solana:DezX", 2: "base:0xabc"}
SENTENCE_VALUES = dict.fromkeys(
    (
        *("rsi_14", "macd", "macd_signal", "sma_20", "sma_50", "close", "resistance_20", "support_20", "roc_10"),
        *("volume_ratio_20", "previous_close", "previous_support_20", "previous_resistance_20"),
    ),
    1.0,
)
"""Enough for the sentence of any rule."""


def emit(*rows: Row, risk: RiskHistory | None = None, recent: RecentSignals | None = None) -> EmittedSignals:
    """The signals made of these candidates."""
    told = [{**row, "inputs": {**SENTENCE_VALUES, **row["inputs"]}} for row in rows]
    return emit_signals(candidates(*told), recent or RecentSignals.empty(), risk or RiskHistory.empty(), KEYS)


def at(seconds: float) -> datetime:
    """A moment after START."""
    return datetime.fromtimestamp(START, tz=UTC) + timedelta(seconds=seconds)


def test_a_signal_from_its_candidate() -> None:
    (row,) = emit(candidate(strength=0.25, confidence=0.75)).rows()
    assert row == {
        "signal_id": hashlib.sha256(b"solana:DezX|technical|rsi_oversold|buy|5m|2024-10-04T00:00:00+00:00").hexdigest()[:20],
        "token_id": 1,
        "kind": "technical",
        "rule": "rsi_oversold",
        "timeframe": "5m",
        "direction": "buy",
        "strength": 0.25,
        "confidence": 0.75,
        "risk": "unknown",
        "price_usd": 100.0,
        "target_usd": 106.0,
        "stop_usd": 96.0,
        "horizon_seconds": 3_600,
        "reasons": row["reasons"],
        "opened_at": at(0),
        "observed_at": at(300),
        "emitted_at": at(320),
        "expires_at": at(320 + 86_400),
    }
    assert all(not isinstance(value, np.generic) for value in row.values())


def test_columns_are_those_of_the_table() -> None:
    of_the_run = {"recorded_at", "origin", "mode", "run_id"}
    assert set(emit(candidate()).rows()[0]) | of_the_run == {column.name for column in signals.columns}


def test_every_timeframe_has_a_horizon() -> None:
    assert set(HORIZON_SECONDS) == {*TIMEFRAMES, VIEW}


@pytest.mark.parametrize(("timeframe", "hours"), [("5m", 1), ("1h", 24), ("1d", 168)])
def test_horizon_by_timeframe(timeframe: str, hours: int) -> None:
    assert emit(candidate(timeframe=timeframe)).horizon_seconds.tolist() == [hours * 3_600]


@pytest.mark.parametrize(("rule", "hours"), [("comprehensive_agreed", 4), ("technical_single_model", 1), ("sources_agree", 24)])
def test_models_are_given_the_time_they_were_asked_about(rule: str, hours: int) -> None:
    inputs = {"probability_up": 0.8, "sources": {}}
    made = emit(candidate(timeframe=VIEW, rule=rule, inputs=inputs))
    assert made.horizon_seconds.tolist() == [hours * 3_600]


@pytest.mark.parametrize(
    ("direction", "price", "atr", "target", "stop"),
    [
        ("buy", 100.0, 2.0, 106.0, 96.0),
        ("sell", 100.0, 2.0, 94.0, 104.0),
        ("buy", 100.0, 50.0, None, None),
        ("buy", 100.0, 49.0, 247.0, 2.0),
        ("sell", 100.0, 33.0, 1.0, 166.0),
        ("sell", 100.0, 34.0, None, None),
        ("buy", 100.0, float("nan"), None, None),
        ("buy", 100.0, 0.0, None, None),
        ("sell", 100.0, 1e-20, None, None),
        ("buy", 100.0, float("inf"), None, None),
        ("buy", 100.0, -1.0, None, None),
    ],
)
def test_target_and_stop(direction: str, price: float, atr: float, target: float | None, stop: float | None) -> None:
    (row,) = emit(candidate(direction=direction, price_usd=price, atr_usd=atr)).rows()
    assert (row["target_usd"], row["stop_usd"]) == (target, stop)
    assert any("average true range" in reason["text"] for reason in row["reasons"]) == (target is not None)


@given(
    st.sampled_from(["buy", "sell"]),
    st.floats(1e-12, 1e12),
    st.one_of(st.floats(0, 1e12), st.just(float("nan"))),
)
def test_stop_price_and_target_are_in_order(direction: str, price: float, atr: float) -> None:
    targets, stops = target_and_stop(np.array([direction]), np.array([price]), np.array([atr]))
    target, stop = float(targets[0]), float(stops[0])
    assert math.isnan(target) == math.isnan(stop)
    if math.isnan(target):
        assert not (atr > price * 1e-9 and 3 * atr < 0.99 * price)
    elif direction == "buy":
        assert 0 < stop < price < target
    else:
        assert 0 < target < price < stop


@given(streams)
def test_signals_of_a_stream(rows: list[Row]) -> None:
    made = emit(*rows)
    ids = made.signal_id
    assert len(set(ids)) == len(ids)
    assert all(len(text) == 20 and set(text) <= set("0123456789abcdef") for text in ids)
    for row in made.rows():
        json.dumps(row["reasons"], allow_nan=False)
        assert row["observed_at"] <= row["emitted_at"] < row["expires_at"]
        if row["stop_usd"] is not None:
            sign = 1 if row["direction"] == "buy" else -1
            assert sign * row["stop_usd"] < sign * row["price_usd"] < sign * row["target_usd"]
    assert len(emit(*rows, recent=made.as_recent())) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"token_key": "solana:Other"},
        {"kind": "social"},
        {"rule": "momentum_up"},
        {"direction": "sell"},
        {"timeframe": "1h"},
        {"opened_at": START + 300},
    ],
)
def test_every_part_of_the_identity_changes_the_id(change: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "token_key": "solana:DezX",
        "kind": "technical",
        "rule": "rsi_oversold",
        "direction": "buy",
        "timeframe": "5m",
        "opened_at": START,
    }
    assert signal_id(**parts) == signal_id(**parts)
    assert signal_id(**parts) != signal_id(**{**parts, **change})


def test_the_id_does_not_depend_on_the_numbering_of_tokens() -> None:
    first = emit_signals(candidates(candidate()), RecentSignals.empty(), RiskHistory.empty(), {1: "solana:DezX"})
    second = emit_signals(candidates(candidate(token_id=900)), RecentSignals.empty(), RiskHistory.empty(), {900: "solana:DezX"})
    assert first.signal_id == second.signal_id


def test_a_token_without_a_key_is_named() -> None:
    with pytest.raises(KeyError, match="token 77"):
        emit(candidate(token_id=77))


def test_risk_is_what_was_known_at_the_moment() -> None:
    known = history([(1, START, START + 320, "medium"), (1, START + 310, START + 321, "high")])
    (row,) = emit(candidate(), risk=known).rows()
    assert row["risk"] == "medium"
    assert row["reasons"][-1]["text"].startswith("Risk medium: score 0.10 of 1, 100 % of its factors known")
    assert row["reasons"][-1]["inputs"] == {
        "risk_observed_at": "2024-10-04T00:00:00+00:00",
        "score": 0.1,
        "known_share": 1.0,
    }


def test_risk_of_each_signal_is_its_own() -> None:
    known = history([(2, START, START, "high"), (1, START, START, "low")])
    made = emit(candidate(token_id=2), candidate(token_id=1), candidate(token_id=1, opened_at=START - 600), risk=known)
    assert dict(zip(zip(made.token_id.tolist(), made.opened_at.tolist(), strict=True), made.risk.tolist(), strict=True)) == {
        (1, START - 600): "unknown",
        (2, START): "high",
    }


def test_reasons_come_in_order_with_their_inputs() -> None:
    made = emit_signals(
        candidates(candidate(inputs={"rsi_14": 24.5, "previous_rsi_14": 33.0})),
        RecentSignals.empty(),
        RiskHistory.empty(),
        KEYS,
    )
    assert made.reasons == [
        [
            {
                "text": "RSI 14 is 24.5, below 30: newly oversold.",
                "inputs": {"rsi_14": 24.5, "previous_rsi_14": 33.0},
            },
            {
                "text": "Target 106 and stop 96 follow from an average true range of 2.",
                "inputs": {"close": 100.0, "atr_14": 2.0},
            },
            {"text": "Risk unknown: the token had no current assessment.", "inputs": {}},
        ]
    ]


def test_what_is_remembered_of_signals() -> None:
    made = emit(candidate(), candidate(token_id=2, rule="golden_cross"))
    recent = made.as_recent()
    expected = emitted(candidate(), candidate(token_id=2, rule="golden_cross"))
    for name in RecentSignals.__dataclass_fields__:
        assert getattr(recent, name).tolist() == getattr(expected, name).tolist()


def test_microseconds_survive() -> None:
    moment = START + 300.123457
    assert emit(candidate(available_at=moment)).rows()[0]["emitted_at"].microsecond == 123457


def test_nothing_of_nothing() -> None:
    assert emit().rows() == []
