"""The wording: every rule and hard fail has a sentence, with the numbers it rests on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.risk.scoring import HARD_FAILS
from metapulse_assets.signals.reasons import (
    HARD_FAIL_SENTENCES,
    RULE_SENTENCES,
    number,
    range_reason,
    risk_reason,
    rule_reason,
)
from metapulse_assets.signals.technical import RULES, find_rule_hits
from metapulse_assets.signals.view_reasons import VIEW_SENTENCES
from metapulse_assets_tests.signals.analyses import INTERVAL, crafted
from metapulse_assets_tests.signals.test_technical import CASES


def test_every_rule_and_hard_fail_has_a_sentence() -> None:
    assert set(RULE_SENTENCES) == {rule.name for rule in RULES} | set(VIEW_SENTENCES)
    assert not {rule.name for rule in RULES} & set(VIEW_SENTENCES)
    assert set(HARD_FAIL_SENTENCES) == set(HARD_FAILS)


SENTENCES = {
    "rsi_oversold": "RSI 14 is 29.9, below 30: newly oversold.",
    "rsi_overbought": "RSI 14 is 70.1, above 70: newly overbought.",
    "macd_bullish_cross": "MACD -0.04 crossed above its signal line -0.05.",
    "macd_bearish_cross": "MACD 0.1 crossed below its signal line 0.15.",
    "golden_cross": "The mean of 20 closes, 100.1, crossed above that of 50, 100.",
    "death_cross": "The mean of 20 closes, 99.9, crossed below that of 50, 100.",
    "resistance_breakout": "Close 102 is 2 % above the resistance of 20 candles, 100.",
    "support_breakdown": "Close 98 is 2 % below the support of 20 candles, 100.",
    "support_bounce": "After a close of 100 at the support 99, the price rose 2 %.",
    "resistance_rejection": "After a close of 100 at the resistance 101, the price fell 2 %.",
    "momentum_up": "The price rose 15.1 % within 10 candles.",
    "momentum_down": "The price fell 15.1 % within 10 candles.",
    "volume_spike_up": "Volume is 3 times its mean of 20 candles while the price rose 0.1 %.",
    "volume_spike_down": "Volume is 3 times its mean of 20 candles while the price fell 0.1 %.",
}


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=SENTENCES)
def test_sentence_of_a_hit(rule: str, before: dict[str, float], fires: dict[str, float], does_not: dict[str, float]) -> None:
    hits = find_rule_hits(crafted(before, fires), INTERVAL)
    assert rule_reason(rule, hits.inputs[0]) == {"text": SENTENCES[rule], "inputs": hits.inputs[0]}


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(KeyError, match="moon_phase"):
        rule_reason("moon_phase", {})


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0000042, "0.0000042"), (1e-9, "0.000000001"), (123456789.0, "123457000"), (-0.00001234567, "-0.0000123457"),
     (0.5, "0.5"), (42.0, "42"), (0.0, "0")],
)  # fmt: skip
def test_numbers_are_written_out(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_six_digits(value: float) -> None:
    text = number(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("level", "score", "known_share", "hard_fail", "text"),
    [
        ("low", 0.125, 1.0, None, "Risk low: score 0.12 of 1, 100 % of its factors known."),
        ("high", 0.9, 0.85, None, "Risk high: score 0.90 of 1, 85 % of its factors known."),
        ("medium", 0.4, 0.45, None, "Risk medium: score 0.40 of 1, 45 % of its factors known."),
        (
            "medium",
            0.1,
            0.45,
            None,
            "Risk medium: score 0.10 of 1, 45 % of its factors known, but its liquidity or its contract is not.",
        ),
        ("unknown", None, 0.25, None, "Risk unknown: only 25 % of its factors known."),
        ("high", 0.2, 1.0, "honeypot", "Risk high: a scanner reports that it cannot be sold."),
        ("high", 0.2, 1.0, "confiscatory_tax", "Risk high: a sale or a transfer costs 50 % of it or more."),
        ("high", 0.2, 1.0, "no_sells", "Risk high: 20 or more buys within 24 hours and no sale."),
        ("high", None, 0.0, "price_collapse", "Risk high: the price lost 90 % or more within 24 hours."),
        ("high", None, 0.3, "no_liquidity", "Risk high: the pool holds less than 1,000 USD."),
        ("high", None, 0.3, "no_trades", "Risk high: no trade within 24 hours."),
    ],
)
def test_risk_sentence(level: str, score: float | None, known_share: float, hard_fail: str | None, text: str) -> None:
    reason = risk_reason(level, score, known_share, hard_fail, "2024-10-04T00:00:00+00:00")
    assert reason["text"] == text
    assert reason["inputs"]["risk_observed_at"] == "2024-10-04T00:00:00+00:00"
    assert reason["inputs"]["score"] == score
    assert reason["inputs"].get("hard_fail") == hard_fail


def test_no_assessment() -> None:
    assert risk_reason("unknown", None, None, None, None)["inputs"] == {}


def test_range_sentence_names_its_inputs() -> None:
    reason = range_reason(0.0000106, 0.0000096, 0.0000002, 0.00001)
    assert reason["text"] == "Target 0.0000106 and stop 0.0000096 follow from an average true range of 0.0000002."
    assert reason["inputs"] == {"close": 0.00001, "atr_14": 0.0000002}
