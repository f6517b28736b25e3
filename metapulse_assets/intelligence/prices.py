"""What the models cost: USD a million tokens, as the vendors' price pages say. What a model not listed costs is unknown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from metapulse_assets.vendors.model_replies import Question, Reply

_MILLION = 1_000_000
CHARACTERS_PER_TOKEN = 2.0
"""For the worst case: JSON with many numbers has about 2.5 characters a token, English prose about 4. Own choice."""
# "stand-in/" is put before a name by the sandbox, "models/" by Gemini, and versions after it by both.
_DECORATION = re.compile(r"^(?:stand-in/|models/)+")


@dataclass(frozen=True)
class Price:
    """USD a million tokens: read, written (thoughts included), and read from the vendor's cache."""

    read: float
    written: float
    cached: float


PRICES: Mapping[str, Price] = {
    # groq.com/pricing, standard tier, 2026.
    "openai/gpt-oss-120b": Price(0.15, 0.60, 0.075),
    "openai/gpt-oss-20b": Price(0.075, 0.30, 0.0375),
    "llama-3.3-70b-versatile": Price(0.59, 0.79, 0.59),
    "llama-3.1-8b-instant": Price(0.05, 0.08, 0.05),
    "qwen/qwen3-32b": Price(0.29, 0.59, 0.29),
    # ai.google.dev/gemini-api/docs/pricing, paid tier, prompts up to 200,000 tokens, 2026.
    "gemini-2.5-flash": Price(0.30, 2.50, 0.03),
    "gemini-2.5-flash-lite": Price(0.10, 0.40, 0.01),
    "gemini-2.5-pro": Price(1.25, 10.00, 0.125),
    "gemini-3-flash-preview": Price(0.50, 3.00, 0.05),
    "gemini-3.1-flash-lite": Price(0.25, 1.50, 0.025),
    "gemini-3.5-flash": Price(1.50, 9.00, 0.15),
}


def price_of(model: str) -> Price | None:
    """The price of a model; None if it is not listed. A dated version of a listed model costs what the model does."""
    name = _DECORATION.sub("", model)
    if name in PRICES:
        return PRICES[name]
    # The longest listed name that a version was hung to: gemini-2.5-flash-lite-001 is no gemini-2.5-flash.
    longest = max((known for known in PRICES if re.match(rf"{re.escape(known)}-(?:\d|preview)", name)), key=len, default=None)
    return PRICES[longest] if longest else None


def cost_of(reply: Reply, asked_model: str, question: Question | None = None) -> tuple[float, bool]:
    """USD that a reply cost, and whether the price is known.

    Of a text without a count of its tokens, which some servers do not give, it is the most that the question can cost, for else
    no budget would end; who gave neither charged nothing.
    """
    if reply.tokens_in is None and reply.tokens_out is None:
        if question is None or reply.text is None:
            return 0.0, True
        return worst_cost(question, asked_model), price_of(asked_model) is not None
    price = price_of(asked_model) or price_of(reply.model)
    if price is None:
        return 0.0, False
    cached = min(reply.tokens_cached or 0, reply.tokens_in or 0)
    fresh = (reply.tokens_in or 0) - cached
    return (fresh * price.read + cached * price.cached + (reply.tokens_out or 0) * price.written) / _MILLION, True


def worst_cost(question: Question, model: str) -> float:
    """USD that a question can cost at most: nothing cached, the longest answer; 0 where the price is unknown."""
    price = price_of(model)
    if price is None:
        return 0.0
    characters = len(question.system) + len(question.prompt) + len(str(question.schema))
    return (characters / CHARACTERS_PER_TOKEN * price.read + question.max_tokens * price.written) / _MILLION
