"""What the doctor looks at in the work queue: whether jobs are begun, whether they fail, whether they take too long."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from metapulse_assets.cli.findings import Check

if TYPE_CHECKING:
    import sqlalchemy as sa

    from metapulse_assets.operations.queue_measuring import QueueRow
    from metapulse_assets.platform.settings import Settings
    from metapulse_assets.platform.work_queue.living import LivingWorker
    from metapulse_assets.platform.work_queue.registry import Handler

# Own choices, all of them.
BACKLOG_PER_PLACE = 50
"""Due jobs for each job that the workers of a queue do at once."""
FEWEST_ATTEMPTS = 5
"""Ended attempts of the last hour from which a share of failures says something."""
FAILED_NOTE_SHARE, FAILED_WRONG_SHARE = 0.1, 0.5
SLOW_SHARE = 0.5
"""Of the time that the policy gives an attempt."""


def queue_checks(connection: "sa.Connection", settings: "Settings") -> Iterator[Check]:
    """Every queue that does not get on, with the cure; one line if all do."""
    from metapulse_assets.operations.queue_measuring import read_queues
    from metapulse_assets.platform.clock import system_clock
    from metapulse_assets.platform.work_queue.living import living_workers
    from metapulse_assets.platform.work_queue.registry import load_handlers

    handlers = load_handlers(settings.job_modules)
    workers = living_workers(connection)
    rows = read_queues(connection, handlers, system_clock())
    yield _workers(workers)
    found = [
        *(check for row in rows for check in _waiting(row, handlers, workers)),
        *_vanished(connection, settings),
        *_attempts(connection, handlers),
        *_dead_letters(rows),
    ]
    yield from found or [Check("work queue", "ok", f"{sum(row.waiting for row in rows)} jobs wait in {len(rows)} queues")]


def _workers(workers: "Sequence[LivingWorker]") -> Check:
    if not workers:
        return Check("workers", "note", "none is alive", "`metapulse worker` starts one; it is part of `metapulse up`")
    return Check("workers", "ok", f"{len(workers)} alive: {', '.join(worker.name for worker in workers)}")


def _waiting(row: "QueueRow", handlers: "Mapping[str, Handler]", workers: "Sequence[LivingWorker]") -> Iterator[Check]:
    name = f"queue {row.queue}"
    open_jobs = row.waiting + row.active + row.delayed + row.paused
    if open_jobs and row.queue not in handlers:
        cure = "install or name the module that handles it (METAPULSE_JOB_MODULES) and restart the workers"
        yield Check(name, "wrong", f"{open_jobs} jobs of a type that nothing here handles", cure)
        return
    if row.paused:
        yield Check(name, "note", f"paused, {row.paused} due jobs wait", f"`metapulse queue resume {row.queue}`, or --all")
    if not row.waiting:
        return
    places = sum(worker.concurrency for worker in workers if row.queue in worker.queues)
    waited = f"{row.waiting} jobs are due, the oldest for {row.oldest_waiting_seconds or 0:.0f} s"
    if not workers:
        yield Check(name, "wrong", f"{waited}, and no worker is alive", "start one: `metapulse worker`, or `metapulse up`")
    elif not places:
        cure = f"start one with `metapulse worker --queues {row.queue}`, or restart those that run"
        yield Check(name, "wrong", f"{waited}, and no worker that is alive does this queue", cure)
    elif row.is_stuck:
        cure = "look into the worker's log (logs/worker.log) and restart it"
        yield Check(name, "wrong", f"{waited}, and its workers begin none", cure)
    elif row.waiting > BACKLOG_PER_PLACE * places:
        cure = "raise WORKER_CONCURRENCY, or start more workers (`--processes`, CLUSTER_WORKERS)"
        yield Check(name, "note", f"backlog: {waited}; {places} are done at once", cure)


def _vanished(connection: "sa.Connection", settings: "Settings") -> Iterator[Check]:
    rows = connection.exec_driver_sql(
        "SELECT entrypoint, count(*) FROM pgqueuer.pgqueuer WHERE status = 'picked' "
        "AND heartbeat < now() - make_interval(secs => %(lease)s) GROUP BY 1 ORDER BY 1",
        {"lease": settings.worker_lease_seconds},
    )
    for queue, count in rows:
        cure = "another worker takes them over: have one running (`metapulse worker`)"
        yield Check(f"queue {queue}", "wrong", f"{count} jobs are stuck: their worker gives no sign of life", cure)


def _attempts(connection: "sa.Connection", handlers: "Mapping[str, Handler]") -> Iterator[Check]:
    from metapulse_assets.platform.work_queue.policies import Policy

    for queue, ended, failed, mean, newest in connection.exec_driver_sql(_LAST_HOUR):
        name = f"queue {queue}"
        share = failed / ended
        if ended >= FEWEST_ATTEMPTS and share >= FAILED_NOTE_SHARE:
            cure = f"`metapulse dlq list --queue {queue}` and `job_logs` have the errors: is the vendor up, is its key right?"
            finding = f"high failure rate: {failed} of {ended} attempts of the last hour; the newest: {newest}"
            yield Check(name, "wrong" if share >= FAILED_WRONG_SHARE else "note", finding, cure)
        handler = handlers.get(queue)
        limit = (handler.policy if handler else Policy()).timeout_seconds
        if mean is not None and mean > SLOW_SHARE * limit:
            cure = "put less into a job, let the handler keep what it can, or start more workers (`--processes`)"
            yield Check(name, "note", f"slow: an attempt takes {mean:.1f} s of the {limit:g} s that it may", cure)


def _dead_letters(rows: "Sequence[QueueRow]") -> Iterator[Check]:
    for row in rows:
        if row.dead_letters:
            cure = f"`metapulse dlq list --queue {row.queue}`, then `metapulse dlq retry` or `drop`"
            yield Check(f"queue {row.queue}", "note", f"{row.dead_letters} dead letters that nobody has decided on", cure)


_LAST_HOUR = """
SELECT job_type, count(*), count(*) FILTER (WHERE status IN ('failed', 'retried')), avg(duration_seconds),
    (array_agg(error ORDER BY ended_at DESC) FILTER (WHERE status IN ('failed', 'retried')))[1]
FROM job_attempts WHERE ended_at > now() - interval '1 hour' AND status IN ('completed', 'failed', 'retried')
GROUP BY 1 ORDER BY 1
"""
