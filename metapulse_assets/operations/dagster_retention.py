"""Removing what is past its time from Dagster's own storage: runs, events, check executions, ticks, heartbeats, log files.

Dagster's setting `retention` covers ticks only, and `instance.delete_run` takes the newest materialization of an asset with its
run. So this is SQL on the storage's tables, as they are in Dagster 1.13.27 on PostgreSQL; it is all in this module.

What stays, however old: runs that have not ended; the newest event of each kind of every asset and partition; the newest
execution of every check and partition; the runs that these belong to; the newest tick of every schedule and sensor.

How the steps of a successful run went by goes earlier, and most of the bytes with it: begun, output, ended, planned, resources.
What a run made stays, and what its checks found stays with the checks: `asset_check_executions` holds each evaluation whole.
Of what is reported each minute without a run (the watch, the stream) one report an hour stays; its figures are in our tables.
"""

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import schema as event_schema
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.runs import schema as run_schema
from dagster._core.storage.schedules import schema as tick_schema

from metapulse_assets.operations.retention import Removed

events, event_tags = event_schema.SqlEventLogStorageTable, event_schema.AssetEventTagsTable
checks = event_schema.AssetCheckExecutionsTable
runs, heartbeats = run_schema.RunsTable, run_schema.DaemonHeartbeatsTable
backfills, backfill_tags = run_schema.BulkActionsTable, run_schema.BackfillTagsTable
ticks, evaluations = tick_schema.JobTickTable, tick_schema.AssetDaemonAssetEvaluationsTable

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_IN_PROGRESS = [status for status in dg.DagsterRunStatus if status not in _ENDED]
TRIED_ON = "1.13.27"
STORE = "dagster"
FILES = "files"
BATCH_ROWS = 5_000
MOST_SECONDS = 120.0
"""Of one run; the rest is left for the next. Own choice, far below what the hourly job may take."""
REWRITTEN_FROM_BYTES = 32_000_000
"""A smaller table is not worth the moment during which nobody can write to it. Own choice."""
MOSTLY_EMPTY_SHARE = 0.5
"""Rows that fill less than this of their file are worth writing anew. Own choice."""
LOCK_TIMEOUT = "2s"
_ENDED_BACKFILLS = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
_SHRINKING = (events, checks, ticks, runs)
STEPS, REPORTS = "steps of successful runs", "reports without a run"
_KIND = dg.DagsterEventType
_STEP_EVENTS = (
    *(_KIND.STEP_START, _KIND.STEP_INPUT, _KIND.STEP_OUTPUT, _KIND.STEP_SUCCESS, _KIND.HANDLED_OUTPUT, _KIND.LOADED_INPUT),
    *(_KIND.STEP_WORKER_STARTING, _KIND.STEP_WORKER_STARTED, _KIND.RESOURCE_INIT_STARTED, _KIND.RESOURCE_INIT_SUCCESS),
    *(_KIND.ENGINE_EVENT, _KIND.ASSET_MATERIALIZATION_PLANNED, _KIND.ASSET_CHECK_EVALUATION_PLANNED),
    _KIND.ASSET_CHECK_EVALUATION,
)
"""Not LOGS_CAPTURED: the run's page finds by it what the run printed."""


@contextmanager
def storage_engine(instance: dg.DagsterInstance) -> Iterator[sa.Engine | None]:
    """An engine on the instance's storage; None if that is not PostgreSQL."""
    url = getattr(instance.event_log_storage, "postgres_url", None)
    if not isinstance(url, str):
        yield None
        return
    engine = sa.create_engine(url, connect_args={"options": "-c timezone=UTC"}, poolclass=sa.pool.NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def clean_up(
    engine: sa.Engine, before: datetime, steps_before: datetime | None = None, seconds: float = MOST_SECONDS
) -> list[Removed]:
    """Delete what is older than a moment, in batches; shrink the files where most of a table went.

    `steps_before`: how steps went by, and what is reported each minute, goes where it is older; None: with all the rest.
    """
    stop = time.monotonic() + seconds
    removed = []
    if steps_before is not None:
        removed += [_delete_steps(engine, steps_before, stop), _delete_reports(engine, steps_before, stop)]
    removed += [
        _delete_events(engine, before, stop),
        _delete(engine, checks, _old_checks(before), before, stop),
        # After the events and checks: a run stays while one of those is left.
        _delete(engine, runs, _old_runs(before), before, stop),
        _delete(engine, ticks, _old_ticks(before), before, stop),
        _delete(engine, evaluations, _old_evaluations(before), before, stop),
        _delete(engine, heartbeats, heartbeats.c.timestamp < _naive(before), before, stop),
        _delete(engine, backfills, _old_backfills(before), before, stop),
        _delete(engine, backfill_tags, backfill_tags.c.backfill_id.not_in(sa.select(backfills.c.key)), before, stop),
    ]
    _shrink(engine, {events.name if one.name in (STEPS, REPORTS) else one.name for one in removed if one.rows})
    return removed


def _naive(moment: datetime) -> datetime:
    """Dagster stores UTC in columns without a time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _in_progress() -> sa.Select[tuple[str]]:
    return sa.select(runs.c.run_id).where(runs.c.status.in_([status.value for status in _IN_PROGRESS]))


def _delete_events(engine: sa.Engine, before: datetime, stop: float) -> Removed:
    """Delete events, save those of runs in progress and the newest of each asset, partition and kind."""
    removed = Removed(events.name, before, STORE)
    of_no_run_in_progress = sa.or_(events.c.run_id.is_(None), events.c.run_id.not_in(_in_progress()))
    _delete_walking(engine, removed, sa.true(), [of_no_run_in_progress, events.c.id.not_in(_checks_events())], stop)
    return removed


def _delete_steps(engine: sa.Engine, before: datetime, stop: float) -> Removed:
    """Delete how steps went by; walked kind by kind, of which few are left of the time before."""
    removed = Removed(STEPS, before, STORE)
    of_good_runs = events.c.run_id.in_(sa.select(runs.c.run_id).where(runs.c.status == dg.DagsterRunStatus.SUCCESS.value))
    for kind in _STEP_EVENTS:
        kept_elsewhere = [events.c.id.in_(_kept_evaluations())] if kind is _KIND.ASSET_CHECK_EVALUATION else []
        _delete_walking(engine, removed, events.c.dagster_event_type == kind.value, [of_good_runs, *kept_elsewhere], stop)
    return removed


def _delete_walking(
    engine: sa.Engine, removed: Removed, which: sa.ColumnElement[bool], may_go: Sequence[sa.ColumnElement[bool]], stop: float
) -> None:
    """Delete events of no asset, and those that another one follows; by id, which ascends with their time and has an index."""
    before, last = _naive(removed.kept_since), -1
    while time.monotonic() <= stop:
        with engine.begin() as connection:
            walked = connection.execute(
                sa.select(events.c.id, events.c.timestamp)
                .where(which, events.c.id > last)
                .order_by(events.c.id)
                .limit(BATCH_ROWS)
            ).all()
            if not walked or all(row.timestamp is not None and row.timestamp >= before for row in walked):
                return
            condition = sa.and_(
                which,
                events.c.id.between(walked[0].id, walked[-1].id),
                events.c.timestamp < before,
                sa.or_(events.c.asset_key.is_(None), _is_followed()),
                *may_go,
            )
            gone = connection.execute(sa.delete(events).where(condition).returning(events.c.id, _size(events))).all()
            if gone:
                connection.execute(sa.delete(event_tags).where(event_tags.c.event_id.in_([row.id for row in gone])))
            removed.rows += len(gone)
            removed.bytes_freed += sum(row.size for row in gone)
            last = walked[-1].id
    removed.is_complete = False


def _delete_reports(engine: sa.Engine, before: datetime, stop: float) -> Removed:
    """Of materializations that belong to no run, leave the newest of each asset, partition and full hour."""
    hour = sa.func.date_trunc("hour", events.c.timestamp)
    same = (events.c.asset_key, events.c.partition, hour)
    reports = (
        sa.select(events.c.id, sa.func.row_number().over(partition_by=same, order_by=events.c.id.desc()).label("place"))
        .where(events.c.run_id == "", events.c.dagster_event_type == _KIND.ASSET_MATERIALIZATION.value)
        .where(events.c.timestamp < _naive(before.replace(minute=0, second=0, microsecond=0)))
        .subquery()
    )
    followed = sa.select(reports.c.id).where(reports.c.place > 1)
    removed = _delete(engine, events, events.c.id.in_(followed), before, stop)
    removed.name = REPORTS
    return removed


def _kept_evaluations() -> sa.Select[tuple[int]]:
    """Events of passed checks that are kept with the check's execution too, where that is not the check's newest."""
    return sa.select(checks.c.evaluation_event_storage_id).where(
        checks.c.execution_status == "SUCCEEDED",
        checks.c.evaluation_event.is_not(None),
        checks.c.evaluation_event_storage_id.is_not(None),
        checks.c.id.not_in(_newest(checks, checks.c.asset_key, checks.c.check_name, checks.c.partition)),
    )


def _is_followed() -> sa.ColumnElement[bool]:
    """That the asset and partition of an event have a later one of the kind; each branch has an index."""
    newer = events.alias("newer")
    same = (newer.c.asset_key == events.c.asset_key, newer.c.dagster_event_type == events.c.dagster_event_type)
    later = newer.c.id > events.c.id
    return sa.case(
        (events.c.partition.is_(None), sa.exists().where(*same, newer.c.partition.is_(None), later)),
        else_=sa.exists().where(*same, newer.c.partition == events.c.partition, later),
    )


def _newest(table: sa.Table, *group: sa.Column[str]) -> sa.Select[tuple[int]]:
    return sa.select(sa.func.max(table.c.id)).group_by(*group)


def _checks_events() -> sa.Select[tuple[int]]:
    """Events that the newest executions of the checks point at."""
    newest = _newest(checks, checks.c.asset_key, checks.c.check_name, checks.c.partition)
    return sa.select(checks.c.evaluation_event_storage_id).where(
        checks.c.id.in_(newest), checks.c.evaluation_event_storage_id.is_not(None)
    )


def _old_checks(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        checks.c.create_timestamp < _naive(before),
        checks.c.id.not_in(_newest(checks, checks.c.asset_key, checks.c.check_name, checks.c.partition)),
        sa.or_(checks.c.run_id.is_(None), checks.c.run_id.not_in(_in_progress())),
    )


def _old_runs(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        runs.c.status.in_([status.value for status in _ENDED]),
        sa.func.coalesce(runs.c.end_time, sa.extract("epoch", runs.c.update_timestamp)) < before.timestamp(),
        ~sa.exists().where(events.c.run_id == runs.c.run_id),
        ~sa.exists().where(checks.c.run_id == runs.c.run_id),
    )


def _old_ticks(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(ticks.c.timestamp < _naive(before), ticks.c.id.not_in(_newest(ticks, ticks.c.selector_id)))


def _old_evaluations(before: datetime) -> sa.ColumnElement[bool]:
    old = evaluations.c.create_timestamp < _naive(before)
    return sa.and_(old, evaluations.c.id.not_in(_newest(evaluations, evaluations.c.asset_key)))


def _old_backfills(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(backfills.c.status.in_(_ENDED_BACKFILLS), backfills.c.timestamp < _naive(before))


def _delete(engine: sa.Engine, table: sa.Table, condition: sa.ColumnElement[bool], before: datetime, stop: float) -> Removed:
    removed = Removed(table.name, before, STORE)
    while time.monotonic() <= stop:
        with engine.begin() as connection:
            ids = sa.select(table.c.id).where(condition).limit(BATCH_ROWS)
            gone = connection.execute(sa.delete(table).where(table.c.id.in_(ids)).returning(_size(table))).all()
        removed.rows += len(gone)
        removed.bytes_freed += sum(row.size for row in gone)
        if len(gone) < BATCH_ROWS:
            return removed
    removed.is_complete = False
    return removed


def _size(table: sa.Table) -> sa.Label[int]:
    return sa.func.pg_column_size(sa.literal_column(f'"{table.name}".*')).label("size")


def _shrink(engine: sa.Engine, deleted: set[str]) -> None:
    """Vacuum; where most of a table is empty, write it anew, as plain VACUUM keeps the space for new rows.

    A table that somebody holds is left, and looked at again after the next clean-up, whatever that deletes.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        for table in _SHRINKING:
            # Nothing waits for the table's holder but these statements, which give up soon.
            with contextlib.suppress(sa.exc.OperationalError):
                if table.name in deleted:
                    connection.execute(sa.text(f"VACUUM (ANALYZE, SKIP_LOCKED) {table.name}"))
                size, filled = connection.execute(_FILLED, {"name": table.name}).one()
                if size >= REWRITTEN_FROM_BYTES and filled < MOSTLY_EMPTY_SHARE * size:
                    connection.execute(sa.text(f"VACUUM (FULL, ANALYZE) {table.name}"))


# Bytes of a table's rows as its statistics have them, beside what its file takes; 28 bytes are each row's own header.
_FILLED = sa.text(
    "SELECT pg_relation_size(c.oid) AS size, greatest(c.reltuples, 0) * (28 + coalesce(sum(s.avg_width), 0)) AS filled"
    " FROM pg_class AS c LEFT JOIN pg_stats AS s ON s.tablename = c.relname AND s.schemaname = current_schema()"
    " WHERE c.oid = to_regclass(:name) GROUP BY c.oid"
)


def delete_log_files(instance: dg.DagsterInstance, before: datetime) -> Removed:
    """Delete what runs printed, where that is kept in local files; folders of runs that have not ended stay."""
    removed = Removed("compute logs", before, FILES)
    manager = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return removed
    base = Path(manager.get_captured_local_path(["run"], "out")).parent
    if not base.is_dir():
        return removed
    running = {record.dagster_run.run_id for record in instance.get_run_records(dg.RunsFilter(statuses=_IN_PROGRESS))}
    for folder in base.iterdir():
        if folder.name in running or not _is_run_id(folder.name) or not folder.is_dir() or folder.is_symlink():
            continue
        files = [path for path in folder.rglob("*") if path.is_file()]
        newest = max((path.stat().st_mtime for path in files), default=folder.stat().st_mtime)
        if newest < before.timestamp():
            removed.bytes_freed += sum(path.stat().st_size for path in files)
            removed.rows += len(files)
            shutil.rmtree(folder, ignore_errors=True)
    return removed


def _is_run_id(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
