"""Bulk reads and writes between numpy arrays and PostgreSQL, in its binary format: no Python object a row.

A column is an array; a null is NaN in a float column and `NO_INT` in an integer one. Times are `datetime64[us]` in UTC.
Texts are read as an array of str, JSON as one of Python's values; a null text is "", a null JSON None. Few rows with text and
JSON in them need none of this: write those with SQLAlchemy.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.copy_format import (
    COPY_HEADER,
    COPY_TRAILER,
    NO_INT,
    Array,
    Column,
    Columns,
    JsonTexts,
    Labels,
    Wire,
    fixed_rows,
    from_wire,
    length_of,
    numpy_type,
    whole_rows,
    wire_of,
    wire_of_type,
)

__all__ = [
    "NO_INT",
    "Array",
    "Column",
    "Columns",
    "JsonTexts",
    "Labels",
    "append_columns",
    "append_if_new",
    "driver",
    "from_datetime64",
    "read_columns",
    "replace_rows",
    "to_datetime64",
    "write_columns",
]

# Dimensions, flag for nulls, type, length and lower bound of the one dimension.
_ARRAY_HEADER = 20
# Between the texts of a column; ASCII's unit separator stands in no name of ours.
_BETWEEN = "\x1f"


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
    return _write(connection, table, columns, conflict)


def append_columns(connection: sa.Connection, table: sa.Table, columns: Mapping[str, Column], target: str | None = None) -> int:
    """Append rows straight to the table, or to another one of its columns, with texts and JSON among them; returns how many.

    A text of no length is null where the column may be null. Raises psycopg.errors.UniqueViolation for a key that is there.
    """
    count = _row_count(columns)
    if count:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        rows = whole_rows(table, columns, count)
        _copy_in(driver(connection), sql.SQL("{} ({})").format(sql.Identifier(target or table.name), names), rows)
    return count


def append_if_new(connection: sa.Connection, table: sa.Table, columns: Mapping[str, Column]) -> int | None:
    """As `append_columns`, but None, and nothing stored, if a key of any row is there already."""
    try:
        with driver(connection).transaction():
            return append_columns(connection, table, columns)
    except psycopg.errors.UniqueViolation:
        return None


def read_columns(connection: sa.Connection, statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> Columns:
    """Run a select and return its columns as arrays, in the select's order.

    Texts must hold no control signs, as names and ids of ours do not.
    """
    wires = {column.name: _read_as(column.name, column.type) for column in statement.selected_columns}
    # One array a column: a COPY would send every row as a message of its own, and each costs Python some microseconds.
    fields = sql.SQL(", ").join(_all_of(name, wire) for name, wire in wires.items())
    query = sql.SQL("SELECT {} FROM ({}) AS inner_rows").format(fields, _rendered(connection, statement))
    with driver(connection).cursor(binary=True) as cursor:
        result = cursor.execute(query).pgresult
        assert result is not None  # noqa: S101 - a select has a result
        return {name: _from_result(name, result.get_value(0, place), wire) for place, (name, wire) in enumerate(wires.items())}


def replace_rows(
    connection: sa.Connection,
    table: sa.Table,
    columns: Mapping[str, Array | Labels | str | int | datetime | None],
    within: sa.ColumnElement[bool],
) -> int:
    """Make the rows of `table` that satisfy `within` equal to the given ones; rows that are equal already stay untouched.

    Returns the rows that were inserted, changed or deleted. The primary key of every given row must lie in `columns`.
    """
    raw, condition, name = driver(connection), _rendered(connection, within), sql.Identifier(table.name)
    [some] = raw.execute(sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(name, condition)).fetchone() or (True,)
    # None: a row from outside the span stands in the way.
    if not some and (appended := append_if_new(connection, table, columns)) is not None:
        return appended
    changed = _write(connection, table, columns, "replace_changed", condition)
    keys = [column.name for column in table.primary_key.columns]
    delete = sql.SQL("DELETE FROM {} WHERE ({})").format(name, condition)
    if _row_count(columns) == 0:
        return changed + raw.execute(delete).rowcount
    superfluous = sql.SQL("{} AND NOT EXISTS (SELECT FROM {} AS staged WHERE {})").format(
        delete, _staging(table), _same_key(table.name, keys, columns)
    )
    return changed + raw.execute(superfluous).rowcount


def _write(
    connection: sa.Connection,
    table: sa.Table,
    columns: Mapping[str, Column],
    conflict: str,
    mostly_equal_within: sql.Composable | None = None,
) -> int:
    """Write by way of a staging table. A condition says where equal rows are looked for first, all at once."""
    arrays = {name: value for name, value in columns.items() if isinstance(value, np.ndarray | Labels)}
    count = _row_count(columns)
    if count == 0:
        return 0
    wires = {name: wire_of(table.c[name], value) for name, value in arrays.items()}
    raw, staging = driver(connection), _staging(table)
    raw.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging))
    raw.execute(
        sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(
            staging,
            sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(wire.staging)) for name, wire in wires.items()
            ),
        )
    )
    _copy_in(raw, staging, [fixed_rows(arrays, wires, count)])
    selected = {name: _staged(value, name, wires.get(name)) for name, value in columns.items()}
    # In the key's order its index grows at its end: pages that are full, and fewer of them touched.
    keys = [column.name for column in table.primary_key if column.name in arrays]
    # Of rows with one key the first given comes first, as `keep` wants it.
    order = [sql.SQL("staged.{}").format(sql.Identifier(name)) for name in (*keys, "ctid")]
    statement = sql.SQL("INSERT INTO {} AS stored ({}) SELECT {} FROM {} AS staged {} {} {}").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(selected.values()),
        staging,
        sql.SQL("") if mostly_equal_within is None else _unless_equal(table, selected, mostly_equal_within),
        sql.SQL("ORDER BY {}").format(sql.SQL(", ").join(order)),
        _on_conflict(table, columns, conflict),
    )
    return raw.execute(statement).rowcount


def _unless_equal(table: sa.Table, selected: Mapping[str, sql.Composable], within: sql.Composable) -> sql.Composable:
    """Leaves rows out that are stored already: one join is quicker than a look-up and a lock a row."""
    keys = [column.name for column in table.primary_key.columns]
    name = sql.Identifier(table.name)
    others = [other for other in selected if other not in keys]
    same = [sql.SQL("{}.{} = {}").format(name, sql.Identifier(key), selected[key]) for key in keys if key in selected]
    if others:
        stored = sql.SQL(", ").join(sql.SQL("{}.{}").format(name, sql.Identifier(other)) for other in others)
        new = sql.SQL(", ").join(selected[other] for other in others)
        same.append(sql.SQL("({}) IS NOT DISTINCT FROM ({})").format(stored, new))
    return sql.SQL("WHERE NOT EXISTS (SELECT FROM {} WHERE ({}) AND {})").format(name, within, sql.SQL(" AND ").join(same))


def _same_key(table: str, keys: Sequence[str], columns: Mapping[str, Column]) -> sql.Composable:
    return sql.SQL(" AND ").join(
        sql.SQL("{}.{} = {}").format(sql.Identifier(table), sql.Identifier(key), _staged(columns[key], key)) for key in keys
    )


def _staging(table: sa.Table) -> sql.Identifier:
    return sql.Identifier(f"staging_{table.name}")


def _rendered(connection: sa.Connection, element: sa.ClauseElement) -> sql.SQL:
    """A condition or statement with its values in it."""
    text = str(element.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    # SQLAlchemy doubles each % for a driver that gets parameters apart; here there are none.
    return sql.SQL(text.replace("%%", "%"))


def _staged(value: object, name: str, wire: Wire | None = None) -> sql.Composable:
    """A value of the staging table as the real table holds it; a scalar as it is."""
    if isinstance(value, Labels):
        return sql.SQL("({}::text[])[staged.{} + 1]").format(sql.Literal(list(value.names)), sql.Identifier(name))
    if isinstance(value, np.ndarray):
        return sql.SQL(wire.select if wire else "{column}").format(column=sql.SQL("staged.{}").format(sql.Identifier(name)))
    return sql.Literal(value)


def _row_count(columns: Mapping[str, Column]) -> int:
    lengths = {name: length for name, value in columns.items() if (length := length_of(value)) is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of unequal length: {lengths}")
    return next(iter(lengths.values()), 0)


_READ_SELECT = {
    ">f8": "coalesce({}, 'NaN')::double precision",
    ">f4": "coalesce({}, 'NaN')::real",
    ">i8": f"coalesce({{}}, {NO_INT})::bigint",
    ">i4": f"coalesce({{}}, {NO_INT})::integer",
    ">i2": "({})::smallint",
    ">M8": "({})::timestamptz",
    "?": "({})::boolean",
}
_TEXT, _JSON = (Wire("", name, "{column}") for name in ("text", "json"))


def _read_as(name: str, kind: sa.types.TypeEngine[Any]) -> Wire:
    if isinstance(kind, JSONB):
        return _JSON
    return _TEXT if isinstance(kind, sa.Text) else wire_of_type(name, kind)


def _all_of(name: str, wire: Wire) -> sql.Composable:
    """A whole column as one value."""
    column = sql.Identifier(name)
    if wire is _TEXT:
        return sql.SQL("string_agg(coalesce({}, ''), {})").format(column, sql.Literal(_BETWEEN))
    if wire is _JSON:
        return sql.SQL("'[' || string_agg(coalesce({}::text, 'null'), ',') || ']'").format(column)
    return sql.SQL("array_agg({})").format(sql.SQL(_READ_SELECT.get(wire.dtype, "{}")).format(column))


def _from_result(name: str, raw: bytes | None, wire: Wire) -> Array:
    if wire is _TEXT:
        return np.array(raw.decode().split(_BETWEEN) if raw is not None else [], np.str_)
    if wire is _JSON:
        values = json.loads(raw) if raw is not None else []
        column = np.empty(len(values), object)
        column[:] = values
        return column
    return _from_array(name, raw, wire)


def _from_array(name: str, raw: bytes | None, wire: Wire) -> Array:
    """A column out of an array as PostgreSQL sends it. Raises ValueError for a null that no value stands for."""
    item = np.dtype([("length", ">i4"), ("value", numpy_type(wire))])
    body = memoryview(raw)[_ARRAY_HEADER:] if raw else memoryview(b"")
    # A null is shorter than a value: the items before the first one still lie where they should.
    items = np.frombuffer(body[: len(body) // item.itemsize * item.itemsize], item)
    shorter = items["length"] != item["value"].itemsize
    if shorter.any() or len(body) % item.itemsize:
        row = int(shorter.argmax()) if shorter.any() else len(items)
        raise ValueError(f"{name}: null in row {row}; a column of type {wire.staging} has no value for it")
    return from_wire(items["value"], wire)


def _copy_in(raw: psycopg.Connection[Any], target: sql.Composable, rows: Iterable[bytes]) -> None:
    with raw.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(target)) as copy:
        copy.write(COPY_HEADER)
        for some in rows:
            copy.write(some)
        copy.write(COPY_TRAILER)


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
