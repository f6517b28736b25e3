"""The figures of what comes in and what is stored: vendors, tables, the stream, the database itself."""

import time
from datetime import datetime, timedelta

from prometheus_client.metrics_core import Metric

from metapulse_assets.market.stream.writing import FRAMES_METRIC, HEARD_MARK, LAG_METRIC, ROWS_METRIC
from metapulse_assets.operations.health import BREAKER_VALUES
from metapulse_assets.operations.health_facts import data_age_questions
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import DURATION_METRIC, REQUESTS_METRIC
from metapulse_assets.service.metrics.families import counter, gauge, histogram
from metapulse_assets.service.probes import Connection, fetch, select

Totals = dict[tuple[str, ...], float]
_TOTALS = "SELECT labels, total FROM metric_totals WHERE metric = %(metric)s"


async def _totals(connection: Connection, metric: str, *labels: str) -> Totals:
    """Totals by the values of these labels."""
    found = await fetch(connection, _TOTALS, metric=metric)
    return {tuple(of[label] for label in labels): total for of, total in found}


async def _durations(connection: Connection, name: str, meaning: str, metric: str, *labels: str) -> Metric:
    ranges: dict[tuple[str, ...], dict[str, float]] = {}
    for (*values, bound), total in (await _totals(connection, metric, *labels, "le")).items():
        ranges.setdefault(tuple(values), {})[bound] = total
    return histogram(name, meaning, ranges, await _totals(connection, f"{metric}_sum", *labels), labels)


async def vendors(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """What the vendors answered, and whether they are being called."""
    requests = await _totals(connection, REQUESTS_METRIC, "vendor", "outcome")
    meaning = "What vendors' answers took, whatever they were; told by each client when it is closed."
    took = await _durations(connection, "vendor_request_duration_seconds", meaning, DURATION_METRIC, "vendor")
    breakers = await fetch(connection, "SELECT vendor, state, failures FROM circuit_breakers ORDER BY vendor")
    return [
        counter(
            "vendor_requests",
            "Requests to vendors, by what came: ok, rate_limited, refused (4xx), failed (5xx), unanswered.",
            requests.items(),
            ("vendor", "outcome"),
        ),
        took,
        gauge(
            "vendor_breaker_state",
            "1 for the state that the vendor's circuit breaker is in.",
            [((vendor, state), float(state == its)) for vendor, its, _ in breakers for state in BREAKER_VALUES],
            ("vendor", "state"),
        ),
        gauge(
            "vendor_breaker_failures",
            "Calls in a row that failed by the vendor's fault.",
            [((vendor,), failures) for vendor, _, failures in breakers],
            ("vendor",),
        ),
    ]


async def data(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """What is known and how new it is."""
    ((tracked,),) = await fetch(connection, "SELECT count(*) FROM tracked_tokens WHERE active")
    signals = await fetch(connection, _OPEN_SIGNALS, now=now)
    refused = await fetch(connection, _REFUSED, since=now - timedelta(hours=1), now=now)
    alarms = await fetch(connection, _ALARMS)
    ages = []
    for name, question in data_age_questions(settings, now).items():
        found = await select(connection, question.newest)
        age = question.facts(found[0][0] if found else None, now).age
        if age is not None:
            ages.append(((name,), age))
    return [
        gauge("tokens_tracked", "Tokens that the next tick asks for.", [((), tracked)]),
        gauge(
            "signals_open",
            "Signals that have not expired, by source and direction.",
            [((kind, direction), number) for kind, direction, number in signals],
            ("kind", "direction"),
        ),
        gauge(
            "data_age_seconds",
            "Age of a table's newest row; absent without one of the last two days.",
            ages,
            ("table",),
        ),
        gauge(
            "refused_items_last_hour",
            "Distinct items and requests that were refused within the last hour (table dead_letters).",
            [((source,), number) for source, number in refused],
            ("source",),
        ),
        gauge(
            "alarms_open",
            "Alarms that last.",
            [((severity,), number) for severity, number in alarms],
            ("severity",),
        ),
    ]


_OPEN_SIGNALS = """
SELECT kind, direction, count(*) FROM signals WHERE expires_at > %(now)s AND emitted_at <= %(now)s GROUP BY 1, 2 ORDER BY 1, 2
"""
_REFUSED = """
SELECT source, count(*) FROM dead_letters WHERE last_at > %(since)s AND last_at <= %(now)s GROUP BY 1 ORDER BY 1
"""
_ALARMS = """
SELECT s.severity, count(a.alarm_id) FROM (VALUES ('warning'), ('error')) AS s (severity)
LEFT JOIN alarms AS a ON a.severity = s.severity AND a.resolved_at IS NULL GROUP BY 1 ORDER BY 1
"""


async def stream(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """What the stream wrote, and when it was last heard. Its totals are stored every five seconds."""
    heard = await fetch(connection, "SELECT through FROM progress_marks WHERE name = %(name)s", name=HEARD_MARK)
    meaning = "From a frame's arrival to its row; the last seconds before a kill are not counted."
    return [
        counter("stream_frames", "Frames that were written.", (await _totals(connection, FRAMES_METRIC)).items()),
        counter("stream_rows", "Rows that they made.", (await _totals(connection, ROWS_METRIC, "table")).items(), ("table",)),
        await _durations(connection, "stream_lag_seconds", meaning, LAG_METRIC),
        gauge(
            "stream_heard_age_seconds",
            "Since the stream last gave a sign of life; absent if it never did.",
            [((), max((now - row[0]).total_seconds(), 0.0)) for row in heard],
        ),
    ]


async def database(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """The server's own statistics of our database; they begin anew when it is restored or crashed."""
    begun = time.perf_counter()
    await fetch(connection, "SELECT 1")
    latency = time.perf_counter() - begun
    (row,) = await fetch(connection, _DATABASE)
    active, commits, rollbacks, deadlocks, conflicts, size, connections, allowed, rows_read, rows_written, cached, read = row
    return [
        gauge("database_latency_seconds", "What a question that reads nothing took.", [((), latency)]),
        counter("database_active_seconds", "Time that the server spent on our statements.", [((), active)]),
        counter(
            "database_transactions",
            "Transactions, by how they ended.",
            [(("commit",), commits), (("rollback",), rollbacks)],
            ("outcome",),
        ),
        counter("database_deadlocks", "Deadlocks.", [((), deadlocks)]),
        counter("database_conflicts", "Statements that recovery ended.", [((), conflicts)]),
        counter("database_rows_fetched", "Rows that statements fetched.", [((), rows_read)]),
        counter("database_rows_written", "Rows inserted, updated and deleted.", [((), rows_written)]),
        counter(
            "database_blocks_read",
            "Blocks of 8 kB that were needed, by where they came from.",
            [(("cache",), cached), (("disk",), read)],
            ("source",),
        ),
        gauge("database_size_bytes", "Size of our database.", [((), size)]),
        gauge("database_connections", "Connections of all clients to the server.", [((), connections)]),
        gauge("database_connections_allowed", "Connections that clients may have.", [((), allowed)]),
    ]


_DATABASE = """
SELECT active_time / 1000, xact_commit, xact_rollback, deadlocks, conflicts, pg_database_size(datid),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    tup_fetched, tup_inserted + tup_updated + tup_deleted, blks_hit, blks_read
FROM pg_stat_database WHERE datname = current_database()
"""
