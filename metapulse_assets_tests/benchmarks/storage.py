"""The rows `storage.*`: what Dagster's own storage grows by."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import sqlalchemy as sa

from metapulse_assets.operations.dagster_retention import clean_up
from metapulse_assets.platform.settings import Settings
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.scheduled import EVERY_MINUTE, Scheduled, scheduled
from metapulse_assets_tests.benchmarks.workplace import BenchmarkError

NAME, WHOLE = "storage.dagster_mb_per_day", "storage.dagster_unthinned_mb_per_day"
DEFINITIONS = "metapulse_assets_tests.benchmarks.unjudged_definitions"
TOKENS = 10
MEGABYTE = 1_000_000
RUNS, QUICK_RUNS = 5, 2
WATCH = "watch"
DAY = timedelta(days=1)
# How often a day's schedules begin what, at the settings' defaults.
_DEFAULT = {name: field.default for name, field in Settings.model_fields.items()}
A_DAY = {
    **{
        job: DAY // timedelta(milliseconds=_DEFAULT[setting])
        for job, setting in {
            "market_tick": "token_data_interval",
            "social_tick": "social_data_interval",
            "ai_tick": "ai_analysis_interval",
            "cleanup": "cleanup_interval",
        }.items()
    },
    WATCH: 24 * 60,
}
JOBS = tuple(job for job in A_DAY if job != WATCH)
ALL_EVERY_MINUTE = {
    **EVERY_MINUTE,
    **dict.fromkeys(("SOCIAL_DATA_INTERVAL", "AI_ANALYSIS_INTERVAL", "CLEANUP_INTERVAL"), "60000"),
}

HOURS_WHOLE = _DEFAULT["dagster_steps_retention_hours"]

METHOD = f"""
A real daemon with the project's `dagster.yaml` runs all jobs of an almost empty market ({TOKENS} tokens) every minute. A day
is made of what one run of each leaves, times the runs of a day at the default settings: {A_DAY["market_tick"]} of
`market_tick`, signals and outcomes in it, {A_DAY["social_tick"]} of `social_tick`, {A_DAY["ai_tick"]} of `ai_tick`,
{A_DAY["cleanup"]} of `cleanup`, and {A_DAY[WATCH]:,} of the watch, which reports each minute without a run. A row counts
with its own bytes, compressed where they are, and with those of its entries in the indexes, whose columns are as wide as
`ANALYZE` finds them; a page of an index is nine tenths full. Compute logs are files and count with the blocks they fill.
`{NAME}` is what is left of a day when the hourly clean-up has removed how the steps of runs went by,
as it does by default when they are {HOURS_WHOLE} hours old. It is done here by the same function, and counted on all runs but
each job's first and newest, of which more stays; of the watch's reports it leaves one an hour. The chart that a tick draws
once an hour, the largest event there is, counts 24 times a day.
`{WHOLE}` is the same day before that: the newest {HOURS_WHOLE} hours are kept at that rate,
which is `storage.dagster_newest_mb` more and does not grow. The check that makes a sample of the signals again runs, but is
not judged, as in `tick`. Not counted: runs that fail, the report of each day, freshness that changes, and what is stored once
(definitions' snapshots) or updated in place (`asset_keys`, `daemon_heartbeats`, `kvs`, `instigators`, …).
"""

TARGETS: Mapping[str, Target] = {
    NAME: Target("a day of all schedules at their defaults, of which this stays", Goal("≤", 30), split=(f"{NAME}.",)),
    WHOLE: Target("the same before the clean-up"),
    **{f"{name}.{job}": Target(f"{times:,} a day") for name in (NAME, WHOLE) for job, times in A_DAY.items()},
    "storage.dagster_newest_mb": Target("what the hours that are kept whole take beyond that; constant"),
    "storage.events_per_tick": Target("rows of `event_logs` that a `market_tick` adds"),
    "storage.events_per_tick_kept": Target("of which so many stay"),
    "storage.largest_event_kb": Target("the largest of them"),
}

_OF_RUNS = "SELECT pipeline_name, pg_column_size(t.*) FROM {table} AS t JOIN runs USING (run_id) WHERE run_id = ANY(%(runs)s)"
# Per table: the job that a row belongs to, and the row's bytes.
_ROWS = {
    **{table: _OF_RUNS.format(table=table) for table in ("event_logs", "asset_check_executions", "run_tags")},
    "runs": "SELECT pipeline_name, pg_column_size(runs.*) FROM runs WHERE run_id = ANY(%(runs)s)",
    "asset_event_tags": "SELECT pipeline_name, pg_column_size(t.*) FROM asset_event_tags AS t"
    " JOIN event_logs AS e ON e.id = t.event_id JOIN runs USING (run_id) WHERE run_id = ANY(%(runs)s)",
    "job_ticks": "SELECT runs.pipeline_name, pg_column_size(t.*) FROM job_ticks AS t"
    " JOIN runs ON strpos(t.tick_body, runs.run_id) > 0 WHERE runs.run_id = ANY(%(runs)s)",
}
# Bytes of a row's entries in all indexes of a table: header and columns in steps of eight, and the pointer to them.
_ENTRIES = """
SELECT coalesce(sum((ceil((8 + width) / 8) * 8 + 4) / 0.9), 0) FROM (
    SELECT sum(s.avg_width * (1 - s.null_frac)) AS width FROM pg_index AS i
    JOIN pg_attribute AS a ON a.attrelid = i.indexrelid
    JOIN pg_stats AS s ON s.schemaname = 'public' AND s.tablename = %(table)s AND s.attname = a.attname
    WHERE i.indrelid = %(table)s::regclass GROUP BY i.indexrelid
) AS each_index
"""
_WATCH = "SELECT pg_column_size(e.*) FROM event_logs AS e WHERE run_id = '' AND dagster_event_type = 'ASSET_MATERIALIZATION'"
_WATCHES = "SELECT count(*) FROM event_logs WHERE run_id = '' AND asset_key = '[\"job_logs\"]'"


_Runs = Mapping[str, list[str]]


def measure(bench: Bench) -> Iterator[Row]:
    """All rows of this part; they come from one daemon."""
    wanted = QUICK_RUNS if bench.quick else RUNS
    with scheduled(bench, TOKENS, DEFINITIONS, ALL_EVERY_MINUTE) as daemon:
        # The first makes what is made once or each hour, and of the newest the clean-up keeps more.
        counted = {job: ids[1:-1] for job, ids in daemon.succeeded(bench, JOBS, wanted + 2).items()}
        whole, events = _day(daemon, counted, is_thinned=False), _events(daemon, counted)
        largest = _one(daemon, "SELECT max(length(event)) FROM event_logs")
        _thin_out(daemon)
        kept, events_kept = _day(daemon, counted, is_thinned=True), _events(daemon, counted)
    for day in (whole, kept):
        day["market_tick"] += 24 * largest / MEGABYTE
    n = len(_all(counted))
    for name, day in ((NAME, kept), (WHOLE, whole)):
        yield Row(name, sum(day.values()), "MB", n)
        for job, size in sorted(day.items(), key=lambda item: -item[1]):
            yield Row(f"{name}.{job}", size, "MB", n)
    yield Row("storage.dagster_newest_mb", (sum(whole.values()) - sum(kept.values())) * HOURS_WHOLE / 24, "MB", n)
    yield Row("storage.events_per_tick", events, "rows", len(counted["market_tick"]))
    yield Row("storage.events_per_tick_kept", events_kept, "rows", len(counted["market_tick"]))
    yield Row("storage.largest_event_kb", largest / 1000, "kB", 1)


def _all(counted: _Runs) -> list[str]:
    return [run_id for ids in counted.values() for run_id in ids]


def _day(daemon: Scheduled, counted: _Runs, is_thinned: bool) -> dict[str, float]:
    """Megabytes that a day adds, by job."""
    times = {job: A_DAY[job] / len(ids) / MEGABYTE for job, ids in counted.items()}
    found = dict.fromkeys(A_DAY, 0.0)
    with psycopg.connect(daemon.dagster_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        for table, rows in _ROWS.items():
            [(entries,)] = connection.execute(_ENTRIES, {"table": table}).fetchall()
            for job, row_bytes in connection.execute(rows, {"runs": _all(counted)}).fetchall():
                found[job] += (row_bytes + float(entries)) * times[job]
            if table == "event_logs":
                [(watches,)] = connection.execute(_WATCHES).fetchall()
                reported = sum(row_bytes + float(entries) for (row_bytes,) in connection.execute(_WATCH).fetchall())
                found[WATCH] += reported * (24 if is_thinned else A_DAY[WATCH]) / watches / MEGABYTE
    for job, ids in counted.items():
        found[job] += sum(_files(daemon.home / "logs" / run_id) for run_id in ids) * times[job]
    return found


def _thin_out(daemon: Scheduled) -> None:
    """What the clean-up does when the runs are old enough."""
    engine = sa.create_engine(daemon.dagster_url.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        now = datetime.now(UTC)
        removed = clean_up(engine, now - timedelta(days=_DEFAULT["dagster_retention_days"]), now)
    finally:
        engine.dispose()
    if not any(one.rows for one in removed) or not all(one.is_complete for one in removed):
        raise BenchmarkError(f"nothing was thinned out, or not all: {removed}")


def _files(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def _events(daemon: Scheduled, counted: _Runs) -> float:
    ticks = counted["market_tick"]
    return _one(daemon, "SELECT count(*) FROM event_logs WHERE run_id = ANY(%(runs)s)", ticks) / len(ticks)


def _one(daemon: Scheduled, question: str, runs: list[str] | None = None) -> int:
    with psycopg.connect(daemon.dagster_url) as connection:
        row = connection.execute(question, {"runs": runs} if runs is not None else None).fetchone()
    return int(row[0]) if row else 0


PART = Part("storage", METHOD, TARGETS, measure)
