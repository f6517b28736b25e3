"""Candles that turn up at odd times, and the plain reading of what each of them may know."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from metapulse_assets.indicators.chain import run_chain
from metapulse_assets.platform.bulk import Array, Columns

EPOCH = datetime(2026, 3, 4, tzinfo=UTC)
# token, opened_at and available_at in seconds since `EPOCH`.
Arrival = tuple[int, int, int]
Key = tuple[int, datetime]


def prices_of(tokens: Array, opened: Array) -> dict[str, Array]:
    """Prices that any two calls agree on: each follows from token and time alone. At times no volume, at times a flat price."""
    waves = np.sin(opened / 977.0 + tokens) + 0.3 * np.sin(opened / 61.0 * (1 + tokens % 3))
    close = 10.0 ** (2 - 4 * (tokens % 4)) * np.exp(0.1 * np.round(waves, 2))
    wick = 0.02 * np.abs(np.sin(opened / 37.0))
    volume = np.where(opened // 300 % 43 == 0, np.nan, np.where(opened // 300 % 5 == 0, 0.0, 1_000 * (1 + waves**2)))
    return {"open": close, "high": close * (1 + wick), "low": close * (1 - wick), "close": close, "volume_usd": volume}


def candles_of(arrivals: Iterable[Arrival]) -> Columns:
    """The candles, sorted by token and time."""
    rows = np.array(sorted(arrivals), np.int64).reshape(-1, 3)
    epoch = np.datetime64(EPOCH.replace(tzinfo=None), "us")
    token_ids = rows[:, 0].astype(np.int32)
    return {
        "token_id": token_ids,
        "opened_at": epoch + rows[:, 1] * np.timedelta64(1_000_000, "us"),
        "available_at": epoch + rows[:, 2] * np.timedelta64(1_000_000, "us"),
        **prices_of(token_ids.astype(np.float64), rows[:, 1].astype(np.float64)),
    }


def late_by_the_rule(candles: Columns) -> list[bool]:
    """Whether a newer candle of the token could be used before each one."""
    earliest: dict[int, int] = {}
    late = []
    for token, available in zip(candles["token_id"].tolist()[::-1], candles["available_at"].tolist()[::-1], strict=True):
        late.append(available > earliest.get(token, available))
        earliest[token] = min(available, earliest.get(token, available))
    return late[::-1]


def rows_one_by_one(candles: Columns, chosen: Sequence[int], interval: timedelta, warm_up: timedelta) -> Columns:
    """The row of each chosen candle, made from nothing but what could be used when it could, from its day's anchor on.

    Each goes through the kernel as a series of its own; that neighbours do not matter is shown elsewhere.
    """
    parts, lasts = [], []
    for series, at in enumerate(chosen):
        day = candles["opened_at"][at].astype("datetime64[D]").astype("datetime64[us]")
        usable = np.flatnonzero(
            (candles["token_id"] == candles["token_id"][at])
            & (candles["opened_at"] <= candles["opened_at"][at])
            & (candles["opened_at"] >= day - np.timedelta64(warm_up))
            & (candles["available_at"] <= candles["available_at"][at])
        )
        parts.append({**{name: values[usable] for name, values in candles.items()}, "token_id": np.full(len(usable), series)})
        lasts.append(len(usable))
    together = {name: np.concatenate([part[name] for part in parts]) for name in candles}
    rows = run_chain(together, interval).rows
    newest = np.cumsum(lasts) - 1
    return {**{name: values[newest] for name, values in rows.items()}, "token_id": candles["token_id"][list(chosen)]}


def assert_equal_bits(ours: Columns, theirs: Columns) -> None:
    """The same columns with the same bits; NaN equals itself."""
    assert set(ours) == set(theirs)
    for name, values in ours.items():
        np.testing.assert_array_equal(_bits(values), _bits(theirs[name]), err_msg=name)


def _bits(values: Array) -> Array:
    whole = np.ascontiguousarray(values)
    return whole.view(np.uint64) if whole.dtype == np.float64 else whole.astype(np.int64)
