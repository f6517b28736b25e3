"""Each way a vendor can misbehave, over real sockets: good items are stored, bad ones kept with their reason, none twice."""

from collections.abc import Callable

import pytest

from metapulse_assets_tests.pipeline.conftest import START, World

QUICK = {"vendor_timeout_seconds": 1.0, "breaker_failures": 50}
# Answers that are all well but for some items; the reason that the items are kept with.
ITEM_FAULTS = {
    "bad-price": "priceUsd",
    "missing-price": "priceUsd",
    "absurd-change": "priceChange.h24",
    "long-name": "baseToken.name",
    "unknown-chain": "unknown chain 'atlantis'",
    "negative-volume": "volume",
}
# Answers that cannot be read at all at times; a later try is answered.
REQUEST_FAULTS = ("rate-limit", "rate-limit-retry-after", "server-error", "cut", "cut-json", "html", "slow")


@pytest.fixture
def a_running_world(make_running_world: Callable[..., World]) -> Callable[..., World]:
    """A world after its first tick, when nothing was wrong yet. Snapshots are at stake here, so no history is asked for."""
    return lambda **settings: make_running_world(history=False, settings={**QUICK, **settings})


def account(world: World) -> dict[str, int]:
    """What became of the tokens asked for in the newest tick."""
    return {
        "asked": world.count("tracked_tokens", "active"),
        "stored": world.count("token_metrics", f"observed_at >= '{world.now}'"),
        "stored tokens": world.count(f"(SELECT DISTINCT token_id FROM token_metrics WHERE observed_at >= '{world.now}') AS t"),
    }


@pytest.mark.parametrize(("fault", "reason"), ITEM_FAULTS.items())
def test_a_bad_item_is_kept_with_its_reason_and_the_good_ones_are_stored(
    a_running_world: Callable[..., World], fault: str, reason: str
) -> None:
    world = a_running_world()
    world.sandbox.set_faults({fault: 0.3})
    world.tick(until="token_metrics")

    counts = account(world)
    refused = {row[0] for row in world.rows("dead_letters", "item_key")}
    assert 0 < counts["stored"] < counts["asked"] or refused
    assert counts["stored"] == counts["stored tokens"], "a token was stored twice"
    assert refused, "no dead letter"
    assert world.count("dead_letters", f"position($${reason}$$ in reason) = 0") == 0
    assert world.count("dead_letters", "kind <> 'item' OR payload = 'null'") == 0


@pytest.mark.parametrize("fault", ["string-numbers", "missing-liquidity", "duplicate", "out-of-order"])
def test_what_is_odd_but_right_is_stored_whole(a_running_world: Callable[..., World], fault: str) -> None:
    world = a_running_world()
    world.sandbox.set_faults({fault: 1.0})
    world.tick()

    counts = account(world)
    assert counts["stored"] == counts["stored tokens"] == counts["asked"]
    assert world.count("dead_letters") == 0
    if fault == "missing-liquidity":
        assert world.count("token_metrics", f"observed_at >= '{world.now}' AND liquidity_usd IS NOT NULL") == 0
        assert world.count("risk_assessments", f"observed_at >= '{world.now}' AND level = 'low'") == 0


@pytest.mark.parametrize("fault", REQUEST_FAULTS)
def test_a_failing_request_is_tried_again_until_it_is_answered(a_running_world: Callable[..., World], fault: str) -> None:
    world = a_running_world(vendor_attempts=8)
    world.sandbox.set_faults({fault: 0.4})
    world.tick(until="token_metrics")

    counts = account(world)
    failed = world.count("dead_letters", "kind = 'request'")
    assert counts["stored"] == counts["stored tokens"]
    assert counts["stored"] == counts["asked"] or failed
    assert any(request["fault"] == fault for request in world.sandbox.requests()), "the fault never struck"


@pytest.mark.parametrize("fault", ["pairs-null", "empty"])
def test_an_empty_answer_is_no_proof_of_absence(a_running_world: Callable[..., World], fault: str) -> None:
    world = a_running_world()
    world.sandbox.set_faults({fault: 0.5})
    world.tick(until="token_metrics")
    paths = [str(request["path"]) for request in world.sandbox.requests() if request["fault"] is None]
    counts = account(world)
    assert counts["stored"] == counts["stored tokens"]
    if counts["stored"] < counts["asked"]:
        assert any("/latest/dex/pairs/" in path for path in paths), "the missing were not asked for again"


def test_a_vendor_that_is_down_fails_the_tick_with_its_reason_and_the_next_tick_goes_on(
    a_running_world: Callable[..., World],
) -> None:
    world = a_running_world(breaker_failures=5, breaker_open_seconds=0.5)
    candles = world.count("candles")
    world.sandbox.set_faults({"server-error": 1.0})
    result = world.tick(succeeds=False)
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "HTTP 500" in str(failure.step_failure_data.error) or "circuit open" in str(failure.step_failure_data.error)
    assert world.count("dead_letters", "kind = 'request'") > 0

    world.sandbox.set_faults({})
    world.ticks(1)
    world.tick()
    assert world.count("candles") > candles
    assert account(world)["stored"] == account(world)["asked"]


def test_no_limit_is_exceeded_however_often_a_tick_runs(make_world: Callable[..., World]) -> None:
    world = make_world(
        START,
        settings={"dexscreener_rate_limit": 10, "dexscreener_pairs_per_minute": 300, "geckoterminal_rate_limit": 3_000},
        limits={"dexscreener": 300, "dexscreener-profiles": 60, "geckoterminal": 3_000},
    )
    world.ticks(2)
    requests = world.sandbox.requests()
    assert all(request["status"] == 200 for request in requests)
    arrivals = sorted(
        float(str(request["time"])) for request in requests if str(request["limit_class"]).startswith("dexscreener")
    )
    assert len(arrivals) > 10
    busiest = max(sum(start <= other < start + 1.0 for other in arrivals) for start in arrivals)
    assert busiest <= 2 * 10, "pairs and profiles are counted apart, ten a second each"
