"""The written report: `benchmarks.json` for programs, `benchmarks.md` for people. Rows of earlier runs are kept."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metapulse_assets_tests.benchmarks.machine import Circumstances
from metapulse_assets_tests.benchmarks.rows import Part, Row, Rows, Target

JSON_NAME, MARKDOWN_NAME = "benchmarks.json", "benchmarks.md"
RUNS_TITLE = "## When and on what"
LARGEST_PARTS = 4


def read_rows(folder: Path) -> dict[str, Row]:
    """The rows of the last report in a folder; empty if there is none. Raises ValueError naming an entry that is none."""
    path = folder / JSON_NAME
    if not path.exists():
        return {}
    rows = {}
    for name, entry in json.loads(path.read_text()).items():
        try:
            rows[name] = Row(name, entry["value"], entry["unit"], entry["n"], entry["peer"], entry["ratio"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: {name} is not a row: {error!r}") from None
    return rows


def merge(old: Rows, new: Iterable[Row], covered: str, parts: Sequence[Part]) -> dict[str, Row]:
    """The old rows with the new ones in their places, part by part; an old row that was asked for and is gone now goes.

    `covered`: the name of a part that was measured whole, or the beginning of the names that were.
    """
    measured = {row.name: row for row in new}
    rows = [measured.get(name, row) for name, row in old.items() if name in measured or not covers(covered, name)]
    rows += [row for name, row in measured.items() if name not in old]
    order = {part.name: place for place, part in enumerate(parts)}
    rows.sort(key=lambda row: order.get(row.name.split(".")[0], len(order)))
    return {row.name: row for row in rows}


def covers(covered: str, name: str) -> bool:
    """Whether a run of `covered` measures the row of this name, or all rows that begin with it."""
    return name.startswith(covered) if "." in covered else name.split(".")[0] == covered


def as_json(rows: Rows) -> str:
    """The rows as JSON, one a line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(_rounded(row))}" for name, row in rows.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_markdown(rows: Rows, parts: Sequence[Part], runs: Sequence[str]) -> str:
    """The rows as a page; `runs` are the lines of the table that says when each part was measured."""
    targets = {name: target for part in parts for name, target in part.targets.items()}
    with_goal = [row for name, row in rows.items() if name in targets and targets[name].goal]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`make bench ONLY=tick` for a part). Medians of n runs. Nothing here is asserted: a goal that",
        "is missed is shown as missed, with where it goes.",
        "",
        "## Goals",
        "",
        *_table(with_goal, targets),
        "",
    ]
    lines += [line for row in with_goal if (line := _missed_line(row, targets[row.name], rows))]
    for part in parts:
        of_part = [row for name, row in rows.items() if name.split(".")[0] == part.name]
        if of_part:
            lines += ["", f"## {part.name}", "", part.method.strip(), "", *_table(of_part, targets, with_meaning=True)]
    lines += ["", RUNS_TITLE, "", *Circumstances.table_head(), *runs, ""]
    return "\n".join(lines)


def kept_runs(markdown: str, covered: Sequence[str]) -> list[str]:
    """The lines of an earlier page's table of runs, without those whose rows are all measured anew."""
    _, _, table = markdown.partition(RUNS_TITLE)
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [line for line in lines if not any(covers(name, line.split("`")[1]) for name in covered)]


def write(folder: Path, rows: Rows, parts: Sequence[Part], runs: Mapping[str, Circumstances]) -> None:
    """Write both files; `runs` says under what circumstances each part was measured just now."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / MARKDOWN_NAME
    kept = kept_runs(page.read_text() if page.exists() else "", list(runs))
    lines = sorted([*kept, *(circumstances.table_row(name) for name, circumstances in runs.items())])
    (folder / JSON_NAME).write_text(as_json(rows))
    page.write_text(as_markdown(rows, parts, lines))


def verdict(row: Row, target: Target | None) -> str:
    """Met, missed, or nothing where there is no goal."""
    if target is None or target.goal is None or (met := target.goal.met(row)) is None:
        return ""
    return "met" if met else "**missed**"


def figure(value: float | None) -> str:
    """A number with four significant digits; nothing for none."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def where_it_goes(row: Row, target: Target, rows: Rows) -> str:
    """The largest of the rows that a row is made of, with their shares; empty if none was measured.

    Parts of another unit, as the seconds of a rate, are shares of their own sum.
    """
    parts = [part for name in target.split for part in _named(name, row, rows)]
    parts.sort(key=lambda part: -part.value)
    whole = row.value if all(part.unit == row.unit for part in parts) else sum(part.value for part in parts)
    if not whole:
        return ""
    shown = [
        f"{part.name.removeprefix(_stem(row.name))} {figure(part.value)} {part.unit} ({part.value / whole:.0%})"
        for part in parts[:LARGEST_PARTS]
    ]
    rest = sum(part.value for part in parts[LARGEST_PARTS:])
    if rest:
        shown.append(f"others {rest / whole:.0%}")
    return ", ".join(shown)


def _named(name: str, row: Row, rows: Rows) -> list[Row]:
    if name.endswith("."):
        return [other for other in rows.values() if other.name.startswith(name) and other.name != row.name]
    return [rows[name]] if name in rows else []


def _stem(name: str) -> str:
    return name.rpartition(".")[0] + "."


def _missed_line(row: Row, target: Target, rows: Rows) -> str:
    if target.goal is None or target.goal.met(row) is not False:
        return ""
    goes = where_it_goes(row, target, rows)
    return f"- `{row.name}` misses its goal. Where it goes: {goes or 'not split further'}."


def _table(rows: Sequence[Row], targets: Mapping[str, Target], with_meaning: bool = False) -> list[str]:
    head = ["name", "value", "unit", "goal", "", "peer", "ratio", "n", *(["what it holds"] if with_meaning else [])]
    lines = ["| " + " | ".join(head) + " |", "|---|--:|---|---|---|--:|--:|--:|" + ("---|" if with_meaning else "")]
    for row in rows:
        target = targets.get(row.name)
        peer = figure(row.peer) + (f" ({target.peer})" if target and target.peer and row.peer is not None else "")
        goal = target.goal.text(row.unit) if target and target.goal else ""
        cells = [f"`{row.name}`", figure(row.value), row.unit, goal, verdict(row, target), peer, figure(row.ratio), str(row.n)]
        lines.append("| " + " | ".join([*cells, *([target.holds if target else ""] if with_meaning else [])]) + " |")
    return lines


def _rounded(row: Row) -> dict[str, Any]:
    def significant(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.6g}")

    return {
        "value": significant(row.value),
        "unit": row.unit,
        "peer": significant(row.peer),
        "ratio": significant(row.ratio),
        "n": row.n,
    }
