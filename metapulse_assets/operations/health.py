"""What the measurements mean: each as a row with a status and, where it is not ok, the reason and the cure; all in one word.

Measuring is in `health_facts.py`; here nothing is asked but the stored rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.operations.health_facts import DataFacts, Facts, JobFacts, LetterFacts, ProcessFacts, VendorFacts
from metapulse_assets.operations.tables import health_metrics
from metapulse_assets.platform.asset_policy import FAIL_AFTER_TICKS, WARN_AFTER_TICKS
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.settings import Settings

Status = Literal["ok", "warn", "fail"]
Overall = Literal["ok", "degraded", "down"]

# Own choices, all of them: what a small installation should stay below.
LATENCY_WARN_SECONDS, LATENCY_FAIL_SECONDS = 0.1, 1.0
CONNECTIONS_WARN_SHARE, CONNECTIONS_FAIL_SHARE = 0.7, 0.9
MEMORY_WARN_SHARE = 0.8
"""Of METAPULSE_MEMORY_LIMIT_MB; at the limit itself it fails."""
LOAD_WARN_PER_CORE, LOAD_FAIL_PER_CORE = 2.0, 6.0
MEMORY_LEFT_WARN_BYTES, MEMORY_LEFT_FAIL_BYTES = 300_000_000, 100_000_000
GROWTH_WARN_BYTES_PER_HOUR = 500_000_000
FAILED_WARN_SHARE, FAILED_FAIL_SHARE = 0.1, 0.5
FEWEST_RUNS = 3
"""Ended runs of a day from which a share of failures says something."""
LETTERS_WARN_PER_HOUR, LETTERS_FAIL_PER_HOUR = 20, 200
MEASURED_WITHIN = timedelta(minutes=5)
"""Without a measurement for so long, nobody knows how it stands."""

BREAKER_VALUES = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


@dataclass(frozen=True)
class HealthRow:
    """One measurement and what to think of it. `reason` names the cure; None where status is ok."""

    service: str
    metric: str
    value: float | None
    unit: str
    status: Status = "ok"
    reason: str | None = None


@dataclass(frozen=True)
class HealthSummary:
    """How it stands over all. `culprits` are the rows that are not ok, the gravest first."""

    status: Overall
    measured_at: datetime | None
    culprits: tuple[HealthRow, ...]


def judged(value: float, warn: float, fail: float) -> Status:
    """The status of a value that should stay below two thresholds."""
    return "fail" if value >= fail else "warn" if value >= warn else "ok"


def health_rows(facts: Facts, settings: Settings) -> list[HealthRow]:
    """All measurements of a moment as rows."""
    return [
        *_database(facts),
        *process_rows(facts.process, settings.memory_limit_mb),
        *(row for vendor, its in facts.vendors.items() for row in _vendor(vendor, its)),
        *(data_row(name, its) for name, its in facts.data.items()),
        *_tables(facts),
        *(row for job, its in facts.jobs.items() for row in _job(job, its)),
        *(row for source, its in facts.dead_letters.items() for row in _letters(source, its)),
    ]


def _row(service: str, metric: str, value: float | None, unit: str, status: Status = "ok", reason: str = "") -> HealthRow:
    return HealthRow(service, metric, value, unit, status, reason if status != "ok" else None)


def _database(facts: Facts) -> Iterator[HealthRow]:
    database = facts.database
    latency = judged(database.latency, LATENCY_WARN_SECONDS, LATENCY_FAIL_SECONDS)
    slow = f"a trivial question took {database.latency:.2f} s: look for a long query, a full disk or a busy machine"
    yield _row("database", "latency", database.latency, "s", latency, slow)
    share = database.connections / max(database.connections_allowed, 1)
    many = (
        f"{database.connections} of {database.connections_allowed} connections are taken: lower DATABASE_POOL_MAX,"
        " or raise the server's max_connections"
    )
    yield _row("database", "connections", database.connections, "count")
    yield _row(
        "database", "connections_share", share, "share", judged(share, CONNECTIONS_WARN_SHARE, CONNECTIONS_FAIL_SHARE), many
    )
    yield _row("database", "size", database.size, "bytes")


def process_rows(process: ProcessFacts, limit_mb: int) -> Iterator[HealthRow]:
    """What a process takes, held against METAPULSE_MEMORY_LIMIT_MB, and what the machine has left."""
    limit = limit_mb * 1_000_000
    memory = judged(process.memory, MEMORY_WARN_SHARE * limit, limit)
    much = (
        f"the process takes {process.memory / 1e6:.0f} MB of METAPULSE_MEMORY_LIMIT_MB={limit_mb}:"
        " track fewer tokens, or raise the limit"
    )
    yield _row("process", "memory", process.memory, "bytes", memory, much)
    yield _row("process", "cpu_share", process.cpu_share, "share")
    load = judged(process.load_per_core, LOAD_WARN_PER_CORE, LOAD_FAIL_PER_CORE)
    yield _row(
        "machine",
        "load_per_core",
        process.load_per_core,
        "count",
        load,
        f"{process.load_per_core:.1f} tasks wait for each core",
    )
    left = judged(-process.memory_available, -MEMORY_LEFT_WARN_BYTES, -MEMORY_LEFT_FAIL_BYTES)
    little = f"only {process.memory_available / 1e6:.0f} MB of the machine's memory are free: stop something"
    yield _row("machine", "memory_available", process.memory_available, "bytes", left, little)


def _vendor(vendor: str, facts: VendorFacts) -> Iterator[HealthRow]:
    yield breaker_row(vendor, facts.state, facts.failures, f"last: {facts.last_error}")
    yield _row(vendor, "last_success_age", facts.last_success_age, "s")


def breaker_row(vendor: str, state: str, failures: int, more: str) -> HealthRow:
    """Whether a vendor is being called. `more`: what else is known of its failures."""
    status: Status = "ok" if state == "closed" else "warn" if state == "half_open" else "fail"
    reason = (
        f"{vendor} is not being called after {failures} failures in a row ({more}):"
        " look whether it is down, then at its URL and key with `metapulse doctor`"
    )
    return _row(vendor, "breaker", BREAKER_VALUES.get(state, 1.0), "state", status, reason)


def data_row(name: str, facts: DataFacts) -> HealthRow:
    """The age of a table's newest row, held against its cadence."""
    metric = f"{name}.newest_age"
    if facts.expected_every is None:
        return _row("data", metric, facts.age, "s")
    cure = "see the newest run of its asset, and whether the schedules are on (`metapulse up`)"
    if facts.age is None:
        return _row("data", metric, None, "s", "warn", f"{name} has no row of the last two days: {cure}")
    status = judged(facts.age, WARN_AFTER_TICKS * facts.expected_every, FAIL_AFTER_TICKS * facts.expected_every)
    late = f"the newest row of {name} is {facts.age / 60:.0f} min old, expected every {facts.expected_every / 60:.0f}: {cure}"
    return _row("data", metric, facts.age, "s", status, late)


def _tables(facts: Facts) -> Iterator[HealthRow]:
    for name, size in sorted(facts.table_bytes.items()):
        yield _row("table", name, size, "bytes")
    before = facts.table_bytes_before
    growth = {name: size - before[name] for name, size in facts.table_bytes.items() if name in before}
    if not growth:
        return
    total, (fastest, most) = sum(growth.values()), max(growth.items(), key=lambda item: item[1])
    status: Status = "warn" if total >= GROWTH_WARN_BYTES_PER_HOUR else "ok"
    fast = (
        f"the tables grew {total / 1e6:,.0f} MB in an hour, {fastest} by {most / 1e6:,.0f} MB: keep less"
        " (METAPULSE_…_RETENTION_DAYS), or track fewer tokens"
    )
    yield _row("table", "growth of all", total, "bytes/h", status, fast)
    for name, grown in sorted(growth.items()):
        if grown:
            yield _row("table", f"growth of {name}", grown, "bytes/h")


def _job(job: str, facts: JobFacts) -> Iterator[HealthRow]:
    share = facts.failed / facts.ended if facts.ended else 0.0
    status = judged(share, FAILED_WARN_SHARE, FAILED_FAIL_SHARE) if facts.ended >= FEWEST_RUNS else "ok"
    if facts.last_status == "failure" and status == "ok":
        status = "warn"
    reason = (
        f"{facts.failed} of {facts.ended} runs of {job} failed in the last day, the newest with {facts.last_status}:"
        " `job_logs` has the errors"
    )
    yield _row("jobs", f"{job}.failed_share", share, "share", status, reason)
    yield _row("jobs", f"{job}.ended_per_day", facts.ended, "count")
    yield _row("jobs", f"{job}.mean_duration", facts.mean_seconds, "s")


def _letters(source: str, facts: LetterFacts) -> Iterator[HealthRow]:
    status = judged(facts.last_hour, LETTERS_WARN_PER_HOUR, LETTERS_FAIL_PER_HOUR)
    reason = (
        f"{facts.last_hour} refusals of {source} in the last hour, {facts.hour_before} were known before:"
        " their reasons are in dead_letters; the vendor may have changed its answers"
    )
    yield _row("dead_letters", f"{source}.last_hour", facts.last_hour, "count", status, reason)
    yield _row("dead_letters", f"{source}.growth", facts.last_hour - facts.hour_before, "count/h")


def store_health(connection: sa.Connection, rows: Sequence[HealthRow], now: datetime) -> int:
    """Store the rows of a minute; a minute that is stored already stays as it is. Returns the rows written."""
    minute = now.replace(second=0, microsecond=0)
    ensure_days(connection, health_metrics.name, [utc_day(minute)])
    if not rows:
        return 0
    statement = insert(health_metrics).values([{"measured_at": minute, **asdict(row)} for row in rows])
    written = connection.execute(statement.on_conflict_do_nothing().returning(health_metrics.c.metric))
    return len(written.all())


def newest_health(connection: sa.Connection, now: datetime) -> tuple[datetime | None, list[HealthRow]]:
    """The rows of the newest minute measured in the last day."""
    h = health_metrics.c
    minute: datetime | None = connection.execute(
        sa.select(sa.func.max(h.measured_at)).where(h.measured_at > now - timedelta(days=1), h.measured_at <= now)
    ).scalar()
    if minute is None:
        return None, []
    found = connection.execute(
        sa.select(h.service, h.metric, h.value, h.unit, h.status, h.reason)
        .where(h.measured_at == minute)
        .order_by(h.service, h.metric)
    )
    return minute, [HealthRow(*row) for row in found]


def health_summary(connection: sa.Connection, now: datetime) -> HealthSummary:
    """ok, degraded (something is not as it should be) or down (the database itself fails), with the culprits.

    A database that cannot be reached raises before it can say so: whoever asks takes that for down.
    """
    return summary_at(now, *newest_health(connection, now))


def summary_at(now: datetime, minute: datetime | None, rows: Sequence[HealthRow]) -> HealthSummary:
    """What the newest measurement says; one that is too old says nothing, and is itself what is wrong."""
    if minute is None or now - minute > MEASURED_WITHIN:
        since = "never" if minute is None else f"not since {minute:%Y-%m-%d %H:%M} UTC"
        age = None if minute is None else (now - minute).total_seconds()
        reason = f"health was {since} measured: the sensor `operations_watch` must be on, and Dagster's daemon running"
        return HealthSummary("degraded", minute, (HealthRow("health", "measured_age", age, "s", "fail", reason),))
    return summary_of(minute, rows)


def summary_of(minute: datetime, rows: Sequence[HealthRow]) -> HealthSummary:
    """The rows of one minute in one word."""
    culprits = sorted((row for row in rows if row.status != "ok"), key=lambda row: row.status != "fail")
    is_down = any(row.service == "database" and row.status == "fail" for row in culprits)
    return HealthSummary("down" if is_down else "degraded" if culprits else "ok", minute, tuple(culprits))
