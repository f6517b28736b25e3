"""Thirty days of Dagster's history on PostgreSQL: what is old goes, what is newest of its kind and what runs stays."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.operations import dagster_retention
from metapulse_assets.operations.dagster_retention import clean_up, delete_log_files, storage_engine
from metapulse_assets.platform.settings import Settings
from metapulse_assets_tests.operations.dagster_history import (
    copy_back,
    is_right,
    measured,
    moments_back,
    postgres_instance,
    run_for_real,
    summed,
)

DAYS, EACH_DAY = 30, 4
_OLD_CHECK = (
    "INSERT INTO asset_check_executions (asset_key, check_name, run_id, execution_status, evaluation_event_storage_id,"
    " create_timestamp) SELECT asset_key, :name, run_id, execution_status, evaluation_event_storage_id, create_timestamp"
    " FROM asset_check_executions WHERE run_id = :run LIMIT 1"
)


def seen(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What people see of the newest state: by asset and partition, by check, and of one run."""
    storage = instance.event_log_storage
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    checks = storage.get_latest_asset_check_execution_by_key(list(is_right.check_keys))
    return {
        "by partition": storage.get_latest_storage_id_by_partition(measured.key, kind),
        "partitions": storage.get_materialized_partitions(measured.key),
        "newest": {
            record.asset_entry.asset_key: record.asset_entry.last_materialization_storage_id
            for record in instance.get_asset_records([measured.key, summed.key])
        },
        "checks": {key: (record.id, record.run_id, record.status) for key, record in checks.items()},
        "events": [record.storage_id for record in instance.get_records_for_run(run_id, limit=1_000).records],
    }


def size_of(engine: sa.Engine, *tables: str) -> int:
    with engine.connect() as connection:
        return sum(
            connection.execute(sa.text("SELECT pg_total_relation_size(:t)"), {"t": name}).scalar_one() for name in tables
        )


def await_size(engine: sa.Engine, before: datetime, table: str, most: float) -> None:
    """Clean up until a table has shrunk; fails if nothing comes of it."""
    deadline = time.monotonic() + 120
    while size_of(engine, table) >= most:
        assert time.monotonic() < deadline, f"{table} still takes {size_of(engine, table)} bytes, not below {most:.0f}"
        clean_up(engine, before)


def count(engine: sa.Engine, question: str, **values: Any) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {question}"), values).scalar_one())


def test_thirty_days_shrink_to_seven_and_nothing_that_counts_is_lost(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_retention, "REWRITTEN_FROM_BYTES", 100_000)
    monkeypatch.setattr(dagster_retention, "BATCH_ROWS", 500)
    now = datetime.now(UTC)
    before = now - timedelta(days=7)
    with postgres_instance(make_settings(), tmp_path) as instance, storage_engine(instance) as engine:
        assert engine is not None
        template = run_for_real(instance, now)
        copies = copy_back(engine, template, moments_back(now, DAYS, EACH_DAY), now)
        instance.delete_run(template)
        hung = instance.create_run_for_job(dg.define_asset_job("hung", [measured]).resolve(asset_graph=graph()))
        with engine.begin() as connection:
            long_ago = (now - timedelta(days=20)).replace(tzinfo=None)
            connection.execute(
                sa.text(
                    "UPDATE runs SET status = 'STARTED', create_timestamp = :at, update_timestamp = :at WHERE run_id = :run"
                ),
                {"at": long_ago, "run": hung.run_id},
            )
            connection.execute(
                sa.text("INSERT INTO event_logs (run_id, event, timestamp) VALUES (:run, '{}', :at)"),
                {"at": long_ago, "run": hung.run_id},
            )
            for daemon, at in (("GONE", long_ago), ("SENSOR", now.replace(tzinfo=None))):
                connection.execute(
                    sa.text("INSERT INTO daemon_heartbeats (daemon_type, timestamp) VALUES (:name, :at)"),
                    {"name": daemon, "at": at},
                )
            # A check that was removed from the code long ago, and has its newest execution in a run of then.
            connection.execute(sa.text(_OLD_CHECK), {"name": "gone", "run": copies[0]})
            # And one that was planned then, and never came to be evaluated.
            connection.execute(sa.text(_OLD_CHECK), {"name": "never evaluated", "run": copies[2]})
            connection.execute(
                sa.text("UPDATE asset_check_executions SET evaluation_event_storage_id = NULL WHERE check_name = :name"),
                {"name": "never evaluated"},
            )
            connection.execute(
                sa.text(
                    "INSERT INTO asset_event_tags (event_id, asset_key, key, value) SELECT id, asset_key, 'k', 'v'"
                    " FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
                )
            )
        today = run_for_real(instance, now)
        known, size = seen(instance, today), size_of(engine, "event_logs")
        events = count(engine, "event_logs")
        events_of_hung = count(engine, "event_logs WHERE run_id = :run", run=hung.run_id)

        removed = {one.name: one for one in clean_up(engine, before)}

        assert seen(instance, today) == known
        assert len(known["partitions"]) == DAYS + 1
        # Of an older day stays one event of each of the three kinds that its partition has, no more.
        old = {"at": before.replace(tzinfo=None)}
        left = count(engine, "event_logs WHERE timestamp < :at AND run_id <> :hung", **old, hung=hung.run_id)
        kinds = count(engine, "(SELECT DISTINCT dagster_event_type FROM event_logs WHERE partition IS NOT NULL) AS kinds")
        # And the evaluation that the old check's execution points at.
        assert left == (DAYS - 7) * kinds + 1
        assert removed["event_logs"].rows == events - count(engine, "event_logs")
        assert removed["event_logs"].bytes_freed > 0.5 * size
        # Autovacuum may have held the table, or rows deleted just now for somebody's older view: the next clean-up shrinks it.
        await_size(engine, before, "event_logs", 0.4 * size)
        # The last run of each older day holds the newest materialization of that day; the others are gone.
        assert removed["runs"].rows == (DAYS - 7) * (EACH_DAY - 1) - 2
        assert instance.get_run_by_id(copies[0]) is not None
        assert instance.get_run_by_id(copies[1]) is None
        assert instance.get_run_by_id(copies[2]) is not None
        assert instance.get_run_by_id(copies[EACH_DAY - 1]) is not None
        assert count(engine, "run_tags WHERE run_id = :run", run=copies[1]) == 0
        assert instance.get_run_by_id(hung.run_id) is not None
        assert count(engine, "event_logs WHERE run_id = :run", run=hung.run_id) == events_of_hung > 0
        assert count(engine, "asset_check_executions WHERE create_timestamp < :at", **old) == 2
        assert count(engine, "job_ticks") == 7 * EACH_DAY
        assert count(engine, "daemon_heartbeats WHERE daemon_type = 'GONE'") == 0
        assert count(engine, "daemon_heartbeats") == 1
        assert count(engine, "asset_event_tags t WHERE NOT EXISTS (SELECT 1 FROM event_logs e WHERE e.id = t.event_id)") == 0

        assert count(engine, "asset_event_tags") >= DAYS

        assert [one for one in clean_up(engine, before) if one.is_something] == []
        again = run_for_real(instance, now)
        assert instance.get_run_by_id(again).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]


def graph() -> Any:
    return dg.Definitions(assets=[measured, summed]).resolve_asset_graph()


def test_how_steps_went_by_goes_sooner_and_what_came_of_them_stays(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    with postgres_instance(make_settings(), tmp_path) as instance, storage_engine(instance) as engine:
        assert engine is not None
        new = run_for_real(instance, now)
        failed, good, other = copy_back(engine, new, [now - timedelta(hours=hours) for hours in (12, 11, 10)], now)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE runs SET status = 'FAILURE' WHERE run_id = :run"), {"run": failed})
            # As the storage would have it: in the order of time, the real run last.
            for table in ("event_logs", "asset_check_executions"):
                connection.execute(sa.text(f"UPDATE {table} SET id = id + 1000000 WHERE run_id = :run"), {"run": new})
            connection.execute(
                sa.text(
                    "UPDATE asset_check_executions c SET evaluation_event_storage_id = e.id FROM event_logs e"
                    " WHERE e.run_id = c.run_id AND e.dagster_event_type = 'ASSET_CHECK_EVALUATION'"
                )
            )
        known = seen(instance, new)
        executions = count(engine, "asset_check_executions WHERE evaluation_event IS NOT NULL")
        whole = {run: kinds_of(engine, run) for run in (failed, good, new)}
        assert whole[failed] == whole[good] == whole[new]

        removed = {one.name: one for one in clean_up(engine, now - timedelta(days=7), now - timedelta(hours=6))}

        steps = removed[dagster_retention.STEPS]
        assert steps.rows == sum(one.rows for one in removed.values()) > 0
        assert steps.bytes_freed > 0
        assert seen(instance, new) == known
        assert kinds_of(engine, failed) == whole[failed]
        assert kinds_of(engine, new) == whole[new]
        gone = whole[good] - kinds_of(engine, good)
        assert {"STEP_START", "STEP_OUTPUT", "STEP_SUCCESS", "ASSET_CHECK_EVALUATION", "ENGINE_EVENT"} <= gone
        assert {"PIPELINE_START", "PIPELINE_SUCCESS", "ASSET_MATERIALIZATION", "LOGS_CAPTURED"} <= kinds_of(engine, good)
        assert count(engine, "asset_check_executions WHERE evaluation_event IS NOT NULL") == executions == 4
        history = instance.event_log_storage.get_asset_check_execution_history(next(iter(is_right.check_keys)), limit=10)
        assert {record.run_id for record in history if record.event is not None} == {failed, good, other, new}
        page = run_page(instance, good)
        assert page["status"] == "SUCCESS"
        assert page["stats"] == {"materializations": 2}
        assert "MaterializationEvent" in {event["__typename"] for event in page["eventConnection"]["events"]}
        again = {one.name: one.rows for one in clean_up(engine, now - timedelta(days=7), now - timedelta(hours=6))}
        assert not any(again.values())


def test_of_reports_without_a_run_one_an_hour_stays(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    now = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    with postgres_instance(make_settings(), tmp_path) as instance, storage_engine(instance) as engine:
        assert engine is not None
        for _ in range(24):
            for partition in ("2026-03-03", None):
                instance.report_runless_asset_event(dg.AssetMaterialization("reported", partition=partition, metadata={"a": 1}))
        place = "rank() OVER (PARTITION BY partition ORDER BY id) - 1"
        moments = f"SELECT id, timestamp '2026-03-04 04:00' + ({place}) * interval '20 minutes' AS at FROM event_logs"
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE event_logs e SET timestamp = t.at FROM ({moments}) AS t WHERE e.id = t.id"))
        removed = {one.name: one for one in clean_up(engine, now - timedelta(days=7), now - timedelta(hours=5))}
        # 20 minutes apart from 04:00 to 11:40, of which what is before 07:00 is thinned out.
        assert removed[dagster_retention.REPORTS].rows == 2 * 3 * 2
        with engine.connect() as connection:
            left = connection.execute(
                sa.text("SELECT to_char(timestamp, 'HH24:MI') FROM event_logs WHERE partition IS NULL ORDER BY id")
            )
            assert [str(at) for (at,) in left][:5] == ["04:40", "05:40", "06:40", "07:00", "07:20"]
        record = instance.get_latest_materialization_event(dg.AssetKey("reported"))
        assert record is not None


def kinds_of(engine: sa.Engine, run_id: str) -> set[str]:
    """The kinds of events that a run has."""
    with engine.connect() as connection:
        query = sa.text("SELECT DISTINCT dagster_event_type FROM event_logs WHERE run_id = :run")
        return {str(kind) for (kind,) in connection.execute(query, {"run": run_id})}


def run_page(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What Dagster's page of a run asks for."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget
    from dagster_graphql.schema import create_schema

    query = """query Page($run: ID!) { runOrError(runId: $run) { ... on Run {
        status startTime endTime tags { key value } assets { id } assetSelection { path }
        stats { ... on RunStatsSnapshot { materializations } } stepStats { stepKey status }
        eventConnection { cursor hasMore events { __typename ... on MessageEvent { message stepKey } } } } } }"""
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as process:
        asking = create_schema().execute_async(
            query, context_value=process.create_request_context(), variable_values={"run": run_id}
        )
        found = asyncio.run(asking)
    assert found.errors is None
    page: dict[str, Any] = found.data["runOrError"]
    return page


def test_a_clean_up_that_runs_out_of_time_says_so_and_the_next_goes_on(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    with postgres_instance(make_settings(), tmp_path) as instance, storage_engine(instance) as engine:
        assert engine is not None
        template = run_for_real(instance, now)
        copy_back(engine, template, moments_back(now, 12, 1), now)
        late = clean_up(engine, now - timedelta(days=7), seconds=-1)
        assert {(one.rows, one.is_complete) for one in late} == {(0, False)}
        assert sum(one.rows for one in clean_up(engine, now - timedelta(days=7))) > 0


def test_what_old_runs_printed_goes_and_what_runs_keeps_its_files(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        running = instance.create_run_for_job(
            dg.define_asset_job("hung", [measured]).resolve(asset_graph=graph()), status=dg.DagsterRunStatus.STARTED
        ).run_id
        manager: Any = instance.compute_log_manager
        names = {"old": str(uuid.uuid4()), "new": str(uuid.uuid4()), "running": running, "other": "not-a-run"}
        paths = {}
        for name, run_id in names.items():
            path = Path(manager.get_captured_local_path([run_id, "compute_logs", "step"], "out"))
            path.parent.mkdir(parents=True)
            path.write_text("printed\n")
            if name != "new":
                os.utime(path, (now.timestamp() - 8 * 86_400,) * 2)
            paths[name] = path
        removed = delete_log_files(instance, now - timedelta(days=7))
        assert (removed.rows, removed.bytes_freed) == (1, len("printed\n"))
        assert {name for name, path in paths.items() if path.exists()} == {"new", "running", "other"}
        assert not paths["old"].parent.parent.exists()


def test_a_storage_that_is_not_postgresql_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance, storage_engine(instance) as engine:
        assert engine is None


def test_the_storage_is_the_one_that_this_was_tried_on() -> None:
    assert dg.__version__ == dagster_retention.TRIED_ON
