"""5-minute candles out of trades that were heard one by one, priced in USD by what SOL cost then. Arrays in, arrays out."""

import numpy as np

from metapulse_assets.market.candle_building import FIVE_MINUTES, candle_starts, runs_of_candles
from metapulse_assets.platform.bulk import Array, Columns

LONGEST_SILENCE = np.timedelta64(60, "s").astype("timedelta64[us]")
"""Of a feed on which a token is launched every few seconds: after a longer one it was not listening. Own choice."""
OLDEST_SOL_PRICE = np.timedelta64(30, "m").astype("timedelta64[us]")
"""A SOL price of longer ago prices no trade. Own choice: three ticks may fail."""


def candles_from_trades(trades: Columns, sol: Columns, available_at: np.datetime64) -> Columns:
    """Candles in USD, usable from the moment they are made on; volume is what the trades moved.

    `trades`: token_id, received_at, price_sol, sol_amount, in any order. `sol`: observed_at, price_usd, ascending.
    A trade for which no recent SOL price was known when it was heard is in no candle.
    """
    order = np.lexsort((trades["received_at"], trades["token_id"]))
    rows = {name: values[order] for name, values in trades.items()}
    sol_usd = _known_then(sol, rows["received_at"])
    price = rows["price_sol"] * sol_usd
    priced = np.isfinite(price) & (price > 0)
    rows, price, sol_usd = {name: values[priced] for name, values in rows.items()}, price[priced], sol_usd[priced]
    opened_at = candle_starts(rows["received_at"])
    starts, ends = runs_of_candles(rows["token_id"], opened_at)
    if not len(starts):
        starts = ends = np.empty(0, np.intp)
        high = low = volume = np.empty(0)
    else:
        high, low = np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts)
        volume = np.add.reduceat(rows["sol_amount"] * sol_usd, starts)
    return {
        "token_id": rows["token_id"][starts],
        "opened_at": opened_at[starts],
        "available_at": np.full(len(starts), available_at),
        "open": price[starts],
        "high": high,
        "low": low,
        "close": price[ends - 1],
        "volume_usd": volume,
    }


def heard_whole(slots: Array, launched_at: Array) -> Array:
    """For each 5-minute span (its start) whether the feed was never silent for long in it, by the launches it told of.

    `launched_at`: when launches were heard, ascending, from a little before the first span to its end or beyond.
    """
    begins, ends = slots.astype("datetime64[us]"), slots.astype("datetime64[us]") + FIVE_MINUTES
    whole = np.zeros(len(slots), np.bool_)
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        within = launched_at[(launched_at >= begin - LONGEST_SILENCE) & (launched_at < end)]
        # From the last sign before the span over all within to its end.
        signs = np.concatenate((within, [end]))
        whole[place] = len(within) > 0 and signs[0] <= begin and bool((np.diff(signs) <= LONGEST_SILENCE).all())
    return whole


def _known_then(sol: Columns, moments: Array) -> Array:
    """USD a SOL as last seen before each moment; NaN where that was too long ago."""
    if not len(sol["observed_at"]):
        return np.full(len(moments), np.nan)
    place = np.searchsorted(sol["observed_at"], moments, side="right") - 1
    seen = np.clip(place, 0, None)
    fresh = (place >= 0) & (moments - sol["observed_at"][seen] <= OLDEST_SOL_PRICE)
    result: Array = np.where(fresh, sol["price_usd"][seen], np.nan)
    return result
