"""Hours of five minutes and days of hours: only whole ones, stamped when they were made, each once."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from metapulse_assets.market.candle_store import (
    filled_in_mark,
    made_until_mark,
    pause_ended_mark,
    roll_up_again,
    roll_up_closed,
)
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets_tests.market.stored import add_candles, add_tokens, candle_rows, note_asked, stamps
from metapulse_assets_tests.scratch import rolled_back

FIVE, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
TEN = datetime(2026, 3, 4, 10, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
LAG = timedelta(seconds=4)
HOURLY, DAILY = TIMEFRAMES["1h"], TIMEFRAMES["1d"]


def add_spans(
    connection: sa.Connection, token: int, start: datetime, end: datetime, timeframe: str = "5m", price: float = 1.0
) -> None:
    """Candles from start to end, each a little dearer, usable at once."""
    interval = TIMEFRAMES[timeframe].interval
    spans = [start + n * interval for n in range(int((end - start) / interval))]
    rows = [(token, at, price + n, price + n + 2, price + n - 0.5, price + n + 1, 2.0) for n, at in enumerate(spans)]
    add_candles(connection, rows, end + LAG, timeframe)


def hours(connection: sa.Connection, timeframe: str = "1h") -> list[tuple[int, datetime]]:
    return [row[:2] for row in candle_rows(connection, timeframe)]


def test_the_first_run_only_notes_where_to_begin(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        add_spans(connection, token, TEN - HOUR, TEN)
        assert roll_up_closed(connection, HOURLY, TEN + LAG) == 0
        assert progress_of(connection, made_until_mark("1h")) == TEN


def test_an_hour_is_rolled_up_once_when_it_closes(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        set_progress(connection, made_until_mark("1h"), TEN)
        add_spans(connection, token, TEN, TEN + HOUR)
        assert roll_up_closed(connection, HOURLY, TEN + HOUR - FIVE + LAG) == 0
        now = TEN + HOUR + LAG
        assert [roll_up_closed(connection, HOURLY, now) for _ in range(2)] == [1, 0]
        assert candle_rows(connection, "1h") == [(token, TEN, 1.0, 14.0, 0.5, 13.0, 24.0)]
        assert stamps(connection, "1h") == {(token, TEN): (now, now)}


def test_an_hour_whose_last_trade_was_early_is_not_usable_before_it_was_made(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        set_progress(connection, made_until_mark("1h"), TEN)
        add_spans(connection, token, TEN, TEN + 2 * FIVE)
        roll_up_closed(connection, HOURLY, TEN + HOUR + LAG)
        assert stamps(connection, "1h")[token, TEN][1] == TEN + HOUR + LAG


def test_the_hour_in_which_tracking_began_is_left_to_a_vendor(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN + 4 * FIVE)
        set_progress(connection, made_until_mark("1h"), TEN)
        add_spans(connection, token, TEN + 4 * FIVE, TEN + 2 * HOUR)
        assert roll_up_closed(connection, HOURLY, TEN + 2 * HOUR + LAG) == 1
        assert hours(connection) == [(token, TEN + HOUR)]


def test_history_that_reaches_back_makes_the_first_hour_whole(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        with_history, without = add_tokens(connection, 2, TEN + 4 * FIVE)
        set_progress(connection, made_until_mark("1h"), TEN)
        note_asked(connection, with_history, TEN + 4 * FIVE + LAG)
        for token in (with_history, without):
            add_spans(connection, token, TEN, TEN + HOUR)
        roll_up_closed(connection, HOURLY, TEN + HOUR + LAG)
        assert hours(connection) == [(with_history, TEN)]


@pytest.mark.parametrize(("asked", "whole"), [(None, False), (-LAG, False), (LAG, True)])
def test_hours_with_a_pause_in_them_need_history_from_after_it(engine: sa.Engine, asked: timedelta | None, whole: bool) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        back = TEN + 9 * FIVE
        set_progress(connection, made_until_mark("1h"), TEN)
        set_progress(connection, pause_ended_mark("5m"), back)
        if asked is not None:
            note_asked(connection, token, back + asked)
        add_spans(connection, token, TEN, TEN + 2 * FIVE)
        add_spans(connection, token, back, TEN + 2 * HOUR)
        roll_up_closed(connection, HOURLY, TEN + 2 * HOUR + LAG)
        assert hours(connection) == [(token, TEN)] * whole + [(token, TEN + HOUR)]


def test_a_vendor_that_has_no_candle_makes_nothing_whole(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN + 4 * FIVE)
        set_progress(connection, made_until_mark("1h"), TEN)
        note_asked(connection, token, TEN + 5 * FIVE, received=0)
        add_spans(connection, token, TEN, TEN + HOUR)
        assert roll_up_closed(connection, HOURLY, TEN + HOUR + LAG) == 0


def test_days_are_made_of_hours_up_to_midnight(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - 3 * DAY)
        set_progress(connection, made_until_mark("1d"), MIDNIGHT - DAY)
        add_spans(connection, token, MIDNIGHT - DAY - HOUR, MIDNIGHT + HOUR, "1h", price=10.0)
        assert roll_up_closed(connection, DAILY, MIDNIGHT + LAG) == 1
        assert candle_rows(connection, "1d") == [(token, MIDNIGHT - DAY, 11.0, 36.0, 10.5, 35.0, 48.0)]


def test_after_some_hours_away_each_closed_hour_is_made_up_for(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        set_progress(connection, made_until_mark("1h"), TEN)
        add_spans(connection, token, TEN, TEN + 4 * HOUR)
        assert roll_up_closed(connection, HOURLY, TEN + 3 * HOUR + 5 * FIVE) == 3


def test_a_backfill_adds_what_is_missing_keeps_what_is_there_and_notes_it(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - 3 * DAY)
        add_spans(connection, token, TEN, TEN + 3 * HOUR)
        vendors = (token, TEN, 9.0, 9.0, 9.0, 9.0, None)
        add_candles(connection, [vendors], MIDNIGHT, "1h")
        now = MIDNIGHT + DAY
        assert [roll_up_again(connection, HOURLY, TEN.date(), at) for at in (now, now + LAG)] == [2, 0]
        assert candle_rows(connection, "1h")[0] == vendors
        assert stamps(connection, "1h")[token, TEN + HOUR] == (now, now)
        assert progress_of(connection, filled_in_mark("1h")) == now


def test_a_backfill_of_today_makes_no_hour_that_has_not_closed(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        add_spans(connection, token, TEN, TEN + 2 * HOUR)
        assert roll_up_again(connection, HOURLY, TEN.date(), TEN + HOUR + 5 * FIVE) == 1
        assert roll_up_again(connection, DAILY, TEN.date(), TEN + HOUR + 5 * FIVE) == 0


def add_history(connection: sa.Connection, token: int, start: datetime, count: int) -> None:
    """Candles as a first import brings them: each usable when it closed."""
    for n in range(count):
        at = start + n * FIVE
        add_candles(connection, [(token, at, 1.0, 2.0, 0.5, 1.0, 1.0)], at + FIVE, "5m")


def test_what_is_made_of_a_first_import_was_usable_when_it_closed(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        add_history(connection, token, TEN, 24)
        later = TEN + 30 * DAY
        assert roll_up_again(connection, HOURLY, TEN.date(), later) == 2
        available = {opened: usable for (_, opened), (_, usable) in stamps(connection, "1h").items()}
        assert available == {TEN: TEN + HOUR, TEN + HOUR: TEN + 2 * HOUR}


def test_what_fills_a_hole_in_the_past_is_usable_only_from_now_on(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        add_history(connection, token, TEN, 12)
        add_candles(connection, [(token, TEN + HOUR, 1.0, 2.0, 0.5, 1.0, 1.0)], TEN + 2 * HOUR, "1h")
        later = TEN + 30 * DAY
        assert roll_up_again(connection, HOURLY, TEN.date(), later) == 1
        assert stamps(connection, "1h")[token, TEN] == (later, later)


def test_what_was_seen_live_is_usable_from_when_it_was_made(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - DAY)
        add_history(connection, token, TEN, 11)
        add_candles(connection, [(token, TEN + 11 * FIVE, 1.0, 2.0, 0.5, 1.0, 1.0)], TEN + HOUR + LAG, "5m")
        later = TEN + HOUR + 2 * LAG
        assert roll_up_again(connection, HOURLY, TEN.date(), later) == 1
        assert stamps(connection, "1h")[token, TEN] == (later, later)
