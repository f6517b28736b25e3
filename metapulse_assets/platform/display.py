"""Tables for people: Markdown for Dagster's metadata, and short forms of numbers and times."""

import base64
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

LONGEST_CELL = 60
_ESCAPES = {ord(sign): f"&#{ord(sign)};" for sign in "\\`|*_[]<>!#&"}


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; what came from outside cannot break out of its cell."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(plain_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def markdown_picture(png: bytes, title: str) -> str:
    """A picture inside Markdown, as Dagster's pages show it."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def picture_text(text: str) -> str:
    """A text as matplotlib is to draw it: nothing in it is mathematics, and a box stands for a sign that its font lacks."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    shown = "".join(sign if sign.isprintable() and font.get_char_index(ord(sign)) else "\u25a1" for sign in text)
    return shown.replace("\\", "/").replace("$", r"\$")


def plain_cell(value: Any) -> str:
    """A value as one cell of Markdown: short, on one line, without markup of its own."""
    text = short(value)
    text = "".join(
        " " if character in "\r\n\t" else character for character in text if character.isprintable() or character in "\r\n\t"
    )
    if len(text) > LONGEST_CELL:
        text = text[: LONGEST_CELL - 1] + "…"
    return text.translate(_ESCAPES)


def short(value: Any) -> str:
    """A value in few characters: four significant digits, minutes for times, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)
