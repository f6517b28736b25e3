"""Tables for people: what comes from outside stays inside its cell and reads as it was."""

import html
import io
import warnings
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.display import LONGEST_CELL, markdown_table, picture_text, plain_cell, short


@given(text=st.text())
def test_a_cell_holds_no_markup_and_one_line(text: str) -> None:
    cell = plain_cell(text)
    assert not set("|`*_[]<>!\\\n\r\t") & set(cell)
    assert len(html.unescape(cell)) <= LONGEST_CELL


@given(text=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=LONGEST_CELL))
def test_a_cell_reads_as_what_was_put_in(text: str) -> None:
    assert html.unescape(plain_cell(text)) == text


@given(rows=st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_a_table_has_the_rows_it_was_given(rows: list[tuple[str, str]]) -> None:
    lines = markdown_table(["name", "why"], rows).split("\n")
    assert lines[:2] == ["| name | why |", "|---|---|"]
    assert len(lines) == 2 + len(rows)
    assert all(line.count("|") == 3 for line in lines[2:])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (1234.5, "1234"),
        (0.000012345, "1.234e-05"),
        (1234567.8, "1,234,568"),
        (float("inf"), "inf"),
        (datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "2026-03-04 05:06"),
        ("a|b", "a|b"),
    ],
)
def test_values_in_few_characters(value: object, shown: str) -> None:
    assert short(value) == shown


@example(text="$a_{")
@example(text=r"\$x$ and \\$")
@example(text="🚀 到月球 \x07")
@settings(max_examples=25)
@given(text=st.text(max_size=20))
def test_whatever_a_token_is_called_can_be_drawn(text: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=40)
    FigureCanvasAgg(figure)
    figure.subplots().set_title(picture_text(text))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
