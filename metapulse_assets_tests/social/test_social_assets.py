"""The assets of what posts say, run by Dagster: a tick, a tick again, a backfill."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.database import metadata
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.social import assets
from metapulse_assets.social.checks import social_checks
from metapulse_assets_tests.social.stored_posts import (
    DAY,
    HOUR,
    MINUTE,
    TABLES,
    PostRow,
    add_market,
    add_pass,
    add_posts,
    add_token,
    rows,
)

NOON = DAY + 12 * HOUR
ASSETS = (assets.mentions, assets.post_sentiments, assets.social_metrics, assets.trending_topics)


class World:
    """A platform whose clock the test moves, and runs of the assets on it."""

    def __init__(self, settings: Settings) -> None:
        """At noon."""
        self.now = NOON
        self.platform = Platform(settings, clock=lambda: self.now)

    def run(self, day: str, tags: Mapping[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Materialise everything of a day, checks included."""
        definitions = dg.Definitions(
            assets=ASSETS,
            asset_checks=social_checks(),
            resources={"platform": self.platform},
            jobs=[dg.define_asset_job("all", dg.AssetSelection.all())],
            executor=dg.in_process_executor,
        )
        job = definitions.resolve_job_def("all")
        result = job.execute_in_process(partition_key=day, tags=dict(tags or {}), raise_on_error=True)
        assert result.success
        return result


@pytest.fixture
def world(make_settings: Callable[..., Settings]) -> World:
    """A token and an hour of posts about it."""
    world = World(make_settings())
    with world.platform.engine.begin() as connection:
        token_id = add_token(connection, "WIF", "Dogwifhat", "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr")
        add_market(connection, token_id, DAY + HOUR, 5e6, 5e6)
        add_posts(
            connection,
            [
                PostRow(f"p{n}", NOON - (n + 3) * MINUTE, f"$WIF looks good {'!' * n} #wif", author=f"a{n % 4}")
                for n in range(8)
            ],
        )
        add_pass(connection, NOON - MINUTE)
    return world


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """What an asset said of itself."""
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(name)]
    return {key: value.value for key, value in event.materialization.metadata.items()}


def test_a_tick_fills_the_tables_and_says_so(world: World) -> None:
    result = world.run("2026-11-20")
    said = {table: metadata_of(result, table) for table in TABLES}
    for table in TABLES:
        stored = rows(world.platform.engine, table)
        assert said[table]["dagster/row_count"] == said[table]["rows changed"] == len(stored) > 0
    assert "ambiguous" in said["mentions"]["by resolution"]
    assert "data:image/png;base64," in said["social_metrics"]["chart"]
    assert "WIF" in said["trending_topics"]["newest"]
    checks = result.get_asset_check_evaluations()
    assert {check.asset_key.to_user_string() for check in checks} == set(TABLES)
    assert all(check.passed for check in checks)


def test_the_same_again_and_a_backfill_change_nothing(world: World) -> None:
    world.run("2026-11-20")
    before = [rows(world.platform.engine, table) for table in TABLES]
    again = world.run("2026-11-20")
    world.now = DAY + timedelta(days=2)
    backfill = world.run("2026-11-20", {"dagster/backfill": "test"})
    for result in (again, backfill):
        assert [metadata_of(result, table)["rows changed"] for table in TABLES] == [0] * 4
    assert [rows(world.platform.engine, table) for table in TABLES] == before


def test_a_day_without_posts_is_no_failure(world: World) -> None:
    result = world.run("2026-11-18")
    assert [metadata_of(result, table)["dagster/row_count"] for table in TABLES] == [0] * 4
    with world.platform.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM progress_marks")).scalar_one() == 0


def test_every_table_has_its_asset_and_its_checks() -> None:
    assert {definition.key.to_user_string() for definition in ASSETS} == set(TABLES)
    assert {key.asset_key.to_user_string() for check in social_checks() for key in check.check_keys} == set(TABLES)
    assert set(TABLES) <= set(metadata.tables)
