"""The rows `storage.*`: what Dagster's own storage grows by."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg

from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.scheduled import Scheduled, scheduled
from metapulse_assets_tests.benchmarks.workplace import BenchmarkError

NAME = "storage.dagster_mb_per_day"
DEFINITIONS = "metapulse_assets.definitions"
TOKENS = 10
TICKS_A_DAY = 288
MEGABYTE = 1_000_000
# Ticks that are counted; one before them makes what is made once.
RUNS, SKIPS = 5, 3
QUICK_RUNS, QUICK_SKIPS = 1, 1
LOGS = "compute_logs"
# Rows that are updated in place, one an asset, a daemon or a key: their number stays.
CONSTANT = ("asset_keys", "daemon_heartbeats", "kvs", "instance_info", "instigators", "jobs", "concurrency_limits")

METHOD = """
A real daemon with the project's `dagster.yaml` runs the tick of an almost empty market (10 tokens) every minute. Growth is per
tick, times the 288 ticks of a day. Tables are counted with TOAST and indexes, after `VACUUM FULL` before and after, so that
only what stays is counted: rows that Dagster updates in place leave dead versions, which autovacuum makes room of again.
Compute logs are files and are counted with the blocks they fill. Tables whose rows are updated in place and do not become more
(`asset_keys`, `daemon_heartbeats`, `kvs`, `instigators`, …) are left out. The first tick after the start, which stores the
definitions' snapshots once, is not counted. Ticks that are skipped, since a run is still going on, are measured by themselves.
"""

TARGETS: Mapping[str, Target] = {
    NAME: Target("288 ticks of an almost empty market", Goal("≤", 30), split=(f"{NAME}.",)),
    "storage.dagster_before_vacuum_mb_per_day": Target("the same without the `VACUUM FULL`: dead versions included"),
    "storage.dagster_skipped_mb_per_day": Target("288 ticks that are skipped"),
    "storage.events_per_tick": Target("rows of `event_logs` that a tick adds"),
    "storage.largest_event_kb": Target("the largest of them"),
}


def measure(bench: Bench) -> Iterator[Row]:
    """All rows of this part; they come from one daemon."""
    runs, skips = (QUICK_RUNS, QUICK_SKIPS) if bench.quick else (RUNS, SKIPS)
    with scheduled(bench, TOKENS, DEFINITIONS) as daemon:
        daemon.runs_ended(bench, 1)
        before, events_before = _compact(daemon), _events(daemon)
        counted = len(daemon.runs_ended(bench, runs))
        raw, events = _sizes(daemon), _events(daemon)
        after = _compact(daemon)
        bench.say("skipped ticks")
        skipped = _skip(daemon, skips)
        after_skips = _compact(daemon)
        largest = _largest_event(daemon)
    per_day = TICKS_A_DAY / counted / MEGABYTE
    grown = {name: (size - before.get(name, 0)) * per_day for name, size in after.items()}
    yield Row(NAME, sum(grown.values()), "MB", counted)
    for name, size in sorted(grown.items(), key=lambda item: -item[1]):
        if size > 0:
            yield Row(f"{NAME}.{name}", size, "MB", counted)
    yield Row("storage.dagster_before_vacuum_mb_per_day", (sum(raw.values()) - sum(before.values())) * per_day, "MB", counted)
    per_day = TICKS_A_DAY / skipped / MEGABYTE
    yield Row("storage.dagster_skipped_mb_per_day", (sum(after_skips.values()) - sum(after.values())) * per_day, "MB", skipped)
    yield Row("storage.events_per_tick", (events - events_before) / counted, "rows", counted)
    yield Row("storage.largest_event_kb", largest / 1000, "kB", 1)


def _sizes(daemon: Scheduled) -> dict[str, int]:
    """Bytes of each of Dagster's tables and of the files of its compute logs."""
    with psycopg.connect(daemon.dagster_url) as connection:
        rows = connection.execute(
            "SELECT relname::text, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
    return {**{name: int(size) for name, size in rows if name not in CONSTANT}, LOGS: _files(daemon.home / "logs")}


def _compact(daemon: Scheduled) -> dict[str, int]:
    """The same after what is dead was thrown away."""
    with psycopg.connect(daemon.dagster_url, autocommit=True) as connection:
        connection.execute("VACUUM FULL")
    return _sizes(daemon)


def _files(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def _events(daemon: Scheduled) -> int:
    with psycopg.connect(daemon.dagster_url) as connection:
        row = connection.execute("SELECT count(*) FROM event_logs").fetchone()
    return int(row[0]) if row else 0


def _largest_event(daemon: Scheduled) -> int:
    with psycopg.connect(daemon.dagster_url) as connection:
        row = connection.execute("SELECT max(length(event)) FROM event_logs").fetchone()
    return int(row[0]) if row else 0


def _skip(daemon: Scheduled, count: int) -> int:
    """Let so many ticks be skipped, by a run that does not end; returns how many were."""
    with psycopg.connect(daemon.dagster_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, partition, partition_set,"
            " create_timestamp, update_timestamp, start_time) SELECT gen_random_uuid()::text, snapshot_id, pipeline_name,"
            " 'STARTED', replace(run_body, 'DagsterRunStatus.SUCCESS', 'DagsterRunStatus.STARTED'), partition, partition_set,"
            " create_timestamp, update_timestamp, extract(epoch FROM now()) FROM runs WHERE status = 'SUCCESS'"
            " ORDER BY id DESC LIMIT 1"
        )
        skipped = "SELECT count(*) FROM job_ticks WHERE status = 'SKIPPED'"
        before = (connection.execute(skipped).fetchone() or (0,))[0]
        deadline = time.time() + 60 * (count + 2)
        while (now := (connection.execute(skipped).fetchone() or (0,))[0] - before) < count:
            if time.time() > deadline:
                raise BenchmarkError(f"ticks were not skipped\n{daemon.log()}")
            time.sleep(0.5)
    return int(now)


PART = Part("storage", METHOD, TARGETS, measure)
