"""Price bars of many tokens side by side, as the kernel reads them.

Belongs here: the shape of the input and how rows become matrices. Does not: judging prices (`guards`) or formulas.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolMatrix = npt.NDArray[np.bool_]

MAX_GAP_INTERVALS = 5.0
"""A longer wait than this many intervals breaks a series: a weekend of daily stock bars (4) does not, a dead week does."""

_PRICES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Bars:
    """K bars × n tokens, time-major. Column j is token j's own series, left-aligned; rows are not wall-clock times.

    open, high, low, close, volume: float64 (K, n), NaN after a token's last bar; NaN volume means unknown.
    gap_before: bool (K, n), the wait since the token's previous bar was longer than MAX_GAP_INTERVALS intervals.
    length: (n,), bars of each token, 0 to K.
    Raises ValueError naming the field whose shape, type or range is wrong.
    """

    open: FloatMatrix
    high: FloatMatrix
    low: FloatMatrix
    close: FloatMatrix
    volume: FloatMatrix
    gap_before: BoolMatrix
    length: IntArray

    def __post_init__(self) -> None:
        shape = self.close.shape
        if len(shape) != 2:
            raise ValueError(f"close: expected a matrix of bars × tokens, got shape {shape}")
        for name in _PRICES:
            matrix = getattr(self, name)
            if matrix.shape != shape or matrix.dtype != np.float64:
                raise ValueError(f"{name}: expected float64 {shape}, got {matrix.dtype} {matrix.shape}")
        if self.gap_before.shape != shape or self.gap_before.dtype != np.bool_:
            raise ValueError(f"gap_before: expected bool {shape}, got {self.gap_before.dtype} {self.gap_before.shape}")
        if self.length.shape != shape[1:]:
            raise ValueError(f"length: expected {shape[1:]}, got {self.length.shape}")
        wrong = np.flatnonzero((self.length < 0) | (self.length > shape[0]))
        if wrong.size:
            token = int(wrong[0])
            raise ValueError(f"length: token {token} has {self.length[token]} bars, the matrices hold {shape[0]}")

    @property
    def n_bars(self) -> int:
        """K, the bars of the longest series (or more)."""
        return int(self.close.shape[0])

    @property
    def n_tokens(self) -> int:
        """n, the number of series."""
        return int(self.close.shape[1])


def bar_positions(token_index: npt.ArrayLike) -> IntArray:
    """The bar number k (0 = first) of each row within its token, for rows sorted by token.

    `values["rsi_14"][bar_positions(token_index), token_index]` is a column of values in the order of the rows.
    """
    tokens = np.asarray(token_index, dtype=np.intp)
    if not tokens.size:
        return tokens
    rows = np.arange(tokens.size, dtype=np.intp)
    starts = np.flatnonzero(np.r_[True, tokens[1:] != tokens[:-1]])
    return rows - np.repeat(starts, np.diff(np.r_[starts, tokens.size]))


def bars_from_rows(
    token_index: npt.ArrayLike,
    opened_at_seconds: npt.ArrayLike,
    open: npt.ArrayLike,
    high: npt.ArrayLike,
    low: npt.ArrayLike,
    close: npt.ArrayLike,
    volume: npt.ArrayLike,
    interval_seconds: float,
    n_tokens: int,
    previous_opened_at: npt.ArrayLike | None = None,
) -> Bars:
    """Bars from flat rows sorted by (token_index, opened_at).

    token_index: 0 to n_tokens - 1, one entry a row. opened_at_seconds: when the bar opened, seconds of any epoch.
    previous_opened_at: (n_tokens,), the opening of the last bar already computed, NaN where there is none; needed
    for a continued computation, because the first bar here may come after a gap.
    Raises ValueError naming the row that is out of order, repeated, or of an unknown token.
    """
    tokens = np.asarray(token_index, dtype=np.intp)
    opened_at = np.asarray(opened_at_seconds, dtype=np.float64)
    columns = dict(zip(_PRICES, (open, high, low, close, volume), strict=True))
    flat = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
    for name, column in {"token_index": tokens, "opened_at_seconds": opened_at, **flat}.items():
        if column.shape != (tokens.size,):
            raise ValueError(f"{name}: expected one value for each of {tokens.size} rows, got shape {column.shape}")
    if not interval_seconds > 0:
        raise ValueError(f"interval_seconds: expected a positive number, got {interval_seconds}")
    before = _previous_times(previous_opened_at, n_tokens)

    _require_known_tokens(tokens, n_tokens)
    bar = bar_positions(tokens)
    wait = np.full(tokens.size, np.nan)
    wait[1:] = opened_at[1:] - opened_at[:-1]
    first = bar == 0
    wait[first] = opened_at[first] - before[tokens[first]]
    _require_order(tokens, opened_at, wait, first)

    length = np.bincount(tokens, minlength=n_tokens).astype(np.intp)
    shape = (int(length.max(initial=0)), n_tokens)
    gap_before = np.zeros(shape, dtype=np.bool_)
    gap_before[bar, tokens] = wait > MAX_GAP_INTERVALS * interval_seconds
    matrices = {name: np.full(shape, np.nan) for name in _PRICES}
    for name, matrix in matrices.items():
        matrix[bar, tokens] = flat[name]
    return Bars(**matrices, gap_before=gap_before, length=length)


def _previous_times(previous_opened_at: npt.ArrayLike | None, n_tokens: int) -> FloatArray:
    if previous_opened_at is None:
        return np.full(n_tokens, np.nan)
    previous = np.asarray(previous_opened_at, dtype=np.float64)
    if previous.shape != (n_tokens,):
        raise ValueError(f"previous_opened_at: expected one value for each of {n_tokens} tokens, got {previous.shape}")
    return previous


def _require_known_tokens(tokens: IntArray, n_tokens: int) -> None:
    wrong = np.flatnonzero((tokens < 0) | (tokens >= n_tokens))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(f"row {row}: token_index {tokens[row]} is not one of 0 to {n_tokens - 1}")
    wrong = np.flatnonzero(tokens[1:] < tokens[:-1])
    if wrong.size:
        row = int(wrong[0]) + 1
        raise ValueError(f"row {row}: token_index {tokens[row]} after {tokens[row - 1]}: rows must be sorted by token")


def _require_order(tokens: IntArray, opened_at: FloatArray, wait: FloatArray, first: BoolMatrix) -> None:
    wrong = np.flatnonzero(~np.isfinite(opened_at))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(f"row {row}: opened_at_seconds {opened_at[row]} is not a time")
    wrong = np.flatnonzero(wait <= 0)
    if not wrong.size:
        return
    row = int(wrong[0])
    where = f"row {row}: opened_at_seconds {opened_at[row]:.3f} of token {tokens[row]}"
    if first[row]:
        raise ValueError(f"{where} is not after its previous_opened_at")
    problem = "repeats the row before" if wait[row] == 0 else "is earlier than the row before"
    raise ValueError(f"{where} {problem}")
