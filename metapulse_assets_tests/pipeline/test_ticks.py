"""Ticks of the whole pipeline on a real database against the sandbox: what a tick adds, and what it never does twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from metapulse_assets_tests.pipeline.conftest import DERIVED, TICK, World


def test_a_first_tick_goes_from_nothing_to_signals(new_world: World) -> None:
    result = new_world.tick()

    tracked = new_world.count("tracked_tokens", "active")
    assert tracked > 5
    assert new_world.count("token_metrics") == tracked
    assert new_world.count("candles", "timeframe = '5m'") > 500 * tracked * 0.5
    assert new_world.count("technical_analyses") > 0
    assert new_world.count("risk_assessments") == tracked
    assert new_world.count("signals") > 0
    assert new_world.count("signals", "mode <> 'sandbox' OR run_id = ''") == 0
    assert {evaluation.passed for evaluation in result.get_asset_check_evaluations()} == {True}
    for event in result.get_asset_materialization_events():
        assert "dagster/row_count" in event.materialization.metadata, event.asset_key
    chart = result.asset_materializations_for_node("signals")[0].metadata["chart"]
    assert isinstance(chart, dg.MarkdownMetadataValue)
    assert (chart.md_str or "").startswith("![price, means, RSI and signals](data:image/png;base64,iVBOR")


def test_each_tick_closes_one_candle_a_token_and_analyses_it(world: World) -> None:
    candles, analyses = (
        world.count("candles", "timeframe = '5m'"),
        world.count("technical_analyses", "timeframe = '5m'"),
    )
    world.tick()
    with_trades = world.count("token_metrics", f"observed_at > '{world.now - TICK}' AND buys_m5 + sells_m5 > 0")
    assert world.count("candles", "timeframe = '5m'") == candles + with_trades
    assert world.count("technical_analyses", "timeframe = '5m'") == analyses + with_trades


def test_a_tick_run_twice_in_a_moment_doubles_nothing(world: World) -> None:
    world.ticks(1)
    before = {table: world.rows(table) for table in ("candles", *DERIVED)}
    snapshots = world.count("token_metrics")
    world.move(-TICK + timedelta(seconds=20))
    world.tick()
    assert world.count("token_metrics") == snapshots + world.count("tracked_tokens", "active")
    for table, rows in before.items():
        assert world.rows(table) == rows, table


def test_the_last_candle_of_a_day_is_analysed_by_the_next_days_first_tick(make_world: Callable[..., World]) -> None:
    world = make_world(datetime(2026, 11, 20, 23, 50, 4, tzinfo=UTC), tokens=12)
    world.ticks(4)
    last = "timeframe = '5m' AND opened_at = '2026-11-20 23:55+00'"
    assert world.count("candles", last) > 0
    assert world.count("technical_analyses", last) == world.count("candles", last)
    assert world.count("candles", "timeframe = '1h' AND source = 'rollup' AND opened_at = '2026-11-20 23:00+00'") > 0
    assert world.count("technical_analyses", "timeframe = '1h' AND opened_at = '2026-11-20 23:00+00'") > 0
    assert world.count("technical_analyses", "timeframe = '5m' AND opened_at = '2026-11-21 00:00+00'") > 0


def test_what_ticks_made_a_recomputation_of_the_day_leaves_as_it_is(make_world: Callable[..., World]) -> None:
    world = make_world(datetime(2026, 11, 19, 23, 40, 4, tzinfo=UTC), tokens=12)
    world.ticks(7)
    before = {table: world.rows(table) for table in ("token_metrics", "candles", "technical_analyses", "signals")}
    world.time[0] = datetime(2026, 11, 20, 0, 20, 30, tzinfo=UTC)
    world.backfill(world.now.date(), world.now.date())
    today = "opened_at >= '2026-11-20'"
    assert world.rows("technical_analyses") == before["technical_analyses"], "a row differs from what the tick made"
    assert set(before["signals"]) <= set(world.rows("signals")), "an emitted signal was changed"
    assert world.count("technical_analyses", today) > 0


@pytest.mark.parametrize("minutes", [35, 200])
def test_after_a_pause_history_fills_the_gap_and_nothing_is_doubled(world: World, minutes: int) -> None:
    world.ticks(1)
    world.move(timedelta(minutes=minutes))
    world.tick()
    # The vendor has every candle; ours must be the same set from the day's start to now for a liquid token.
    missing = world.count(
        """(SELECT token_id, count(*) AS n FROM candles WHERE timeframe = '5m' AND opened_at >= '2026-11-20 10:00+00'
            GROUP BY token_id
            HAVING count(*) >= 24 AND max(opened_at) - min(opened_at) > count(*) * interval '10 minutes') AS gaps"""
    )
    assert missing == 0
    in_pause = f"timeframe = '5m' AND opened_at >= '{world.now - timedelta(minutes=minutes)}'"
    assert world.count("candles", in_pause) > 0
    assert world.count("candles", f"{in_pause} AND available_at < opened_at + interval '5 minutes'") == 0
