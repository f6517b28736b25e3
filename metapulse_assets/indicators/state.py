"""What a series must remember to go on: one row of float64 a token.

Belongs here: the layout of that memory and moving it about. Does not: computing it (`recursive`, `windows`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import FloatMatrix

STATE_VERSION = 1
"""Raise it whenever the layout or a formula changes: cached rows of another version must be computed anew."""

CHAINS = ("ema_12", "ema_26", "ema_50", "ema_200", "gain", "loss", "true_range", "plus_dm", "minus_dm",
          "macd_signal", "adx", "obv")  # fmt: skip
"""The recursive means, in the order in which they are stored and computed."""

CLOSES_KEPT = 49
"""SMA 50 of the next bar needs 49 closes before it."""
RANGES_KEPT = 20
"""Support, resistance and mean volume of the next bar need the 20 bars before it; the stochastic needs 17."""

BAR_COUNT = 0
CHAIN = slice(1, 1 + len(CHAINS))
CLOSES = slice(CHAIN.stop, CHAIN.stop + CLOSES_KEPT)
HIGHS = slice(CLOSES.stop, CLOSES.stop + RANGES_KEPT)
LOWS = slice(HIGHS.stop, HIGHS.stop + RANGES_KEPT)
VOLUMES = slice(LOWS.stop, LOWS.stop + RANGES_KEPT)
STATE_WIDTH = VOLUMES.stop
"""W, the numbers kept for each token (8 bytes each)."""


@dataclass(frozen=True)
class State:
    """The memory of n series: bars since the chain (re)started, recursive means, the last bars (oldest first).

    rows: float64 (n, STATE_WIDTH). A usable bar's prices are kept as they were, an unusable bar's as zeros.
    """

    rows: FloatMatrix

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != STATE_WIDTH or self.rows.dtype != np.float64:
            raise ValueError(f"rows: expected float64 (n, {STATE_WIDTH}), got {self.rows.dtype} {self.rows.shape}")

    @classmethod
    def empty(cls, n_tokens: int) -> "State":
        """The memory of series that have had no bar."""
        return cls(np.zeros((n_tokens, STATE_WIDTH)))

    @classmethod
    def from_matrix(cls, matrix: FloatMatrix, version: int = STATE_VERSION) -> "State":
        """The states that `to_matrix` gave. Raises ValueError for another version or width."""
        if version != STATE_VERSION:
            raise ValueError(f"version: this state has layout {version}, the kernel reads {STATE_VERSION}")
        return cls(np.ascontiguousarray(matrix))

    def to_matrix(self) -> FloatMatrix:
        """(n, STATE_WIDTH) float64, one row a token; a view, to be stored as bytes together with STATE_VERSION."""
        return self.rows

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    @property
    def bar_count(self) -> npt.NDArray[np.int32]:
        """(n,), bars since each chain (re)started; 0 where the last bar was unusable or there was none."""
        return self.rows[:, BAR_COUNT].astype(np.int32)

    def take(self, indices: npt.ArrayLike) -> "State":
        """The states of these tokens, in this order (a copy)."""
        return State(self.rows[np.asarray(indices, dtype=np.intp)])

    def scatter(self, indices: npt.ArrayLike, n_tokens: int) -> "State":
        """States of n_tokens tokens: state i goes to token indices[i], all others have had no bar.

        Raises ValueError for an index that is repeated or outside 0 to n_tokens - 1.
        """
        targets = np.asarray(indices, dtype=np.intp)
        if targets.shape != (len(self),):
            raise ValueError(f"indices: expected {len(self)} positions, got shape {targets.shape}")
        if targets.size and (targets.min() < 0 or targets.max() >= n_tokens):
            raise ValueError(f"indices: positions must be 0 to {n_tokens - 1}, got {targets.min()} to {targets.max()}")
        if np.unique(targets).size != targets.size:
            raise ValueError("indices: a position is repeated")
        rows = np.zeros((n_tokens, STATE_WIDTH))
        rows[targets] = self.rows
        return State(rows)

    def concat(self, other: "State") -> "State":
        """These tokens followed by those of `other`."""
        return State(np.concatenate([self.rows, other.rows]))
