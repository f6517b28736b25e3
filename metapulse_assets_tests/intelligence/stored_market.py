"""A small market in the database, as the other rooms would have left it: tokens in a trend, readings, posts about them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.market.tables import candles, pools, token_metrics, tokens, tracked_tokens
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.risk.tables import risk_assessments
from metapulse_assets.signals.tables import technical_signals
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics
from metapulse_assets_tests.intelligence.panels import RISING, a_state

SIGNS = {"up": 1, "down": -1, "sideways": 0}


def store(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], when: str | None = None) -> None:
    """Insert rows, making the day partitions of their times."""
    if when:
        ensure_days(connection, table.name, {utc_day(row[when]) for row in rows})
    connection.execute(sa.insert(table), [{**_anything(table), **row} for row in rows])


def _anything(table: sa.Table) -> dict[str, Any]:
    """Something for the columns that must not be null, for those that a test says nothing about."""
    plain = {str: "", int: 0, float: 0.0, bool: False, bytes: b"", list: [], dict: {}}
    needed = [column for column in table.columns if not column.nullable and column.identity is None]
    return {column.name: plain[column.type.python_type] for column in needed if column.type.python_type in plain}


def add_token(
    connection: sa.Connection, token_id: int, at: datetime, trend: str = "up", name: str = "Plain", symbol: str = "PLN"
) -> None:
    """A tracked token, seen a minute before `at`, with analyses, a rule that fired, and a low risk."""
    state = a_state(trend)
    since = at - timedelta(days=2)
    store(
        connection,
        tokens,
        [{"token_id": token_id, "chain": "solana", "address": f"T{token_id}", "symbol": symbol, "name": name,
          "first_recorded_at": since}],
    )  # fmt: skip
    store(
        connection,
        pools,
        [{"pool_id": token_id, "token_id": token_id, "chain": "solana", "address": f"P{token_id}", "dex": "raydium",
          "first_recorded_at": since}],
    )  # fmt: skip
    store(
        connection,
        tracked_tokens,
        [{"token_id": token_id, "active": True, "sources": ["watched"], "tracked_since": since, "last_listed_at": at,
          "reason": "watched"}],
    )  # fmt: skip
    seen = at - timedelta(minutes=1)
    store(
        connection,
        token_metrics,
        [{"observed_at": seen, "recorded_at": seen, "token_id": token_id, "pool_id": token_id, "price_usd": 2.0,
          **{key: int(value or 0) if key.startswith(("buys", "sells")) else value for key, value in state.metrics.items()}}],
        "observed_at",
    )  # fmt: skip
    store(
        connection,
        risk_assessments,
        [{"observed_at": seen, "token_id": token_id, "available_at": seen, "level": "low", "score": 0.12,
          "known_share": 1.0, "factors": {}}],
        "observed_at",
    )  # fmt: skip
    for timeframe, length in (("5m", timedelta(minutes=5)), ("1h", timedelta(hours=1))):
        opened = at.replace(minute=0, second=0, microsecond=0) - length
        reading = {"opened_at": opened, "available_at": opened + length, "close": 2.0, "token_id": token_id, "bar_count": 900,
                   "timeframe": timeframe, "trend": trend, "recommendation": "hold", "confidence": 0.5,
                   **state.readings["1h"].values}  # fmt: skip
        store(connection, technical_analyses, [reading], "opened_at")
    if SIGNS[trend]:
        add_hit(connection, token_id, at - timedelta(minutes=1), trend)


def add_hit(connection: sa.Connection, token_id: int, available_at: datetime, trend: str = "up") -> None:
    """A rule that fired for a token, and became usable at a moment."""
    opened = available_at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    hit = {"opened_at": opened, "token_id": token_id, "timeframe": "1h", "available_at": available_at, "strength": 0.7,
           "rule": "momentum_up" if SIGNS[trend] > 0 else "momentum_down", "confidence": 0.6, "price_usd": 2.0,
           "direction": "buy" if SIGNS[trend] > 0 else "sell", "inputs": {}}  # fmt: skip
    store(connection, technical_signals, [hit], "opened_at")


def add_posts(connection: sa.Connection, token_id: int, at: datetime, count: int = 20, texts: Sequence[str] = RISING) -> None:
    """Posts about a token by as many authors in the hour before `at`, and the social metrics that say they are many."""
    for place in range(count):
        add_post(connection, token_id, at - timedelta(minutes=2 + place), f"author{place}", texts[place % len(texts)])
    metrics = {"as_of": at - timedelta(minutes=1), "token_id": token_id, "platform": "x",
               "available_at": at - timedelta(minutes=1), "mentions_1h": count, "unique_posts_1h": count, "authors_1h": count,
               "mentions_24h": count, "authors_24h": count, "velocity_z": 4.0, "sentiment": 0.4, "hashtags_1h": 0}  # fmt: skip
    store(connection, social_metrics, [metrics], "as_of")


def add_post(connection: sa.Connection, token_id: int, at: datetime, author: str, text: str, **sentiment: float) -> None:
    """One post that means a token, as it was collected and judged."""
    key = {"observed_at": at, "platform": "x", "post_id": f"{token_id}-{author}-{at:%H%M%S}"}
    post = {**key, "recorded_at": at, "available_at": at, "author_id": author, "text": text, "kind": "post", "cashtags": [],
            "hashtags": [], "urls": [], "source": "test"}  # fmt: skip
    store(connection, social_posts, [post], "observed_at")
    mention = {**key, "ordinal": 0, "available_at": at, "token_id": token_id, "kind": "address", "matched": "T",
               "starts_at": 0, "ends_at": 1, "resolution": "address", "confidence": 1.0}  # fmt: skip
    store(connection, mentions, [mention], "observed_at")
    judged = {"score": 0.0, "label": "neutral", "strength": 0.1, "coverage": 0.5, "scam_probability": 0.1, "bot_likeness": 0.1}
    store(connection, post_sentiments, [{**key, "available_at": at, "model": "test", **judged, **sentiment}], "observed_at")


def add_candles(connection: sa.Connection, token_id: int, first: datetime, closes: Sequence[float]) -> None:
    """Five-minute candles in a row, each opening where the one before closed."""
    rows: list[dict[str, Any]] = []
    opened = first
    before = closes[0]
    for close in closes:
        closed = opened + timedelta(minutes=5)
        rows.append(
            {"opened_at": opened, "recorded_at": closed, "available_at": closed, "open": before, "high": max(before, close),
             "low": min(before, close), "close": close, "token_id": token_id, "timeframe": "5m", "source": "snapshots"}
        )  # fmt: skip
        opened, before = closed, close
    ensure_days(connection, "candles_5m", {utc_day(row["opened_at"]) for row in rows})
    connection.execute(sa.insert(candles), rows)
