"""Retention of our tables: what goes, what never does, what is refused, and that readers and it do not wait for each other."""

import importlib
import json
import pkgutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import metapulse_assets
from metapulse_assets.indicators.chain import WARM_UP
from metapulse_assets.operations import retention, tables
from metapulse_assets.operations.retention import clean_up, delete_rows, drop_days, overdue, store_removed
from metapulse_assets.operations.retention_rules import DayPartitions, Period, Rows, periods, rules
from metapulse_assets.outcomes.calibration_store import recalibrate
from metapulse_assets.outcomes.tables import signal_calibration, signal_outcomes
from metapulse_assets.platform.database import metadata
from metapulse_assets.platform.day_partitions import ensure_days, existing_days, utc_day
from metapulse_assets.platform.settings import Settings, SettingsError, load_settings
from metapulse_assets.platform.tables import dead_letters
from metapulse_assets.signals.tables import signals
from metapulse_assets_tests.operations.conftest import NOON

TODAY = utc_day(NOON)
# Every module of tables, whether or not retention knows of it.
for module in pkgutil.walk_packages(metapulse_assets.__path__, "metapulse_assets."):
    if module.name.endswith("tables"):
        importlib.import_module(module.name)


def partitioned(settings: Settings) -> dict[str, DayPartitions]:
    return {rule.parent: rule for rule in rules(settings) if isinstance(rule, DayPartitions)}


def plain(settings: Settings) -> dict[str, Rows]:
    return {rule.table.name: rule for rule in rules(settings) if isinstance(rule, Rows)}


def test_every_table_that_grows_by_the_day_has_a_rule() -> None:
    parents = {
        name for name, table in metadata.tables.items() if table.dialect_options["postgresql"]["partition_by"] is not None
    }
    # Candles are partitioned by timeframe first, and those of a day are few and stay.
    parents = parents - {"candles"} | {"candles_5m", "candles_1h"}
    assert parents == set(partitioned(load_settings()))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"social_retention_days": 9}, "METAPULSE_SOCIAL_RETENTION_DAYS: 9 days is less than the 10"),
        ({"metrics_retention_days": 2}, "METAPULSE_METRICS_RETENTION_DAYS: 2 days is less than the 10"),
        ({"analyses_retention_days": 31}, "METAPULSE_ANALYSES_RETENTION_DAYS: 31 days is less than the 32"),
        ({"candles_retention_days": 124}, "METAPULSE_CANDLES_RETENTION_DAYS: 124 days is less than the 125"),
        ({"analyses_retention_days": 365}, "METAPULSE_CANDLES_RETENTION_DAYS: 130 days is less than the 400"),
        ({"signals_retention_days": 29}, "METAPULSE_SIGNALS_RETENTION_DAYS: 29 days is less than the 30"),
    ],
)
def test_a_period_below_what_is_looked_back_at_is_refused_by_name(overrides: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        rules(load_settings(**overrides))
    assert str(error.value).startswith(expected)


def test_no_days_at_all_are_refused_when_the_settings_are_read() -> None:
    with pytest.raises(SettingsError, match="METAPULSE_RAW_PAYLOADS_RETENTION_DAYS"):
        load_settings(raw_payloads_retention_days=0)


@given(
    analyses=st.integers(32, 2_000),
    candles=st.integers(61, 3_000),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
)
def test_the_chain_of_the_oldest_analysis_kept_always_has_its_candles(analyses: int, candles: int, now: datetime) -> None:
    moment = now.replace(tzinfo=NOON.tzinfo)
    settings = load_settings(analyses_retention_days=analyses, candles_retention_days=candles)
    try:
        found = partitioned(settings)
    except SettingsError:
        assert candles < analyses + 35
        return
    oldest = found["technical_analyses"].kept_since(moment)
    for timeframe in ("5m", "1h"):
        assert found[f"candles_{timeframe}"].kept_since(moment) <= oldest - WARM_UP[timeframe]


@given(days=st.integers(1, 400), margin=st.integers(0, 40), seconds=st.integers(0, 86_399))
def test_today_and_the_days_promised_stay_at_every_time_of_day(days: int, margin: int, seconds: int) -> None:
    moment = NOON.replace(hour=0, minute=0, second=0) + timedelta(seconds=seconds)
    since = DayPartitions("t", Period("s", 1, "n", days), margin).kept_since(moment)
    assert since <= moment - timedelta(days=days + margin)
    assert since > moment - timedelta(days=days + margin + 1)


def test_whole_days_go_and_the_rest_stays(engine: sa.Engine) -> None:
    rule = partitioned(load_settings())["raw_payloads"]
    days = [TODAY - timedelta(days=back) for back in (0, 1, 13, 14, 15, 16, 400)]
    with engine.begin() as connection:
        ensure_days(connection, "raw_payloads", days)
        for day in days:
            insert_payload(connection, day)
    removed = drop_days(engine, rule, NOON)
    assert (removed.partitions, removed.left_for_later) == (3, 0)
    assert removed.bytes_freed >= 3 * 8192
    with engine.connect() as connection:
        assert existing_days(connection, "raw_payloads") == sorted(days[:4])
        assert connection.execute(sa.text("SELECT count(*) FROM raw_payloads")).scalar_one() == 4
        assert connection.execute(sa.text("SELECT to_regclass('raw_payloads_20260217')")).scalar() is None
    assert drop_days(engine, rule, NOON).partitions == 0


def insert_payload(connection: sa.Connection, day: date) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO raw_payloads (recorded_at, sha256, vendor, url, status, size, body)"
            " VALUES (:at, 'a', 'dexscreener', 'u', 200, 1, 'b')"
        ),
        {"at": f"{day} 00:00:00+00"},
    )


def test_a_day_that_a_reader_holds_is_left_for_later_and_readers_come_through(engine: sa.Engine) -> None:
    rule = partitioned(load_settings())["raw_payloads"]
    old = TODAY - timedelta(days=100)
    with engine.begin() as connection:
        ensure_days(connection, "raw_payloads", [old, TODAY])
        insert_payload(connection, old)
    with engine.connect() as reader, ThreadPoolExecutor(1) as pool:
        assert reader.execute(sa.text("SELECT count(*) FROM raw_payloads")).scalar_one() == 1
        dropping = pool.submit(drop_days, engine, rule, NOON)
        while not (dropping.done() or is_waiting(engine)):
            time.sleep(0.01)
        # Whoever comes while it waits is let through soon, though the first reader stays.
        with engine.begin() as other:
            other.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
            assert other.execute(sa.text("SELECT count(*) FROM raw_payloads")).scalar_one() == 1
        held = dropping.result()
        assert (held.partitions, held.left_for_later, held.is_something) == (0, 1, True)
    later = drop_days(engine, rule, NOON)
    assert (later.partitions, later.left_for_later) == (1, 0)


def is_waiting(engine: sa.Engine) -> bool:
    """Whether somebody waits for a lock in this database."""
    question = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    with engine.connect() as connection:
        return bool(
            connection.execute(sa.text(f"{question} WHERE NOT l.granted AND d.datname = current_database()")).scalar_one()
        )


def test_a_day_that_was_dropped_can_be_filled_again(engine: sa.Engine) -> None:
    rule = partitioned(load_settings())["raw_payloads"]
    old = TODAY - timedelta(days=100)
    for _ in range(2):
        with engine.begin() as connection:
            ensure_days(connection, "raw_payloads", [old])
            insert_payload(connection, old)
        assert drop_days(engine, rule, NOON).partitions == 1


def store_signal(connection: sa.Connection, name: str, emitted_at: datetime) -> None:
    values = {
        "signal_id": name, "token_id": 1, "kind": "technical", "rule": "r", "timeframe": "5m", "direction": "buy",
        "strength": 0.5, "confidence": 0.5, "risk": "low", "price_usd": 1.0, "horizon_seconds": 3600, "reasons": [],
        "opened_at": emitted_at, "observed_at": emitted_at, "emitted_at": emitted_at,
        "expires_at": emitted_at + timedelta(days=1), "recorded_at": emitted_at, "origin": "live", "mode": "sandbox",
        "run_id": "r",
    }  # fmt: skip
    connection.execute(sa.insert(signals).values(values))
    for horizon in ("5m", "7d"):
        connection.execute(
            sa.insert(signal_outcomes).values(
                signal_id=name, horizon=horizon, token_id=1, opened_at=emitted_at, status="unresolvable", reason="no price",
                available_at=emitted_at, recorded_at=emitted_at,
            )
        )  # fmt: skip


@pytest.fixture
def with_signals(engine: sa.Engine) -> sa.Engine:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO tokens (token_id, chain, address, symbol, name, first_recorded_at)"
                " OVERRIDING SYSTEM VALUE VALUES (1, 'solana', 'a', 'A', 'A', '2026-01-01Z')"
            )
        )
        for name, days in (("new", 0), ("expired", 2), ("last kept", 30.9), ("first to go", 31.1), ("old", 90)):
            store_signal(connection, name, NOON - timedelta(days=days))
    return engine


def test_signals_go_thirty_days_after_they_expired_and_their_outcomes_with_them(with_signals: sa.Engine) -> None:
    rule = plain(load_settings())["signals"]
    removed = delete_rows(with_signals, rule, NOON)
    assert (removed.rows, removed.is_complete) == (2, True)
    assert removed.bytes_freed > 500
    with with_signals.connect() as connection:
        kept = {"new", "expired", "last kept"}
        assert set(connection.execute(sa.select(signals.c.signal_id)).scalars()) == kept
        assert set(connection.execute(sa.select(signal_outcomes.c.signal_id)).scalars()) == kept


def test_the_calibration_is_the_same_without_the_signals_that_went(with_signals: sa.Engine) -> None:
    rule = plain(load_settings())["signals"]
    with with_signals.begin() as connection:
        connection.execute(
            sa.update(signal_outcomes)
            .where(signal_outcomes.c.horizon == "5m")
            .values(
                status="resolved", reason=None, timeframe="5m", entry_at=signal_outcomes.c.opened_at, entry_usd=1.0,
                exit_at=signal_outcomes.c.opened_at + timedelta(minutes=5), exit_usd=1.1, cost_share=0.01,
                market_return=0.1, net_return=0.09, best_return=0.1, worst_return=0.0,
            )
        )  # fmt: skip
        recalibrate(connection, NOON)
        before = connection.execute(sa.select(signal_calibration).order_by(sa.text("1, 2, 3, 4"))).all()
    assert [row.n for row in before] == [2] * len(before) != []
    assert delete_rows(with_signals, rule, NOON).rows == 2
    with with_signals.begin() as connection:
        recalibrate(connection, NOON)
        assert connection.execute(sa.select(signal_calibration).order_by(sa.text("1, 2, 3, 4"))).all() == before


def test_batches_take_everything_in_the_end_and_say_when_they_did_not(
    with_signals: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = plain(load_settings())["signals"]
    with with_signals.begin() as connection:
        for number in range(7):
            store_signal(connection, f"more {number}", NOON - timedelta(days=40))
    monkeypatch.setattr(retention, "BATCH_ROWS", 2)
    monkeypatch.setattr(retention, "MOST_BATCHES", 3)
    first, second = (delete_rows(with_signals, rule, NOON) for _ in range(2))
    assert (first.rows, first.is_complete) == (6, False)
    assert (second.rows, second.is_complete) == (3, True)


def test_what_may_not_go_stays_however_old(engine: sa.Engine) -> None:
    old = NOON - timedelta(days=500)
    job = {"engine": "dagster", "attempt": 1, "cause": "manual", "updated_at": old, "created_at": old}
    alarm = {"severity": "error", "text": "t", "first_seen": old, "last_seen": old, "count": 1}
    with engine.begin() as connection:
        for number, name in enumerate(("market_tick", "market_tick", "social_tick")):
            ended = old + timedelta(hours=number)
            connection.execute(
                sa.insert(tables.job_logs).values(**job, job_id=str(number), job=name, status="success", ended_at=ended)
            )
        connection.execute(sa.insert(tables.job_logs).values(**job, job_id="9", job="market_tick", status="started"))
        connection.execute(sa.insert(tables.alarms).values(**alarm, key="lasting"))
        connection.execute(sa.insert(tables.alarms).values(**alarm, key="over", resolved_at=old))
    found = plain(load_settings())
    assert delete_rows(engine, found["job_logs"], NOON).rows == 1
    assert delete_rows(engine, found["alarms"], NOON).rows == 1
    with engine.connect() as connection:
        assert set(connection.execute(sa.select(tables.job_logs.c.job_id)).scalars()) == {"1", "2", "9"}
        assert connection.execute(sa.select(tables.alarms.c.key)).scalars().all() == ["lasting"]


def test_all_rules_together_remove_report_and_leave_nothing_overdue(engine: sa.Engine) -> None:
    found = rules(load_settings())
    ancient = NOON - timedelta(days=1_000)
    with engine.begin() as connection:
        for rule in found:
            if isinstance(rule, DayPartitions):
                ensure_days(connection, rule.parent, [utc_day(ancient), TODAY])
        connection.execute(
            sa.insert(dead_letters).values(
                first_at=ancient, last_at=ancient, source="s", kind="item", item_key="k", reason="r", payload=json.loads("{}"),
                payload_sha256=b"x",
            )
        )  # fmt: skip
        assert len(overdue(connection, found, NOON)) == len(partitioned(load_settings())) + 1
    removed = clean_up(engine, found, NOON)
    gone = {one.name: one.partitions or one.rows for one in removed if one.is_something}
    assert set(gone.values()) == {1}
    assert gone.keys() == partitioned(load_settings()).keys() | {"dead_letters"}
    with engine.begin() as connection:
        assert overdue(connection, found, NOON) == {}
        assert store_removed(connection, removed, NOON) == len(gone)
        rows = connection.execute(sa.select(tables.retention)).all()
        assert {row.name for row in rows} == gone.keys()
        for rule in found:
            if isinstance(rule, DayPartitions):
                assert existing_days(connection, rule.parent) == [TODAY]


def test_the_periods_are_those_asked_for() -> None:
    found = {name: period.days for name, period in periods(load_settings()).items()}
    wanted = {"metrics": 90, "social": 60, "analyses": 90, "signals": 30, "job_logs": 7, "raw_payloads": 14, "dagster": 7}
    assert wanted.items() <= found.items()


@pytest.fixture
def another(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(raw_payloads_retention_days=3)


def test_a_setting_moves_what_goes(engine: sa.Engine, another: Settings) -> None:
    with engine.begin() as connection:
        ensure_days(connection, "raw_payloads", [TODAY - timedelta(days=back) for back in range(6)])
    assert drop_days(engine, partitioned(another)["raw_payloads"], NOON).partitions == 2
