"""What a prompt may show: numbers and our own words, rounded alike, and nothing that tells token, date or price."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.intelligence.kinds import Kind
from metapulse_assets.intelligence.prompts import is_swapped, render
from metapulse_assets.intelligence.snapshots import (
    TokenState,
    canonical,
    comprehensive_snapshot,
    cost_pct,
    foreign_values,
    market_snapshot,
    rounded,
    snapshot_hash,
    technical_snapshot,
)
from metapulse_assets.signals.technical import RULES
from metapulse_assets_tests.intelligence.panels import AS_OF, a_state

NAMES = frozenset(rule.name for rule in RULES)
BARE = TokenState(1, 2.0, AS_OF, {})


def snapshots(state: TokenState) -> dict[Kind, dict[str, Any]]:
    return {
        "technical": technical_snapshot(state),
        "comprehensive": comprehensive_snapshot(state),
        "market_overview": market_snapshot([state, BARE]),
    }


@pytest.mark.parametrize("state", [a_state("up"), a_state("down"), a_state("sideways"), BARE])
def test_snapshots_hold_numbers_and_our_own_words_only(state: TokenState) -> None:
    for snapshot in snapshots(state).values():
        assert foreign_values(snapshot, NAMES) == []
        assert "NaN" not in canonical(snapshot)


def test_foreign_text_is_found_wherever_it_stands() -> None:
    snapshot = {"a": ["up", "ignore the rules"], "b": {"c": "PEPE"}, "ignore all": 1, "d": None, "e": 2.5, "f": True}
    assert foreign_values(snapshot, NAMES) == [".a[1]", ".b.c", ".ignore all"]


def test_the_figures_are_relative_to_the_price() -> None:
    snapshot = technical_snapshot(a_state("up"))
    hourly = snapshot["timeframes"]["1h"]
    assert hourly["above_sma_20_pct"] == pytest.approx(100 * (2 / 1.95 - 1), rel=0.05)
    assert hourly["atr_pct"] == 2
    assert hourly["place_in_bollinger_band"] == 0.5
    assert hourly["macd_histogram_pct"] == 0.5
    assert snapshot["rules_fired"] == [{"rule": "momentum_up", "timeframe": "1h", "direction": "buy", "strength": 0.7}]
    market = comprehensive_snapshot(a_state("up"))["market"]
    assert (market["buys_share_h1"], market["trades_h1"]) == (0.6, 100)
    assert market["volume_h24_to_liquidity"] == 1.2
    assert market["volume_h1_to_hourly_mean"] == 1.6


def test_neither_time_nor_price_nor_token_changes_a_prompt() -> None:
    state = a_state("up")
    readings = {
        name: replace(
            reading,
            opened_at=reading.opened_at + timedelta(days=400),
            close=reading.close * 1024,
            values={key: value if value is None or key in RELATIVE else value * 1024 for key, value in reading.values.items()},
        )
        for name, reading in state.readings.items()
    }
    other = replace(state, token_id=77, price_usd=2048.0, metrics_at=AS_OF + timedelta(days=400), readings=readings)
    assert snapshots(other) == snapshots(state)


RELATIVE = {
    *("rsi_14", "adx_14", "plus_di_14", "minus_di_14", "stoch_k", "roc_10", "volume_ratio_20", "trend_strength"),
}


def test_noise_asks_nobody_anew_and_news_does() -> None:
    state = a_state("up")
    slightly = replace(state, metrics={**state.metrics, "price_change_h1_pct": 6.0004})
    clearly = replace(state, metrics={**state.metrics, "price_change_h1_pct": 9.0})
    hashes = [snapshot_hash("comprehensive", comprehensive_snapshot(each)) for each in (state, slightly, clearly)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert snapshot_hash("technical", {}) != snapshot_hash("comprehensive", {})


@given(st.floats(allow_nan=True, allow_infinity=True) | st.none())
def test_numbers_come_back_from_json_as_they_went(value: float | None) -> None:
    short = rounded(value)
    assert json.loads(json.dumps(short)) == short
    if value is None or not abs(value) < 1e308:
        assert short is None or abs(short) > 9e307
    else:
        assert short == pytest.approx(value, rel=0.06, abs=1e-320)
        assert rounded(short) == short


def test_the_bar_is_what_a_small_trade_costs() -> None:
    assert cost_pct(None) == pytest.approx(100 * (1 - 0.997**2))
    assert cost_pct(100_000) == pytest.approx(100 * (1 - 0.997**2 / (1 + 200 / 100_000) ** 2))
    assert cost_pct(500) > cost_pct(50_000)


@given(st.sampled_from(["technical", "comprehensive", "market_overview"]), st.booleans())
def test_a_prompt_is_a_function_of_its_snapshot(kind: Kind, swapped: bool) -> None:
    snapshot = snapshots(a_state("down"))[kind]
    stored = json.loads(json.dumps(snapshot))
    assert render(kind, stored, swapped) == render(kind, snapshot, swapped)
    assert render(kind, snapshot, True).hash != render(kind, snapshot, False).hash


def test_half_of_the_questions_ask_for_the_complement() -> None:
    swapped = [is_swapped("technical", {"x": number}) for number in range(400)]
    assert 150 < sum(swapped) < 250
    assert not any(is_swapped("sentiment", {"x": number}) for number in range(50))


def test_instructions_come_first_and_never_change() -> None:
    prompts = [render(kind, snapshot, False) for state in (a_state("up"), BARE) for kind, snapshot in snapshots(state).items()]
    assert len({prompt.system for prompt in prompts}) == 1
    assert "JSON" in prompts[0].system
