"""Pools in CSV files: reading the two layouts that can be scored, writing the scores.

What a score means is in `pool_risk`. Two layouts are known by their columns: SolRPDS' (liquidity actions, one row a pool
and token) and that of a Raydium launch's first hour (one row a token). Other columns are ignored; a column that is not there
is unknown of every pool, and so is a cell that is empty or says `null` or the like. A file whose name ends in .gz is unpacked.
"""

import csv
import gzip
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np

from metapulse_assets.risk.pool_risk import (
    FIRST_HOUR,
    LIQUIDITY_ACTIONS,
    Model,
    PoolRisk,
    Reading,
    assess_pools,
    first_hour_readings,
    liquidity_readings,
)

POOL, MINT = "LIQUIDITY_POOL_ADDRESS", "MINT"
ADDS, REMOVES = "NUM_LIQUIDITY_ADDS", "NUM_LIQUIDITY_REMOVES"
FIRST_ACTION = "FIRST_POOL_ACTIVITY_TIMESTAMP"
# Read for one thing only: the newest time in the file is the moment that it shows.
LAST_TIMES = ("LAST_POOL_ACTIVITY_TIMESTAMP", "LAST_SWAP_TIMESTAMP")
TOKEN, HIGHEST, LOWEST_AFTER, SILENCE = "token_mint", "max_price", "posterior_min_price", "longest_inactivity"
LIQUIDITY_COLUMNS = (POOL, MINT, ADDS, REMOVES, FIRST_ACTION)
FIRST_HOUR_COLUMNS = (TOKEN, HIGHEST, LOWEST_AFTER, SILENCE)
UNKNOWN = ("", "null", "none", "nan", "na", "n/a")
# Seconds, or milliseconds, since 1970, as some write times.
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = re.compile(r"\d{9,10}(\.\d+)?", re.ASCII), re.compile(r"\d{12,13}", re.ASCII)
Cell = TypeVar("Cell", str, float)


class PoolFileError(ValueError):
    """A file of pools that cannot be scored; the message names file, line and column."""

    def __init__(self, path: Path, problem: str, line: int | None = None, column: str | None = None) -> None:
        """`line` counts from 1, the header included."""
        place = [f"line {line}"] if line is not None else []
        if column is not None:
            place.append(f"column {column}")
        super().__init__(": ".join([str(path), *([", ".join(place)] if place else []), problem]))


@dataclass(frozen=True)
class PoolTable:
    """The pools of a file: the columns that name them, the model that fits its columns, and what the model reads.

    `missing`: columns that the model would read and that the file does not have.
    """

    names: Mapping[str, Sequence[str]]
    model: Model
    readings: Mapping[str, Reading]
    missing: Sequence[str] = ()

    def __len__(self) -> int:
        return len(next(iter(self.names.values())))

    def assess(self) -> PoolRisk:
        """Score, level and reasons of each row."""
        return assess_pools(self.model, self.readings)


def read_pools(path: str | Path, as_of: datetime | None = None) -> PoolTable:
    """Read a file of either layout. as_of: the moment that it shows; None: the newest time in it.

    Raises PoolFileError naming file, line and column of what is wrong; OSError if the file cannot be opened.
    """
    file = Path(path)
    try:
        with _open(file) as text:
            return _table(file, text, as_of)
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as error:
        raise PoolFileError(file, f"is not a CSV file in UTF-8: {error}") from error


def scores_csv(table: PoolTable) -> str:
    """The file's naming columns with score (0 to 1), level and reasons, in the file's order."""
    risk = table.assess()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*table.names, "score", "level", "reasons"))
    rows = zip(*table.names.values(), risk.score.tolist(), risk.level.tolist(), risk.reasons, strict=True)
    writer.writerows([*row[:-3], f"{row[-3]:.6g}", row[-2], "; ".join(row[-1])] for row in rows)
    return text.getvalue()


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _table(path: Path, text: TextIO, as_of: datetime | None) -> PoolTable:
    reader = csv.reader(text)
    header = [name.strip() for name in next(reader, [])]
    wanted = _layout(path, header)
    rows: list[tuple[int, list[str]]] = []
    for cells in reader:
        # One published file ends in a line with nothing but a byte order mark.
        if not any(cell.strip("\ufeff \t") for cell in cells):
            continue
        if len(cells) != len(header):
            raise PoolFileError(path, f"has {len(cells)} cells, the header has {len(header)}", reader.line_num)
        rows.append((reader.line_num, [cell.strip() for cell in cells]))
    if not rows:
        raise PoolFileError(path, "has no pools")
    columns = _Columns(path, header, rows)
    return _liquidity_table(columns, as_of) if wanted is LIQUIDITY_COLUMNS else _first_hour_table(columns)


def _layout(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    for wanted, facts in ((LIQUIDITY_COLUMNS, (ADDS, REMOVES, FIRST_ACTION)), (FIRST_HOUR_COLUMNS, FIRST_HOUR_COLUMNS[1:])):
        if wanted[0] not in header:
            continue
        if not any(fact in header for fact in facts):
            raise PoolFileError(path, f"needs a column {', '.join(facts[:-1])} or {facts[-1]}, has {', '.join(header)}", 1)
        return wanted
    problem = f"needs the columns {', '.join(LIQUIDITY_COLUMNS)}, or {', '.join(FIRST_HOUR_COLUMNS)}"
    raise PoolFileError(path, f"{problem}; has {', '.join(header) or 'none'}", 1)


@dataclass(frozen=True)
class _Columns:
    path: Path
    header: Sequence[str]
    rows: Sequence[tuple[int, list[str]]]

    def missing(self, wanted: Sequence[str]) -> list[str]:
        """Those of the wanted columns that are not there."""
        return [name for name in wanted if name not in self.header]

    def names(self, column: str) -> list[str]:
        """Cells that name something: none may be empty."""
        return self._read(column, lambda text, line: self._name(text, line, column))

    def texts(self, column: str) -> list[str]:
        """Cells as they are; empty where unknown."""
        return self._read(column, lambda text, line: "" if text.lower() in UNKNOWN else text)

    def numbers(self, column: str, smallest: float = -math.inf) -> list[float]:
        """Numbers, NaN where unknown."""
        return self._read(column, lambda text, line: self._number(text, line, column, smallest))

    def times(self, column: str) -> list[float]:
        """ISO times as seconds since 1970 UTC (UTC unless they say otherwise), NaN where unknown."""
        return self._read(column, lambda text, line: self._time(text, line, column))

    def lines(self) -> list[int]:
        """The line of each row."""
        return [line for line, _ in self.rows]

    def _read(self, column: str, read: Callable[[str, int], Cell]) -> list[Cell]:
        place = self.header.index(column) if column in self.header else None
        return [read("" if place is None else cells[place], line) for line, cells in self.rows]

    def _name(self, text: str, line: int, column: str) -> str:
        if not text:
            raise PoolFileError(self.path, "is empty", line, column)
        return text

    def _number(self, text: str, line: int, column: str, smallest: float) -> float:
        if text.lower() in UNKNOWN:
            return math.nan
        try:
            number = float(text)
        except ValueError:
            raise PoolFileError(self.path, f"{text!r} is not a number", line, column) from None
        if not math.isfinite(number):
            raise PoolFileError(self.path, f"{text!r} is not finite", line, column)
        if number < smallest:
            raise PoolFileError(self.path, f"{text!r} is below {smallest:g}", line, column)
        return number

    def _time(self, text: str, line: int, column: str) -> float:
        if text.lower() in UNKNOWN:
            return math.nan
        if _EPOCH_SECONDS.fullmatch(text) or _EPOCH_MILLISECONDS.fullmatch(text):
            return float(text) / (1_000 if _EPOCH_MILLISECONDS.fullmatch(text) else 1)
        try:
            moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        except ValueError:
            raise PoolFileError(self.path, f"{text!r} is not an ISO time", line, column) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _liquidity_table(columns: _Columns, as_of: datetime | None) -> PoolTable:
    first = columns.times(FIRST_ACTION)
    missing = columns.missing(LIQUIDITY_COLUMNS)
    names = {name: columns.names(name) if name == POOL else columns.texts(name) for name in (POOL, MINT) if name not in missing}
    now = as_of.timestamp() if as_of else _newest(columns, first)
    for moment, line in zip(first, columns.lines(), strict=True):
        if moment > now:
            problem = f"lies after the moment that is scored, {datetime.fromtimestamp(now, UTC).isoformat()}"
            raise PoolFileError(columns.path, problem, line, FIRST_ACTION)
    readings = liquidity_readings(
        names[POOL],
        columns.texts(MINT),
        adds=columns.numbers(ADDS, 0),
        removes=columns.numbers(REMOVES, 0),
        first_action_at=first,
        now=now,
    )
    if MINT in missing:
        unknown = np.full(len(columns.rows), np.nan)
        readings["few_pools"] = Reading(unknown, unknown)
    return PoolTable(names, LIQUIDITY_ACTIONS, readings, missing)


def _newest(columns: _Columns, first: Iterable[float]) -> float:
    times = list(first)
    for column in LAST_TIMES:
        if column in columns.header:
            times += columns.times(column)
    return max((time for time in times if not math.isnan(time)), default=math.nan)


def _first_hour_table(columns: _Columns) -> PoolTable:
    highest, lowest = columns.numbers(HIGHEST), columns.numbers(LOWEST_AFTER)
    missing = columns.missing(FIRST_HOUR_COLUMNS)
    if LOWEST_AFTER not in missing:
        # Nothing after the highest price: it was the last one, and nothing has fallen.
        lowest = [top if math.isnan(low) else low for top, low in zip(highest, lowest, strict=True)]
    readings = first_hour_readings(highest, lowest, columns.numbers(SILENCE, 0))
    return PoolTable({TOKEN: columns.names(TOKEN)}, FIRST_HOUR, readings, missing)
