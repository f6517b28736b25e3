"""The definitions as a whole: what is in the graph, and that every asset keeps the house's policy."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from metapulse_assets.automation import jobs_and_schedules
from metapulse_assets.definitions import build_defs
from metapulse_assets.platform.settings import load_settings

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs()


def graph_of(definitions: dg.Definitions) -> dict[str, object]:
    """The graph in a form that a person can read a change of."""
    graph = definitions.resolve_asset_graph()
    assets = {
        node.key.to_user_string(): {
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "depends on": sorted(key.to_user_string() for key in node.parent_keys),
            "partitions": "daily" if node.is_partitioned else "none",
            "pools": sorted(node.pools or ()),
            "checks": sorted(key.name for key in node.check_keys),
        }
        for node in graph.asset_nodes
    }
    repository = definitions.get_repository_def()
    return {
        "assets": dict(sorted(assets.items())),
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "schedules": {s.name: s.cron_schedule for s in repository.schedule_defs},
    }


def test_the_graph_is_the_one_on_record(definitions: dg.Definitions) -> None:
    assert graph_of(definitions) == json.loads(SNAPSHOT.read_text()), (
        "the asset graph changed; if that was meant, write it anew: python -m metapulse_assets_tests.test_definitions"
    )


def test_every_asset_keeps_the_policy(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for node in graph.asset_nodes:
        name = node.key.to_user_string()
        assert node.owners, name
        assert node.group_name not in ("", "default"), name
        assert node.kinds, name
        assert node.description, name
        assert node.freshness_policy is not None, name
        assert node.check_keys, name
        assert "dagster/column_schema" in node.metadata, name
        if node.is_external:
            # Filled by a process that is no run: there is nothing to retry or to backfill.
            continue
        assert node.assets_def.op.retry_policy is not None, name
        if node.is_partitioned:
            assert node.backfill_policy is not None, name


def test_every_column_of_an_asset_is_described_or_speaks_for_itself(definitions: dg.Definitions) -> None:
    plain = {"token_id", "pool_id", "chain", "timeframe", "dex", "kind", "rule", "direction", "strength", "price_usd", "vendor"}
    plain |= {"risk", "tracked_since", "post_id", "likes", "replies", "reposts", "quotes", "provider"}
    for node in definitions.resolve_asset_graph().asset_nodes:
        schema = node.metadata["dagster/column_schema"]
        for column in schema.columns:
            assert column.description or column.name in plain, f"{node.key.to_user_string()}.{column.name}"


def test_what_signals_rest_on_is_checked_before_they_are_made(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    signals = dg.AssetKey("signals")
    upstream: set[dg.AssetKey] = set()
    wanted = [signals]
    while wanted:
        found = graph.get(wanted.pop()).parent_keys - upstream
        upstream |= found
        wanted += found
    assert len(upstream) > 12
    for key in upstream:
        blocking = [check for check in graph.get(key).check_keys if graph.get(check).blocking]
        assert blocking, f"{key.to_user_string()} has no blocking check"


def crons(schedules: list[dg.ScheduleDefinition]) -> dict[str, object]:
    return {schedule.name: schedule.cron_schedule for schedule in schedules}


def test_an_interval_in_the_settings_becomes_the_schedules_cron() -> None:
    _, schedules = jobs_and_schedules(load_settings())
    others = {
        "social_tick_schedule": "*/10 * * * *",
        "ai_tick_schedule": "*/15 * * * *",
        "daily_reports_schedule": "20 0 * * *",
        "cleanup_schedule": "0 * * * *",
    }
    assert crons(schedules) == {"market_tick_schedule": "*/5 * * * *", **others}
    _, schedules = jobs_and_schedules(load_settings(token_data_interval=600_000, signal_generation_interval=300_000))
    apart = {"market_tick_schedule": "*/10 * * * *", "signals_tick_schedule": "*/5 * * * *"}
    assert crons(schedules) == {**apart, **others}
    _, schedules = jobs_and_schedules(load_settings(social_data_interval=300_000, ai_analysis_interval=3_600_000))
    assert crons(schedules)["social_tick_schedule"] == "*/5 * * * *"
    assert crons(schedules)["ai_tick_schedule"] == "0 * * * *"


def test_every_schedule_asks_for_a_run_that_its_job_can_do(definitions: dg.Definitions, tmp_path: Path) -> None:
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for schedule in repository.schedule_defs:
            moment = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
            context = dg.build_schedule_context(
                instance=instance, scheduled_execution_time=moment, repository_def=repository, resources={"platform": None}
            )
            asked = schedule.evaluate_tick(context)
            assert len(asked.run_requests or []) == 1, schedule.name


def test_schedules_run_by_default_only_where_the_settings_say_so() -> None:
    for enabled, status in ((True, dg.DefaultScheduleStatus.RUNNING), (False, dg.DefaultScheduleStatus.STOPPED)):
        _, schedules = jobs_and_schedules(load_settings(enable_scheduled_jobs=enabled))
        assert {schedule.default_status for schedule in schedules} == {status}


def test_a_tick_is_skipped_while_the_one_before_still_runs(definitions: dg.Definitions, tmp_path: Path) -> None:
    schedule = definitions.resolve_schedule_def("market_tick_schedule")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def ask() -> object:
            moment = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)
            return schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=moment))

        request = ask()
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == "2026-03-04"
        job = definitions.resolve_job_def("market_tick")
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        skipped = ask()
        assert isinstance(skipped, dg.SkipReason)
        assert run.run_id in (skipped.skip_message or "")
        instance.delete_run(run.run_id)
        assert isinstance(ask(), dg.RunRequest)


def test_the_definitions_load_in_a_fresh_interpreter_quickly_and_without_heavy_libraries() -> None:
    code = (
        "import sys; import metapulse_assets.definitions;"
        "print([name for name in ('pandas', 'matplotlib', 'pyarrow', 'uvicorn', 'talib') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph_of(build_defs()), indent=2) + "\n")
