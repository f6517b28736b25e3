"""Who is asked about, and in which order."""

from dataclasses import replace

from metapulse_assets.intelligence.requests import plan
from metapulse_assets.intelligence.triggers import Trigger, choose, look
from metapulse_assets_tests.intelligence.panels import AS_OF, a_state, honest

QUIET = a_state("sideways", social={})


def test_nothing_happened_nobody_asks() -> None:
    assert look(QUIET) is None


def test_each_kind_of_event_asks() -> None:
    hit = look(a_state("up", metrics={}, social={}))
    assert hit is not None
    assert hit.fired == {"technical_hits": {"count": 1, "best": 0.42}}
    assert hit.technical
    assert not hit.social
    for move in (5.0, -5.0):
        moved = look(replace(QUIET, metrics={"price_change_h1_pct": move}))
        assert moved is not None
        assert moved.fired == {"price_move": {"price_change_h1_pct": move}}
    assert look(replace(QUIET, metrics={"price_change_h1_pct": 4.9})) is None
    spike = look(replace(QUIET, social={"unique_posts_1h": 5.0, "velocity_z": 3.0}))
    assert spike is not None
    assert spike.social
    assert look(replace(QUIET, social={"unique_posts_1h": 4.0, "velocity_z": 9.0})) is None
    assert look(replace(QUIET, social={"unique_posts_1h": 50.0, "velocity_z": None})) is None
    mood = look(replace(QUIET, social={"unique_posts_1h": 20.0, "velocity_z": None, "sentiment": -0.6}))
    assert mood is not None
    assert list(mood.fired) == ["mood"]


def test_a_token_of_high_risk_is_left_alone() -> None:
    assert look(a_state("up", risk_level="high")) is None
    assert look(a_state("up", risk_level="unknown")) is not None


def test_the_most_urgent_come_first_and_no_more_than_allowed() -> None:
    triggers = [Trigger(3, {}, 0.5), Trigger(2, {}, 0.9), Trigger(1, {}, 0.5)]
    assert [trigger.token_id for trigger in choose(triggers, 2)] == [2, 1]
    assert choose(triggers, 0) == []


def test_the_questions_of_a_tick() -> None:
    states = [a_state("up", token_id=1), replace(QUIET, token_id=2), a_state("down", token_id=3, social={})]
    rows = plan(states, AS_OF, 8, lambda token_id: honest(["up"], 20))
    assert [(row["kind"], row["token_id"]) for row in rows] == [
        *(("comprehensive", 1), ("technical", 1), ("sentiment", 1)),
        *(("comprehensive", 3), ("technical", 3)),
        ("market_overview", None),
    ]
    assert [row["place"] for row in rows] == list(range(6))
    assert len({row["request_id"] for row in rows}) == 6
    assert [row["token_id"] for row in plan(states, AS_OF, 1, lambda token_id: [])] == [1, 1, None]
    assert plan([replace(QUIET, token_id=2)] * 5, AS_OF, 8, lambda token_id: []) == []
    assert plan(states, AS_OF, 0, lambda token_id: []) == []
