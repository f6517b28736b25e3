"""Money: what may be spent by when, and that no question can cost more than there is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.social.budget import (
    HEAD_START,
    SANDBOX_USD_PER_DAY,
    USD_PER_POST_AT_MOST,
    Budget,
    cost_usd,
    usd_per_day,
)
from metapulse_assets.vendors.x import FEWEST_RESULTS, MOST_RESULTS

MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)
moments = st.timedeltas(timedelta(0), timedelta(days=1) - timedelta(microseconds=1)).map(lambda since: MIDNIGHT + since)
money = st.floats(0, 100)


@given(per_day=money, spent=money, now=moments, wanted=st.integers(10, 500))
def test_no_question_can_cost_more_than_is_left(per_day: float, spent: float, now: datetime, wanted: int) -> None:
    budget = Budget(per_day, spent)
    posts = budget.posts(now, wanted)
    assert posts == 0 or FEWEST_RESULTS <= posts <= min(wanted, MOST_RESULTS)
    assert posts * USD_PER_POST_AT_MOST <= budget.left_usd() + 1e-6
    if budget.is_spent():
        assert posts == 0


@given(per_day=money, now=moments, later=moments)
def test_room_grows_with_the_day(per_day: float, now: datetime, later: datetime) -> None:
    now, later = sorted((now, later))
    budget = Budget(per_day, 0.0)
    assert budget.room_usd(now) <= budget.room_usd(later) <= per_day
    assert budget.room_usd(MIDNIGHT) == pytest.approx(HEAD_START * per_day)


@given(per_day=st.floats(0.1, 100), spent=money, now=moments, usd=st.floats(0.001, 10))
def test_it_says_when_something_can_be_afforded(per_day: float, spent: float, now: datetime, usd: float) -> None:
    budget = Budget(per_day, spent)
    at = budget.affordable_at(now, usd)
    if at is None:
        assert budget.left_usd() < usd
    elif at.date() == now.date():
        assert budget.room_usd(at + timedelta(seconds=1)) >= usd - 1e-3


def test_without_money_nothing_is_asked() -> None:
    budget = Budget(0.0, 0.0)
    assert budget.is_spent()
    assert budget.posts(MIDNIGHT + timedelta(hours=23), 100) == 0
    assert not budget.allows(MIDNIGHT, 0.005)


def test_prices_add_up() -> None:
    assert cost_usd(posts=100, authors=10, counts=2) == pytest.approx(0.5 + 0.1 + 0.01)


def test_money_that_is_not_real_is_no_object_unless_it_was_set() -> None:
    assert usd_per_day(load_settings(mode=Mode.LIVE)) == 5.0
    assert usd_per_day(load_settings(mode=Mode.SANDBOX)) == SANDBOX_USD_PER_DAY
    assert usd_per_day(load_settings(mode=Mode.SANDBOX, x_budget_usd_per_day=2.0)) == 2.0
