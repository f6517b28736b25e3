"""PostgreSQL's binary COPY as numpy makes it: what a column's values are on the wire, and rows of them.

Belongs here: bytes. Does not: any statement, staging or conflict (`bulk`). A column is an array, a scalar for all rows, or a
list of JSON texts; see `bulk` for what stands for null.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

Array = npt.NDArray[Any]
Columns = dict[str, Array]
# What an integer column holds for null: the smallest int32, which no count or id reaches.
NO_INT = -(2**31)

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"
# PostgreSQL counts microseconds from 2000-01-01.
POSTGRES_EPOCH = np.datetime64("2000-01-01", "us").astype(np.int64)
# Rows of unequal length are cut out of a block of equal ones: so many at a time, that a block stays small.
ROWS_AT_A_TIME = 16_384
_JSONB_VERSION = b"\x01"


@dataclass(frozen=True)
class Labels:
    """A text column as small integers into a tuple of labels; an integer beyond them, or -1, is null."""

    codes: Array
    names: tuple[str, ...]


@dataclass(frozen=True)
class JsonTexts:
    """A JSONB column, each value as JSON."""

    texts: Sequence[str]


Column = Array | Labels | JsonTexts | str | int | datetime | None


@dataclass(frozen=True)
class Wire:
    """How one column crosses the COPY: numpy type on the wire, type of the staging column, SQL that restores nulls."""

    dtype: str
    staging: str
    select: str


_FLOAT = "nullif({column}, 'NaN')"


def wire_of_type(name: str, kind: sa.types.TypeEngine[Any]) -> Wire:
    """How a column of this type crosses; raises TypeError naming the column of a type that does not."""
    length = getattr(kind, "length", None) or 0
    table: list[tuple[Callable[[], bool], Wire]] = [
        (lambda: isinstance(kind, sa.REAL), Wire(">f4", "real", _FLOAT)),
        (lambda: isinstance(kind, sa.Float), Wire(">f8", "double precision", _FLOAT)),
        (lambda: isinstance(kind, sa.BigInteger), Wire(">i8", "bigint", f"nullif({{column}}, {NO_INT})")),
        (lambda: isinstance(kind, sa.SmallInteger), Wire(">i2", "smallint", "{column}")),
        (lambda: isinstance(kind, sa.Integer), Wire(">i4", "integer", f"nullif({{column}}, {NO_INT})")),
        (lambda: isinstance(kind, sa.DateTime), Wire(">M8", "timestamptz", "{column}")),
        (lambda: isinstance(kind, sa.Boolean), Wire("?", "boolean", "{column}")),
        (lambda: isinstance(kind, sa.LargeBinary) and bool(length), Wire(f"V{length}", "bytea", "{column}")),
    ]
    for matches, wire in table:
        if matches():
            return wire
    raise TypeError(f"{name}: no binary COPY for a column of type {kind}; use SQLAlchemy for it")


def wire_of(column: sa.Column[Any], value: Array | Labels) -> Wire:
    """How the values given for a column cross; labels as their integers."""
    return Wire(">i2", "smallint", "{column}") if isinstance(value, Labels) else wire_of_type(column.name, column.type)


def numpy_type(wire: Wire) -> str:
    """Of an item on the wire."""
    return ">i8" if wire.dtype == ">M8" else wire.dtype


def from_wire(values: Array, wire: Wire) -> Array:
    """A column of the wire's items as its reader wants it."""
    if wire.dtype == ">M8":
        return (values.astype(np.int64) + POSTGRES_EPOCH).view("datetime64[us]")
    return values if wire.dtype.startswith("V") else values.astype(values.dtype.newbyteorder("="))


def to_wire(name: str, value: Array | Labels, wire: Wire) -> Array:
    """What crosses for a column. numpy would store a number that does not fit without a word, so that is looked at here."""
    numbers = value.codes if isinstance(value, Labels) else value
    if wire.dtype == ">M8":
        if (absent := np.isnat(numbers.astype("datetime64[us]"))).any():
            raise ValueError(f"{name}: no time at index {absent.argmax()}")
        return numbers.astype("datetime64[us]").view(np.int64) - POSTGRES_EPOCH
    if wire.dtype.startswith(">i"):
        bounds = np.iinfo(wire.dtype)
        wrong = ~((numbers >= bounds.min) & (numbers <= bounds.max))
        if wrong.any():
            raise ValueError(f"{name}: {numbers[wrong][0]} at index {wrong.argmax()} is no {wire.staging}")
    if wire.dtype.startswith("V") and numbers.dtype != np.dtype(wire.dtype):
        raise ValueError(f"{name}: values of {numbers.dtype.itemsize} bytes where {wire.dtype[1:]} are expected")
    return numbers


def length_of(value: object) -> int | None:
    """How many rows a column has; None: a scalar, which has as many as the others."""
    if isinstance(value, Labels):
        return len(value.codes)
    if isinstance(value, JsonTexts):
        return len(value.texts)
    return len(value) if isinstance(value, np.ndarray) else None


def fixed_rows(arrays: Mapping[str, Array | Labels], wires: Mapping[str, Wire], count: int) -> bytes:
    """Rows in which each column has its type's length: nulls as the values that stand for them, labels as integers."""
    fields: list[tuple[str, str]] = [("field_count", ">i2")]
    for name, wire in wires.items():
        fields += [(f"{name} length", ">i4"), (name, numpy_type(wire))]
    records = np.empty(count, dtype=np.dtype(fields))
    records["field_count"] = len(wires)
    for name, wire in wires.items():
        records[f"{name} length"] = np.dtype(numpy_type(wire)).itemsize
        records[name] = to_wire(name, arrays[name], wire)
    return records.tobytes()


@dataclass(frozen=True)
class _Field:
    """A column's items, all as long as the longest, and how much of each is sent; -1: null. Both may be one for all rows."""

    items: Array
    lengths: Array

    def of(self, rows: slice) -> "_Field":
        return self if self.items.ndim == 0 else _Field(self.items[rows], self.lengths[rows])


def whole_rows(table: sa.Table, columns: Mapping[str, Column], count: int) -> Iterator[bytes]:
    """Rows as the table holds them, nulls and texts included, some at a time.

    Null is what `bulk` says, and in a column that may be null a text of no length and NaT.
    """
    fields = {name: _field(table.c[name], value) for name, value in columns.items()}
    for first in range(0, count, ROWS_AT_A_TIME):
        rows = slice(first, min(first + ROWS_AT_A_TIME, count))
        yield _cut_out({name: field.of(rows) for name, field in fields.items()}, rows.stop - rows.start)


def _cut_out(fields: Mapping[str, _Field], count: int) -> bytes:
    types: list[tuple[str, Any]] = [("field_count", ">i2")]
    for name, field in fields.items():
        types += [(f"{name} length", ">i4"), (name, field.items.dtype)]
    records = np.zeros(count, np.dtype(types))
    records["field_count"] = len(fields)
    sent = np.ones((count, records.dtype.itemsize), np.bool_)
    assert records.dtype.fields is not None  # noqa: S101 - it was made with fields
    for name, field in fields.items():
        records[f"{name} length"], records[name] = field.lengths, field.items
        width = field.items.dtype.itemsize
        start = records.dtype.fields[name][1]
        if (field.lengths != width).any():
            sent[:, start : start + width] = np.arange(width) < np.atleast_1d(field.lengths)[:, None]
    octets = records.view(np.uint8).reshape(sent.shape)
    return octets.tobytes() if sent.all() else octets[sent].tobytes()


def _field(column: sa.Column[Any], value: Column) -> _Field:
    if isinstance(value, Labels):
        return _labelled(value)
    if isinstance(value, JsonTexts):
        return _texts([_JSONB_VERSION + text.encode() for text in value.texts])
    if value is None:
        return _Field(np.array(b"", "V1"), np.array(-1))
    array = value if isinstance(value, np.ndarray) else _scalar(value)
    if isinstance(column.type, sa.Text):
        texts = _encoded(array)
        lengths = np.char.str_len(texts)
        # A scalar says what it says.
        absent = lengths == 0 if column.nullable and array.ndim else np.zeros(lengths.shape, np.bool_)
        return _Field(texts, np.where(absent, -1, lengths))
    wire = wire_of_type(column.name, column.type)
    absent = _absent(array, wire) if column.nullable else np.zeros(array.shape, np.bool_)
    items = to_wire(column.name, np.where(absent, _STAND_IN, array) if wire.dtype == ">M8" else array, wire)
    # An array even of a scalar: numpy's own scalars know no order of bytes.
    sent = np.asarray(items).astype(numpy_type(wire))
    return _Field(sent, np.where(absent, -1, sent.itemsize))


def _encoded(texts: Array) -> Array:
    try:
        return texts.astype(np.bytes_)
    except UnicodeEncodeError:
        return np.char.encode(texts, "utf-8")


_STAND_IN = np.datetime64(0, "us")


def _scalar(value: str | int | datetime) -> Array:
    if isinstance(value, datetime):
        return np.array(value.astimezone(UTC).replace(tzinfo=None), "datetime64[us]")
    return np.array(value)


def _absent(values: Array, wire: Wire) -> Array:
    if wire.dtype == ">M8":
        return np.asarray(np.isnat(values))
    if wire.dtype.startswith(">f"):
        return np.asarray(np.isnan(values))
    return np.asarray(values == NO_INT) if wire.dtype in (">i4", ">i8") else np.zeros(values.shape, np.bool_)


def _labelled(labels: Labels) -> _Field:
    names = _texts([*(name.encode() for name in labels.names), b""])
    lengths = names.lengths.copy()
    lengths[-1] = -1
    known = (labels.codes >= 0) & (labels.codes < len(labels.names))
    place = np.where(known, labels.codes, len(labels.names))
    return _Field(names.items[place], lengths[place])


def _texts(texts: Sequence[bytes]) -> _Field:
    lengths = np.array([len(text) for text in texts], np.int32)
    width = max(int(lengths.max(initial=1)), 1)
    # Void items keep the zero bytes that a text may end with.
    joined = b"".join(text.ljust(width, b"\0") for text in texts)
    return _Field(np.frombuffer(joined, f"V{width}"), lengths)
