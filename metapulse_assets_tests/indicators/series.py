"""Made-up price series for the tests of this room."""

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import Bars

Matrix = npt.NDArray[np.float64]

FIELDS = ("open", "high", "low", "close", "volume")


def walk(n_bars: int, n_tokens: int, seed: int = 0, price: float = 100.0) -> Bars:
    """Clean random walks: every bar usable, whole volumes, no gap, no quiet stretch."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, 0.01, (n_bars, n_tokens)), axis=0))
    open_ = np.vstack([close[:1], close[:-1]])
    high = np.maximum(open_, close) * (1.0 + 0.005 * rng.random((n_bars, n_tokens)))
    low = np.minimum(open_, close) * (1.0 - 0.005 * rng.random((n_bars, n_tokens)))
    volume = rng.integers(1, 1_000_000, (n_bars, n_tokens)).astype(np.float64)
    return whole(open_, high, low, close, volume)


def whole(open: Matrix, high: Matrix, low: Matrix, close: Matrix, volume: Matrix) -> Bars:
    """Bars of equal length without gaps."""
    shape = close.shape
    return Bars(open, high, low, close, volume, np.zeros(shape, dtype=np.bool_), np.full(shape[1], shape[0], dtype=np.intp))


def of_closes(closes: npt.ArrayLike, volume: npt.ArrayLike = 1.0) -> Bars:
    """One token whose high and low equal its close."""
    close = np.asarray(closes, dtype=np.float64)[:, None]
    volumes = np.broadcast_to(np.asarray(volume, dtype=np.float64).reshape(-1, 1), close.shape).copy()
    return whole(close, close.copy(), close.copy(), close.copy(), volumes)


def rough(seed: int, lengths: list[int]) -> Bars:
    """Walks of different lengths and price levels with holes, bad bars, gaps, flat stretches and dead ones."""
    rng = np.random.default_rng(seed)
    n_bars, n_tokens = max(lengths, default=0), len(lengths)
    clean = walk(n_bars, n_tokens, seed)
    level = 10.0 ** rng.uniform(-12, 6, n_tokens)
    arrays = {name: getattr(clean, name) * (1.0 if name == "volume" else level) for name in FIELDS}
    gap_before = rng.random((n_bars, n_tokens)) < 0.004
    for j in range(n_tokens):
        for _ in range(int(rng.integers(0, 4))):
            first = int(rng.integers(0, max(1, n_bars)))
            stretch = slice(first, first + int(rng.integers(1, 40)))
            kind = rng.integers(0, 5)
            if kind == 0:
                arrays["volume"][stretch, j] = 0.0
            elif kind == 1:
                arrays["volume"][stretch, j] = np.nan
            elif kind == 2 and n_bars > first:
                for name in ("open", "high", "low", "close"):
                    arrays[name][stretch, j] = arrays["close"][first, j]
            elif kind == 3:
                spoilt = FIELDS[int(rng.integers(0, 4))]
                arrays[spoilt][first : first + 1, j] = rng.choice([np.nan, np.inf, -1.0, 0.0])
            else:
                arrays["high"][first : first + 1, j], arrays["low"][first : first + 1, j] = 1e-300, 1e300
    length = np.array(lengths, dtype=np.intp)
    padding = np.arange(n_bars)[:, None] >= length
    for array in arrays.values():
        array[padding] = np.nan
    gap_before &= ~padding
    return Bars(**arrays, gap_before=gap_before, length=length)


def piece(bars: Bars, start: npt.ArrayLike, stop: npt.ArrayLike) -> Bars:
    """Of each token j its bars start[j] to stop[j] - 1, left-aligned."""
    first, last = np.broadcast_to(start, bars.length.shape), np.broadcast_to(stop, bars.length.shape)
    length = (last - first).astype(np.intp)
    shape = (int(length.max(initial=0)), bars.n_tokens)
    arrays = {name: np.full(shape, np.nan) for name in FIELDS}
    gap_before = np.zeros(shape, dtype=np.bool_)
    for j in range(bars.n_tokens):
        rows = slice(int(first[j]), int(last[j]))
        for name, array in arrays.items():
            array[: length[j], j] = getattr(bars, name)[rows, j]
        gap_before[: length[j], j] = bars.gap_before[rows, j]
    return Bars(**arrays, gap_before=gap_before, length=length)


def tokens(bars: Bars, indices: npt.ArrayLike) -> Bars:
    """Only these tokens, in this order, without rows that none of them has."""
    chosen = np.asarray(indices, dtype=np.intp)
    rows = int(bars.length[chosen].max(initial=0))
    arrays = {name: getattr(bars, name)[:rows, chosen] for name in FIELDS}
    return Bars(**arrays, gap_before=bars.gap_before[:rows, chosen], length=bars.length[chosen])


def bits(matrix: Matrix) -> npt.NDArray[np.uint64]:
    """The bit patterns, by which NaN equals itself and 0.0 differs from -0.0."""
    return np.ascontiguousarray(matrix).view(np.uint64)
