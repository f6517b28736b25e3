"""The standard set of indicators over many tokens at once, continued from a stored state or from nothing.

Belongs here: putting guards, recursive means and windows together. Does not: their formulas, databases, opinions.

The law: compute(first bars), then compute(later bars, state), gives the very bits of compute(all bars), whatever the
split, and a token's values depend on nothing but its own bars up to each bar. So only + - × ÷ √ min max are used, in
an order that the place of a bar in its series decides.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from metapulse_assets.indicators.bars import Bars, BoolMatrix, FloatArray, FloatMatrix, IntArray
from metapulse_assets.indicators.columns import COLUMNS
from metapulse_assets.indicators.guards import CountMatrix, Series, guard
from metapulse_assets.indicators.recursive import compute_recursive
from metapulse_assets.indicators.state import STATE_VERSION, STATE_WIDTH, State
from metapulse_assets.indicators.windows import compute_windows

__all__ = ["STATE_VERSION", "STATE_WIDTH", "State", "Values", "compute"]

_TOKENS_AT_A_TIME = 1024
"""Tokens stepped through time together: enough to hide the cost of a call, few enough for the processor's cache."""


class Values(Mapping[str, FloatMatrix]):
    """Each column of `columns.COLUMNS` by its database name: float64 (K, n), NaN where there is no value.

    bar_count: int32 (K, n), bars since the chain (re)started, 1 for its first; 0 at unusable bars and after the last.
    """

    def __init__(self, columns: dict[str, FloatMatrix], bar_count: CountMatrix) -> None:
        self._columns = columns
        self.bar_count = bar_count

    def __getitem__(self, name: str) -> FloatMatrix:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def at(self, bar: IntArray, token: IntArray) -> dict[str, FloatArray]:
        """Flat columns, one entry for each pair (bar[i], token[i])."""
        return {name: matrix[bar, token] for name, matrix in self._columns.items()}


def compute(bars: Bars, state: State | None = None) -> tuple[Values, State]:
    """All columns at every bar, and the state after each token's last bar.

    state: from the call that computed the bars before these; None or `State.empty(n)` starts anew. A token without
    bars keeps its state. Raises ValueError if the state is of another number of tokens.
    """
    n_bars, n_tokens = bars.n_bars, bars.n_tokens
    if state is None:
        state = State.empty(n_tokens)
    if len(state) != n_tokens:
        raise ValueError(f"state: has {len(state)} tokens, the bars have {n_tokens}")
    block = np.empty((len(COLUMNS), n_bars, n_tokens))
    columns = {column.name: matrix for column, matrix in zip(COLUMNS, block, strict=True)}
    bar_count = np.empty((n_bars, n_tokens), dtype=np.int32)
    rows = np.empty((n_tokens, STATE_WIDTH))
    # Where values are about to be withheld the formulas may divide by zero.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        for first in range(0, n_tokens, _TOKENS_AT_A_TIME):
            tokens = slice(first, min(first + _TOKENS_AT_A_TIME, n_tokens))
            series = guard(bars, tokens, np.ascontiguousarray(state.rows[tokens].T))
            output = {name: matrix[:, tokens] for name, matrix in columns.items()}
            after = np.empty_like(series.start)
            compute_recursive(series, output, after)
            compute_windows(series, output, after)
            output["close"][...] = series.close
            _withhold(series, output)
            bar_count[:, tokens] = series.bar_count
            rows[tokens] = after.T
    return Values(columns, bar_count), State(rows)


def _withhold(series: Series, output: Mapping[str, FloatMatrix]) -> None:
    """Set to NaN what does not exist yet, and what a flat price or a pool without trades would make misleading."""
    fewest = series.bar_count.min(axis=1, initial=np.iinfo(np.int32).max)
    masks: dict[int, tuple[int, BoolMatrix]] = {}
    for column in COLUMNS:
        if column.first_bar not in masks:
            short = np.flatnonzero(fewest < column.first_bar)
            stop = int(short[-1]) + 1 if short.size else 0
            masks[column.first_bar] = (stop, series.bar_count[:stop] < column.first_bar)
        stop, missing = masks[column.first_bar]
        matrix = output[column.name]
        np.copyto(matrix[:stop], np.nan, where=missing)
        if column.hidden_when_flat and series.flat is not None:
            np.copyto(matrix, np.nan, where=series.flat)
        if column.hidden_when_idle and series.idle is not None:
            np.copyto(matrix, np.nan, where=series.idle)
