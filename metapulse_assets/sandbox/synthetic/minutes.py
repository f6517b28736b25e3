"""The five minutes inside a bar: a path from its open to its close that stays within, and touches, its high and low."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from metapulse_assets.sandbox.synthetic.bars import Bars
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, hashed, standard, stream, uniform
from metapulse_assets.sandbox.synthetic.rows import Rows

MINUTES: Final = 5
_BRIDGE: Final = 0.35


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minutes of some bars: ``nodes`` (…, 6) are the log prices at the minute marks, the rest is (…, 5).

    ``share`` is each minute's part of the bar's volume and sums to 1.
    """

    nodes: Floats
    high: Floats
    low: Floats
    share: Floats


def minutes_of(rows: Rows, bars: Bars, columns: Ints) -> Minutes:
    """Return the minutes of the bars in these columns; arrays have the shape (pools, columns, 5 or 6)."""
    key = stream(rows.pool_key, "minute")
    positions = (bars.first + columns)[None, :]
    open_, close = bars.open[:, columns, None], bars.close[:, columns, None]
    high, low = bars.high[:, columns, None], bars.low[:, columns, None]
    steps = np.arange(MINUTES + 1)
    wobble = standard(hashed(hashed(key[:, None], positions)[:, :, None], steps[None, None, :])) * _BRIDGE
    nodes = open_ + (close - open_) * (steps / MINUTES) + wobble * rows.sigma[:, None, None]
    nodes = np.clip(nodes, low, high)
    nodes[:, :, :1], nodes[:, :, -1:] = open_, close

    touch = hashed(stream(key, "touch")[:, None], positions)
    at_high = (touch % np.uint64(MINUTES)).astype(np.int64)[:, :, None]
    at_low = ((touch >> np.uint64(32)) % np.uint64(MINUTES)).astype(np.int64)[:, :, None]
    which = np.arange(MINUTES)
    tops = np.where(which == at_high, high, np.maximum(nodes[:, :, :-1], nodes[:, :, 1:]))
    bottoms = np.where(which == at_low, low, np.minimum(nodes[:, :, :-1], nodes[:, :, 1:]))

    share = 0.2 + uniform(hashed(hashed(stream(key, "share")[:, None], positions)[:, :, None], which[None, None, :]))
    return Minutes(nodes, tops, bottoms, share / share.sum(axis=2, keepdims=True))


def price_within(minutes: Minutes, fraction: float) -> Floats:
    """Return the log price after this fraction of each bar; shape (pools, columns)."""
    minute, part = _split(fraction)
    left, right = minutes.nodes[:, :, minute], minutes.nodes[:, :, minute + 1]
    return left + (right - left) * part


def volume_until(minutes: Minutes, fraction: float) -> Floats:
    """Return the share of each bar's volume that has traded after this fraction of it."""
    minute, part = _split(fraction)
    return np.asarray(minutes.share[:, :, :minute].sum(axis=2) + minutes.share[:, :, minute] * part)


def range_until(minutes: Minutes, fraction: float) -> tuple[Floats, Floats]:
    """Return the log high and low seen until this fraction of each bar."""
    minute, _ = _split(fraction)
    price = price_within(minutes, fraction)
    seen = minutes.nodes[:, :, : minute + 1]
    high = np.maximum(price, seen.max(axis=2))
    low = np.minimum(price, seen.min(axis=2))
    if minute:
        high = np.maximum(high, minutes.high[:, :, :minute].max(axis=2))
        low = np.minimum(low, minutes.low[:, :, :minute].min(axis=2))
    return high, low


def _split(fraction: float) -> tuple[int, float]:
    minute = min(int(fraction * MINUTES), MINUTES - 1)
    return minute, fraction * MINUTES - minute
