"""The newest known row: against a plain search through all rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.as_of import newest_known_rows

rows = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 20), st.integers(0, 10)), max_size=20, unique_by=lambda row: (row[0], row[1])
)
questions = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 35)), max_size=10)


@given(rows, questions)
def test_it_is_what_a_search_finds(stored: list[tuple[int, int, int]], asked: list[tuple[int, int]]) -> None:
    token, observed = [row[0] for row in stored], [row[1] for row in stored]
    available = [row[1] + row[2] for row in stored]
    found = newest_known_rows(token, observed, available, [one[0] for one in asked], [one[1] for one in asked])
    for place, (wanted, at) in zip(found.tolist(), asked, strict=True):
        known = [n for n in range(len(stored)) if token[n] == wanted and available[n] <= at]
        assert place == (max(known, key=lambda n: observed[n]) if known else -1)


def test_without_rows_nothing_is_known() -> None:
    assert newest_known_rows([], [], [], [1], [5]).tolist() == [-1]
    assert newest_known_rows([1], [1], [1], [], []).tolist() == []
    assert newest_known_rows([1], np.array([1.0]), [2.0], [1], [1.5]).tolist() == [-1]
