"""The questions of one tick: who is asked about, with which snapshot, as rows of `ai_requests`. No database, no vendor."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from metapulse_assets.intelligence.kinds import HORIZON_SECONDS, Kind
from metapulse_assets.intelligence.post_panel import panel, sentiment_snapshot
from metapulse_assets.intelligence.prompts import is_swapped, render
from metapulse_assets.intelligence.snapshots import (
    PostText,
    TokenState,
    atr_usd,
    comprehensive_snapshot,
    market_snapshot,
    snapshot_hash,
    technical_snapshot,
)
from metapulse_assets.intelligence.triggers import Trigger, choose, look

SMALLEST_MARKET = 3
"""Tokens below which there is no market to speak of. Own choice."""
MOST_PANELS = 3
"""Tokens a tick whose posts are shown: a panel takes up to seven calls of each model. Own choice, within Groq's 30 a minute."""
ID_HEX_DIGITS = 20


def plan(
    states: Sequence[TokenState], as_of: datetime, most_tokens: int, read_posts: Callable[[int], Sequence[PostText]]
) -> list[dict[str, Any]]:
    """The questions, the most urgent first, without the columns that storing adds.

    A token to which something happened is asked about as a whole; besides, of its indicators if rules fired, and of its posts
    if those did and enough authors wrote any. The market is asked about last, if any token is.
    """
    by_id = {state.token_id: state for state in states}
    chosen = choose([trigger for state in states if (trigger := look(state))], most_tokens)
    rows = []
    for trigger in chosen:
        state = by_id[trigger.token_id]
        rows.append(request_row("comprehensive", comprehensive_snapshot(state), as_of, trigger, state))
        if trigger.technical:
            rows.append(request_row("technical", technical_snapshot(state), as_of, trigger, state))
        if trigger.social and sum(row["kind"] == "sentiment" for row in rows) < MOST_PANELS:
            with_posts = replace(state, posts=read_posts(state.token_id))
            groups = panel(with_posts.posts)
            if groups:
                rows.append(request_row("sentiment", sentiment_snapshot(groups), as_of, trigger, with_posts))
    if chosen and len(states) >= SMALLEST_MARKET:
        fired = {"tokens_asked_about": len(chosen)}
        rows.append(request_row("market_overview", market_snapshot(states), as_of, Trigger(0, fired), None, states))
    return [{**row, "place": place} for place, row in enumerate(rows)]


def request_row(
    kind: Kind,
    snapshot: dict[str, Any],
    as_of: datetime,
    trigger: Trigger,
    state: TokenState | None,
    market: Sequence[TokenState] = (),
) -> dict[str, Any]:
    """One question as a row of `ai_requests`; `state` is None for the market."""
    swapped = is_swapped(kind, snapshot)
    prompt = render(kind, snapshot, swapped)
    token_id = state.token_id if state else None
    return {
        "as_of": as_of,
        "request_id": request_id(kind, token_id, as_of),
        "kind": kind,
        "token_id": token_id,
        "trigger": trigger.fired,
        "snapshot": snapshot,
        "snapshot_hash": snapshot_hash(kind, snapshot),
        "prompt_hash": prompt.hash,
        "system": prompt.system,
        "prompt": prompt.text,
        "question_swapped": swapped,
        "inputs": _inputs(kind, state) if state else {"token_metrics": len(market)},
        "price_usd": state.price_usd if state else None,
        "atr_usd": atr_usd(state) if state else None,
        "horizon_seconds": HORIZON_SECONDS[kind],
    }


def request_id(kind: str, token_id: int | None, as_of: datetime) -> str:
    """Hash of what is asked about and when."""
    text = f"{kind}|{token_id}|{as_of.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:ID_HEX_DIGITS]


def _inputs(kind: str, state: TokenState) -> Mapping[str, Any]:
    """Keys of the rows that a snapshot rests on, besides the token."""
    inputs: dict[str, Any] = {
        "token_metrics": state.metrics_at.isoformat(),
        "technical_analyses": {name: reading.opened_at.isoformat() for name, reading in sorted(state.readings.items())},
    }
    if state.social_at and kind == "comprehensive":
        inputs["social_metrics"] = state.social_at.isoformat()
    if kind == "sentiment":
        inputs["social_posts"] = [post.post_id for post in state.posts]
    return inputs
