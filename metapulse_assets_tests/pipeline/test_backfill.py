"""Backfills of past days: history is fetched and everything derived from it; a second time changes nothing."""

from datetime import timedelta

from metapulse_assets_tests.pipeline.conftest import DERIVED, World

TABLES = ("tokens", "pools", "token_metrics", "candles", *DERIVED)


def test_three_past_days_come_out_equal_the_second_time(world: World) -> None:
    last = world.now.date() - timedelta(days=1)
    first = last - timedelta(days=2)
    snapshots = world.rows("token_metrics")

    result = world.backfill(first, last)
    after_once = {table: world.rows(table) for table in TABLES}
    days = {row[0] for row in world.rows("technical_analyses", "date_trunc('day', opened_at, 'UTC')::date")}
    assert len(days) == 4, "today and the three days"
    assert world.count("signals", f"origin = 'replay' AND opened_at < '{world.now.date()}'") > 0
    assert world.rows("token_metrics") == snapshots
    why = result.asset_materializations_for_node("token_metrics")[0].metadata["why"].value
    assert "cannot be asked for again" in str(why)

    world.move(timedelta(minutes=1))
    world.backfill(first, last)
    for table in TABLES:
        assert world.rows(table) == after_once[table], f"{table} changed"


def test_a_signal_of_a_past_day_is_known_to_be_a_replay(world: World) -> None:
    yesterday = world.now.date() - timedelta(days=1)
    world.backfill(yesterday, yesterday)
    of_yesterday = f"opened_at < '{world.now.date()}'"
    assert world.count("signals", of_yesterday) > 0
    assert world.count("signals", f"{of_yesterday} AND (origin <> 'replay' OR emitted_at < observed_at)") == 0
    assert world.count("signals", f"{of_yesterday} AND recorded_at <= emitted_at") == 0
