"""Bulk reads and writes: what is written is what is read, nulls included; what does not fit is refused by name."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.bulk import (
    NO_INT,
    Array,
    JsonTexts,
    Labels,
    append_columns,
    from_datetime64,
    read_columns,
    to_datetime64,
    write_columns,
)
from metapulse_assets_tests.platform.samples_table import NOON, NUMBERS, Rows, samples, samples_in, times

in_one_database = settings(max_examples=40)
# 1900 to 2199, in microseconds of the epoch.
moments = st.integers(-(2**51), 7 * 2**50).map(lambda us: np.datetime64(us, "us"))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


def arrays(count: int) -> st.SearchStrategy[dict[str, Any]]:
    """Columns of `count` rows of `samples`, whose keys differ by `id`."""

    def of(dtype: str, elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Array]:
        return stnp.arrays(dtype, count, elements=elements)

    names = st.lists(texts, min_size=1, max_size=4, unique=True)
    return st.fixed_dictionaries(
        {
            "at": of("datetime64[us]", moments),
            "id": st.just(np.arange(count, dtype=np.int32)),
            "label": names.flatmap(lambda n: of("int16", st.integers(0, len(n) - 1)).map(lambda c: Labels(c, tuple(n)))),
            "f8": of("float64", st.floats()),
            "f4": of("float32", st.floats(width=32)),
            "i8": of("int64", st.integers(-(2**63), 2**63 - 1)),
            "i4": of("int32", st.integers(-(2**31), 2**31 - 1)),
            "i2": of("int16", st.integers(-(2**15), 2**15 - 1)),
            "flag": of("bool", st.booleans()),
            "seen": of("datetime64[us]", moments),
            "blob": st.lists(st.binary(min_size=8, max_size=8), min_size=count, max_size=count).map(
                lambda b: np.array(b, "V8")
            ),
            "note": st.one_of(st.none(), texts),
        }
    )


@in_one_database
@given(columns=st.integers(0, 12).flatmap(arrays))
def test_what_is_written_is_what_is_read(shared_engine: sa.Engine, columns: dict[str, Any]) -> None:
    count = len(columns["id"])
    with samples_in(shared_engine) as connection:
        assert write_columns(connection, samples, columns) == count
        read = read_columns(connection, sa.select(*(samples.c[name] for name in NUMBERS)).order_by(samples.c.id))
        assert list(read) == list(NUMBERS)
        for name in NUMBERS:
            assert read[name].dtype == columns[name].dtype, name
            np.testing.assert_array_equal(read[name], columns[name], name)
        words = connection.execute(sa.select(samples.c.label, samples.c.note).order_by(samples.c.id)).all()
        names = columns["label"].names
        assert words == [(names[code], columns["note"]) for code in columns["label"].codes]


EVERYTHING = sa.select(samples).order_by(samples.c.id)


@in_one_database
@given(columns=st.integers(0, 12).flatmap(arrays))
def test_appended_rows_are_those_that_are_written(shared_engine: sa.Engine, columns: dict[str, Any]) -> None:
    with samples_in(shared_engine) as connection:
        write_columns(connection, samples, columns)
        written = connection.execute(EVERYTHING).all()
        connection.execute(sa.delete(samples))
        assert append_columns(connection, samples, columns) == len(columns["id"])
        assert str(connection.execute(EVERYTHING).all()) == str(written)


@in_one_database
@given(words=st.lists(texts, max_size=12), more=st.integers(0, 3))
def test_texts_and_json_are_appended_and_read_row_by_row(shared_engine: sa.Engine, words: list[str], more: int) -> None:
    """More rows than are cut out of one block, once in a while."""
    words = words * (1 if more else 2_000)
    told = sa.Table("told", sa.MetaData(), *(sa.Column(n, t) for n, t in TOLD.items()))
    with samples_in(shared_engine) as connection:
        told.create(connection)
        columns: Rows = {
            "id": np.arange(len(words)),
            "word": np.array(words, np.str_),
            "said": JsonTexts([json.dumps({"word": word, "n": [number, None]}) for number, word in enumerate(words)]),
        }
        assert append_columns(connection, told, columns) == len(words)
        nulls = connection.execute(sa.select(sa.func.count()).where(told.c.word.is_(None))).scalar_one()
        assert nulls == words.count("")
        plain = [word for word in words if "\x1f" not in word]
        kept = told.c.word.is_(None) | (sa.func.strpos(told.c.word, "\x1f") == 0)
        read = read_columns(connection, sa.select(told).where(kept).order_by(told.c.id))
        assert read["word"].tolist() == plain
        assert [said["word"] for said in read["said"]] == plain
        assert [said["n"] for said in read["said"]] == [[number, None] for number in read["id"].tolist()]


TOLD = {"id": sa.Integer, "word": sa.Text, "said": JSONB}


def test_scalars_stand_for_the_whole_column_of_appended_rows(shared_engine: sa.Engine) -> None:
    columns: Rows = {
        "id": np.arange(3),
        "at": datetime(2026, 3, 4, 12, 0, 0, 7, UTC),
        "label": "ü",
        "f8": None,
        "i4": 258,
        "note": "",
    }
    with samples_in(shared_engine) as connection:
        append_columns(connection, samples, columns)
        s = samples.c
        rows = connection.execute(sa.select(s.at, s.label, s.f8, s.i4, s.note)).all()
        assert rows == [(datetime(2026, 3, 4, 12, 0, 0, 7, UTC), "ü", None, 258, "")] * 3


def test_a_key_that_is_there_stops_an_append(shared_engine: sa.Engine) -> None:
    with samples_in(shared_engine) as connection:
        row: Rows = {"at": times(0), "id": np.array([1]), "label": "x"}
        append_columns(connection, samples, row)
        with pytest.raises(psycopg.errors.UniqueViolation):
            append_columns(connection, samples, row)


def test_nulls_cross_as_nan_and_no_int(shared_engine: sa.Engine) -> None:
    absent: dict[str, Any] = {
        "f8": np.array([np.nan, 1.0]),
        "f4": np.array([np.nan, 1.0], np.float32),
        "i8": np.array([NO_INT, 1]),
        "i4": np.array([NO_INT, 1], np.int32),
    }
    with samples_in(shared_engine) as connection:
        keys: Rows = {"at": times(0, 5), "id": np.array([1, 2]), "label": "x", "note": None}
        write_columns(connection, samples, {**keys, **absent})
        stored = connection.execute(
            sa.select(*(samples.c[name] for name in absent), samples.c.note).order_by(samples.c.id)
        ).all()
        assert [tuple(row) for row in stored] == [(None,) * 5, (1.0, 1.0, 1, 1, None)]
        connection.execute(sa.delete(samples))
        append_columns(connection, samples, {**keys, **absent})
        again = connection.execute(sa.select(*(samples.c[name] for name in absent), samples.c.note).order_by(samples.c.id))
        assert again.all() == stored
        read = read_columns(connection, sa.select(*(samples.c[name] for name in absent)).order_by(samples.c.id))
        for name, written in absent.items():
            np.testing.assert_array_equal(read[name], written)
        assert all(values.flags.writeable for values in read.values())


def test_a_label_without_a_name_is_null(shared_engine: sa.Engine) -> None:
    with samples_in(shared_engine) as connection:
        labels = Labels(np.array([0, -1]), ("it's",))
        write_columns(connection, samples, {"at": times(0, 1), "id": np.array([1, 2]), "label": "x", "note": labels})
        assert connection.execute(sa.select(samples.c.note).order_by(samples.c.id)).scalars().all() == ["it's", None]


HOSTILE = (
    "'; DROP TABLE samples; --",
    "{column}",
    "{0}",
    "%s",
    "100%",
    "%%",
    'a"b',
    "\\",
    "\\'",
    "$1",
    "",
    " ",
    "NULL",
    "a,b",
    "{}",
    "…",
)


def test_labels_and_scalars_may_hold_any_text(shared_engine: sa.Engine) -> None:
    with samples_in(shared_engine) as connection:
        columns: Rows = {
            "at": times(*range(len(HOSTILE))),
            "id": np.arange(len(HOSTILE)),
            "label": Labels(np.arange(len(HOSTILE)), HOSTILE),
        }
        for note in HOSTILE:
            write_columns(connection, samples, {**columns, "note": note}, conflict="replace_changed")
            assert connection.execute(sa.select(samples.c.label).order_by(samples.c.id)).scalars().all() == list(HOSTILE)
            assert set(connection.execute(sa.select(samples.c.note)).scalars()) == {note}
            read = read_columns(connection, sa.select(samples.c.id).where(samples.c.note == note, samples.c.label == "%%"))
            assert read["id"].tolist() == [HOSTILE.index("%%")]


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Kiritimati"])
def test_times_are_utc_whatever_the_session_says(shared_engine: sa.Engine, zone: str) -> None:
    with samples_in(shared_engine) as connection:
        connection.execute(sa.text(f"SET LOCAL timezone = '{zone}'"))
        scalar = datetime(2026, 3, 4, 12, 0, 0, 7, UTC)
        write_columns(connection, samples, {"at": times(0), "id": np.array([1]), "label": "x", "seen": scalar})
        read = read_columns(
            connection, sa.select(samples.c.at, samples.c.seen).where(samples.c.at >= datetime(2026, 3, 4, 12, tzinfo=UTC))
        )
        assert read["at"].tolist() == [from_datetime64(NOON).replace(tzinfo=None)]
        assert from_datetime64(read["seen"][0]) == scalar
        assert connection.execute(sa.select(samples.c.at)).scalar() == from_datetime64(NOON)


@given(moment=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones()))
def test_a_moment_survives_the_way_into_numpy(moment: datetime) -> None:
    assert from_datetime64(to_datetime64(moment)) == moment.astimezone(UTC)


def rows(connection: sa.Connection) -> dict[int, tuple[Any, ...]]:
    """Value and physical version of each row by id."""
    found = connection.execute(sa.text("SELECT id, f8, i4, ctid::text, xmin::text FROM samples")).all()
    return {row.id: tuple(row) for row in found}


@pytest.fixture
def stored(shared_engine: sa.Engine) -> Any:
    """A connection whose `samples` holds rows 1 to 3."""
    with samples_in(shared_engine) as connection:
        write_columns(
            connection, samples, {"at": times(0, 0, 0), "id": np.arange(1, 4), "label": "x", "f8": np.array([1.0, 2.0, np.nan])}
        )
        yield connection


NEWER: Rows = {"at": times(0, 0, 0), "id": np.array([2, 3, 4]), "label": "x", "f8": np.array([22.0, np.nan, 4.0])}


def test_conflict_keep_leaves_what_is_stored(stored: sa.Connection) -> None:
    before = rows(stored)
    assert write_columns(stored, samples, NEWER, conflict="keep") == 1
    after = rows(stored)
    assert {key: after[key] for key in before} == before
    assert after[4][1] == 4.0


def test_conflict_replace_changed_touches_only_what_differs(stored: sa.Connection) -> None:
    before = rows(stored)
    assert write_columns(stored, samples, NEWER, conflict="replace_changed") == 2
    after = rows(stored)
    assert (after[1], after[3]) == (before[1], before[3])  # NaN is null, and null equals null here
    assert after[2][1] == 22.0
    assert after[2][3] != before[2][3]
    assert write_columns(stored, samples, NEWER, conflict="replace_changed") == 0
    assert rows(stored) == after


def test_conflict_fail_says_so_and_writes_nothing(stored: sa.Connection) -> None:
    with stored.begin_nested() as savepoint:
        with pytest.raises(psycopg.errors.UniqueViolation):
            write_columns(stored, samples, NEWER)
        savepoint.rollback()
    assert set(rows(stored)) == {1, 2, 3}


def test_rows_that_are_all_key_can_be_replaced(stored: sa.Connection) -> None:
    keys: Rows = {"at": times(0, 0), "id": np.array([3, 9]), "label": "x"}
    assert write_columns(stored, samples, keys, conflict="replace_changed") == 1
    assert set(rows(stored)) == {1, 2, 3, 9}


def test_nothing_to_write_is_no_error(stored: sa.Connection) -> None:
    empty: Rows = {"at": times(), "id": np.array([], np.int32), "label": Labels(np.array([], np.int16), ()), "note": "x"}
    assert write_columns(stored, samples, empty) == 0
    assert [
        len(values) for values in read_columns(stored, sa.select(samples.c.id, samples.c.f8).where(sa.false())).values()
    ] == [0, 0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"f8": np.zeros(3)}, "unequal length.*'f8': 3"),
        ({"label": Labels(np.zeros(1, int), ("x",))}, "unequal length.*'label': 1"),
        ({"i4": np.array([0, 2**31])}, "i4: 2147483648 at index 1 is no integer"),
        ({"i2": np.array([-(2**15) - 1, 0])}, "i2: -32769 at index 0 is no smallint"),
        ({"i4": np.array([0.0, np.nan])}, "i4: nan at index 1"),
        ({"label": Labels(np.array([0, 40_000]), ("x",))}, "label: 40000 at index 1"),
        ({"seen": np.array(["2026-01-01", "NaT"], "datetime64[us]")}, "seen: no time at index 1"),
        ({"blob": np.array([b"1234567", b"7654321"], "V7")}, "blob: values of 7 bytes where 8"),
        ({"note": np.zeros(2)}, "note: no binary COPY for a column of type TEXT"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(shared_engine: sa.Engine, change: dict[str, Any], said: str) -> None:
    good: Rows = {"at": times(0, 1), "id": np.array([1, 2]), "label": "x"}
    with samples_in(shared_engine) as connection:
        with pytest.raises((ValueError, TypeError), match=said):
            write_columns(connection, samples, {**good, **change})
        assert rows(connection) == {}


@pytest.mark.parametrize("name", ["i2", "flag", "seen", "blob"])
@pytest.mark.parametrize("null_at", [0, 3, 5])
def test_a_null_that_no_value_stands_for_is_refused_by_name(shared_engine: sa.Engine, name: str, null_at: int) -> None:
    fill: dict[str, Callable[[int], Any]] = {
        "i2": lambda count: np.ones(count, np.int16),
        "flag": lambda count: np.ones(count, bool),
        "seen": lambda count: times(*range(count)),
        "blob": lambda count: np.array([b"12345678"] * count, "V8"),
    }
    with samples_in(shared_engine) as connection:
        write_columns(
            connection,
            samples,
            {"at": times(*range(6)), "id": np.arange(6), "label": "x", **{k: f(6) for k, f in fill.items()}},
        )
        connection.execute(sa.update(samples).where(samples.c.id == null_at).values({name: None}))
        with pytest.raises(ValueError, match=name):
            read_columns(connection, sa.select(*(samples.c[n] for n in ("id", *fill))).order_by(samples.c.id))
        with pytest.raises(TypeError, match="odd: no binary COPY"):
            read_columns(connection, sa.select(sa.cast(samples.c.label, sa.UUID).label("odd")))
