"""What social, AI and combined signals say for themselves, in sentences with the numbers that they rest on."""

from collections.abc import Callable, Mapping
from typing import Any

from metapulse_assets.signals import social_rules

Values = Mapping[str, Any]


def _sentiment(side: str, bound: float) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        return (
            f"Sentiment of the last 24 hours is {v['sentiment_24h']:+.2f}, newly {side} {bound:+.1f}, "
            f"over {v['mentions_24h']} mentions by {v['authors_24h']} authors."
        )

    return sentence


def _spike(mood: str) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        return (
            f"{v['mentions_1h']} mentions by {v['authors_1h']} authors within the hour, usually "
            f"{v['baseline_hourly']:.3g}: {v['velocity_z']:.1f} deviations above the week, "
            f"in a {mood} mood ({v['sentiment']:+.2f})."
        )

    return sentence


def _surge(way: str) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        return (
            f"Sentiment weighted by volume is {abs(v['weighted_sentiment']):.1f} deviations {way} its week, "
            f"with {v['mentions_1h']} mentions within the hour and {v['mentions_24h']} within the day."
        )

    return sentence


def _models(who: str) -> Callable[[Values], str]:
    def sentence(v: Values) -> str:
        return f"{who} the probability of a rise beyond its cost at {100 * v['probability_up']:.0f} %."

    return sentence


def _agreement(v: Values) -> str:
    told = [
        f"{kind} ({source['rule']}{'' if source['timeframe'] == '24h' else ' ' + source['timeframe']})"
        for kind, source in v["sources"].items()
    ]
    return f"Sources of different kinds agree within two hours: {', '.join(told)}."


VIEW_SENTENCES: Mapping[str, Callable[[Values], str]] = {
    "sentiment_bullish": _sentiment("above", social_rules.SENTIMENT_EXTREME),
    "sentiment_bearish": _sentiment("below", -social_rules.SENTIMENT_EXTREME),
    "mention_spike_up": _spike("good"),
    "mention_spike_down": _spike("bad"),
    "sentiment_surge_up": _surge("above"),
    "sentiment_surge_down": _surge("below"),
    "comprehensive_agreed": _models("Both models, seeing indicators, market and mood, put"),
    "comprehensive_single_model": _models("One model (the other gave no answer), seeing indicators, market and mood, puts"),
    "technical_agreed": _models("Both models, seeing the indicators, put"),
    "technical_single_model": _models("One model (the other gave no answer), seeing the indicators, puts"),
    "sources_agree": _agreement,
}
"""One sentence for each rule of a view, from the values that it read."""
