"""Rows of technical analyses for tests: crafted ones that fire no rule until told to, and random ones that fire many."""

from typing import Any

import numpy as np
import numpy.typing as npt

from metapulse_assets.signals.analysed_candles import VALUE_COLUMNS

INTERVAL = 3_600.0
START = 1_760_000_400.0

Columns = dict[str, npt.NDArray[Any]]

QUIET = {
    "close": 100.0,
    "rsi_14": 50.0,
    "macd": 0.0,
    "macd_signal": 0.0,
    "sma_20": 100.0,
    "sma_50": 100.0,
    "ema_200": 100.0,
    "bb_upper": 104.0,
    "bb_lower": 96.0,
    "atr_14": 2.0,
    "adx_14": 10.0,
    "plus_di_14": 20.0,
    "minus_di_14": 20.0,
    "stoch_k": 50.0,
    "stoch_d": 50.0,
    "roc_10": 0.0,
    "support_20": 90.0,
    "resistance_20": 110.0,
    "volume_ratio_20": 1.0,
}
"""A candle on which nothing happens."""


def crafted(*changes: dict[str, float], token_id: int = 7, bar_count: int = 1_000) -> Columns:
    """One token's candles, each quiet but for its changes (which may also give opened_at and bar_count)."""
    rows = [
        {"token_id": token_id, "opened_at": START + i * INTERVAL, "bar_count": bar_count + i, **QUIET, **change}
        for i, change in enumerate(changes)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def random_analyses(seed: int, tokens: int = 3, candles: int = 12) -> Columns:
    """Values around every threshold, with unknown ones, gaps and candles still warming up in between."""
    random = np.random.default_rng(seed)
    count = tokens * candles
    spread = {"close": 8.0, "rsi_14": 25.0, "roc_10": 15.0, "volume_ratio_20": 2.5, "adx_14": 15.0}
    columns: Columns = {
        "token_id": np.repeat(np.arange(tokens) * 5 + 1, candles),
        "opened_at": START + INTERVAL * random.choice([1.0, 1.0, 1.0, 5.0, 6.0], (tokens, candles)).cumsum(axis=1).ravel(),
        "bar_count": random.choice([1, 30, 149, 150, 5_000], count, p=[0.05, 0.05, 0.05, 0.05, 0.8]),
    }
    for name in VALUE_COLUMNS:
        scale = spread.get(name, 3.0)
        values = QUIET[name] + random.normal(0.0, scale, count)
        columns[name] = np.where(random.random(count) < 0.05, np.nan, values)
    return columns


def joined(*parts: Columns) -> Columns:
    """The rows of several tables, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def rows_of(columns: Columns, where: npt.ArrayLike) -> Columns:
    """Some rows of a table."""
    return {name: values[np.asarray(where)] for name, values in columns.items()}
