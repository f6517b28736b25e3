"""A vendor's pair as a row of `token_metrics`: columns of arrays, ready for the bulk write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from metapulse_assets.platform.bulk import NO_INT, Array, Columns, to_datetime64
from metapulse_assets.vendors.dexscreener import Pair

WINDOWS = ("m5", "h1", "h6", "h24")


@dataclass(frozen=True)
class Snapshot:
    """One token as one answer showed it."""

    token_id: int
    pool_id: int
    payload_id: int
    observed_at: datetime
    pair: Pair


def metric_columns(snapshots: Sequence[Snapshot], recorded_at: datetime) -> Columns:
    """The columns of `token_metrics` for these snapshots; what the vendor left out is null, never zero."""
    pairs = [snapshot.pair for snapshot in snapshots]
    columns: Columns = {
        "observed_at": _times([snapshot.observed_at for snapshot in snapshots]),
        "recorded_at": _times([recorded_at] * len(snapshots)),
        "payload_id": np.array([snapshot.payload_id for snapshot in snapshots], np.int64),
        "token_id": np.array([snapshot.token_id for snapshot in snapshots], np.int32),
        "pool_id": np.array([snapshot.pool_id for snapshot in snapshots], np.int32),
        "price_usd": _floats(pairs, lambda pair: pair.price_usd),
        "price_native": _floats(pairs, lambda pair: pair.price_native),
        "liquidity_usd": _floats(pairs, lambda pair: pair.liquidity_usd),
        "fdv_usd": _floats(pairs, lambda pair: pair.fdv),
        "market_cap_usd": _floats(pairs, lambda pair: pair.market_cap),
    }
    for window in WINDOWS:
        columns[f"volume_{window}_usd"] = _floats(pairs, lambda pair, w=window: getattr(pair.volume, w))
        columns[f"buys_{window}"] = _counts(pairs, lambda pair, w=window: getattr(pair.trades, w).buys)
        columns[f"sells_{window}"] = _counts(pairs, lambda pair, w=window: getattr(pair.trades, w).sells)
        columns[f"price_change_{window}_pct"] = _floats(pairs, lambda pair, w=window: getattr(pair.price_change, w)).astype(
            np.float32
        )
    return columns


def _times(moments: Sequence[datetime]) -> Array:
    return np.array([to_datetime64(moment) for moment in moments], "datetime64[us]")


def _floats(pairs: Sequence[Pair], get: Callable[..., float | None]) -> Array:
    return np.array([np.nan if (value := get(pair)) is None else value for pair in pairs], np.float64)


def _counts(pairs: Sequence[Pair], get: Callable[..., int | None]) -> Array:
    return np.array([NO_INT if (value := get(pair)) is None else value for pair in pairs], np.int32)
