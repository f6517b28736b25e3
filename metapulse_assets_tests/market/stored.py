"""Tokens, snapshots and candles put into a database directly, and read back as plain rows."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.candle_store import insert_candles
from metapulse_assets.market.tables import candle_requests, candles, token_metrics, tokens, tracked_tokens
from metapulse_assets.platform.bulk import write_columns
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets_tests.market.columns import CandleRow, SnapshotRow, candle_columns, snapshot_columns


def add_tokens(connection: sa.Connection, count: int, since: datetime, chain: str = "solana") -> list[int]:
    """Tokens that are tracked since then; returns their ids."""
    rows = [{"chain": chain, "address": f"t{n}", "symbol": "T", "name": "T", "first_recorded_at": since} for n in range(count)]
    ids = list(connection.execute(sa.insert(tokens).returning(tokens.c.token_id), rows).scalars())
    connection.execute(
        sa.insert(tracked_tokens),
        [
            {
                "token_id": token_id,
                "active": True,
                "sources": ["boosts"],
                "tracked_since": since,
                "last_listed_at": since,
                "reason": "",
            }
            for token_id in ids
        ],
    )
    return ids


def add_snapshots(connection: sa.Connection, rows: Sequence[SnapshotRow], recorded_at: datetime) -> None:
    """Rows of `token_metrics`, with only what candles are made of."""
    if not rows:
        return
    ensure_days(connection, token_metrics.name, {utc_day(row[1]) for row in rows})
    columns = snapshot_columns(rows)
    pool_id = np.ones(len(rows), np.int32)
    assert write_columns(connection, token_metrics, {**columns, "pool_id": pool_id, "recorded_at": recorded_at}) == len(rows)


def add_candles(
    connection: sa.Connection,
    rows: Sequence[CandleRow],
    recorded_at: datetime,
    timeframe: str = "5m",
    source: str = "snapshots",
) -> int:
    """Candles, usable from then on."""
    return insert_candles(connection, timeframe, candle_columns(rows, recorded_at), source, recorded_at)


def note_asked(connection: sa.Connection, token_id: int, at: datetime, timeframe: str = "5m", received: int = 1) -> None:
    """That a vendor was asked for a token's history."""
    connection.execute(
        sa.insert(candle_requests).values(token_id=token_id, timeframe=timeframe, asked_at=at, candles_received=received)
    )


def candle_rows(connection: sa.Connection, timeframe: str = "5m") -> list[CandleRow]:
    """The stored candles, by token and time."""
    c = candles.c
    columns = (c.token_id, c.opened_at, c.open, c.high, c.low, c.close, c.volume_usd)
    rows = connection.execute(sa.select(*columns).where(c.timeframe == timeframe).order_by(c.token_id, c.opened_at))
    return [tuple(row) for row in rows]


def stamps(connection: sa.Connection, timeframe: str = "5m") -> dict[tuple[int, datetime], tuple[datetime, datetime]]:
    """By token and time when each candle was recorded, and when it became usable."""
    c = candles.c
    rows = connection.execute(sa.select(c.token_id, c.opened_at, c.recorded_at, c.available_at).where(c.timeframe == timeframe))
    return {(row.token_id, row.opened_at): (row.recorded_at, row.available_at) for row in rows}
