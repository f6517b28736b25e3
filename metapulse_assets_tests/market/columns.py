"""Rows written by hand as the columns of arrays that the bulk functions take, and back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np

from metapulse_assets.platform.bulk import NO_INT, Array, Columns, to_datetime64

# token, observed_at, price, volume of 5 minutes, buys, sells; None: the vendor did not say.
SnapshotRow = tuple[int, datetime, float, float | None, int | None, int | None]
# token, opened_at, open, high, low, close, volume.
CandleRow = tuple[int, datetime, float, float, float, float, float | None]


def times(moments: Iterable[datetime]) -> Array:
    """Moments as the columns hold them."""
    return np.array([to_datetime64(moment) for moment in moments], "datetime64[us]")


def floats(values: Iterable[float | None]) -> Array:
    """Numbers, NaN for None."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def counts(values: Iterable[int | None]) -> Array:
    """Whole numbers, `NO_INT` for None."""
    return np.array([NO_INT if value is None else value for value in values], np.int32)


def snapshot_columns(rows: Sequence[SnapshotRow]) -> Columns:
    """What `candles_from_snapshots` reads."""
    token, observed, price, volume, buys, sells = list(zip(*rows, strict=True)) or [()] * 6
    return {
        "token_id": np.array(token, np.int32),
        "observed_at": times(observed),
        "price_usd": floats(price),
        "volume_m5_usd": floats(volume),
        "buys_m5": counts(buys),
        "sells_m5": counts(sells),
    }


def candle_columns(rows: Sequence[CandleRow], available_at: Sequence[datetime] | datetime) -> Columns:
    """What `insert_candles` stores."""
    token, opened, open_, high, low, close, volume = list(zip(*rows, strict=True)) or [()] * 7
    available = [available_at] * len(rows) if isinstance(available_at, datetime) else available_at
    return {
        "token_id": np.array(token, np.int32),
        "opened_at": times(opened),
        "available_at": times(available),
        "open": floats(open_),
        "high": floats(high),
        "low": floats(low),
        "close": floats(close),
        "volume_usd": floats(volume),
    }


def candle_rows(columns: Columns) -> list[CandleRow]:
    """The candles of columns, by token and time."""
    rows = [
        (
            int(columns["token_id"][row]),
            columns["opened_at"][row].item().replace(tzinfo=UTC),
            *(float(columns[name][row]) for name in ("open", "high", "low", "close")),
            None if np.isnan(columns["volume_usd"][row]) else float(columns["volume_usd"][row]),
        )
        for row in range(len(columns["token_id"]))
    ]
    return sorted(rows, key=lambda row: row[:2])
