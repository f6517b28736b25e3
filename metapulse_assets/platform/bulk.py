"""Bulk reads and writes between numpy arrays and PostgreSQL, in its binary format: no Python object a row.

A column is an array; a null is NaN in a float column and `NO_INT` in an integer one. Times are `datetime64[us]` in UTC.
Few rows with text and JSON in them need none of this: write those with SQLAlchemy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from psycopg import sql

Array = npt.NDArray[Any]
Columns = dict[str, Array]
# What an integer column holds for null: the smallest int32, which no count or id reaches.
NO_INT = -(2**31)

_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
# Dimensions, flag for nulls, type, length and lower bound of the one dimension.
_ARRAY_HEADER = 20
# PostgreSQL counts microseconds from 2000-01-01.
_POSTGRES_EPOCH = np.datetime64("2000-01-01", "us").astype(np.int64)


@dataclass(frozen=True)
class Labels:
    """A text column as small integers into a tuple of labels."""

    codes: Array
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Wire:
    """How one column crosses the COPY: numpy type on the wire, type of the staging column, SQL that restores nulls."""

    dtype: str
    staging: str
    select: str


def to_datetime64(moment: datetime) -> np.datetime64:
    """An aware datetime as `datetime64[us]` in UTC."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def from_datetime64(moment: np.datetime64) -> datetime:
    """The reverse of `to_datetime64`."""
    result: datetime = moment.astype("datetime64[us]").item().replace(tzinfo=UTC)
    return result


def driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    """The psycopg connection beneath a SQLAlchemy one, in the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - narrows the type; the engine is always psycopg's
    return raw


def write_columns(
    connection: sa.Connection,
    table: sa.Table,
    columns: Mapping[str, Array | Labels | str | int | datetime | None],
    conflict: Literal["keep", "replace_changed", "fail"] = "fail",
) -> int:
    """Insert rows given as columns; scalars stand for the whole column. Returns the rows inserted or changed.

    On a duplicate primary key: `keep` leaves the stored row, `replace_changed` updates it only if a value differs (an equal
    row stays untouched, its old version included), `fail` raises.
    """
    arrays = {name: value for name, value in columns.items() if isinstance(value, np.ndarray | Labels)}
    count = _row_count(arrays)
    if count == 0:
        return 0
    wires = {name: _wire_of(table.c[name], value) for name, value in arrays.items()}
    staging = sql.Identifier(f"staging_{table.name}")
    raw = driver(connection)
    raw.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging))
    raw.execute(
        sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(
            staging,
            sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(wire.staging)) for name, wire in wires.items()
            ),
        )
    )
    _copy_in(raw, staging, arrays, wires, count)
    selected = [_staged(value, name, wires.get(name)) for name, value in columns.items()]
    statement = sql.SQL("INSERT INTO {} AS stored ({}) SELECT {} FROM {} AS staged {}").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(selected),
        staging,
        _on_conflict(table, columns, conflict),
    )
    return raw.execute(statement).rowcount


def read_columns(connection: sa.Connection, statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> Columns:
    """Run a select whose columns are numbers, booleans or times and return them as arrays, in the select's order."""
    wires = {column.name: _wire_of_type(column.name, column.type) for column in statement.selected_columns}
    # One array a column: a COPY would send every row as a message of its own, and each costs Python some microseconds.
    fields = sql.SQL(", ").join(
        sql.SQL("array_agg({})").format(sql.SQL(_READ_SELECT.get(wire.dtype, "{}")).format(sql.Identifier(name)))
        for name, wire in wires.items()
    )
    query = sql.SQL("SELECT {} FROM ({}) AS inner_rows").format(fields, _rendered(connection, statement))
    with driver(connection).cursor(binary=True) as cursor:
        result = cursor.execute(query).pgresult
        assert result is not None  # noqa: S101 - a select has a result
        return {name: _from_array(name, result.get_value(0, place), wire) for place, (name, wire) in enumerate(wires.items())}


def replace_rows(
    connection: sa.Connection,
    table: sa.Table,
    columns: Mapping[str, Array | Labels | str | int | datetime | None],
    within: sa.ColumnElement[bool],
) -> int:
    """Make the rows of `table` that satisfy `within` equal to the given ones; rows that are equal already stay untouched.

    Returns the rows that were inserted, changed or deleted. The primary key of every given row must lie in `columns`.
    """
    changed = write_columns(connection, table, columns, conflict="replace_changed")
    raw = driver(connection)
    keys = [column.name for column in table.primary_key.columns]
    delete = sql.SQL("DELETE FROM {} WHERE ({})").format(sql.Identifier(table.name), _rendered(connection, within))
    if _row_count({k: v for k, v in columns.items() if isinstance(v, np.ndarray | Labels)}) == 0:
        return changed + raw.execute(delete).rowcount
    same_key = sql.SQL(" AND ").join(
        sql.SQL("{}.{} = {}").format(sql.Identifier(table.name), sql.Identifier(key), _staged(columns[key], key))
        for key in keys
    )
    staging = sql.Identifier(f"staging_{table.name}")
    superfluous = sql.SQL("{} AND NOT EXISTS (SELECT FROM {} AS staged WHERE {})").format(delete, staging, same_key)
    return changed + raw.execute(superfluous).rowcount


def _rendered(connection: sa.Connection, element: sa.ClauseElement) -> sql.SQL:
    """A condition or statement with its values in it."""
    text = str(element.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    # SQLAlchemy doubles each % for a driver that gets parameters apart; here there are none.
    return sql.SQL(text.replace("%%", "%"))


def _staged(value: object, name: str, wire: "_Wire | None" = None) -> sql.Composable:
    """A value of the staging table as the real table holds it; a scalar as it is."""
    if isinstance(value, Labels):
        return sql.SQL("({}::text[])[staged.{} + 1]").format(sql.Literal(list(value.names)), sql.Identifier(name))
    if isinstance(value, np.ndarray):
        return sql.SQL(wire.select if wire else "{column}").format(column=sql.SQL("staged.{}").format(sql.Identifier(name)))
    return sql.Literal(value)


def _row_count(arrays: Mapping[str, Array | Labels]) -> int:
    counts = {len(value.codes if isinstance(value, Labels) else value) for value in arrays.values()}
    if len(counts) > 1:
        raise ValueError(f"columns of unequal length: { {k: _length(v) for k, v in arrays.items()} }")
    return counts.pop() if counts else 0


def _length(value: Array | Labels) -> int:
    return len(value.codes if isinstance(value, Labels) else value)


_FLOAT = "nullif({column}, 'NaN')"
_READ_SELECT = {
    ">f8": "coalesce({}, 'NaN')::double precision",
    ">f4": "coalesce({}, 'NaN')::real",
    ">i8": f"coalesce({{}}, {NO_INT})::bigint",
    ">i4": f"coalesce({{}}, {NO_INT})::integer",
    ">i2": "({})::smallint",
    ">M8": "({})::timestamptz",
    "?": "({})::boolean",
}


def _length_of(kind: sa.types.TypeEngine[Any]) -> int:
    return getattr(kind, "length", None) or 0


def _wire_of_type(name: str, kind: sa.types.TypeEngine[Any]) -> _Wire:
    table: list[tuple[Callable[[], bool], _Wire]] = [
        (lambda: isinstance(kind, sa.REAL), _Wire(">f4", "real", _FLOAT)),
        (lambda: isinstance(kind, sa.Float), _Wire(">f8", "double precision", _FLOAT)),
        (lambda: isinstance(kind, sa.BigInteger), _Wire(">i8", "bigint", f"nullif({{column}}, {NO_INT})")),
        (lambda: isinstance(kind, sa.SmallInteger), _Wire(">i2", "smallint", "{column}")),
        (lambda: isinstance(kind, sa.Integer), _Wire(">i4", "integer", f"nullif({{column}}, {NO_INT})")),
        (lambda: isinstance(kind, sa.DateTime), _Wire(">M8", "timestamptz", "{column}")),
        (lambda: isinstance(kind, sa.Boolean), _Wire("?", "boolean", "{column}")),
        (lambda: isinstance(kind, sa.LargeBinary) and bool(kind.length), _Wire(f"V{_length_of(kind)}", "bytea", "{column}")),
    ]
    for matches, wire in table:
        if matches():
            return wire
    raise TypeError(f"{name}: no binary COPY for a column of type {kind}; use SQLAlchemy for it")


def _wire_of(column: sa.Column[Any], value: Array | Labels) -> _Wire:
    return _Wire(">i2", "smallint", "{column}") if isinstance(value, Labels) else _wire_of_type(column.name, column.type)


def _numpy_type(wire: _Wire) -> str:
    return ">i8" if wire.dtype == ">M8" else wire.dtype


def _record_dtype(wires: Mapping[str, _Wire]) -> np.dtype[Any]:
    fields: list[tuple[str, str]] = [("field_count", ">i2")]
    for name, wire in wires.items():
        fields += [(f"{name} length", ">i4"), (name, _numpy_type(wire))]
    return np.dtype(fields)


def _from_wire(values: Array, wire: _Wire) -> Array:
    if wire.dtype == ">M8":
        return (values.astype(np.int64) + _POSTGRES_EPOCH).view("datetime64[us]")
    return values if wire.dtype.startswith("V") else values.astype(values.dtype.newbyteorder("="))


def _to_wire(name: str, value: Array | Labels, wire: _Wire) -> Array:
    """What crosses for a column. numpy would store a number that does not fit without a word, so that is looked at here."""
    numbers = value.codes if isinstance(value, Labels) else value
    if wire.dtype == ">M8":
        if (absent := np.isnat(numbers.astype("datetime64[us]"))).any():
            raise ValueError(f"{name}: no time at index {absent.argmax()}")
        return numbers.astype("datetime64[us]").view(np.int64) - _POSTGRES_EPOCH
    if wire.dtype.startswith(">i"):
        bounds = np.iinfo(wire.dtype)
        wrong = ~((numbers >= bounds.min) & (numbers <= bounds.max))
        if wrong.any():
            raise ValueError(f"{name}: {numbers[wrong][0]} at index {wrong.argmax()} is no {wire.staging}")
    if wire.dtype.startswith("V") and numbers.dtype != np.dtype(wire.dtype):
        raise ValueError(f"{name}: values of {numbers.dtype.itemsize} bytes where {wire.dtype[1:]} are expected")
    return numbers


def _from_array(name: str, raw: bytes | None, wire: _Wire) -> Array:
    """A column out of an array as PostgreSQL sends it. Raises ValueError for a null that no value stands for."""
    item = np.dtype([("length", ">i4"), ("value", _numpy_type(wire))])
    body = memoryview(raw)[_ARRAY_HEADER:] if raw else memoryview(b"")
    # A null is shorter than a value: the items before the first one still lie where they should.
    items = np.frombuffer(body[: len(body) // item.itemsize * item.itemsize], item)
    shorter = items["length"] != item["value"].itemsize
    if shorter.any() or len(body) % item.itemsize:
        row = int(shorter.argmax()) if shorter.any() else len(items)
        raise ValueError(f"{name}: null in row {row}; a column of type {wire.staging} has no value for it")
    return _from_wire(items["value"], wire)


def _copy_in(
    raw: psycopg.Connection[Any],
    staging: sql.Identifier,
    arrays: Mapping[str, Array | Labels],
    wires: Mapping[str, _Wire],
    count: int,
) -> None:
    records = np.empty(count, dtype=_record_dtype(wires))
    records["field_count"] = len(wires)
    for name, wire in wires.items():
        records[f"{name} length"] = np.dtype(_numpy_type(wire)).itemsize
        records[name] = _to_wire(name, arrays[name], wire)
    with raw.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(staging)) as copy:
        copy.write(_COPY_HEADER)
        copy.write(records.tobytes())
        copy.write(_COPY_TRAILER)


def _on_conflict(table: sa.Table, columns: Iterable[str], conflict: str) -> sql.Composable:
    if conflict == "fail":
        return sql.SQL("")
    keys: Sequence[str] = [column.name for column in table.primary_key.columns]
    target = sql.SQL("ON CONFLICT ({}) ").format(sql.SQL(", ").join(map(sql.Identifier, keys)))
    values = [name for name in columns if name not in keys]
    if conflict == "keep" or not values:
        return target + sql.SQL("DO NOTHING")
    return target + sql.SQL("DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})").format(
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in values),
        sql.SQL(", ").join(sql.SQL("stored.{}").format(sql.Identifier(name)) for name in values),
        sql.SQL(", ").join(sql.SQL("excluded.{}").format(sql.Identifier(name)) for name in values),
    )
