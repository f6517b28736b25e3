"""From ticks to outcomes: time goes on, horizons pass, outcomes appear; a backfill of past days makes theirs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from metapulse_assets_tests.pipeline.conftest import World


def test_outcomes_appear_as_horizons_pass_and_stay(make_world: Callable[..., World]) -> None:
    world = make_world(datetime(2026, 11, 20, 14, 15, 4, tzinfo=UTC), tokens=10)
    world.tick()
    assert world.count("signals", "origin = 'live'") > 0
    for minutes in (5, 5, 10):
        world.move(timedelta(minutes=minutes))
        world.tick()
    live = "signal_id IN (SELECT signal_id FROM signals WHERE origin = 'live')"
    assert world.count("signal_outcomes", f"horizon = '5m' AND {live}") > 0
    early = "(SELECT 1 FROM signal_outcomes o JOIN signals s USING (signal_id) WHERE s.origin = 'live'"
    assert world.count(f"{early} AND o.entry_at < s.recorded_at) AS early") == 0
    before = set(world.rows("signal_outcomes"))
    world.move(timedelta(minutes=70))
    result = world.tick()
    assert world.count("signal_outcomes", f"horizon = '1h' AND {live}") > 0
    assert before <= set(world.rows("signal_outcomes")), "a stored outcome was changed"
    assert {evaluation.passed for evaluation in result.get_asset_check_evaluations()} == {True}
    metadata = result.asset_materializations_for_node("signal_calibration")[0].metadata
    assert "sources" in metadata
    assert str(metadata["reliability"].value).startswith("![share of hits by confidence](data:image/png;base64,iVBOR")
    world.move(timedelta(seconds=20))
    again = world.tick().asset_materializations_for_node("signal_calibration")[0].metadata
    assert "once an hour" in str(again["why"].value)


def test_a_backfill_makes_the_outcomes_of_its_days_once(make_world: Callable[..., World]) -> None:
    world = make_world(datetime(2026, 11, 20, 14, 15, 4, tzinfo=UTC), tokens=8)
    world.tick()
    last = world.now.date() - timedelta(days=1)
    first = last - timedelta(days=1)
    result = world.backfill(first, last)
    assert {evaluation.passed for evaluation in result.get_asset_check_evaluations()} == {True}
    of_days = f"opened_at < '{world.now.date()}'"
    signals = world.count("signals", of_days)
    for horizon in ("5m", "1h", "4h"):
        decided = world.count("signal_outcomes", f"{of_days} AND horizon = '{horizon}'")
        assert decided == signals > 0, horizon
        assert world.count("signal_outcomes", f"{of_days} AND horizon = '{horizon}' AND status = 'resolved'") > 0.7 * signals
    before = world.rows("signal_outcomes")
    world.move(timedelta(minutes=1))
    world.backfill(first, last)
    assert world.rows("signal_outcomes") == before
