"""The law of the store: ticks at any time leave the rows that a backfill makes, each from nothing but what was usable then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets_tests.indicators.law_of_rows import assert_lawful
from metapulse_assets_tests.indicators.market_in_time import MarketInTime, a_market
from metapulse_assets_tests.scratch import DATABASE_BACKED, rolled_back

EVENTS: dict[str, Callable[[MarketInTime], None]] = {
    "make": MarketInTime.make,
    "tick": MarketInTime.tick,
    "import": lambda market: market.bring(40),
    "long import": lambda market: market.bring(400),
    "forget": MarketInTime.forget,
    "killed tick": MarketInTime.killed_tick,
    "backfill": MarketInTime.backfill,
}


# Candles from one event to the next: less than one, a few, more than a day's, more than the warm-up's (of the shorter ones).
steps = st.sampled_from([0.02, 0.1, 0.5, 1.0, 1.0, 1.0, 2.0, 5.0, 9.0, 30.0, 300.0, 900.0])
LONGEST_STEP = timedelta(days=4)
events = st.lists(st.tuples(st.sampled_from([*EVENTS, "make and tick", "make and tick"]), steps), min_size=2, max_size=14)


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=TIMEFRAMES)
@DATABASE_BACKED
@given(events=events, seed=st.integers(0, 2**32 - 1), begin=st.sampled_from([-3.0, -0.98, 0.02, 7.3]))
def test_ticks_leave_what_a_backfill_makes_of_what_was_usable(
    engine: sa.Engine, timeframe: Timeframe, events: list[tuple[str, float]], seed: int, begin: float
) -> None:
    with rolled_back(engine) as connection:
        interval = timeframe.interval
        market = a_market(connection, timeframe, datetime(2026, 3, 9, tzinfo=UTC) + begin * interval, seed)
        for event, step in [*events, ("make and tick", 1.0), ("make and tick", 1.0)]:
            market.now += min(step * interval, LONGEST_STEP)
            for part in event.split(" and "):
                EVENTS[part](market)
        assert_lawful(market)
        before = market.rows()
        days = sorted({utc_day(opened) for _, opened in before})
        for day in days:
            market.recompute([day])
        assert_lawful(market)
        after = market.rows()
        assert {key: after.get(key) for key in before} == before
        assert market.recompute(days) == 0
