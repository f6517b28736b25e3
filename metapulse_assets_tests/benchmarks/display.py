"""The table that grows on the terminal while a benchmark runs; plain lines where there is no terminal."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from metapulse_assets_tests.benchmarks.report import figure, verdict
from metapulse_assets_tests.benchmarks.rows import Part, Row

COLUMNS = ("name", "value", "unit", "goal", "", "peer", "ratio", "n")
NUMERIC = {"value", "peer", "ratio", "n"}


class Display:
    """Shows rows as they come and what is being done. Use as a context manager."""

    def __init__(self, parts: Sequence[Part], console: Console | None = None) -> None:
        """`parts` say what the goals are."""
        self._targets = {name: target for part in parts for name, target in part.targets.items()}
        self._console = console or Console(stderr=False)
        self._table = Table(title="Benchmarks", title_justify="left")
        for column in COLUMNS:
            self._table.add_column(column, justify="right" if column in NUMERIC else "left")
        self._spinner = Spinner("dots", "starting")
        self._live = Live(Group(self._table, self._spinner), console=self._console, refresh_per_second=4)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Start showing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop; the table stays."""
        if self._live.is_started:
            self._spinner.update(text=f"done in {time.monotonic() - self._started:.0f} s")
            self._live.stop()

    def say(self, text: str) -> None:
        """What is being done now."""
        line = f"{time.monotonic() - self._started:5.0f} s  {text}"
        self._spinner.update(text=line)
        if not self._live.is_started:
            self._console.print(Text(line, style="dim"))

    def add(self, row: Row) -> None:
        """Show a row."""
        target = self._targets.get(row.name)
        goal = target.goal.text(row.unit) if target and target.goal else ""
        result = verdict(row, target).strip("*")
        style = {"met": "green", "missed": "red"}.get(result, "")
        cells = (row.name, figure(row.value), row.unit, goal, result, figure(row.peer), figure(row.ratio), str(row.n))
        self._table.add_row(*cells, style=style)
        if not self._live.is_started:
            self._console.print(Text("  ".join(cell for cell in cells if cell), style=style))

    def fail(self, name: str, trace: str) -> None:
        """Show that a part failed, and how."""
        self._live.console.print(Text(f"{name} failed", style="bold red"))
        print(trace, file=sys.stderr)
