"""Candles out of what is already here: from snapshots of the price, and from finer candles. Arrays in, arrays out."""

import numpy as np

from metapulse_assets.platform.bulk import NO_INT, Array, Columns

FIVE_MINUTES = np.timedelta64(5, "m").astype("timedelta64[us]")
# A tick looks at the market some seconds after the full five minutes; what it sees so shortly after a candle's end is that
# candle's close, not the first price of the next.
CLOSE_GRACE = np.timedelta64(60, "s").astype("timedelta64[us]")


def candle_of_snapshot(observed_at: Array) -> Array:
    """Start of the 5-minute candle that a snapshot speaks for."""
    return _floor(observed_at - CLOSE_GRACE, FIVE_MINUTES)


def candle_starts(moments: Array) -> Array:
    """Start of the 5-minute candle that each moment lies in."""
    return _floor(moments, FIVE_MINUTES)


def candles_from_snapshots(snapshots: Columns, previous: Columns, available_at: np.datetime64) -> Columns:
    """5-minute candles from snapshots, usable from the moment they are made on.

    `snapshots`: token_id, observed_at, price_usd, volume_m5_usd, buys_m5, sells_m5, in any order.
    `previous`: token_id, opened_at, close of stored candles; a candle opens at the close of the one right before it.
    A span in which the vendor counted no trade gives no candle. Volume is the vendor's own five-minute figure at the close.
    """
    order = np.lexsort((snapshots["observed_at"], snapshots["token_id"]))
    rows = {name: values[order] for name, values in snapshots.items()}
    opened_at = candle_of_snapshot(rows["observed_at"])
    starts, ends = runs_of_candles(rows["token_id"], opened_at)
    if not len(starts):
        return _empty()
    last = ends - 1
    token_id, opened = rows["token_id"][starts], opened_at[starts]
    close = rows["price_usd"][last]
    before = _close_before(token_id, opened, previous)
    open_ = np.where(np.isnan(before), rows["price_usd"][starts], before)
    high = np.maximum(np.maximum.reduceat(rows["price_usd"], starts), open_)
    low = np.minimum(np.minimum.reduceat(rows["price_usd"], starts), open_)
    traded = _was_traded(rows, last)
    candles: Columns = {
        "token_id": token_id,
        "opened_at": opened,
        "available_at": np.full(len(opened), available_at),
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume_usd": rows["volume_m5_usd"][last],
    }
    return {name: values[traded] for name, values in candles.items()}


def roll_up(finer: Columns, interval: np.timedelta64, available_at: np.datetime64) -> Columns:
    """Candles of a longer interval from finer ones (same columns, any order), usable from the moment they are made on.

    First open, highest, lowest, last close, sum. A volume is unknown only if every part's is.
    """
    order = np.lexsort((finer["opened_at"], finer["token_id"]))
    rows = {name: values[order] for name, values in finer.items()}
    opened_at = _floor(rows["opened_at"], interval.astype("timedelta64[us]"))
    starts, ends = runs_of_candles(rows["token_id"], opened_at)
    if not len(starts):
        return _empty()
    known = ~np.isnan(rows["volume_usd"])
    volume = np.add.reduceat(np.where(known, rows["volume_usd"], 0.0), starts)
    return {
        "token_id": rows["token_id"][starts],
        "opened_at": opened_at[starts],
        "available_at": np.full(len(starts), available_at),
        "open": rows["open"][starts],
        "high": np.maximum.reduceat(rows["high"], starts),
        "low": np.minimum.reduceat(rows["low"], starts),
        "close": rows["close"][ends - 1],
        "volume_usd": np.where(np.logical_or.reduceat(known, starts), volume, np.nan),
    }


def _was_traded(rows: Columns, last: Array) -> Array:
    buys, sells, volume = rows["buys_m5"][last], rows["sells_m5"][last], rows["volume_m5_usd"][last]
    counted = (buys != NO_INT) & (sells != NO_INT)
    untraded: Array = counted & (buys + sells == 0) & ~(volume > 0)
    return ~untraded


def _close_before(token_id: Array, opened: Array, previous: Columns) -> Array:
    """Close of each token's candle right before, NaN where there is none; of two for one span the first in `previous`."""
    result = np.full(len(token_id), np.nan)
    if len(previous["token_id"]):
        key = _pair_key(previous["token_id"], previous["opened_at"])
        order = np.argsort(key, kind="stable")
        wanted = _pair_key(token_id, opened - FIVE_MINUTES)
        place = np.clip(np.searchsorted(key, wanted, sorter=order), 0, len(key) - 1)
        found = order[place]
        hit = key[found] == wanted
        result[hit] = previous["close"][found][hit]
    return result


def _pair_key(token_id: Array, opened_at: Array) -> Array:
    minutes = opened_at.astype("datetime64[m]").astype(np.int64) // 5
    return token_id.astype(np.int64) * (1 << 32) + minutes


def runs_of_candles(token_id: Array, opened_at: Array) -> tuple[Array, Array]:
    """Starts and ends of the runs of equal (token, candle) in sorted rows."""
    if not len(token_id):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    new = (np.diff(token_id) != 0) | (np.diff(opened_at) != np.timedelta64(0, "us"))
    starts = np.concatenate(([0], np.flatnonzero(new) + 1))
    return starts, np.append(starts[1:], len(token_id))


def _floor(times: Array, interval: np.timedelta64) -> Array:
    step = interval.astype(np.int64)
    micros = times.astype("datetime64[us]").astype(np.int64)
    return (micros // step * step).view("datetime64[us]")


def _empty() -> Columns:
    empty = np.empty(0)
    times = np.empty(0, "datetime64[us]")
    return {
        "token_id": np.empty(0, np.int32),
        "opened_at": times,
        "available_at": times,
        **dict.fromkeys(("open", "high", "low", "close", "volume_usd"), empty),
    }
