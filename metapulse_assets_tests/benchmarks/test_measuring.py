"""That the benchmarks run: small versions, whose figures mean nothing."""

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets_tests.benchmarks.__main__ import main
from metapulse_assets_tests.benchmarks.memory import Peak, watching
from metapulse_assets_tests.benchmarks.prepared_market import STORED_BARS, prepare
from metapulse_assets_tests.benchmarks.shared_clock import SharedClock
from metapulse_assets_tests.benchmarks.table_sizes import bytes_of_growing
from metapulse_assets_tests.benchmarks.ticking import STAGES

FIRST_TICK = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)


def test_all_readers_of_a_clock_agree_and_it_goes_on(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", FIRST_TICK)
    reader = SharedClock(tmp_path / "clock")
    assert timedelta(0) <= reader() - FIRST_TICK < timedelta(seconds=30)
    clock.set(FIRST_TICK + timedelta(hours=1))
    before = reader.seconds()
    assert before >= (FIRST_TICK + timedelta(hours=1)).timestamp()
    time.sleep(0.02)
    assert reader.seconds() > before


def test_a_peak_is_the_highest_sum_not_the_sum_of_the_highest() -> None:
    peak = Peak()
    for sample in ({"a": 5.0, "b": 1.0}, {"a": 4.0, "b": 4.0}, {"a": 1.0, "b": 6.0}):
        peak.take(sample)
    assert peak.together == {"a": 4.0, "b": 4.0}
    assert peak.total == 8.0
    assert peak.samples == 3


def test_memory_that_was_in_use_for_a_while_is_seen() -> None:
    peak = Peak()
    with watching(peak, {"us": lambda: [psutil.Process(os.getpid())]}):
        held = b"x" * (64 * 2**20)
        time.sleep(0.2)
    assert peak.total > len(held) / 2**20


def test_a_prepared_market_has_states_to_go_on_from(engine: sa.Engine) -> None:
    assert prepare(engine, 25, FIRST_TICK) == 25
    with engine.connect() as connection:

        def count(what: str) -> int:
            return int(connection.execute(sa.text(f"SELECT count(*) FROM {what}")).scalar_one())

        assert count("tracked_tokens WHERE active") == 25
        with_state = count("indicator_states WHERE timeframe = '5m'")
        assert 15 <= with_state <= 25
        newest = "opened_at = '2026-03-04 11:50+00' AND timeframe = '5m'"
        assert with_state - 5 <= count(f"candles WHERE {newest}") <= with_state
        assert count(f"technical_analyses WHERE {newest}") == count(f"candles WHERE {newest}")
        assert count("candles WHERE timeframe = '5m'") <= 25 * STORED_BARS["5m"]
        assert count("candles WHERE timeframe = '5m' AND opened_at > '2026-03-04 11:50+00'") == 0
        # EMA 200 is warm: the rules see what they see in an old market.
        assert count("technical_analyses WHERE bar_count >= 800") > 10 * STORED_BARS["1h"]


def test_what_ticks_add_to_is_counted_with_partitions_and_indexes(engine: sa.Engine) -> None:
    before = bytes_of_growing(engine)
    assert {"token_metrics", "signals", "raw_payloads", "dead_letters"} <= before.keys()
    assert not {"indicator_states", "tokens", "alembic_version"} & before.keys()
    with engine.begin() as connection:
        ensure_days(connection, "raw_payloads", [date(2026, 3, 4), date(2026, 3, 5)])
        connection.execute(
            sa.text(
                "INSERT INTO raw_payloads (recorded_at, sha256, vendor, url, status, size, body)"
                " SELECT '2026-03-04 12:00+00'::timestamptz + step * interval '1 day', '', '', '', 200, 0,"
                " decode(repeat(md5(step::text), 2000), 'hex') FROM generate_series(0, 1) AS step"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO dead_letters (first_at, last_at, source, kind, item_key, reason, payload, payload_sha256)"
                " SELECT now(), now(), 'x', 'item', step::text, 'y', '{}', '' FROM generate_series(1, 1000) AS step"
            )
        )
    grown = {table: size - before[table] for table, size in bytes_of_growing(engine).items()}
    assert grown["raw_payloads"] > 2 * 8192
    assert grown["dead_letters"] > 1000 * 50
    assert grown["signals"] == 0


def test_the_indicators_are_compared_and_reported(tmp_path: Path) -> None:
    pytest.importorskip("talib")
    pytest.importorskip("pandas_ta_classic")
    assert main(["indicators", "--quick", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "benchmarks.json").read_text())
    ours, theirs = rows["indicators.vs_talib"], rows["indicators.vs_pandas_ta"]
    assert ours["ratio"] == pytest.approx(ours["value"] / ours["peer"], rel=1e-4)
    assert theirs["ratio"] == pytest.approx(theirs["peer"] / theirs["value"], rel=1e-4)
    assert "| `indicators.vs_talib` |" in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.slow
def test_ticks_are_measured_and_reported(tmp_path: Path) -> None:
    assert main(["tick.30.own_s", "--quick", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "benchmarks.json").read_text())
    stages = sum(rows[f"tick.30.{stage}_s"]["value"] for stage in STAGES)
    assert rows["tick.30.own_s"]["value"] == pytest.approx(stages, rel=1e-4)
    assert all(rows[f"tick.30.{stage}_s"]["value"] > 0 for stage in STAGES)
    assert rows["tick.30.peak_mb"]["value"] > rows["tick.30.peak_postgres_mb"]["value"] > 0
    assert rows["tick.bytes_per_token"]["value"] > 0


def test_a_name_that_no_row_begins_with_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing", "--quick"]) == 2
    assert "parts: tick, indicators, storage" in capsys.readouterr().err
