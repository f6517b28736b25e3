"""Markets for judging signals in tests: crafted ones that say one thing each, and random ones with gaps and late rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from metapulse_assets.outcomes.rows import (
    INTERVALS,
    MINUTE,
    NEVER,
    SECOND,
    CandleRows,
    JudgedSignals,
    Prices,
    SnapshotRows,
)

START = 1_760_000_400 * SECOND
FIVE = 5 * MINUTE
LATER = START + 60 * 24 * 60 * MINUTE

Candle = tuple[int, int, int, float, float, float, float]
Snapshot = tuple[int, int, int, float, float]
Signal = tuple[int, int, float, float, float]


def candles(rows: Sequence[Candle], timeframe: str = "5m") -> CandleRows:
    """Candles given as (token, opened_at, available_at, open, high, low, close)."""
    times = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3)
    values = np.array([row[3:] for row in rows], np.float64).reshape(-1, 4)
    return CandleRows(INTERVALS[timeframe], *times.T, *values.T)


def snapshots(rows: Sequence[Snapshot]) -> SnapshotRows:
    """Snapshots given as (token, observed_at, available_at, price, liquidity)."""
    times = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3)
    values = np.array([row[3:] for row in rows], np.float64).reshape(-1, 2)
    return SnapshotRows(*times.T, *values.T)


def signals(*rows: Signal) -> JudgedSignals:
    """Signals given as (token, moment, sign, target, stop)."""
    times = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    values = np.array([row[2:] for row in rows], np.float64).reshape(-1, 3)
    return JudgedSignals(*times.T, *values.T)


def market(
    rows: Sequence[Candle] = (),
    seen: Sequence[Snapshot] = (),
    looked: Sequence[int] = (),
    asked: Mapping[int, tuple[int, int]] | None = None,
    longer: Mapping[str, CandleRows] | None = None,
) -> Prices:
    """What is known; unless said otherwise every token was always asked for."""
    everybody = dict.fromkeys(range(1, 9), (-NEVER, NEVER))
    frames = {"5m": candles(rows), **(longer or {})}
    return Prices(frames, snapshots(seen), np.array(looked, np.int64), everybody if asked is None else asked)


def path(closes: Sequence[float], token: int = 1, start: int = START, step: int = FIVE) -> list[Candle]:
    """Candles without a gap through these closes; each opens at the close before and is usable at its own close."""
    opens = [closes[0], *closes[:-1]]
    return [
        (token, start + i * step, start + (i + 1) * step, o, max(o, c), min(o, c), c)
        for i, (o, c) in enumerate(zip(opens, closes, strict=True))
    ]


price = st.floats(0.5, 2.0).map(lambda value: round(value, 3))


@st.composite
def _candle(draw: st.DrawFn, token: int, slot: int) -> Candle:
    values = sorted(draw(st.lists(price, min_size=4, max_size=4)))
    first, last = draw(st.permutations(values[1:3]))
    late = draw(st.sampled_from([0, 0, 0, 4 * SECOND, 400 * MINUTE]))
    opened = START + slot * FIVE
    return (token, opened, opened + FIVE + late, first, values[3], values[0], last)


@st.composite
def _snapshot(draw: st.DrawFn, token: int, slot: int) -> Snapshot:
    observed = START + slot * FIVE + draw(st.sampled_from([0, 4, 59, 61, 130])) * SECOND
    liquidity = draw(st.sampled_from([float("nan"), 50_000.0, 50_000.0, 0.0]))
    return (token, observed, observed + draw(st.sampled_from([0, SECOND, 400 * MINUTE])), draw(price), liquidity)


@st.composite
def markets(draw: st.DrawFn) -> dict[str, Any]:
    """Candles, snapshots, looks, who was asked for, and signals among them; up to four hours of two tokens."""
    slots = st.sets(st.integers(0, 48), max_size=40)
    made = [draw(_candle(token, slot)) for token in (1, 2) for slot in sorted(draw(slots))]
    seen = [draw(_snapshot(token, slot)) for token in (1, 2) for slot in sorted(draw(slots))]
    looked = sorted(START + slot * FIVE for slot in draw(slots))
    asked = draw(st.sampled_from([{1: (-NEVER, NEVER)}, {1: (-NEVER, NEVER), 2: (START, START + 12 * FIVE)}]))
    moment = st.integers(-1, 30).flatmap(lambda slot: st.sampled_from([0, 10]).map(lambda s: START + slot * FIVE + s * SECOND))
    level = st.sampled_from([(1.3, 0.8), (1.01, 0.99), (float("nan"), float("nan"))])

    def signal(row: tuple[int, int, float, tuple[float, float]]) -> Signal:
        token, at, sign, (high, low) = row
        return (token, at, sign, high, low) if sign > 0 else (token, at, sign, low, high)

    row = st.tuples(st.integers(1, 3), moment, st.sampled_from([1.0, -1.0]), level).map(signal)
    return {"candles": made, "seen": seen, "looked": looked, "asked": asked, "signals": draw(st.lists(row, max_size=5))}
