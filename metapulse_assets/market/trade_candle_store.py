"""Reading the trades and what SOL cost, and storing the candles made of them."""

from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.candle_building import candle_starts
from metapulse_assets.market.candle_store import closed_since, insert_candles
from metapulse_assets.market.stream_tables import token_launches, token_trades
from metapulse_assets.market.tables import pools, token_metrics, tokens
from metapulse_assets.market.trade_candles import LONGEST_SILENCE, OLDEST_SOL_PRICE, candles_from_trades, heard_whole
from metapulse_assets.platform.bulk import Columns, read_columns, to_datetime64
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets.vendors.pumpportal import CHAIN, WRAPPED_SOL

SOURCE = "trades"
HEARD_BEFORE = timedelta(days=1)
"""Trades of a token are followed whole from its first one on; that is looked for this far back. Own choice."""


def build_from_trades(connection: sa.Connection, as_of: datetime) -> int:
    """Store the 5-minute candles that have closed since the last time, out of trades; returns how many.

    Only spans that were heard whole: the feed was not silent, and the token's trades were followed before they began.
    """
    start, end = closed_since(connection, as_of)
    if start >= end:
        return 0
    trades = _trades(connection, start, end, as_of)
    if not len(trades["token_id"]):
        return 0
    slots = candle_starts(trades["received_at"])
    distinct = np.unique(slots)
    whole = distinct[heard_whole(distinct, _launches(connection, start, end))]
    kept = np.isin(slots, whole) & (trades["first_heard_at"] < slots)
    built = candles_from_trades(
        {name: values[kept] for name, values in trades.items()}, _sol_prices(connection, start, as_of), to_datetime64(as_of)
    )
    return insert_candles(connection, "5m", built, SOURCE, as_of)


def _trades(connection: sa.Connection, start: datetime, end: datetime, as_of: datetime) -> Columns:
    t = token_trades.c
    within = (t.received_on >= utc_day(start), t.received_at >= start, t.received_at < end, t.available_at <= as_of)
    mints = sa.select(t.mint).distinct().where(*within).subquery()
    earlier = token_trades.alias("earlier")
    # By the index of mint and time: a day may hold a million trades, and only the first of each mint is wanted.
    first_heard_at = (
        sa.select(sa.func.min(earlier.c.received_at))
        .where(
            earlier.c.mint == mints.c.mint,
            earlier.c.received_on >= utc_day(start - HEARD_BEFORE),
            earlier.c.received_at >= start - HEARD_BEFORE,
        )
        .correlate(mints)
        .scalar_subquery()
    )
    first = sa.select(mints.c.mint, first_heard_at.label("first_heard_at")).subquery()
    return read_columns(
        connection,
        sa.select(tokens.c.token_id, t.received_at, t.price_sol, t.sol_amount, first.c.first_heard_at)
        .join_from(token_trades, tokens, sa.and_(tokens.c.chain == CHAIN, tokens.c.address == t.mint))
        .join(first, first.c.mint == t.mint)
        .where(*within, t.price_sol.is_not(None)),
    )


def _launches(connection: sa.Connection, start: datetime, end: datetime) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    silence = timedelta(seconds=int(LONGEST_SILENCE / np.timedelta64(1, "s")))
    h = token_launches.c
    heard = read_columns(
        connection,
        sa.select(h.received_at).where(
            h.received_on >= utc_day(start - silence), h.received_at >= start - silence, h.received_at < end
        ),
    )
    return np.sort(heard["received_at"])


def _sol_prices(connection: sa.Connection, start: datetime, as_of: datetime) -> Columns:
    """USD a SOL, a row a minute: the median over the pools that are quoted in it."""
    m = token_metrics.c
    oldest = start - timedelta(seconds=int(OLDEST_SOL_PRICE / np.timedelta64(1, "s")))
    seen = (
        sa.select(m.recorded_at, (m.price_usd / m.price_native).label("price_usd"))
        .join_from(token_metrics, pools, pools.c.pool_id == m.pool_id)
        .where(
            *(pools.c.chain == CHAIN, pools.c.quote_address == WRAPPED_SOL, m.price_native.is_not(None)),
            *(m.observed_at >= oldest, m.observed_at <= as_of, m.recorded_at <= as_of),
        )
        .subquery()
    )
    # A price can be used from the moment on when the last of its minute's snapshots was stored.
    minute = sa.func.date_trunc("minute", seen.c.recorded_at)
    rows = read_columns(
        connection,
        sa.select(
            sa.func.max(seen.c.recorded_at).label("observed_at"),
            sa.func.percentile_cont(0.5).within_group(seen.c.price_usd).cast(sa.Double).label("price_usd"),
        ).group_by(minute),
    )
    order = np.argsort(rows["observed_at"])
    return {name: values[order] for name, values in rows.items()}
