"""GeckoTerminal's OHLCV route: what its query may say and how its candles are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from metapulse_assets.sandbox.market import Candles, Market, Pool, address_key

# Aggregates that each timeframe allows, and the seconds of one unit.
TIMEFRAMES: Final = {"minute": (60, (1, 5, 15)), "hour": (3600, (1, 4, 12)), "day": (86400, (1,))}
_MOST: Final = 1000
_DEFAULT_LIMIT: Final = 100

Unit = Literal["usd", "base in quote", "quote in usd", "quote in base"]


class QueryError(ValueError):
    """The query is not one that the vendor answers; the text names the parameter."""


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """A checked query: ``seconds`` of a candle, at most ``limit`` of them before ``before`` (exclusive)."""

    seconds: int
    limit: int
    before: float | None
    in_usd: bool
    token: str
    with_empty: bool


def parse_query(timeframe: str, parameters: Mapping[str, str], t: float) -> CandleQuery:
    """Return the checked query. Raises QueryError naming the parameter that the vendor would refuse."""
    if timeframe not in TIMEFRAMES:
        raise QueryError(f"timeframe must be one of {', '.join(TIMEFRAMES)}")
    unit, aggregates = TIMEFRAMES[timeframe]
    aggregate = _integer(parameters, "aggregate", 1)
    if aggregate not in aggregates:
        raise QueryError(f"aggregate must be one of {', '.join(map(str, aggregates))} for {timeframe}")
    limit = _integer(parameters, "limit", _DEFAULT_LIMIT)
    if not 1 <= limit <= _MOST:
        raise QueryError(f"limit must be from 1 to {_MOST}")
    before = _integer(parameters, "before_timestamp", int(t) + 86400)
    currency = parameters.get("currency", "usd")
    if currency not in ("usd", "token"):
        raise QueryError("currency must be usd or token")
    return CandleQuery(
        seconds=unit * aggregate,
        limit=limit,
        before=float(before),
        in_usd=currency == "usd",
        token=parameters.get("token", "base"),
        with_empty=parameters.get("include_empty_intervals", "false").lower() == "true",
    )


def price_in(pool: Pool, query: CandleQuery) -> Unit:
    """Return which price is asked for. Raises QueryError for a token that is not in the pool."""
    side = query.token
    if side not in ("base", "quote"):
        wanted = address_key(pool.chain, side)
        sides = {
            address_key(pool.chain, pool.quote.address): "quote",
            address_key(pool.chain, pool.base.address): "base",
        }
        if wanted not in sides:
            raise QueryError("token must be base, quote or the address of one of the pool's tokens")
        side = sides[wanted]
    if side == "base":
        return "usd" if query.in_usd else "base in quote"
    return "quote in usd" if query.in_usd else "quote in base"


def candle_rows(market: Market, pool: int, query: CandleQuery, unit: Unit, t: float) -> list[list[int | float]]:
    """Return ``[start, open, high, low, close, volume]`` per candle, newest first."""
    in_quote = unit in ("base in quote", "quote in base")
    candles = market.candles(pool, query.seconds, t, query.limit, before=query.before, in_quote=in_quote)
    if unit == "quote in base":
        candles = _inverted(candles)
    elif unit == "quote in usd":
        candles = _of_quote(candles, market, pool, query.seconds, t)
    if query.with_empty:
        candles = _filled(candles, query, t)
    columns = (candles.start, candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [list(row) for row in zip(*(column[::-1].tolist() for column in columns), strict=True)]


def _inverted(candles: Candles) -> Candles:
    """Return the price of the quote token in base tokens; the volume becomes that of the base token."""
    return Candles(
        start=candles.start,
        open=1 / candles.open,
        high=1 / candles.low,
        low=1 / candles.high,
        close=1 / candles.close,
        volume=candles.volume / candles.close,
    )


def _of_quote(candles: Candles, market: Market, pool: int, seconds: int, t: float) -> Candles:
    """Return the quote token's USD price in the intervals in which the pool traded, with the pool's volume."""
    start = candles.start.astype(np.float64)
    opening = market.quote_usd(pool, start, t)
    closing = market.quote_usd(pool, np.minimum(start + seconds, t), t)
    known = np.isfinite(opening) & np.isfinite(closing)
    keep = np.flatnonzero(known)
    high, low = np.maximum(opening, closing), np.minimum(opening, closing)
    return Candles(candles.start[keep], opening[keep], high[keep], low[keep], closing[keep], candles.volume[keep])


def _filled(candles: Candles, query: CandleQuery, t: float) -> Candles:
    """Return the candles with those left out put in: four prices equal to the previous close, no volume."""
    if not len(candles):
        return candles
    last = int(t // query.seconds)
    if query.before is not None:
        last = min(last, int(-(-query.before // query.seconds)) - 1)
    first = max(int(candles.start[0]) // query.seconds, last + 1 - query.limit)
    start = np.arange(first, last + 1, dtype=np.int64) * query.seconds
    place = np.searchsorted(candles.start, start, side="right") - 1
    empty = candles.start[place] != start
    close = candles.close[place]
    return Candles(
        start=start,
        open=np.where(empty, close, candles.open[place]),
        high=np.where(empty, close, candles.high[place]),
        low=np.where(empty, close, candles.low[place]),
        close=close,
        volume=np.where(empty, 0.0, candles.volume[place]),
    )


def _integer(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise QueryError(f"{name} must be a whole number")
    return int(text)
