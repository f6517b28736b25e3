"""The asset of posts and its checks: today, a past day, no key, a pause, a pass that breaks off, and what the checks find."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.platform.day_partitions import day_bounds, ensure_days
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.table_checks import Finding
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets.social import pass_store, post_assets, post_checks, post_store
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.social.query_cursors import Cursor, Gap
from metapulse_assets_tests.conftest import FixedClock

Facts = dict[str, Any]


@pytest.fixture
def sandbox(noon: FixedClock) -> Iterator[Sandbox]:
    limits = dict.fromkeys(("x-search", "x-counts", "x-users", "x-timeline", "x-posts"), 100_000)
    with running(SandboxConfig(tokens=30, limits=limits, wall=lambda: noon().timestamp())) as it:
        yield it


@pytest.fixture
def platform(make_settings: Callable[..., Settings], sandbox: Sandbox, noon: FixedClock) -> Platform:
    made = Platform(
        make_settings(twitter_api_url=sandbox.x_url, twitter_rate_limit=100_000, x_budget_usd_per_day=20.0), clock=noon
    )
    with made.engine.begin() as connection:
        track_sol(connection, noon())
    return made


def track_sol(connection: sa.Connection, at: datetime) -> None:
    values = {
        "chain": "solana",
        "address": "So11111111111111111111111111111111111111112",
        "symbol": "SOL",
        "name": "Wrapped SOL",
    }
    token_id = connection.execute(
        sa.insert(tokens).values(**values, first_recorded_at=at).returning(tokens.c.token_id)
    ).scalar_one()
    connection.execute(
        sa.insert(tracked_tokens).values(
            token_id=token_id, active=True, sources=["boosts"], tracked_since=at, last_listed_at=at, reason="x"
        )
    )


def run(platform: Platform, day: date | None = None, raise_on_error: bool = True) -> Facts:
    """Materialise the asset with its checks; returns what it says, and what each check says by its name."""
    result = dg.materialize(
        [post_assets.social_posts, *post_checks.post_checks()],
        partition_key=(day or platform.now().date()).isoformat(),
        resources={"platform": platform},
        raise_on_error=raise_on_error,
    )
    facts: Facts = {}
    for materialization in result.asset_materializations_for_node("social_posts"):
        facts |= {name: value.value for name, value in materialization.metadata.items()}
    return facts | {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def passes(platform: Platform) -> list[Any]:
    with platform.engine.connect() as connection:
        query = "SELECT status, reason, requests, finished_at FROM collection_passes ORDER BY pass_id"
        return [tuple(row) for row in connection.execute(sa.text(query))]


CHECKS = {"times": True, "engagement_values": True, "budget_kept": True, "cursors_sane": True, "last_pass": True}


def test_a_tick_collects_and_says_what_it_cost(platform: Platform) -> None:
    facts = run(platform)
    assert facts["posts new"] > 3
    assert facts["dagster/row_count"] > 0
    assert facts["status"] == "complete"
    assert facts["budget a day USD"] == 20.0
    assert facts["spent today USD"] == facts["cost of this pass USD"] > 0
    assert "SOL" in facts["newest posts"]
    assert {name: facts[name] for name in CHECKS} == CHECKS
    assert [(status, reason) for status, reason, *_ in passes(platform)] == [("complete", None)]


def test_a_past_day_is_left_alone_and_says_why(platform: Platform, sandbox: Sandbox) -> None:
    facts = run(platform, date(2026, 3, 1))
    assert "cannot be asked for again" in facts["why"]
    assert facts["changed"] == 0
    assert passes(platform) == []
    assert sandbox.requests() == []


def test_without_a_key_it_is_switched_off_and_crashes_nothing(
    make_settings: Callable[..., Settings], engine: sa.Engine, noon: FixedClock, sandbox: Sandbox
) -> None:
    live = Platform(make_settings(mode=Mode.LIVE, twitter_api_url=sandbox.x_url), clock=noon)
    # The database of the test is the sandbox's; what is tested is what a missing key does.
    live.__dict__["engine"] = engine
    facts = run(live)
    assert facts["status"] == "switched off: TWITTER_BEARER_TOKEN is not set"
    assert facts["dagster/row_count"] == 0
    assert passes(live) == [("switched_off", "switched off: TWITTER_BEARER_TOKEN is not set", 0, noon())]
    assert facts["last_pass"] is True
    assert sandbox.requests() == []


def test_a_replay_asks_nobody(
    make_settings: Callable[..., Settings], engine: sa.Engine, noon: FixedClock, sandbox: Sandbox
) -> None:
    replay = Platform(make_settings(mode=Mode.REPLAY, twitter_api_url=sandbox.x_url, twitter_bearer_token="k"), clock=noon)
    replay.__dict__["engine"] = engine
    assert "asks nobody" in run(replay)["why"]
    assert passes(replay) == []
    assert sandbox.requests() == []


def test_while_x_sells_nothing_nothing_is_asked(platform: Platform, sandbox: Sandbox, noon: FixedClock) -> None:
    with platform.engine.begin() as connection:
        pass_id = pass_store.begin_pass(connection, noon(), 20.0)
        until = day_bounds(noon().date())[1]
        pass_store.finish_pass(connection, pass_id, noon(), "failed", "cap reached", 1, until)
    facts = run(platform)
    assert facts["status"].startswith("failed: not asked before 2026-03-05 00:00 UTC: cap reached")
    assert facts["last_pass"] is False
    assert sandbox.requests() == []
    noon.moment += timedelta(days=1)
    assert run(platform)["status"] == "complete"


def test_a_pass_that_breaks_off_is_closed_with_its_reason(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda policy, attempt: 0)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(post_store, "words_of_tracked", broken)
    run(platform, raise_on_error=False)
    assert {(status, reason) for status, reason, *_ in passes(platform)} == {("failed", "broke off: ZeroDivisionError")}


DAY = day_bounds(date(2026, 3, 4))
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def finding(engine: sa.Engine, name: str) -> Finding:
    (checks,) = post_checks.post_checks()
    assert name in {spec.name for spec in checks.check_specs}
    look = {
        "times": post_checks._no_post_from_the_future,
        "budget_kept": post_checks._budget_kept,
        "cursors_sane": post_checks._cursors_sane,
        "last_pass": post_checks._last_pass,
    }[name]
    with engine.connect() as connection:
        return look(connection, *DAY)


def test_a_post_stored_before_it_was_written_is_found(engine: sa.Engine) -> None:
    row = {
        "platform": "x",
        "author_id": "1",
        "text": "t",
        "kind": "post",
        "cashtags": [],
        "hashtags": [],
        "urls": [],
        "observed_at": NOON,
        "source": "q",
    }
    with engine.begin() as connection:
        ensure_days(connection, social_posts.name, [NOON.date()])
        connection.execute(sa.insert(social_posts).values(post_id="1", recorded_at=NOON, available_at=NOON, **row))
    assert finding(engine, "times").passed
    early = NOON - timedelta(hours=25)
    with engine.begin() as connection:
        connection.execute(sa.insert(social_posts).values(post_id="2", recorded_at=early, available_at=NOON, **row))
    found = finding(engine, "times")
    assert not found.passed
    assert found.facts == {"posts": 2, "stored before they were written": 1, "usable only after they were stored": 1}


@pytest.mark.parametrize(("cost", "passed"), [(2.5, True), (2.51, False)])
def test_a_day_above_its_budget_is_found(engine: sa.Engine, cost: float, passed: bool) -> None:
    with engine.begin() as connection:
        for _ in range(2):
            pass_id = pass_store.begin_pass(connection, NOON, 5.0)
            pass_store.charge(connection, pass_id, cost)
    assert finding(engine, "budget_kept").passed is passed


def test_a_cursor_that_could_lose_posts_is_found(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        post_store.save_cursor(connection, Cursor("tokens:1", "q", ("1",), "9", (Gap("5", "8"),)), NOON)
    assert finding(engine, "cursors_sane").facts == {"questions": 1, "gaps": 1, "faults": {}}
    with engine.begin() as connection:
        post_store.save_cursor(connection, Cursor("tokens:1", "q", ("1",), "7", (Gap("5", "8"),)), NOON)
    assert not finding(engine, "cursors_sane").passed


@pytest.mark.parametrize(("status", "passed"), [("partial", True), ("failed", False), ("budget_spent", True)])
def test_the_last_pass_is_judged(engine: sa.Engine, status: str, passed: bool) -> None:
    with engine.begin() as connection:
        for ending in ("failed", status):
            pass_id = pass_store.begin_pass(connection, NOON, 5.0)
            pass_store.finish_pass(connection, pass_id, NOON + timedelta(minutes=pass_id), ending, "why")
    assert finding(engine, "last_pass").passed is passed


def test_only_what_makes_rows_wrong_stops_what_comes_after() -> None:
    (checks,) = post_checks.post_checks()
    assert {spec.name: spec.blocking for spec in checks.check_specs} == {
        "times": True,
        "engagement_values": True,
        "budget_kept": False,
        "cursors_sane": False,
        "last_pass": False,
    }
