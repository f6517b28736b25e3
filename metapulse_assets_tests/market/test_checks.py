"""The checks of tokens and snapshots; that no candle is missing is checked beside the making of candles."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from metapulse_assets.market.checks import _every_token_seen, market_checks
from metapulse_assets.market.tables import tracked_tokens
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets_tests.market.stored import add_snapshots, add_tokens
from metapulse_assets_tests.scratch import rolled_back

NOON = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)
FIVE = timedelta(minutes=5)
DAY = day_bounds(NOON.date())


def seen(connection: sa.Connection, token_ids: list[int], at: datetime) -> None:
    add_snapshots(connection, [(token_id, at, 1.0, 1.0, 1, 1) for token_id in token_ids], at)


def test_a_day_without_snapshots_says_nothing_against_anybody(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        add_tokens(connection, 3, NOON)
        assert _every_token_seen(connection, *DAY).facts == {"snapshots": 0}


@pytest.mark.parametrize(("unseen", "passed"), [(0, True), (2, True), (3, False)])
def test_a_fifth_may_be_unseen_for_three_ticks(engine: sa.Engine, unseen: int, passed: bool) -> None:
    with rolled_back(engine) as connection:
        ids = add_tokens(connection, 10, NOON - FIVE)
        seen(connection, ids, NOON - 3 * FIVE - timedelta(seconds=1))
        seen(connection, ids[unseen:], NOON)
        finding = _every_token_seen(connection, *DAY)
        assert finding.passed is passed
        assert finding.facts == {"tracked": 10, "not seen for three ticks": unseen}


def test_who_was_seen_two_ticks_ago_counts_as_seen(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        early, late = add_tokens(connection, 2, NOON - FIVE)
        seen(connection, [early], NOON - 2 * FIVE)
        seen(connection, [late], NOON)
        assert _every_token_seen(connection, *DAY).facts == {"tracked": 2, "not seen for three ticks": 0}


def test_who_is_no_longer_or_not_yet_tracked_is_not_missed(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        let_go, new, old = add_tokens(connection, 3, NOON - FIVE)
        t = tracked_tokens
        connection.execute(sa.update(t).where(t.c.token_id == let_go).values(active=False))
        connection.execute(sa.update(t).where(t.c.token_id == new).values(tracked_since=NOON + FIVE))
        seen(connection, [old], NOON)
        assert _every_token_seen(connection, *DAY).facts == {"tracked": 1, "not seen for three ticks": 0}


def test_the_checks_and_whether_they_stop_what_comes_after() -> None:
    blocking = {spec.name: spec.blocking for checks in market_checks() for spec in checks.check_specs}
    assert blocking == {"not_empty": True, "values": True, "every_token_seen": False, "complete": True}
