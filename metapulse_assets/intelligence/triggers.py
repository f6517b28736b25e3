"""Which tokens the models are asked about: rules that fire on numbers, and the order in which they are served.

Models cost money and time, so nobody is asked about a token to which nothing happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from metapulse_assets.intelligence.snapshots import TokenState

PRICE_MOVE_H1_PCT = 5.0
"""Own choice: several times the hourly range of a large token."""
SPIKE_Z = 3.0
"""The z score at which Santiment calls a social volume anomalous."""
SPIKE_POSTS = 5
"""Below this many distinct posts a z score says little. Own choice."""
MOOD, MOOD_POSTS = 0.6, 20
"""Sentiment and posts of an hour that the requirements name for a social signal."""
POSTS_TO_ASK = 5
"""Authors that must have posted before the models are asked about the posts: fewer give no robust mean."""


@dataclass(frozen=True)
class Trigger:
    """What fired for a token: the values by rule, and the token's place in the queue (larger first)."""

    token_id: int
    fired: dict[str, Any] = field(default_factory=dict)
    priority: float = 0.0

    @property
    def technical(self) -> bool:
        """Whether technical rules fired."""
        return "technical_hits" in self.fired

    @property
    def social(self) -> bool:
        """Whether posts did it."""
        return "social_spike" in self.fired or "mood" in self.fired


def look(state: TokenState) -> Trigger | None:
    """What fires for a token; None if nothing does, or if its risk is high: then no analysis may lead to a trade.

    Priority: strength x confidence of the best hit (0 to 1), plus the hourly price move over 20 % (at most 1), plus the social
    z score over 6 (at most 1), plus 0.5 for a mood. Own choice: each kind of event counts about the same.
    """
    if state.risk_level == "high":
        return None
    fired: dict[str, Any] = {}
    priority = 0.0
    if state.hits:
        best = max(hit.strength * hit.confidence for hit in state.hits)
        fired["technical_hits"] = {"count": len(state.hits), "best": round(best, 4)}
        priority += best
    move = state.metrics.get("price_change_h1_pct")
    if move is not None and abs(move) >= PRICE_MOVE_H1_PCT:
        fired["price_move"] = {"price_change_h1_pct": move}
        priority += min(abs(move) / 20, 1.0)
    posts, z, mood = (state.social.get(name) for name in ("unique_posts_1h", "velocity_z", "sentiment"))
    if posts is not None and z is not None and posts >= SPIKE_POSTS and z >= SPIKE_Z:
        fired["social_spike"] = {"velocity_z": z, "unique_posts_1h": posts}
        priority += min(z / 6, 1.0)
    if posts is not None and mood is not None and posts >= MOOD_POSTS and abs(mood) >= MOOD:
        fired["mood"] = {"sentiment": mood, "unique_posts_1h": posts}
        priority += 0.5
    return Trigger(state.token_id, fired, priority) if fired else None


def choose(triggers: Sequence[Trigger], most: int) -> list[Trigger]:
    """The tokens that are asked about: the highest priority first, the older token where two are equal."""
    return sorted(triggers, key=lambda trigger: (-trigger.priority, trigger.token_id))[:most]
