"""The history of jobs: runs of Dagster copied into `job_logs` as they change.

Attempts at jobs of the work queue are copied by `queue_history.py`, with `engine` set to queue.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.operations.tables import job_logs
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.redaction import redact

MARK = "job_logs"
ENGINE = "dagster"
PAGE = 200
OVERLAP = timedelta(minutes=2)
"""A change may become visible after a later one; so far back each pass looks again. Own choice."""
LONGEST_ERROR = 1_000
STATUSES: Mapping[dg.DagsterRunStatus, str] = {
    dg.DagsterRunStatus.QUEUED: "queued",
    dg.DagsterRunStatus.NOT_STARTED: "queued",
    dg.DagsterRunStatus.MANAGED: "queued",
    dg.DagsterRunStatus.STARTING: "queued",
    dg.DagsterRunStatus.STARTED: "started",
    dg.DagsterRunStatus.CANCELING: "started",
    dg.DagsterRunStatus.SUSPENDED: "started",
    dg.DagsterRunStatus.SUCCESS: "success",
    dg.DagsterRunStatus.FAILURE: "failure",
    dg.DagsterRunStatus.CANCELED: "canceled",
}
ENDED = ("success", "failure", "canceled")
_FAILURES = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
_CAUSES = (
    ("dagster/schedule_name", "schedule"),
    ("dagster/sensor_name", "sensor"),
    ("dagster/backfill", "backfill"),
    ("dagster/parent_run_id", "retry"),
)


def sync_runs(
    connection: sa.Connection, instance: dg.DagsterInstance, kept_since: datetime, secrets: Iterable[str] = ()
) -> int:
    """Copy runs that changed since the last call; returns how many rows that added or changed.

    `kept_since`: older changes are past their time and are not copied.
    """
    done = progress_of(connection, MARK)
    after = max(kept_since, done - OVERLAP) if done else kept_since
    written, limit = 0, PAGE
    while True:
        changed = instance.get_run_records(
            dg.RunsFilter(updated_after=after), limit=limit, order_by="update_timestamp", ascending=True
        )
        written += store_runs(connection, instance, changed, secrets)
        if changed:
            set_progress(connection, MARK, _utc(changed[-1].update_timestamp))
        if len(changed) < limit:
            return written
        # Runs may have changed at the very moment of the page's last one, and not all of them may be in it.
        following = _utc(changed[-1].update_timestamp) - timedelta(microseconds=1)
        after, limit = (following, PAGE) if following > after else (after, 2 * limit)


def store_runs(
    connection: sa.Connection, instance: dg.DagsterInstance, records: Iterable[dg.RunRecord], secrets: Iterable[str] = ()
) -> int:
    """Store these runs as they are now; returns how many rows that added or changed."""
    by_id = {record.dagster_run.run_id: record for record in records}
    known = {
        row.job_id: row.updated_at
        for row in connection.execute(
            sa.select(job_logs.c.job_id, job_logs.c.updated_at).where(job_logs.c.engine == ENGINE, job_logs.c.job_id.in_(by_id))
        )
    }
    rows = [
        row_of(instance, record, secrets)
        for run_id, record in by_id.items()
        if known.get(run_id) != _utc(record.update_timestamp)
    ]
    if rows:
        statement = insert(job_logs)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["engine", "job_id", "attempt"],
                set_={name: statement.excluded[name] for name in rows[0] if name not in ("engine", "job_id", "attempt")},
            ),
            rows,
        )
    return len(rows)


def row_of(instance: dg.DagsterInstance, record: dg.RunRecord, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """A run as a row of `job_logs`."""
    run = record.dagster_run
    status = STATUSES[run.status]
    started, ended = _moment(record.start_time), _moment(record.end_time)
    if status in ENDED and ended is None:
        # Canceled or failed before it began: the end is when its status changed.
        ended = _utc(record.update_timestamp)
    if status not in ENDED:
        ended = None
    return {
        "engine": ENGINE,
        "job_id": run.run_id,
        "attempt": int(run.tags.get("dagster/retry_number", "0")) + 1,
        "job": run.job_name,
        "status": status,
        "cause": cause_of(run.tags),
        "partition": run.tags.get("dagster/partition"),
        "created_at": _utc(record.create_timestamp),
        "started_at": started,
        "ended_at": ended,
        "duration_seconds": max((ended - started).total_seconds(), 0.0) if started and ended else None,
        "result": _result(instance, run.run_id) if status in ENDED else None,
        "error": _error(instance, run.run_id, secrets) if status == "failure" else None,
        "run_id": run.run_id,
        "updated_at": _utc(record.update_timestamp),
    }


def newest_runs(connection: sa.Connection, most: int) -> Sequence[Any]:
    """Of both engines, what ended last: engine, job, id, run, attempt, status, end, duration and error."""
    j = job_logs.c
    columns = (j.engine, j.job, j.job_id, j.run_id, j.attempt, j.status, j.ended_at, j.duration_seconds, j.error)
    return connection.execute(
        sa.select(*columns).where(j.ended_at.is_not(None)).order_by(j.ended_at.desc(), j.job_id).limit(most)
    ).all()


def cause_of(tags: Mapping[str, str]) -> str:
    """What asked for a run, by its tags."""
    return next((f"{word} {tags[tag]}" for tag, word in _CAUSES if tag in tags), "manual")


def _result(instance: dg.DagsterInstance, run_id: str) -> dict[str, int] | None:
    stats = instance.get_run_stats(run_id)
    names = ("steps_succeeded", "steps_failed", "materializations")
    found = {name: getattr(stats, name, None) for name in names}
    return {name: count for name, count in found.items() if count is not None} or None


def _error(instance: dg.DagsterInstance, run_id: str, secrets: Iterable[str]) -> str | None:
    """The first failure: a step's own error rather than the run's, whose text only says that a step failed."""
    failures = instance.get_records_for_run(run_id, of_type=_FAILURES, limit=20).records
    events = [record.event_log_entry.dagster_event for record in failures]
    events.sort(key=lambda event: event is None or not event.is_step_failure)
    for event in events:
        if event is None:
            continue
        error = getattr(event.event_specific_data, "error", None)
        # The step's error wraps that of the user's code.
        while error is not None and error.cause is not None:
            error = error.cause
        text = error.message if error is not None else event.message
        if text:
            place = f"{event.step_key}: " if event.step_key else ""
            return redact(f"{place}{text.strip()}", secrets).replace("\x00", "")[:LONGEST_ERROR]
    return None


def _moment(epoch: float | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
