"""The figures of what is done: jobs of the work queue, workers, runs of Dagster."""

import contextlib
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from prometheus_client.metrics_core import Metric, SummaryMetricFamily

from metapulse_assets.operations.job_history import ENGINE
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.living import ALIVE_SECONDS
from metapulse_assets.platform.work_queue.pgqueuer_schema import QUEUE_TABLE
from metapulse_assets.platform.work_queue.registry import handlers
from metapulse_assets.platform.work_queue.statistics import COUNTS, WAITING_SINCE
from metapulse_assets.platform.work_queue.totals import TOTALS
from metapulse_assets.service.metrics.families import NAMESPACE, counter, gauge
from metapulse_assets.service.probes import Connection, fetch

# What ends a job, as the ledger calls it; the others are followed by another attempt.
ENDINGS = ("completed", "failed", "canceled")
OPEN_STATES = ("waiting", "active", "delayed", "paused")
RECENT_MINUTES = 10
QUANTILES = (0.5, 0.95, 0.99)
_RECENT = f"the last {RECENT_MINUTES} minutes"


async def jobs(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """What the queues have done since the beginning, and of late."""
    totals = await fetch(connection, TOTALS)
    recent = await fetch(connection, _RECENT_JOBS, minutes=RECENT_MINUTES, quantiles=list(QUANTILES))
    # A rate needs the 0 before the first job.
    ended = {(queue, status): 0 for queue in sorted(handlers()) for status in ("completed", "failed")}
    ended.update({(queue, status): attempts for queue, status, attempts, _ in totals if status in ENDINGS})
    took = SummaryMetricFamily(
        f"{NAMESPACE}_job_duration_seconds",
        "Attempts at jobs and the time they took, by how they ended.",
        labels=["queue", "status"],
    )
    for queue, status, attempts, microseconds in totals:
        took.add_metric([queue, status], int(attempts), int(microseconds) / 1e6)
    return [
        counter(
            "jobs_processed",
            "Jobs that ended: completed, failed (for good) or canceled.",
            ended.items(),
            ("queue", "status"),
        ),
        counter(
            "job_retries",
            "Attempts that did not end their job: retried (it failed), released (the worker stopped), lost (it vanished).",
            [((queue, status), attempts) for queue, status, attempts, _ in totals if status not in ENDINGS],
            ("queue", "reason"),
        ),
        took,
        gauge(
            "job_recent_duration_seconds",
            f"Quantiles of what completed attempts of {_RECENT} took, of those that the ledger still has.",
            [
                ((queue, str(quantile)), value)
                for queue, _, _, values in recent
                for quantile, value in zip(QUANTILES, values or (), strict=False)
            ],
            ("queue", "quantile"),
        ),
        gauge(
            "job_error_ratio",
            f"Share of the jobs that ended in {_RECENT} which failed for good, of those that the ledger still has.",
            [((queue,), failed / (completed + failed)) for queue, completed, failed, _ in recent if completed + failed],
            ("queue",),
        ),
    ]


_RECENT_JOBS = """
SELECT job_type, count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
    percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY duration_seconds) FILTER (WHERE status = 'completed')
FROM job_attempts WHERE status IN ('completed', 'failed') AND ended_at > now() - make_interval(mins => %(minutes)s)
GROUP BY job_type ORDER BY job_type
"""


async def queue(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """What is in the queues now."""
    counts = await fetch(connection, COUNTS)
    oldest = await fetch(connection, WAITING_SINCE)
    known = sorted({queue for queue, _, _ in counts if queue != "*"} | handlers().keys())
    sizes = {(queue, state): 0 for queue in known for state in OPEN_STATES}
    sizes.update({(queue, state): number for queue, state, number in counts if state in OPEN_STATES})
    letters = dict.fromkeys(known, 0) | {queue: number for queue, state, number in counts if state == "failed"}
    paused = {queue for queue, state, _ in counts if state == "is_paused"}
    return [
        gauge("queue_size", "Jobs in the queue, by state.", sizes.items(), ("queue", "state")),
        gauge(
            "queue_oldest_due_seconds",
            "How long the oldest job that is due has been waiting; absent where none is.",
            [((queue,), seconds) for queue, seconds in oldest],
            ("queue",),
        ),
        gauge(
            "dead_letter_queue_size",
            "Jobs that failed for good and were not put in again.",
            [((queue,), number) for queue, number in letters.items()],
            ("queue",),
        ),
        gauge(
            "queue_paused",
            "1 where nothing is claimed for the time being.",
            [((queue,), float(bool({queue, "*"} & paused))) for queue in known],
            ("queue",),
        ),
    ]


async def workers(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """Who works, and how busy all are together."""
    found = await fetch(connection, _WORKERS, alive=ALIVE_SECONDS)
    alive, places = len(found), sum(concurrency for _, concurrency in found)
    memory = memory_here(name for name, _ in found)
    ((held,),) = await fetch(connection, _HELD, alive=ALIVE_SECONDS)
    return [
        gauge("workers", f"Worker processes that gave a sign of life in the last {ALIVE_SECONDS:g} s.", [((), alive)]),
        gauge("worker_slots", "Jobs that these could work on at once.", [((), places)]),
        gauge("worker_active_jobs", "Jobs that these work on.", [((), held)]),
        gauge(
            "worker_utilisation_ratio",
            "Active jobs by slots, 0 to 1; absent without a worker.",
            [((), held / places)] if places else [],
        ),
        gauge(
            "workers_resident_memory_bytes",
            "Memory of all worker processes of this machine together.",
            [((), sum(memory))] if memory else [],
        ),
        gauge(
            "worker_largest_resident_memory_bytes",
            "Memory of the worker process of this machine that takes most.",
            [((), max(memory))] if memory else [],
        ),
    ]


def memory_here(workers: Iterable[str]) -> list[int]:
    """Resident memory, bytes, of those workers (host:process) that run on this machine; one that has just ended has none."""
    import psutil

    here, found = socket.gethostname(), []
    for host, _, process in (name.rpartition(":") for name in workers):
        if host == here and process.isdecimal():
            with contextlib.suppress(psutil.Error):
                found.append(int(psutil.Process(int(process)).memory_info().rss))
    return found


_WORKERS = "SELECT name, concurrency FROM workers WHERE seen_at > now() - make_interval(secs => %(alive)s)"
_HELD = f"""
SELECT count(*) FROM {QUEUE_TABLE} AS q JOIN workers AS w ON w.worker_id = q.queue_manager_id
WHERE q.status = 'picked' AND w.seen_at > now() - make_interval(secs => %(alive)s)
"""  # noqa: S608


async def runs(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """Dagster's runs as the history of jobs has them, which is carried on each minute; it is thinned out, so no totals."""
    since = now - timedelta(days=1)
    ended = await fetch(connection, _RUNS_ENDED, engine=ENGINE, since=since, now=now)
    took = await fetch(connection, _RUNS_TOOK, engine=ENGINE, since=since, now=now, quantiles=list(QUANTILES))
    going = await fetch(connection, _RUNS_GOING, engine=ENGINE)
    last = await fetch(connection, _RUNS_LAST, engine=ENGINE)
    return [
        gauge(
            "runs_last_day",
            "Runs of Dagster that ended within the last 24 hours, by job and status.",
            [((job, status), number) for job, status, number in ended],
            ("job", "status"),
        ),
        gauge(
            "run_recent_duration_seconds",
            "Quantiles of what the runs that succeeded within the last 24 hours took.",
            [((job, str(q)), value) for job, values in took for q, value in zip(QUANTILES, values or (), strict=False)],
            ("job", "quantile"),
        ),
        gauge(
            "runs_in_progress",
            "Runs of Dagster that have not ended, by job and status, as of the last minute.",
            [((job, status), number) for job, status, number in going],
            ("job", "status"),
        ),
        gauge(
            "run_last_end_timestamp_seconds",
            "When a run of the job last ended so.",
            [((job, status), moment.timestamp()) for job, status, moment in last],
            ("job", "status"),
        ),
    ]


_RUNS_ENDED = """
SELECT job, status, count(*) FROM job_logs
WHERE engine = %(engine)s AND ended_at > %(since)s AND ended_at <= %(now)s GROUP BY 1, 2 ORDER BY 1, 2
"""
_RUNS_TOOK = """
SELECT job, percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY duration_seconds) FROM job_logs
WHERE engine = %(engine)s AND status = 'success' AND ended_at > %(since)s AND ended_at <= %(now)s GROUP BY 1 ORDER BY 1
"""
_RUNS_GOING = """
SELECT job, status, count(*) FROM job_logs WHERE engine = %(engine)s AND ended_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2
"""
_RUNS_LAST = """
SELECT job, status, max(ended_at) FROM job_logs
WHERE engine = %(engine)s AND ended_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""


async def daemon(connection: Connection, settings: Settings, now: datetime) -> list[Metric]:
    """The daemon's signs of life; asked of Dagster's own database."""
    found = await fetch(connection, "SELECT daemon_type, timestamp FROM daemon_heartbeats ORDER BY daemon_type")
    ages: Mapping[str, float] = {name: (now - heard.replace(tzinfo=UTC)).total_seconds() for name, heard in found}
    return [
        gauge(
            "daemon_heartbeat_age_seconds",
            "Since each part of Dagster's daemon gave its last sign of life.",
            [((name,), max(age, 0.0)) for name, age in ages.items()],
            ("daemon",),
        )
    ]
