"""A language model's stand-in: answers from the numbers in the prompt by a fixed rule, and from posts by a few plain words.

It knows nothing and predicts nothing. Its name says so: `stand-in/` stands before the model that was asked for. Both vendors'
stand-ins ask here; their shapes on the wire are in `vendors/`. What a model does wrong is asked for by its name: a model whose
name holds one of `BEHAVIOURS` behaves so.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from metapulse_assets.sandbox.ai_gullible import ordered_side

MARK: Final = "stand-in/"
BEHAVIOURS: Final = {
    "gullible": "obeys orders found anywhere in its prompt",
    "prompt-blocked": "the prompt is blocked (Gemini: no candidates; Groq: an empty answer)",
    "answer-blocked": "the answer is blocked (Gemini: SAFETY; Groq: content_filter)",
    "empty": "all tokens go into thinking, no text comes",
    "cut": "the JSON ends in the middle, at the token limit",
    "invalid-json": "text that is no JSON",
    "wrong-types": "numbers as words",
    "out-of-range": "a probability of 1.4, scores of 7",
    "refusal": "the model declines",
    "validate-failed": "Groq: 400 json_validate_failed with what the model made",
    "no-schema": "Groq: 400 for a json_schema; a json_object will do",
    "minute-quota": "429, wait some seconds",
    "daily-quota": "429, used up until tomorrow",
    "too-large": "413: more tokens than a minute allows",
    "unknown": "404: no such model",
}
_WORD: Final = re.compile(r"[a-z]+")
_RISING: Final = frozenset(
    {
        *("accumulate", "accumulating", "breakout", "bull", "bullish", "buy", "buying", "bought", "green"),
        *("gains", "higher", "long", "moon", "pump", "rally", "rising", "strong", "up"),
    }
)
_FALLING: Final = frozenset(
    {
        *("bear", "bearish", "bleeding", "breakdown", "collapse", "crash", "dead", "down", "dump"),
        *("dumping", "exit", "falling", "lower", "red", "rug", "sell", "selling", "short"),
        "weak",
    }
)


def behaviour_of(model: str) -> str | None:
    """What the model of this name does wrong; None: nothing."""
    return next((name for name in BEHAVIOURS if model.endswith(name)), None)


def answer_text(prompt: str, boldness: float, gullible: bool = False) -> str:
    """The text of an answer to a prompt: post scores where it lists posts, else an opinion of the snapshot in it.

    `boldness` scales how far an opinion goes, so that two stand-ins differ.
    """
    posts = _posts(prompt)
    side = ordered_side(prompt) if gullible else None
    if posts is not None:
        scores = {number: float(side) if side is not None else score_of(text) for number, text in posts.items()}
        return json.dumps({"scores": [{"id": number, "score": score} for number, score in scores.items()]})
    snapshot = _snapshot(prompt)
    logit = boldness * logit_of(snapshot) if side is None else 4.6 * side
    swapped = "NOT higher" in prompt
    probability = round(1 / (1 + math.exp(logit if swapped else -logit)), 4)
    return json.dumps(
        {
            "probability": probability,
            "confidence": "high" if abs(logit) > 1 else "medium" if abs(logit) > 0.4 else "low",
            "risk_level": _risk(snapshot),
            "summary": "A stand-in's answer: a fixed sum of some of the numbers, not a judgement.",
            "key_points": [f"sum of the numbers looked at: {logit:+.2f}"],
        }
    )


def logit_of(snapshot: Mapping[str, Any]) -> float:
    """The fixed rule: trends, momentum and moods add up, each with a small weight."""
    total = 0.0
    for reading in _dicts(snapshot.get("timeframes")):
        total += {"up": 0.3, "down": -0.3}.get(str(reading.get("trend")), 0.0)
        total += 0.03 * _held(reading.get("roc_10"), 10) + 0.01 * (_held(reading.get("rsi_14"), 100, 50) - 50)
        total += 0.05 * _held(reading.get("macd_histogram_pct"), 5)
    for rule in snapshot.get("rules_fired") or ():
        total += {"buy": 0.3, "sell": -0.3}.get(str(rule.get("direction")), 0.0) * _held(rule.get("strength"), 1)
    market, social = _dict(snapshot.get("market")), _dict(snapshot.get("social"))
    total += 0.03 * _held(market.get("price_change_h1_pct"), 15) + 0.01 * _held(market.get("price_change_h24_pct"), 30)
    total += 0.3 * _held(social.get("sentiment"), 1) + 0.3 * _held(social.get("model_sentiment"), 1)
    total += 2.0 * (_held(snapshot.get("share_rising_h1"), 1, 0.5) - 0.5)
    return total + 0.05 * _held(snapshot.get("median_change_h24_pct"), 20)


def score_of(text: str) -> float:
    """What a post's words say, -1 to 1: rising less falling over all that take a side."""
    words = _WORD.findall(text.lower())
    rising, falling = sum(word in _RISING for word in words), sum(word in _FALLING for word in words)
    return round((rising - falling) / (rising + falling), 3) if rising + falling else 0.0


def _snapshot(prompt: str) -> Mapping[str, Any]:
    """The JSON object after the line that announces it; empty where there is none."""
    _, found, rest = prompt.partition("Snapshot:\n")
    try:
        return _dict(json.loads(rest.splitlines()[0])) if found else {}
    except (ValueError, IndexError):
        return {}


def _posts(prompt: str) -> dict[int, str] | None:
    """The posts in a prompt by id, one a line of JSON; None where it lists none."""
    if not prompt.startswith("POSTS "):
        return None
    found = {}
    for line in prompt.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("id"), int):
            found[entry["id"]] = str(entry.get("text"))
    return found


def _risk(snapshot: Mapping[str, Any]) -> str:
    level = _dict(snapshot.get("risk")).get("level")
    return level if level in ("low", "medium", "high") else "medium"


def _held(value: object, bound: float, otherwise: float = 0.0) -> float:
    """A number held within ± a bound; `otherwise` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return min(max(float(value), -bound), bound)


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [_dict(entry) for entry in _dict(value).values()]
