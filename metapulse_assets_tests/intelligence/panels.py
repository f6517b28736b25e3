"""Whole ways from posts or figures to an analysis, with stand-ins in the place of both models; and the material for them."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from metapulse_assets.intelligence.analyses import Request, StoredAnswer, analyse
from metapulse_assets.intelligence.answers import parse
from metapulse_assets.intelligence.kinds import HORIZON_SECONDS, Kind
from metapulse_assets.intelligence.post_panel import panel, sentiment_snapshot
from metapulse_assets.intelligence.prompts import is_swapped, render
from metapulse_assets.intelligence.snapshots import (
    Hit,
    PostText,
    TechnicalReading,
    TokenState,
    comprehensive_snapshot,
    snapshot_hash,
)
from metapulse_assets.sandbox.ai_standin import answer_text
from metapulse_assets.sandbox.vendors import gemini, groq

AS_OF = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)
RISING = (
    "buying more of this, breakout incoming",
    "strong chart, I stay long",
    "green again, rally goes on",
    "bullish as ever, accumulating",
    "higher lows, higher highs, up we go",
)
FALLING = (
    "selling the rest, this looks weak",
    "dump incoming, exit now",
    "lower again, bearish chart",
    "falling since noon, red everywhere",
    "short it, breakdown confirmed",
)
IDLE = (
    "gm everyone",
    "reading the docs of this project",
    "who else is at the meetup?",
    "new logo looks ok",
    "asking for a friend",
)


def analysis_of(kind: Kind, snapshot: Mapping[str, Any], gullible: bool, state: TokenState | None = None) -> dict[str, Any]:
    """The row of `ai_analyses` that stand-ins lead to when they are asked of a snapshot."""
    swapped = is_swapped(kind, snapshot)
    prompt = render(kind, snapshot, swapped)
    answers = []
    for provider, boldness in (("groq", groq.BOLDNESS), ("gemini", gemini.BOLDNESS)):
        texts = [_answer(part, boldness, gullible) for part in prompt.parts]
        parsed = parse(kind, snapshot, swapped, texts)
        answers.append(StoredAnswer(provider, "stand-in", "ok", None, parsed, AS_OF))
    price = state.price_usd if state else 1.0
    request = Request("r", AS_OF, kind, 1, HORIZON_SECONDS[kind], price, 0.02 * price, snapshot_hash(kind, snapshot))
    return analyse(request, answers, {})


# What is asked again and again, of attack after attack, is the groups that no attacker is in.
_answer = functools.lru_cache(maxsize=50_000)(answer_text)


def honest(texts: Sequence[str], count: int) -> list[PostText]:
    """Posts of as many authors, the texts in turn."""
    start = AS_OF - timedelta(hours=1)
    return [
        PostText(start + timedelta(minutes=place), f"p{place}", f"author{place}", f"{text} #{place}")
        for place, text in zip(range(count), itertools.cycle(texts), strict=False)
    ]


def with_attackers(posts: Sequence[PostText], text: str, count: int = 1) -> list[PostText]:
    """The posts and, newer than all of them, those of some attackers with an account each."""
    return [*posts, *(PostText(AS_OF - timedelta(seconds=n + 1), f"evil{n}", f"evil{n}", text) for n in range(count))]


def mood_of(posts: Sequence[PostText], gullible: bool) -> dict[str, Any]:
    """The sentiment analysis of posts."""
    return analysis_of("sentiment", sentiment_snapshot(panel(posts)), gullible)


def a_state(trend: str = "up", **changes: Any) -> TokenState:
    """A token in an up-trend, a down-trend or none, with everything known of it."""
    sign = {"up": 1, "down": -1}.get(trend, 0)
    values = {
        "rsi_14": 50.0 + 12 * sign,
        "macd": 0.02 * sign,
        "macd_signal": 0.01 * sign,
        "sma_20": 2.0 - 0.05 * sign,
        "ema_50": 2.0 - 0.1 * sign,
        "ema_200": 2.0 - 0.2 * sign,
        "bb_upper": 2.2,
        "bb_lower": 1.8,
        "atr_14": 0.04,
        "adx_14": 30.0,
        "plus_di_14": 25.0 + 5 * sign,
        "minus_di_14": 25.0 - 5 * sign,
        "stoch_k": 50.0 + 20 * sign,
        "roc_10": 4.0 * sign,
        "support_20": 1.8,
        "resistance_20": 2.2,
        "volume_ratio_20": 1.4,
        "trend_strength": 0.6,
    }
    reading = TechnicalReading(AS_OF - timedelta(hours=1), 2.0, trend, "hold", values)
    direction = "sell" if sign < 0 else "buy"
    state = TokenState(
        token_id=1,
        price_usd=2.0,
        metrics_at=AS_OF - timedelta(minutes=1),
        metrics={
            "liquidity_usd": 250_000.0,
            "fdv_usd": 4e6,
            "volume_h1_usd": 20_000.0,
            "volume_h24_usd": 300_000.0,
            "buys_h1": 60.0,
            "sells_h1": 40.0,
            "price_change_m5_pct": 0.2 * sign,
            "price_change_h1_pct": 6.0 * sign,
            "price_change_h6_pct": 8.0 * sign,
            "price_change_h24_pct": 11.0 * sign,
        },
        readings={"5m": replace(reading, opened_at=AS_OF - timedelta(minutes=5)), "1h": reading},
        hits=[Hit("momentum_up" if sign >= 0 else "momentum_down", "1h", direction, 0.7, 0.6)] if sign else [],
        risk_level="low",
        risk_score=0.12,
        social_at=AS_OF - timedelta(minutes=3),
        social={
            "unique_posts_1h": 14.0,
            "authors_1h": 12.0,
            "velocity_z": 3.4,
            "sentiment": 0.2 * sign,
            "sentiment_24h": 0.1 * sign,
            "bot_share": 0.1,
        },
    )
    return replace(state, **changes)


def whole_view(state: TokenState, posts: Sequence[PostText], gullible: bool) -> dict[str, Any]:
    """The comprehensive analysis of a token whose posts' mood is one of the numbers that it rests on."""
    mood = mood_of(posts, gullible)["probability_up"]
    return analysis_of("comprehensive", comprehensive_snapshot(replace(state, model_sentiment=2 * mood - 1)), gullible, state)
