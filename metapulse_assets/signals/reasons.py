"""What a signal says for itself, in sentences with the numbers that they rest on.

Belongs here: the wording of every rule and of the risk. Does not: thresholds' values (`technical`, `risk`).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from metapulse_assets.risk import scoring
from metapulse_assets.signals import technical
from metapulse_assets.signals.view_reasons import VIEW_SENTENCES

Values = Mapping[str, Any]


def number(value: float, digits: int = 6) -> str:
    """Significant digits, never in scientific notation: prices of tokens may be 0.0000042."""
    text = f"{value:.{digits}g}"
    return f"{Decimal(text):f}" if "e" in text else text


def _change(value: float, before: float) -> str:
    return f"{number(abs(100 * (value / before - 1)), 3)} %"


def _rsi(side: str, threshold: float, state: str) -> Callable[[Values], str]:
    return lambda v: f"RSI 14 is {number(v['rsi_14'], 4)}, {side} {threshold:g}: newly {state}."


def _macd(side: str) -> Callable[[Values], str]:
    return lambda v: f"MACD {number(v['macd'])} crossed {side} its signal line {number(v['macd_signal'])}."


def _means(side: str) -> Callable[[Values], str]:
    return lambda v: f"The mean of 20 closes, {number(v['sma_20'])}, crossed {side} that of 50, {number(v['sma_50'])}."


def _break(side: str, level: str) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        price = v[f"{level}_20"]
        distance = _change(v["close"], price)
        return f"Close {number(v['close'])} is {distance} {side} the {level} of 20 candles, {number(price)}."

    return sentence


def _turn(verb: str, level: str) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        before = v["previous_close"]
        change = _change(v["close"], before)
        price = number(v[f"previous_{level}_20"])
        return f"After a close of {number(before)} at the {level} {price}, the price {verb} {change}."

    return sentence


def _momentum(verb: str) -> Callable[[Values], str]:
    return lambda v: f"The price {verb} {number(abs(v['roc_10']), 4)} % within 10 candles."


def _volume(verb: str) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        change = _change(v["close"], v["previous_close"])
        return f"Volume is {number(v['volume_ratio_20'], 3)} times its mean of 20 candles while the price {verb} {change}."

    return sentence


RULE_SENTENCES: Mapping[str, Callable[[Values], str]] = {
    "rsi_oversold": _rsi("below", technical.RSI_OVERSOLD, "oversold"),
    "rsi_overbought": _rsi("above", technical.RSI_OVERBOUGHT, "overbought"),
    "macd_bullish_cross": _macd("above"),
    "macd_bearish_cross": _macd("below"),
    "golden_cross": _means("above"),
    "death_cross": _means("below"),
    "resistance_breakout": _break("above", "resistance"),
    "support_breakdown": _break("below", "support"),
    "support_bounce": _turn("rose", "support"),
    "resistance_rejection": _turn("fell", "resistance"),
    "momentum_up": _momentum("rose"),
    "momentum_down": _momentum("fell"),
    "volume_spike_up": _volume("rose"),
    "volume_spike_down": _volume("fell"),
    **VIEW_SENTENCES,
}
"""One sentence for each rule, from the values that it read."""

HARD_FAIL_SENTENCES: Mapping[str, str] = {
    "rugged": "a scanner reports that its liquidity was pulled",
    "honeypot": "a scanner reports that it cannot be sold",
    "confiscatory_tax": f"a sale or a transfer costs {100 * scoring.CONFISCATORY_TAX:g} % of it or more",
    "mint_authority": "somebody can make more of it, and it is on no list of established tokens",
    "freeze_authority": "somebody can freeze what others hold, and it is on no list of established tokens",
    "owner_can_change": "somebody can change balances or take back control, and it is on no list of established tokens",
    "no_liquidity": f"the pool holds less than {scoring.MIN_LIQUIDITY_USD:,.0f} USD",
    "no_sells": f"{scoring.HONEYPOT_MIN_BUYS} or more buys within 24 hours and no sale",
    "price_collapse": f"the price lost {-scoring.COLLAPSE_PCT:g} % or more within 24 hours",
    "no_trades": "no trade within 24 hours",
}


def rule_reason(rule: str, inputs: Values) -> dict[str, Any]:
    """Why the rule fired. Raises KeyError for a rule without a sentence, or without a value that the sentence names."""
    return {"text": RULE_SENTENCES[rule](inputs), "inputs": dict(inputs)}


def risk_reason(
    level: str, score: float | None, known_share: float | None, hard_fail: str | None, observed_at: str | None
) -> dict[str, Any]:
    """The token's risk as it was known. observed_at: ISO time of the assessed snapshot; None: there was none."""
    if observed_at is None:
        return {"text": "Risk unknown: the token had no current assessment.", "inputs": {}}
    inputs: dict[str, Any] = {"risk_observed_at": observed_at, "score": score, "known_share": known_share}
    if hard_fail is not None:
        inputs["hard_fail"] = hard_fail
        return {"text": f"Risk {level}: {HARD_FAIL_SENTENCES[hard_fail]}.", "inputs": inputs}
    known = f"{100 * (known_share or 0):.0f} % of its factors known"
    if score is None:
        return {"text": f"Risk {level}: only {known}.", "inputs": inputs}
    if level == "medium" and score < scoring.MEDIUM_FROM:
        known += ", but its liquidity or its contract is not"
    return {"text": f"Risk {level}: score {score:.2f} of 1, {known}.", "inputs": inputs}


def range_reason(target_usd: float, stop_usd: float, atr_usd: float, price_usd: float) -> dict[str, Any]:
    """Where target and stop come from."""
    text = f"Target {number(target_usd)} and stop {number(stop_usd)} follow from an average true range of"
    return {"text": f"{text} {number(atr_usd)}.", "inputs": {"close": price_usd, "atr_14": atr_usd}}
