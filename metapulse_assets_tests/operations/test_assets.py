"""The assets and their checks: each can be run, says what came of it, and its checks pass on a healthy database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.operations import assets, tables
from metapulse_assets.operations.checks import operations_checks
from metapulse_assets.operations.dagster_retention import storage_engine
from metapulse_assets.platform.runtime import Platform
from metapulse_assets_tests.operations.dagster_history import copy_back, moments_back, postgres_instance, run_for_real

ALL = [
    *(assets.retention, assets.database_optimisation, assets.job_logs),
    *(assets.queue_stats, assets.health_metrics, assets.alarms),
]
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def run(platform: Platform, *chosen: dg.AssetsDefinition, **config: Any) -> dg.ExecuteInProcessResult:
    """Run assets with their checks."""
    names = {asset.key for asset in chosen or ALL}
    checks = [check for check in operations_checks() if check.check_specs_by_output_name.values()]
    wanted = [check for check in checks if {key.asset_key for key in check.check_keys} <= names]
    return dg.materialize(
        [*(chosen or ALL), *wanted],
        resources={"platform": platform},
        run_config={**QUIET, **({"ops": config} if config else {})},
        raise_on_error=False,
    )


def facts(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """What the run said of an asset."""
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_all_of_operations_runs_on_a_fresh_database_and_its_checks_pass(quiet: Platform) -> None:
    result = run(quiet)
    assert result.success
    failed = [f"{e.asset_key.to_user_string()}:{e.check_name}" for e in result.get_asset_check_evaluations() if not e.passed]
    assert failed == []
    assert len(result.get_asset_check_evaluations()) == 14
    assert facts(result, "retention")["dagster/row_count"] == 0
    assert "not PostgreSQL" in facts(result, "retention")["Dagster's storage"]
    assert facts(result, "health_metrics")["dagster/row_count"] > 20


def test_a_period_that_is_too_short_is_refused_before_anything_goes(make_settings: Any, clock: Any) -> None:
    platform = Platform(make_settings(social_retention_days=5), clock=clock)
    result = run(platform, assets.retention)
    assert not result.success
    assert "METAPULSE_SOCIAL_RETENTION_DAYS: 5 days is less than the 10" in str(result.failure_data_for_node("retention"))


def test_a_low_memory_limit_makes_the_check_warn(make_settings: Any, clock: Any) -> None:
    platform = Platform(make_settings(memory_limit_mb=1), clock=clock)
    result = run(platform, assets.health_metrics)
    assert result.success
    evaluations = {e.check_name: e for e in result.get_asset_check_evaluations()}
    memory = evaluations["memory_within_limit"]
    assert not memory.passed
    assert memory.severity is dg.AssetCheckSeverity.WARN
    assert "METAPULSE_MEMORY_LIMIT_MB=1" in str(memory.metadata["why"].value)
    assert not evaluations["nothing_fails"].passed


def test_a_replay_removes_nothing(make_settings: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    platform = Platform(make_settings(), clock=clock)
    with platform.engine.begin() as connection:
        connection.execute(
            sa.insert(tables.alarms).values(
                key="old", severity="error", text="t", first_seen="2020-01-01Z", last_seen="2020-01-01Z",
                count=1, resolved_at="2020-01-02Z",
            )
        )  # fmt: skip
    replaying = Platform(make_settings(mode="replay"), clock=clock)
    # The database is a sandbox's; what matters is the mode in the settings.
    replaying.__dict__["engine"] = platform.engine
    assert "nothing is removed" in facts(run(replaying, assets.retention), "retention")["why"]
    assert facts(run(platform, assets.retention), "retention")["rows and files deleted"] == 1


def test_the_clean_up_takes_dagsters_own_history_along(make_settings: Any, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    platform = Platform(make_settings(), clock=lambda: now)
    with postgres_instance(make_settings(), tmp_path) as instance, storage_engine(instance) as storage:
        assert storage is not None
        template = run_for_real(instance, now)
        copies = copy_back(storage, template, moments_back(now, 12, 2), now)
        result = dg.materialize(
            [assets.retention], instance=instance, resources={"platform": platform}, run_config=QUIET, raise_on_error=False
        )
        assert result.success
        assert instance.get_run_by_id(copies[0]) is None
        assert instance.get_run_by_id(template) is not None
        assert facts(result, "retention")["bytes freed"] > 10_000
        assert "event_logs" in facts(result, "retention")["what went"].replace("&#95;", "_")
    with platform.engine.connect() as connection:
        removed = {row.name: row for row in connection.execute(sa.select(tables.retention))}
    assert {"event_logs", "runs", "asset_check_executions", "job_ticks"} <= removed.keys()
    assert {row.store for row in removed.values()} == {"dagster"}
    assert removed["runs"].kept_since == now - timedelta(days=7)
