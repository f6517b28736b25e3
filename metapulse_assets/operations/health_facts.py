"""What is measured of the machine, the database, the vendors, the data and the jobs. What it means is said in `health.py`."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.intelligence.tables import ai_analyses
from metapulse_assets.market.tables import candles, token_metrics
from metapulse_assets.operations.job_history import ENGINE
from metapulse_assets.operations.tables import health_metrics, job_logs
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.tables import circuit_breakers, dead_letters, raw_payloads
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.risk.tables import risk_assessments
from metapulse_assets.signals.tables import signals
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.social.tables import social_metrics

VENDORS = ("dexscreener", "geckoterminal", "x", "groq", "gemini", "rugcheck", "goplus")
NEWEST_ANSWERS = 3_000
"""Among so many of the newest answers a vendor's last success is looked for, so that a minute's measurement stays cheap."""
ANSWERS_SINCE = timedelta(hours=6)
DATA_SINCE = timedelta(days=2)


@dataclass(frozen=True)
class DatabaseFacts:
    """`latency` in s, of one trivial question; `connections` of all clients; `size` in bytes."""

    latency: float
    connections: int
    connections_allowed: int
    size: int


@dataclass(frozen=True)
class ProcessFacts:
    """Resident memory of this process in bytes, its share of one core, and the machine's load a core and free memory."""

    memory: int
    cpu_share: float
    load_per_core: float
    memory_available: int


@dataclass(frozen=True)
class VendorFacts:
    """A vendor's breaker, and the seconds since its last good answer; None: none lately."""

    state: str
    failures: int
    last_error: str
    last_success_age: float | None


@dataclass(frozen=True)
class DataFacts:
    """Age in s of a table's newest row, None: none within two days; and `expected_every`, s, None: it has no cadence."""

    age: float | None
    expected_every: float | None


@dataclass(frozen=True)
class JobFacts:
    """Runs of a job that ended in the last day, how many failed, and their mean time in s."""

    ended: int
    failed: int
    mean_seconds: float | None
    last_status: str


@dataclass(frozen=True)
class LetterFacts:
    """Refusals of a source that came within the last hour, and of the last two hours those that were known an hour ago."""

    last_hour: int
    hour_before: int


@dataclass(frozen=True)
class Facts:
    """Everything measured at one moment."""

    database: DatabaseFacts
    process: ProcessFacts
    vendors: Mapping[str, VendorFacts]
    data: Mapping[str, DataFacts]
    table_bytes: Mapping[str, int]
    table_bytes_before: Mapping[str, float]
    jobs: Mapping[str, JobFacts]
    dead_letters: Mapping[str, LetterFacts]


def read_facts(connection: sa.Connection, settings: Settings, now: datetime) -> Facts:
    """Measure everything that one process can see."""
    return Facts(
        database=read_database(connection),
        process=read_process(),
        vendors=read_vendors(connection, now),
        data=read_data_ages(connection, settings, now),
        table_bytes=read_table_sizes(connection),
        table_bytes_before=_sizes_before(connection, now),
        jobs=read_jobs(connection, now),
        dead_letters=read_dead_letters(connection, now),
    )


def read_database(connection: sa.Connection) -> DatabaseFacts:
    """How the database does; its latency is that of a question that reads nothing."""
    begun = time.perf_counter()
    connection.execute(sa.text("SELECT 1")).scalar_one()
    latency = time.perf_counter() - begun
    row = connection.execute(
        sa.text(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS allowed,"
            " pg_database_size(current_database()) AS size"
        )
    ).one()
    return DatabaseFacts(latency, row.connections, row.allowed, row.size)


def read_process() -> ProcessFacts:
    """What this process and the machine take."""
    import psutil

    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        lifetime = max(time.time() - process.create_time(), 1.0)
        memory = process.memory_info().rss
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return ProcessFacts(memory, (times.user + times.system) / lifetime, load, psutil.virtual_memory().available)


def read_vendors(connection: sa.Connection, now: datetime) -> dict[str, VendorFacts]:
    """Each vendor's breaker and last good answer; vendors without either are left out."""
    newest = (
        sa.select(raw_payloads.c.vendor, raw_payloads.c.recorded_at, raw_payloads.c.status)
        .where(raw_payloads.c.recorded_at > now - ANSWERS_SINCE, raw_payloads.c.recorded_at <= now)
        .order_by(raw_payloads.c.recorded_at.desc())
        .limit(NEWEST_ANSWERS)
        .subquery()
    )
    answered = {
        row.vendor: row.newest
        for row in connection.execute(
            sa.select(newest.c.vendor, sa.func.max(newest.c.recorded_at).label("newest"))
            .where(newest.c.status.between(200, 299))
            .group_by(newest.c.vendor)
        )
    }
    breakers = {row.vendor: row for row in connection.execute(sa.select(circuit_breakers))}
    found = {}
    for vendor in (*VENDORS, *sorted((answered.keys() | breakers.keys()) - set(VENDORS))):
        row = breakers.get(vendor)
        if row is None and vendor not in answered:
            continue
        age = (now - answered[vendor]).total_seconds() if vendor in answered else None
        state, failures, last_error = (row.state, row.failures, row.last_error) if row is not None else ("closed", 0, "")
        found[vendor] = VendorFacts(state, failures, last_error, age)
    return found


@dataclass(frozen=True)
class AgeQuestion:
    """How a table's newest row is found. `length`: s, of what the row spans, which it begins before it can be there."""

    newest: sa.Select[Any]
    expected_every: float | None
    length: float

    def facts(self, newest: datetime | None, now: datetime) -> DataFacts:
        """The answer as facts."""
        age = max((now - newest).total_seconds() - self.length, 0.0) if newest is not None else None
        return DataFacts(age, self.expected_every)


def read_data_ages(connection: sa.Connection, settings: Settings, now: datetime) -> dict[str, DataFacts]:
    """How old the newest row of each table is."""
    questions = data_age_questions(settings, now)
    return {name: question.facts(connection.execute(question.newest).scalar(), now) for name, question in questions.items()}


def data_age_questions(settings: Settings, now: datetime) -> dict[str, AgeQuestion]:
    """What to ask of each table; tables of what happens only now and then have no cadence."""
    token, social = settings.token_data_interval / 1000, settings.social_data_interval / 1000
    # Without a key nobody is asked for posts, and nothing is expected.
    talk = social if settings.key_of(settings.twitter_bearer_token) else None
    five = candles.c.timeframe == "5m"
    # A candle and its analysis carry the time at which the candle opened, which is its own length before it can be there.
    sources: dict[str, tuple[Any, Any, float | None, float]] = {
        "token_metrics": (token_metrics.c.observed_at, sa.true(), token, 0),
        "candles": (candles.c.opened_at, five, max(token, 300.0), 300),
        "technical_analyses": (technical_analyses.c.opened_at, sa.true(), max(token, 300.0), 300),
        "risk_assessments": (risk_assessments.c.observed_at, sa.true(), None, 0),
        "social_posts": (social_posts.c.observed_at, sa.true(), None, 0),
        "social_metrics": (social_metrics.c.as_of, sa.true(), talk, 0),
        "ai_analyses": (ai_analyses.c.as_of, sa.true(), None, 0),
        "signals": (signals.c.emitted_at, sa.true(), None, 0),
    }
    return {
        name: AgeQuestion(
            sa.select(column).where(condition, column > now - DATA_SINCE, column <= now).order_by(column.desc()).limit(1),
            # In a replay nothing new is to come.
            every if settings.mode is not Mode.REPLAY else None,
            length,
        )
        for name, (column, condition, every, length) in sources.items()
    }


def read_table_sizes(connection: sa.Connection) -> dict[str, int]:
    """Bytes of each table with its indexes, partitions counted with their parent."""
    rows = connection.execute(
        sa.text(
            "WITH RECURSIVE part AS ("
            " SELECT c.oid, c.oid AS root FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
            " UNION ALL SELECT i.inhrelid, p.root FROM pg_inherits i JOIN part p ON p.oid = i.inhparent)"
            " SELECT r.relname, sum(pg_total_relation_size(p.oid))::bigint AS bytes"
            " FROM part p JOIN pg_class r ON r.oid = p.root GROUP BY r.relname"
        )
    )
    return {row.relname: row.bytes for row in rows}


def _sizes_before(connection: sa.Connection, now: datetime) -> dict[str, float]:
    """Sizes an hour ago, as they were measured then."""
    h, hour = health_metrics.c, timedelta(hours=1)
    then = sa.select(sa.func.max(h.measured_at)).where(
        h.measured_at <= now - hour, h.measured_at > now - 2 * hour, h.service == "table"
    )
    rows = connection.execute(
        sa.select(h.metric, h.value).where(h.measured_at == then.scalar_subquery(), h.service == "table", h.unit == "bytes")
    )
    return {row.metric: row.value for row in rows if row.value is not None}


def read_jobs(connection: sa.Connection, now: datetime) -> dict[str, JobFacts]:
    """What came of each job's runs in the last day; where none ended in it, the newest run speaks."""
    j = job_logs.c
    ended = (j.engine == ENGINE, j.ended_at.is_not(None), j.status != "canceled")
    newest = sa.select(j.job, j.status).where(*ended).ext(distinct_on(j.job))
    last = {row.job: row.status for row in connection.execute(newest.order_by(j.job, j.ended_at.desc()))}
    rows = connection.execute(
        sa.select(
            j.job,
            sa.func.count().label("ended"),
            sa.func.count().filter(j.status == "failure").label("failed"),
            sa.func.avg(j.duration_seconds).label("mean"),
        )
        .where(*ended, j.ended_at > now - timedelta(days=1), j.ended_at <= now)
        .group_by(j.job)
    )
    counted = {row.job: (row.ended, row.failed, row.mean) for row in rows}
    return {job: JobFacts(*counted.get(job, (0, 0, None)), status) for job, status in last.items()}


def read_dead_letters(connection: sa.Connection, now: datetime) -> dict[str, LetterFacts]:
    """Distinct refusals by source that came, first or again, in the last hour, and those that were known before it."""
    d, hour = dead_letters.c, timedelta(hours=1)
    rows = connection.execute(
        sa.select(
            d.source,
            sa.func.count().filter(d.last_at > now - hour).label("last_hour"),
            sa.func.count().filter(d.first_at <= now - hour).label("hour_before"),
        )
        .where(d.last_at > now - 2 * hour, d.last_at <= now)
        .group_by(d.source)
        .order_by(d.source)
    )
    return {row.source: LetterFacts(row.last_hour, row.hour_before) for row in rows}
