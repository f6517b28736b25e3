"""Rows become matrices: places, gaps, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.indicators.bars import Bars, bar_positions, bars_from_rows
from metapulse_assets_tests.indicators import series


def rows(tokens: list[int], times: list[float], n_tokens: int = 3, previous: list[float] | None = None) -> Bars:
    price = np.arange(len(tokens), dtype=float) + 1.0
    return bars_from_rows(tokens, times, price, price + 0.5, price - 0.5, price, price * 10, 60.0, n_tokens, previous)


def test_each_token_gets_its_own_column_from_the_top() -> None:
    bars = rows([0, 0, 2, 2, 2], [60, 120, 0, 60, 120])
    assert bars.length.tolist() == [2, 0, 3]
    np.testing.assert_array_equal(bars.close, [[1, np.nan, 3], [2, np.nan, 4], [np.nan, np.nan, 5]])
    np.testing.assert_array_equal(bars.high, bars.close + 0.5)
    np.testing.assert_array_equal(bars.low, bars.close - 0.5)
    np.testing.assert_array_equal(bars.open, bars.close)
    np.testing.assert_array_equal(bars.volume, bars.close * 10)
    assert not bars.gap_before.any()


def test_a_gap_is_longer_than_five_intervals() -> None:
    bars = rows([0, 0, 0], [0, 300, 601], n_tokens=1)
    assert bars.gap_before[:, 0].tolist() == [False, False, True]


def test_a_gap_can_lie_before_the_first_row() -> None:
    bars = rows([0, 1, 2], [1000, 1000, 1000], previous=[940.0, 100.0, np.nan])
    assert bars.gap_before.tolist() == [[False, True, False]]


@given(st.lists(st.lists(st.integers(1, 1000), max_size=12), min_size=1, max_size=8))
def test_rows_come_back_from_the_matrices(waits: list[list[int]]) -> None:
    tokens = np.repeat(np.arange(len(waits)), [len(w) for w in waits])
    times = np.concatenate([np.cumsum(w, dtype=float) for w in waits])
    price = np.arange(tokens.size) + 1.0
    bars = bars_from_rows(tokens, times, price, price, price, price, price, 60.0, len(waits))
    position = bar_positions(tokens)
    np.testing.assert_array_equal(bars.close[position, tokens], price)
    assert np.isfinite(bars.close).sum() == tokens.size
    assert bars.length.tolist() == [len(w) for w in waits]
    expected = [k > 0 and w[k] > 300 for w in waits for k in range(len(w))]
    assert bars.gap_before[position, tokens].tolist() == expected


@pytest.mark.parametrize(
    ("tokens", "times", "previous", "message"),
    [
        ([0, 1, 0], [0, 0, 60], None, "row 2: token_index 0 after 1"),
        ([0, 3], [0, 0], None, "row 1: token_index 3 is not one of 0 to 2"),
        ([-1], [0], None, "row 0: token_index -1"),
        ([0, 0, 0], [0, 60, 60], None, "row 2: opened_at_seconds 60.000 of token 0 repeats the row before"),
        ([1, 1], [60, 0], None, "row 1: opened_at_seconds 0.000 of token 1 is earlier"),
        ([0, 0], [0, np.nan], None, "row 1: opened_at_seconds nan is not a time"),
        ([0, 1], [60, 60], [0.0, 60.0, np.nan], "row 1: .* of token 1 is not after its previous_opened_at"),
        ([0], [60], [0.0], "previous_opened_at: expected one value for each of 3 tokens"),
        ([0], [60, 120], None, "opened_at_seconds: expected one value for each of 1 rows"),
    ],
)
def test_rows_out_of_order_are_refused_by_number(
    tokens: list[int], times: list[float], previous: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rows(tokens, times, previous=previous)


def test_an_interval_must_be_positive() -> None:
    with pytest.raises(ValueError, match="interval_seconds: expected a positive number, got 0"):
        bars_from_rows([], [], [], [], [], [], [], 0, 1)


def test_no_rows_make_empty_bars() -> None:
    bars = rows([], [])
    assert (bars.n_bars, bars.n_tokens, bars.length.tolist()) == (0, 3, [0, 0, 0])


def test_matrices_must_fit_together() -> None:
    good = series.walk(4, 2)
    arrays = {name: getattr(good, name) for name in (*series.FIELDS, "gap_before", "length")}
    wrong = {
        "high": good.high[:3],
        "volume": good.volume.astype(np.float32),
        "gap_before": good.gap_before[:, :1],
        "length": good.length + 1,
        "close": good.close[0],
    }
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=f"^{name}: "):
            Bars(**{**arrays, name: value})
