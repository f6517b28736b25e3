"""What is asked of MetaPulse's own database, each part on a connection of its own: vendors, queue, workers, stream, data.

What a measurement means, where it is stored too, is said in `operations/health.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from metapulse_assets.market.stream.writing import HEARD_MARK
from metapulse_assets.operations.health import (
    FAILED_FAIL_SHARE,
    FAILED_WARN_SHARE,
    FEWEST_RUNS,
    HealthRow,
    Status,
    breaker_row,
    data_row,
    judged,
    summary_at,
)
from metapulse_assets.operations.health_facts import data_age_questions
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.platform.work_queue.living import ALIVE_SECONDS
from metapulse_assets.platform.work_queue.pgqueuer_schema import QUEUE_TABLE
from metapulse_assets.service.probes import Connection, Row, fetch, row_of, select

# A worker looks for due jobs each second. A queue that stands still is to be known within a minute, with the seconds of the
# page's cache.
QUEUE_STUCK_SECONDS = 45.0
# Without any worker alive a due job need not be waited for so long.
NO_WORKER_SECONDS = 10.0
# The stream gives a sign of life every 10 s while it is connected.
STREAM_SILENT_SECONDS = 45.0
JOBS_SINCE_MINUTES = 10
# What is not measured here is taken from what was stored. The stored rows of a process are those of the one that measured.
STORED_SERVICES = ("table", "jobs", "dead_letters", "process", "health")


async def vendors(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """Whether each vendor is being called, and what its answers took."""
    found = await fetch(connection, "SELECT vendor, state, failures, changed_at FROM circuit_breakers ORDER BY vendor")
    took = await fetch(connection, _VENDOR_LATENCIES)
    rows = [
        breaker_row(vendor, state, failures, f"for {max(now.timestamp() - changed_at, 0.0) / 60:.0f} min")
        for vendor, state, failures, changed_at in found
    ]
    return [*rows, *(row_of(vendor, "mean_latency", mean, "s") for vendor, mean in took)]


# Since the beginning; a vendor that never answered has none.
_VENDOR_LATENCIES = """
SELECT s.labels ->> 'vendor', s.total / n.answers FROM metric_totals AS s
JOIN (SELECT labels ->> 'vendor' AS vendor, sum(total) AS answers FROM metric_totals
    WHERE metric = 'vendor_request_seconds' GROUP BY 1) AS n ON n.vendor = s.labels ->> 'vendor'
WHERE s.metric = 'vendor_request_seconds_sum' AND n.answers > 0 ORDER BY 1
"""


@dataclass(frozen=True)
class QueueState:
    """A queue now. `waited`: s since its oldest due job became due; `held`: jobs whose worker gave a sign of life lately."""

    queue: str
    due: int
    waited: float
    held: int
    is_paused: bool

    def is_stuck(self, workers: int) -> bool:
        """Whether a due job waits for nobody."""
        limit = QUEUE_STUCK_SECONDS if workers else NO_WORKER_SECONDS
        return self.due > 0 and not self.held and not self.is_paused and self.waited > limit


async def queue(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """Whether due jobs are begun."""
    lease = max(settings.worker_lease_seconds, 1.0)
    states = [QueueState(*row) for row in await fetch(connection, _QUEUES, lease=lease)]
    ((workers,),) = await fetch(connection, _WORKERS, silent=ALIVE_SECONDS)
    return queue_rows(states, workers)


def queue_rows(states: list[QueueState], workers: int) -> list[HealthRow]:
    """What is stuck. The queue as a whole works unless every worker does nothing while jobs are due."""
    rows, stuck = [], [state for state in states if state.is_stuck(workers)]
    for state in states:
        who = "no worker is alive: start one (`metapulse worker`, part of `metapulse up`)"
        if workers:
            who = "no worker takes it: is one running that knows this queue, and does it still answer? (logs/worker.log)"
        reason = f"{state.due} jobs of {state.queue} are due, the oldest for {state.waited:.0f} s: {who}"
        status: Status = "fail" if state in stuck else "ok"
        rows.append(row_of("queue", f"{state.queue}.oldest_due", state.waited if state.due else None, "s", status, reason))
        rows.append(row_of("queue", f"{state.queue}.due", state.due, "count"))
    is_dead = bool(stuck) and not any(state.held for state in states)
    names = ", ".join(state.queue for state in stuck)
    reason = f"jobs are due ({names}) and none is being worked on: start a worker (`metapulse worker`), or restart it"
    return [row_of("queue", "working", 0.0 if is_dead else 1.0, "state", "fail" if is_dead else "ok", reason), *rows]


_QUEUES = f"""
SELECT q.entrypoint,
    count(*) FILTER (WHERE q.since <= now()),
    coalesce(extract(epoch FROM now() - min(q.since) FILTER (WHERE q.since <= now())), 0)::float8,
    count(*) FILTER (WHERE q.since IS NULL),
    EXISTS (SELECT FROM paused_queues AS p WHERE p.queue IN (q.entrypoint, '*'))
FROM (
    -- A job whose worker is silent for longer than its lease is anybody's, and waits.
    SELECT entrypoint, CASE WHEN status = 'queued' THEN execute_after
        WHEN heartbeat <= now() - make_interval(secs => %(lease)s) THEN heartbeat END AS since
    FROM {QUEUE_TABLE} WHERE status IN ('queued', 'picked')
) AS q GROUP BY q.entrypoint ORDER BY q.entrypoint
"""  # noqa: S608
_WORKERS = "SELECT count(*) FROM workers WHERE seen_at > now() - make_interval(secs => %(silent)s)"


async def workers(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """How many workers gave a sign of life."""
    ((alive,),) = await fetch(connection, _WORKERS, silent=ALIVE_SECONDS)
    return [row_of("workers", "alive", alive, "count")]


async def job_rates(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """Jobs that ended lately, and the share that failed."""
    rows = []
    for queue, completed, failed in await fetch(connection, _JOB_RATES, minutes=JOBS_SINCE_MINUTES):
        ended = completed + failed
        share = failed / ended if ended else 0.0
        status = judged(share, FAILED_WARN_SHARE, FAILED_FAIL_SHARE) if ended >= FEWEST_RUNS else "ok"
        reason = (
            f"{failed} of {ended} jobs of {queue} failed for good in the last {JOBS_SINCE_MINUTES} min:"
            f" `metapulse dlq list --queue {queue}` has the reasons"
        )
        rows.append(row_of("queue", f"{queue}.per_minute", ended / JOBS_SINCE_MINUTES, "1/min"))
        rows.append(row_of("queue", f"{queue}.failed_share", share, "share", status, reason))
    return rows


_JOB_RATES = """
SELECT job_type, count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed')
FROM job_attempts WHERE status IN ('completed', 'failed') AND ended_at > now() - make_interval(mins => %(minutes)s)
GROUP BY job_type ORDER BY job_type
"""


async def stream(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """When the stream was last heard."""
    found = await fetch(connection, "SELECT through FROM progress_marks WHERE name = %(name)s", name=HEARD_MARK)
    if settings.mode is Mode.REPLAY:
        return []  # there is none
    cure = "start it (`metapulse stream`, part of `metapulse up`); logs/stream.log says what it met"
    if not found:
        return [row_of("stream", "heard_age", None, "s", "warn", f"the stream was never heard: {cure}")]
    age = max((now - found[0][0]).total_seconds(), 0.0)
    status = judged(age, STREAM_SILENT_SECONDS, max(settings.stream_silence_seconds, STREAM_SILENT_SECONDS))
    return [row_of("stream", "heard_age", age, "s", status, f"the stream has heard nothing for {age:.0f} s: {cure}")]


async def data(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """How old the newest row of each table is."""
    rows = []
    for name, question in data_age_questions(settings, now).items():
        found: list[Row] = await select(connection, question.newest)
        rows.append(data_row(name, question.facts(found[0][0] if found else None, now)))
    return rows


async def stored(connection: Connection, settings: Settings, now: datetime) -> list[HealthRow]:
    """What the measurement of the last minute found that is not measured here; and whether there is one."""
    found = await fetch(connection, _STORED, now=now, since=now - timedelta(days=1))
    rows = [HealthRow(*row[1:]) for row in found]
    summary = summary_at(now, found[0][0] if found else None, rows)
    return [row for row in summary.culprits if row.service in STORED_SERVICES]


_STORED = """
SELECT measured_at, service, metric, value, unit, status, reason FROM health_metrics
WHERE measured_at = (SELECT max(measured_at) FROM health_metrics WHERE measured_at > %(since)s AND measured_at <= %(now)s)
    AND measured_at > %(since)s
ORDER BY service, metric
"""
