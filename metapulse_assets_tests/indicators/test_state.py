"""States survive storage and follow their tokens."""

import numpy as np
import pytest

from metapulse_assets.indicators.kernel import compute
from metapulse_assets.indicators.state import STATE_VERSION, STATE_WIDTH, State
from metapulse_assets_tests.indicators import series


@pytest.fixture(scope="module")
def state() -> State:
    return compute(series.rough(1, [60, 10, 200]))[1]


def test_bytes_and_back(state: State) -> None:
    stored = [row.tobytes() for row in state.to_matrix()]
    assert {len(row) for row in stored} == {8 * STATE_WIDTH}
    again = State.from_matrix(np.stack([np.frombuffer(row) for row in stored]), STATE_VERSION)
    np.testing.assert_array_equal(series.bits(again.rows), series.bits(state.rows))


def test_take_scatter_and_concat_move_whole_rows(state: State) -> None:
    picked = state.take([2, 0])
    np.testing.assert_array_equal(series.bits(picked.rows), series.bits(state.rows[[2, 0]]))
    spread = picked.scatter([3, 1], 5)
    np.testing.assert_array_equal(series.bits(spread.take([3, 1]).rows), series.bits(picked.rows))
    np.testing.assert_array_equal(spread.take([0, 2, 4]).rows, State.empty(3).rows)
    joined = state.concat(State.empty(2))
    assert len(joined) == 5
    np.testing.assert_array_equal(series.bits(joined.take([0, 1, 2]).rows), series.bits(state.rows))


def test_a_new_token_beside_old_ones_starts_from_nothing() -> None:
    bars = series.walk(80, 2)
    _, first = compute(series.piece(series.tokens(bars, [0]), 0, 50))
    values, _ = compute(series.piece(bars, [50, 0], [80, 80]), first.scatter([0], 2))
    whole, _ = compute(bars)
    np.testing.assert_array_equal(values["ema_50"][:30, 0], whole["ema_50"][50:, 0])
    np.testing.assert_array_equal(values["ema_50"][:, 1], whole["ema_50"][:, 1])


def test_bar_count_is_that_of_the_last_bar() -> None:
    values, state = compute(series.rough(2, [60, 0, 200]))
    assert state.bar_count.tolist() == [values.bar_count[59, 0], 0, values.bar_count[199, 2]]


def test_other_layouts_are_refused(state: State) -> None:
    with pytest.raises(ValueError, match="version: this state has layout 0"):
        State.from_matrix(state.to_matrix(), STATE_VERSION - 1)
    with pytest.raises(ValueError, match=rf"rows: expected float64 \(n, {STATE_WIDTH}\)"):
        State.from_matrix(state.to_matrix()[:, 1:])


@pytest.mark.parametrize("indices", [[0, 0, 1], [0, 1, 5], [-1, 0, 1], [0, 1]])
def test_scatter_refuses_impossible_positions(state: State, indices: list[int]) -> None:
    with pytest.raises(ValueError, match="indices: "):
        state.scatter(indices, 5)
