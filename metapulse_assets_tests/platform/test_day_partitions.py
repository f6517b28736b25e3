"""Day partitions: one a UTC day, made once however many ask, and every row in the one of its day."""

import threading
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.day_partitions import (
    day_bounds,
    day_start,
    days_of,
    ensure_days,
    existing_days,
    partition_name,
    utc_day,
)

PARENT = "readings"
FIRST, LAST = date(2024, 2, 28), date(2024, 3, 1)
days = st.dates(date(1970, 1, 1), date(2200, 1, 1))


def make_parent(connection: sa.Connection) -> str:
    """A table partitioned by time, with a column default, a check and an index."""
    columns = "at timestamptz PRIMARY KEY, value integer NOT NULL DEFAULT 7 CHECK (value > 0)"
    connection.execute(sa.text(f"CREATE TABLE {PARENT} ({columns}) PARTITION BY RANGE (at)"))
    connection.execute(sa.text(f"CREATE INDEX readings_value_idx ON {PARENT} (value)"))
    return PARENT


@pytest.fixture
def parent(connection: sa.Connection) -> str:
    """A parent that only the test's connection sees."""
    return make_parent(connection)


@pytest.fixture
def common_parent(engine: sa.Engine) -> str:
    """A parent that all connections see."""
    with engine.begin() as connection:
        return make_parent(connection)


@given(first=days, length=st.integers(0, 400))
def test_bounds_are_half_open_and_hold_exactly_their_days(first: date, length: int) -> None:
    last = first + timedelta(days=length)
    start, end = day_bounds(first, last)
    assert end - start == timedelta(days=length + 1)
    assert (utc_day(start), utc_day(end)) == (first, last + timedelta(days=1))
    assert utc_day(end - timedelta(microseconds=1)) == last
    assert day_bounds(first) == (day_start(first), day_start(first) + timedelta(days=1))


@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.timezones()))
def test_a_day_is_the_utc_day_whatever_the_zone(moment: datetime) -> None:
    start, end = day_bounds(utc_day(moment))
    assert start <= moment < end


@given(moments=st.lists(st.integers(-(2**45), 2**52), max_size=30))
def test_days_of_an_array_are_distinct_and_ascending(moments: list[int]) -> None:
    found = days_of(np.array(moments, "datetime64[us]"))
    assert found == sorted({utc_day(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=m)) for m in moments})


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati", "Asia/Kathmandu"])
def test_rows_land_in_the_partition_of_their_utc_day(connection: sa.Connection, parent: str, zone: str) -> None:
    first, second = date(2026, 3, 29), date(2026, 3, 30)
    connection.execute(sa.text(f"SET LOCAL timezone = '{zone}'"))
    ensure_days(connection, parent, [first, second])
    moments = {
        day_start(first): first,
        day_start(second) - timedelta(microseconds=1): first,
        day_start(second): second,
        datetime(2026, 3, 29, 20, tzinfo=timezone(timedelta(hours=-8))): second,
        datetime(2026, 3, 29, 3, tzinfo=ZoneInfo("Europe/Berlin")): first,
    }
    for moment in moments:
        connection.execute(sa.text(f"INSERT INTO {parent} (at) VALUES (:at)"), {"at": moment})
    rows = connection.execute(sa.text(f"SELECT at, tableoid::regclass::text FROM {parent}"))
    assert {at.astimezone(UTC): name for at, name in rows} == {
        moment.astimezone(UTC): partition_name(parent, day) for moment, day in moments.items()
    }


def test_a_row_of_a_day_without_partition_is_refused(connection: sa.Connection, parent: str) -> None:
    ensure_days(connection, parent, [FIRST])
    with pytest.raises(sa.exc.IntegrityError, match="no partition"):
        connection.execute(sa.text(f"INSERT INTO {parent} (at) VALUES (:at)"), {"at": day_start(LAST)})


def test_existing_days_are_listed_in_order_and_made_once(connection: sa.Connection, parent: str) -> None:
    wanted = [LAST, FIRST, date(2024, 2, 29)]
    assert existing_days(connection, parent) == []
    ensure_days(connection, parent, iter(wanted))
    ensure_days(connection, parent, wanted)
    assert existing_days(connection, parent) == sorted(wanted)


def test_a_partition_has_what_its_parent_has(connection: sa.Connection, parent: str) -> None:
    ensure_days(connection, parent, [FIRST])
    inspector = sa.inspect(connection)
    name = partition_name(parent, FIRST)
    assert inspector.get_pk_constraint(name)["constrained_columns"] == ["at"]
    assert [index["column_names"] for index in inspector.get_indexes(name)] == [["value"]]
    assert inspector.get_columns(name)[1]["default"] == "7"
    with pytest.raises(sa.exc.IntegrityError, match="check"):
        connection.execute(sa.text(f"INSERT INTO {parent} VALUES (:at, 0)"), {"at": day_start(FIRST)})


def test_threads_that_need_the_same_days_do_not_race(engine: sa.Engine, common_parent: str) -> None:
    wanted = [FIRST + timedelta(days=n) for n in range(5)]
    together, failures = threading.Barrier(4), []

    def ask() -> None:
        try:
            with engine.begin() as connection:
                connection.execute(sa.text("SELECT 1"))
                together.wait()
                ensure_days(connection, common_parent, wanted)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with engine.connect() as connection:
        assert existing_days(connection, common_parent) == wanted


def test_a_new_day_waits_for_no_reader_of_the_parent(engine: sa.Engine, common_parent: str) -> None:
    with engine.connect() as reader, engine.connect() as maker:
        reader.execute(sa.text(f"SELECT * FROM {common_parent}"))
        maker.execute(sa.text("SET lock_timeout = '2s'"))
        ensure_days(maker, common_parent, [FIRST])
        maker.commit()


def test_who_waited_for_another_maker_sees_what_that_one_made(engine: sa.Engine, common_parent: str, database_url: str) -> None:
    done = threading.Event()

    def wait_for_the_first() -> None:
        with engine.begin() as connection:
            ensure_days(connection, common_parent, [FIRST, LAST])
        done.set()

    with engine.connect() as first:
        ensure_days(first, common_parent, [FIRST])
        second = threading.Thread(target=wait_for_the_first)
        second.start()
        with psycopg.connect(database_url) as watcher:
            while watcher.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone() is None:
                assert not done.is_set()
        first.commit()
        second.join()
        assert done.is_set()
        assert existing_days(first, common_parent) == [FIRST, LAST]
