"""The law of the store: ticks at any time leave the rows that a backfill makes, each from nothing but what was usable then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metapulse_assets.indicators.chain import RECOMMENDATION_LABELS, TREND_LABELS, WARM_UP
from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.platform.bulk import Columns
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets_tests.indicators.candle_streams import Key, late_by_the_rule, rows_one_by_one
from metapulse_assets_tests.indicators.market_in_time import MarketInTime, Row, a_market, as_stored

# Each example works on the fixture's database in a transaction of its own, which is rolled back.
DATABASE_BACKED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
EVENTS: dict[str, Callable[[MarketInTime], None]] = {
    "make": MarketInTime.make,
    "tick": MarketInTime.tick,
    "import": lambda market: market.bring(40),
    "long import": lambda market: market.bring(400),
    "forget": MarketInTime.forget,
    "killed tick": MarketInTime.killed_tick,
    "backfill": MarketInTime.backfill,
}


@contextmanager
def rolled_back(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()


def rows_by_the_rule(market: MarketInTime) -> dict[Key, Row]:
    """The analyses there must be: one for each candle in time, made of what was usable when it was."""
    candles = market.candles()
    keys = [
        (int(token), opened.replace(tzinfo=UTC))
        for token, opened in zip(candles["token_id"], candles["opened_at"].tolist(), strict=True)
    ]
    chosen = [
        row
        for row, late in enumerate(late_by_the_rule(candles))
        if not late and market.first_day is not None and utc_day(keys[row][1]) >= market.first_day
    ]
    if not chosen:
        return {}
    columns = rows_one_by_one(candles, chosen, market.timeframe.interval, WARM_UP[market.timeframe.name])
    return {keys[row]: computed_row(columns, at, market.timeframe) for at, row in enumerate(chosen)}


def computed_row(columns: Columns, at: int, timeframe: Timeframe) -> Row:
    values = {name: column[at] for name, column in columns.items()}
    return as_stored(
        {
            **values,
            "token_id": int(values["token_id"]),
            "bar_count": int(values["bar_count"]),
            "timeframe": timeframe.name,
            **{name: values[name].item().replace(tzinfo=UTC) for name in ("opened_at", "available_at")},
            "trend": TREND_LABELS[values["trend"]],
            "recommendation": RECOMMENDATION_LABELS[values["recommendation"]],
        }
    )


def assert_lawful(market: MarketInTime) -> None:
    """The rows stored are those of the rule; of days that only a backfill analyses, none or some of them."""
    ours, rule, optional = market.rows(), rows_by_the_rule(market), market.only_backfills_analyse()
    assert ours.keys() - rule.keys() == set(), "rows that may not be"
    assert rule.keys() - ours.keys() - optional == set(), "rows that are missing"
    different = {
        (key, name): (value, rule[key][name])
        for key, row in ours.items()
        for name, value in row.items()
        if value != rule[key][name]
    }
    assert different == {}


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
        for day in {utc_day(opened) for _, opened in rows_by_the_rule(market)}:
            market.recompute(day)
        assert_lawful(market)
        after = market.rows()
        assert {key: after.get(key) for key in before} == before
