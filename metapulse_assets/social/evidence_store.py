"""What was known of tokens at a moment: names, pools, and how large their markets were. Reads only.

A token without snapshots, as those of imported history are, is known since its first daily candle, and as large as its candles'
volume says.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.tables import candles, pools, token_metrics, tokens
from metapulse_assets.platform.bulk import Array, Columns, read_columns
from metapulse_assets.social.mention_finding import ticker_of, words_of
from metapulse_assets.social.mention_resolving import KnownPool, KnownToken, Size

# A snapshot older than this says nothing about a market any more. Own choice.
FRESH = timedelta(hours=24)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


def known_tokens(connection: sa.Connection, until: datetime) -> list[KnownToken]:
    """The tokens that could be known by then, each with the moment from which it was."""
    c = candles.c
    first_candle = (
        sa.select(c.token_id, sa.func.min(c.available_at).label("since"))
        .where(c.timeframe == "1d", c.available_at <= until)
        .group_by(c.token_id)
        .subquery()
    )
    rows = connection.execute(
        sa.select(tokens, first_candle.c.since)
        .outerjoin(first_candle, first_candle.c.token_id == tokens.c.token_id)
        .where(sa.or_(tokens.c.first_recorded_at <= until, first_candle.c.since.is_not(None)))
        .order_by(tokens.c.token_id)
    ).all()
    # The pools of imported tokens were recorded with the import, and known as long as its candles say.
    imported = {row.token_id: row.since for row in rows if row.since is not None and row.since < row.first_recorded_at}
    pools_of: dict[int, list[KnownPool]] = defaultdict(list)
    for pool in connection.execute(sa.select(pools).order_by(pools.c.pool_id)):
        known_since = min(pool.first_recorded_at, imported.get(pool.token_id, pool.first_recorded_at))
        if known_since <= until:
            pools_of[pool.token_id].append(KnownPool(pool.address, known_since, pool.created_at))
    return [
        KnownToken(
            token_id=row.token_id,
            chain=row.chain,
            address=row.address,
            ticker=ticker_of(row.symbol),
            name=words_of(row.name),
            known_since=imported.get(row.token_id, row.first_recorded_at),
            pools=tuple(pools_of.get(row.token_id, ())),
        )
        for row in rows
    ]


# By token: moments in ascending order, and the size from each on.
Sizes = dict[int, tuple[list[datetime], list[Size]]]


@dataclass(frozen=True)
class MarketSizes:
    """How large some tokens' markets were over a span, as it was known: by snapshots, and by hourly and by daily candles."""

    sources: tuple[Sizes, ...]

    def size_at(self, token_id: int, at: datetime) -> Size | None:
        """The newest size that was known at a moment and not out of date, by the best source that has one."""
        for by_token in self.sources:
            times, sizes = by_token.get(token_id, ([], []))
            place = bisect_right(times, at) - 1
            if place >= 0 and times[place] > at - FRESH:
                return sizes[place]
        return None


def market_sizes(connection: sa.Connection, ids: Collection[int], first: datetime, last: datetime) -> MarketSizes:
    """The sizes of these tokens as they were known between two moments."""
    if not ids:
        return MarketSizes(())
    hourly = _candles(connection, ids, "1h", first - FRESH - _DAY - _HOUR, last)
    daily = _candles(connection, ids, "1d", first - FRESH - 2 * _DAY, last)
    return MarketSizes(
        (
            _from_snapshots(connection, ids, first, last),
            _volume_sizes(hourly, np.timedelta64(24, "h")),
            _volume_sizes(daily, None),
        )
    )


def _from_snapshots(connection: sa.Connection, ids: Collection[int], first: datetime, last: datetime) -> Sizes:
    m = token_metrics.c
    rows = read_columns(
        connection,
        sa.select(m.token_id, m.recorded_at, m.liquidity_usd, m.volume_h24_usd).where(
            m.token_id.in_(sorted(ids)),
            m.observed_at > first - FRESH - _HOUR,
            m.observed_at <= last,
            m.recorded_at > first - FRESH,
            m.recorded_at <= last,
        ),
    )
    return _by_token(rows["token_id"], rows["recorded_at"], rows["liquidity_usd"], rows["volume_h24_usd"])


def _candles(connection: sa.Connection, ids: Collection[int], timeframe: str, start: datetime, last: datetime) -> Columns:
    c = candles.c
    rows = read_columns(
        connection,
        sa.select(c.token_id, c.opened_at, c.available_at, c.volume_usd).where(
            c.token_id.in_(sorted(ids)),
            c.timeframe == timeframe,
            c.opened_at >= start,
            c.opened_at <= last,
            c.available_at <= last,
        ),
    )
    order = np.lexsort((rows["opened_at"], rows["token_id"]))
    return {name: values[order] for name, values in rows.items()}


def _volume_sizes(rows: Columns, span: np.timedelta64 | None) -> Sizes:
    """Volume over a span before each candle's end, by what could be used when the candle could; None: its own volume."""
    volumes = np.nan_to_num(rows["volume_usd"])
    known = np.isfinite(rows["volume_usd"])
    totals = np.full(len(volumes), np.nan)
    for place in range(len(volumes)):
        if span is None:
            totals[place] = rows["volume_usd"][place]
            continue
        first = int(np.searchsorted(rows["token_id"], rows["token_id"][place]))
        begin = first + int(np.searchsorted(rows["opened_at"][first : place + 1], rows["opened_at"][place] - span, "right"))
        part = slice(begin, place + 1)
        usable = known[part] & (rows["available_at"][part] <= rows["available_at"][place])
        if usable.any():
            totals[place] = volumes[part][usable].sum()
    nothing = np.full(len(volumes), np.nan)
    kept = np.isfinite(totals)
    return _by_token(rows["token_id"][kept], rows["available_at"][kept], nothing[kept], totals[kept])


def _by_token(ids: Array, times: Array, liquidity: Array, volume: Array) -> Sizes:
    order = np.lexsort((times, ids))
    found: Sizes = {}
    moments = times[order].astype("datetime64[us]").tolist()
    for place, token_id, moment in zip(order.tolist(), ids[order].tolist(), moments, strict=True):
        known_times, sizes = found.setdefault(token_id, ([], []))
        known_times.append(moment.replace(tzinfo=UTC))
        sizes.append(Size(_or_none(liquidity[place]), _or_none(volume[place])))
    return found


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
