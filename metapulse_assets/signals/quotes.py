"""What a token cost, and how widely it swung, as was known at a moment: for signals that rest on no candle of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.market.tables import candles
from metapulse_assets.platform.as_of import IntArray, newest_known_rows
from metapulse_assets.platform.bulk import Columns, read_columns, to_datetime64

FloatArray = npt.NDArray[np.float64]

OLDEST_PRICE = timedelta(hours=3)
"""A close that ended longer before than this is no price any more. Own choice."""
OLDEST_RANGE = timedelta(hours=6)
"""An hourly average true range that ended longer before than this is not used. Own choice."""
PRICE_FRAMES = (("5m", timedelta(minutes=5)), ("1h", timedelta(hours=1)))


@dataclass(frozen=True)
class Quotes:
    """One for each question: price_usd NaN where none was known, atr_usd (hourly ATR 14) likewise; float64."""

    price_usd: FloatArray
    atr_usd: FloatArray


def quotes_as_of(connection: sa.Connection, token_ids: Sequence[int], moments: Sequence[datetime]) -> Quotes:
    """The newest close and hourly ATR of each token that could have been used at each moment; questions in any order."""
    price = np.full(len(moments), np.nan)
    if not len(moments):
        return Quotes(price, price.copy())
    token = np.array(token_ids, np.int64)
    at = np.array([to_datetime64(moment) for moment in moments], "datetime64[us]")
    for timeframe, interval in PRICE_FRAMES:
        missing = np.flatnonzero(np.isnan(price))
        if missing.size:
            price[missing] = _closes(connection, timeframe, interval, token[missing], at[missing])
    return Quotes(price, _ranges(connection, token, at))


def _closes(
    connection: sa.Connection, timeframe: str, interval: timedelta, token: IntArray, at: npt.NDArray[Any]
) -> FloatArray:
    c = candles.c
    statement = sa.select(c.token_id, c.opened_at, c.available_at, c.close).where(c.timeframe == timeframe)
    return _newest(connection, statement, c, "close", token, at, OLDEST_PRICE + interval)


def _ranges(connection: sa.Connection, token: IntArray, at: npt.NDArray[Any]) -> FloatArray:
    a = technical_analyses.c
    statement = sa.select(a.token_id, a.opened_at, a.available_at, a.atr_14).where(a.timeframe == "1h")
    return _newest(connection, statement, a, "atr_14", token, at, OLDEST_RANGE + timedelta(hours=1))


def _newest(
    connection: sa.Connection,
    statement: sa.Select[Any],
    columns: Any,
    value: str,
    token: IntArray,
    at: npt.NDArray[Any],
    oldest: timedelta,
) -> FloatArray:
    first, last = at.min() - np.timedelta64(oldest), at.max()
    rows: Columns = read_columns(
        connection,
        statement.where(
            columns.opened_at >= first.item().replace(tzinfo=UTC),
            columns.opened_at <= last.item().replace(tzinfo=UTC),
            columns.token_id.in_([int(one) for one in np.unique(token)]),
        ),
    )
    found = newest_known_rows(rows["token_id"], rows["opened_at"], rows["available_at"], token, at)
    known = found >= 0
    known[known] = at[known] - rows["opened_at"][found[known]] <= np.timedelta64(oldest)
    result = np.full(token.size, np.nan)
    result[known] = rows[value][found[known]].astype(np.float64)
    return result
