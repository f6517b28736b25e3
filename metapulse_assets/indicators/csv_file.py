"""Candles in a CSV file, and indicators written as one.

Belongs here: reading and writing files of one token. Does not: formulas (`kernel`) or databases.
"""

import csv
import io
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from metapulse_assets.indicators.bars import Bars, FloatArray, bars_from_rows
from metapulse_assets.indicators.columns import PANDAS_TA_NAMES, PANDAS_TA_TO_DATABASE
from metapulse_assets.indicators.kernel import compute

TIME_COLUMNS = ("timestamp", "date")
PRICE_COLUMNS = ("open", "high", "low", "close")

_MILLISECONDS_FROM = 1e11
"""As seconds this number is the year 5138, as milliseconds 1973: larger numbers are milliseconds."""

_TOO_LATE = 1e14
"""As milliseconds the year 5138: beyond it a number is no time (microseconds, a price, an identifier)."""


class CandleFileError(ValueError):
    """A candle file that cannot be read; the message names file, line, column and value."""

    def __init__(self, path: Path, problem: str, line: int | None = None, column: str | None = None) -> None:
        place = [f"line {line}"] if line is not None else []
        if column is not None:
            place.append(f"column {column}")
        super().__init__(": ".join([str(path), *([", ".join(place)] if place else []), problem]))
        self.path = path
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Candles:
    """The candles of one token, oldest first.

    timestamps: as they stand in the file. opened_at: seconds since 1970 UTC. The rest: float64 (K,), NaN where a cell
    is empty or the column is missing.
    """

    timestamps: tuple[str, ...]
    opened_at: FloatArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    @property
    def interval_seconds(self) -> float:
        """The median time between candles; infinite for a single one."""
        return float(np.median(np.diff(self.opened_at))) if len(self.timestamps) > 1 else math.inf

    def to_bars(self) -> Bars:
        """Bars of one token, with gaps judged by the median interval, so that weekends do not break daily candles."""
        return bars_from_rows(
            np.zeros(len(self.timestamps), dtype=np.intp), self.opened_at, self.open, self.high, self.low,
            self.close, self.volume, self.interval_seconds, 1,
        )  # fmt: skip


def read_candles(path: str | Path) -> Candles:
    """Read columns timestamp (or date), open, high, low, close and, if there, volume; others are ignored.

    Times are ISO dates or datetimes (UTC unless they say otherwise), epoch seconds or milliseconds. An empty price is
    a hole, an empty volume unknown. Rows newest first are turned around; any other order is refused.
    Raises CandleFileError naming file, line, column and value; OSError if the file cannot be opened.
    """
    file = Path(path)
    with file.open(encoding="utf-8-sig", newline="") as text:
        try:
            return _candles(file, text)
        except (UnicodeDecodeError, csv.Error) as error:
            raise CandleFileError(file, f"is not a CSV file in UTF-8: {error}") from error


def indicators_csv(candles: Candles) -> str:
    """The standard set as CSV: timestamp as in the input, then the pandas-ta names; an empty cell means no value."""
    values, _ = compute(candles.to_bars())
    columns = [values[PANDAS_TA_TO_DATABASE[name]][:, 0].tolist() for name in PANDAS_TA_NAMES]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("timestamp", *PANDAS_TA_NAMES))
    for timestamp, *row in zip(candles.timestamps, *columns, strict=True):
        writer.writerow((timestamp, *("" if math.isnan(value) else repr(value) for value in row)))
    return text.getvalue()


def write_indicators(candles: Candles, path: str | Path) -> None:
    """Write `indicators_csv` to a file, replacing it."""
    Path(path).write_text(indicators_csv(candles), encoding="utf-8", newline="")


def _candles(path: Path, text: TextIO) -> Candles:
    reader = csv.reader(text)
    header = [name.strip().lower() for name in next(reader, [])]
    time_column = next((name for name in TIME_COLUMNS if name in header), None)
    if time_column is None:
        raise CandleFileError(path, f"needs a column timestamp or date, has {', '.join(header) or 'none'}", line=1)
    missing = [name for name in PRICE_COLUMNS if name not in header]
    if missing:
        raise CandleFileError(path, f"needs a column {missing[0]}, has {', '.join(header)}", line=1)
    place = {name: header.index(name) for name in (time_column, *PRICE_COLUMNS, "volume") if name in header}

    timestamps: list[str] = []
    opened_at: list[float] = []
    numbers: dict[str, list[float]] = {name: [] for name in (*PRICE_COLUMNS, "volume")}
    lines: list[int] = []
    for cells in reader:
        line = reader.line_num
        if not cells:
            continue
        if len(cells) != len(header):
            raise CandleFileError(path, f"has {len(cells)} cells, the header has {len(header)}", line=line)
        timestamp = cells[place[time_column]].strip()
        timestamps.append(timestamp)
        opened_at.append(_seconds(path, line, time_column, timestamp))
        for name, column in numbers.items():
            column.append(_number(path, line, name, cells[place[name]].strip()) if name in place else math.nan)
        lines.append(line)
    if not timestamps:
        raise CandleFileError(path, "has no candles")

    times = np.array(opened_at)
    order = _time_order(path, time_column, timestamps, times, lines)
    return Candles(
        timestamps=tuple(timestamps[::order]),
        opened_at=times[::order],
        **{name: np.array(column)[::order] for name, column in numbers.items()},
    )


def _seconds(path: Path, line: int, column: str, text: str) -> float:
    # Eight digits are a date such as 20240131; as seconds they would be an August day of 1970.
    compact_date = len(text) == 8 and text.isdigit() and text[:2] in ("19", "20")
    try:
        number = math.nan if compact_date else float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        if not 0.0 <= number < _TOO_LATE:
            raise CandleFileError(path, f"{text!r} is neither epoch seconds nor milliseconds", line, column)
        return number / 1000.0 if number >= _MILLISECONDS_FROM else number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text!r} is neither an ISO date nor epoch seconds or milliseconds"
        raise CandleFileError(path, problem, line, column) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(path: Path, line: int, column: str, text: str) -> float:
    if not text:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        raise CandleFileError(path, f"{text!r} is not a number", line, column) from None
    if math.isinf(number):
        raise CandleFileError(path, f"{text!r} is not finite", line, column)
    return number


def _time_order(path: Path, column: str, timestamps: list[str], times: FloatArray, lines: list[int]) -> int:
    """1 for ascending rows, -1 for rows newest first."""
    waits = np.diff(times)
    if (waits > 0).all():
        return 1
    if (waits < 0).all():
        return -1
    ascending = waits[0] > 0 if waits[0] != 0 else (waits >= 0).all()
    row = int(np.argmax(waits <= 0 if ascending else waits >= 0)) + 1
    problem = f"{timestamps[row]!r} "
    problem += "repeats the line before" if waits[row - 1] == 0 else "is out of order: times must only rise or only fall"
    raise CandleFileError(path, problem, lines[row], column)
