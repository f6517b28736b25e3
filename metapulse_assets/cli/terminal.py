"""How commands speak: progress on standard error, results on standard output; nothing from outside can steer the terminal."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LONGEST_CELL = 60


def say(message: str) -> None:
    """One line of progress; as JSON where METAPULSE_LOG_FORMAT says so."""
    # A terminal that is gone must not keep a stop from being finished.
    with contextlib.suppress(OSError):
        if os.environ.get("METAPULSE_LOG_FORMAT") == "json":
            print(_json_line(message), file=sys.stderr, flush=True)
        else:
            print(message, file=sys.stderr, flush=True)


def speaks_json() -> bool:
    """Whether people are to be shown nothing, since a machine reads along."""
    return os.environ.get("METAPULSE_LOG_FORMAT") == "json"


def print_json(value: Any) -> None:
    """A value on standard output, in ASCII, so that no locale and no terminal can be hurt."""
    print(json.dumps(value, indent=2, default=str))


def console() -> "Console":
    """Standard output with tables; wide enough for ours where it is not a terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False, emoji=False)


def table(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = (), wraps: Sequence[str] = ()
) -> "Table":
    """A table of plain cells, times and numbers short. Columns: `right` to the right, `wraps` of any length over lines."""
    from rich.table import Table
    from rich.text import Text

    from metapulse_assets.platform.display import short

    result = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for header in headers:
        result.add_column(header, justify="right" if header in right else "left", no_wrap=header not in wraps, overflow="fold")
    for row in rows:
        texts = (
            plain(short(value), None if header in wraps else LONGEST_CELL) for header, value in zip(headers, row, strict=True)
        )
        result.add_row(*(Text(text) for text in texts))
    return result


def age(moment: datetime, now: datetime) -> str:
    """How long ago something was, in its largest unit."""
    minutes = max(int((now - moment).total_seconds() // 60), 0)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"


def plain(text: str, longest: int | None = LONGEST_CELL) -> str:
    """A text without control characters and direction marks, on one line, cut if long."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


def _json_line(message: str) -> str:
    import logging

    from metapulse_assets.platform.json_logs import JsonFormatter

    return JsonFormatter().format(logging.LogRecord("metapulse.cli", logging.INFO, "", 0, message, None, None))
