"""Candles made of snapshots tick by tick: the same whenever the ticks come and whatever stops them, and none missing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.candle_store import (
    OLDEST_SNAPSHOTS,
    build_from_snapshots,
    insert_candles,
    made_until_mark,
    paused_since,
    read_candles,
    tokens_with_candles,
)
from metapulse_assets.market.checks import _candles_complete
from metapulse_assets.market.tables import candles
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.day_partitions import day_bounds, existing_days
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets_tests.market.columns import CandleRow, SnapshotRow, candle_columns
from metapulse_assets_tests.market.stored import add_candles, add_snapshots, add_tokens, candle_rows, stamps
from metapulse_assets_tests.market.test_candle_building import FIVE, candles_one_by_one, slot_of, snapshot_lists
from metapulse_assets_tests.scratch import DATABASE_BACKED, rolled_back

MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
TEN = datetime(2026, 3, 4, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GRACE = 60 * SECOND


def candles_span_by_span(snapshots: list[SnapshotRow]) -> list[CandleRow]:
    """What any ticks must leave: each span in turn, opening at the close of the one before."""
    made: list[CandleRow] = []
    for slot in sorted({slot_of(row[1]) for row in snapshots}):
        closes = {(token, opened): close for token, opened, _, _, _, close, _ in made}
        made += candles_one_by_one([row for row in snapshots if slot_of(row[1]) == slot], closes)
    return sorted(made, key=lambda row: row[:2])


@DATABASE_BACKED
@given(
    snapshots=snapshot_lists(),
    waits=st.lists(
        st.tuples(st.integers(1, 5), st.integers(60, 299), st.sampled_from(["tick", "killed", "twice"])), max_size=6
    ),
)
def test_ticks_at_any_time_leave_the_same_candles(
    engine: sa.Engine, snapshots: list[SnapshotRow], waits: list[tuple[int, int, str]]
) -> None:
    with rolled_back(engine) as connection:
        ids = add_tokens(connection, 3, TEN)
        rows = [(ids[row[0] - 1], *row[1:]) for row in snapshots]
        now, day = MIDNIGHT - 4 * FIVE, (MIDNIGHT - FIVE).date()
        for spans, seconds, how in [*waits, (9, 60, "tick")]:
            begin, now = now, slot_of(now) + spans * FIVE + timedelta(seconds=seconds)
            add_snapshots(connection, [row for row in rows if begin < row[1] <= now], now)
            if how == "killed":
                with connection.begin_nested() as killed:
                    build_from_snapshots(connection, now)
                    killed.rollback()
                continue
            build_from_snapshots(connection, now)
            assert how == "tick" or build_from_snapshots(connection, now) == 0
            for bounds in (day_bounds(day), day_bounds(MIDNIGHT.date())):
                assert _candles_complete(connection, *bounds).passed
        assert candle_rows(connection) == candles_span_by_span(rows)


def ticking(connection: sa.Connection, minutes: int, token_count: int = 2) -> tuple[list[int], Iterator[datetime]]:
    """Tokens with a tick each five minutes from ten o'clock on, three seconds late, and the times of the ticks to come."""
    ids = add_tokens(connection, token_count, TEN - timedelta(hours=2))
    moments = (TEN + n * FIVE + 3 * SECOND for n in count())
    for _ in range(minutes // 5 + 1):
        tick(connection, next(moments), ids)
    return ids, moments


def tick(connection: sa.Connection, at: datetime, ids: list[int], price: float = 1.0) -> int:
    add_snapshots(connection, [(token_id, at, price, 5.0, 1, 1) for token_id in ids], at)
    return build_from_snapshots(connection, at + SECOND)


def test_a_tick_closes_the_five_minutes_that_just_ended(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token], moments = ticking(connection, 0, token_count=1)
        at = next(moments)
        assert tick(connection, at, [token], price=2.0) == 1
        assert candle_rows(connection)[-1] == (token, TEN, 1.0, 2.0, 1.0, 2.0, 5.0)
        assert stamps(connection)[token, TEN] == (at + SECOND, at + SECOND)


def test_who_comes_in_after_the_span_was_closed_still_gets_the_candle(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [early, straggler], moments = ticking(connection, 5)
        at = next(moments)
        assert tick(connection, at, [early]) == 1
        add_snapshots(connection, [(token, at + 40 * SECOND, 3.0, 5.0, 1, 1) for token in (early, straggler)], at + 40 * SECOND)
        before = candle_rows(connection)
        assert not _candles_complete(connection, *day_bounds(TEN.date())).passed
        tick(connection, next(moments), [early, straggler])
        assert _candles_complete(connection, *day_bounds(TEN.date())).passed
        after = candle_rows(connection)
        assert set(before) <= set(after), "a candle was rewritten"
        assert (straggler, TEN + FIVE, 1.0, 3.0, 1.0, 3.0, 5.0) in after
        assert (straggler, TEN + 2 * FIVE, 3.0, 3.0, 1.0, 1.0, 5.0) in after


def test_a_candle_that_is_there_already_stays_and_the_next_opens_at_its_close(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token], moments = ticking(connection, 5, token_count=1)
        vendors = (token, TEN + FIVE, 7.0, 9.0, 6.0, 8.0, None)
        add_candles(connection, [vendors], TEN + 2 * FIVE, source="vendor history")
        assert tick(connection, next(moments), [token]) == 0
        assert candle_rows(connection)[-1] == vendors
        assert tick(connection, next(moments), [token]) == 1
        assert candle_rows(connection)[-1] == (token, TEN + 2 * FIVE, 8.0, 8.0, 1.0, 1.0, 5.0)


def test_the_last_candle_of_a_day_is_made_by_the_next_days_first_tick_and_lies_in_its_own_day(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        assert tick(connection, MIDNIGHT + 3 * SECOND, [token]) == 1
        assert [row[1] for row in candle_rows(connection)] == [MIDNIGHT - FIVE]
        assert existing_days(connection, "candles_5m") == [(MIDNIGHT - FIVE).date()]
        assert _candles_complete(connection, *day_bounds((MIDNIGHT - FIVE).date())).facts == {"expected": 1, "missing": 0}


def test_snapshots_recorded_after_the_tick_began_wait_for_the_next(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token], moments = ticking(connection, 5, token_count=1)
        at = next(moments)
        add_snapshots(connection, [(token, at, 2.0, 5.0, 1, 1)], recorded_at=at + 5 * SECOND)
        assert build_from_snapshots(connection, at + SECOND) == 0
        assert build_from_snapshots(connection, at + 5 * SECOND) == 1


def test_after_a_long_stop_the_snapshots_of_a_day_are_made_up_for_and_no_more(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        moments = [TEN - OLDEST_SNAPSHOTS, TEN - OLDEST_SNAPSHOTS + 2 * FIVE, TEN]
        add_snapshots(connection, [(token, at + 3 * SECOND, 1.0, 5.0, 1, 1) for at in moments], TEN + 3 * SECOND)
        set_progress(connection, made_until_mark("5m"), TEN - timedelta(days=3))
        build_from_snapshots(connection, TEN + 4 * SECOND)
        assert [row[1] for row in candle_rows(connection)] == [moment - FIVE for moment in moments[1:]]


def test_a_clock_that_steps_back_makes_nothing_and_forgets_nothing(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        ticking(connection, 15)
        before = progress_of(connection, made_until_mark("5m"))
        assert build_from_snapshots(connection, TEN) == 0
        assert progress_of(connection, made_until_mark("5m")) == before == TEN + 3 * FIVE


def test_the_check_misses_a_candle_that_is_gone(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        ticking(connection, 15)
        day = day_bounds(TEN.date())
        assert _candles_complete(connection, *day).facts == {"expected": 8, "missing": 0}
        connection.execute(sa.delete(candles).where(candles.c.opened_at == TEN))
        assert _candles_complete(connection, *day).facts == {"expected": 8, "missing": 2}


def test_the_check_goes_by_the_last_snapshot_and_survives_any_count(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token], moments = ticking(connection, 5, token_count=1)
        at, most = next(moments), 2**31 - 1
        rows = [
            (token, at - FIVE + 2 * GRACE, 1.0, 5.0, 9, 9),
            (token, at, 1.0, 0.0, 0, 0),
            (token, at + FIVE, 1.0, None, most, most),
        ]
        add_snapshots(connection, rows, at + FIVE)
        assert build_from_snapshots(connection, at + FIVE + SECOND) == 1
        assert _candles_complete(connection, *day_bounds(TEN.date())).facts == {"expected": 3, "missing": 0}


def test_reading_narrows_to_tokens_and_spans_and_sorts(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        keys = [(token, TEN + n * FIVE) for n in (2, 0, 1) for token in (3, 1, 2)]
        add_candles(connection, [(token, at, 1.0, 1.0, 1.0, 1.0, None) for token, at in keys], MIDNIGHT)

        def read(**narrow: object) -> list[int]:
            rows = read_candles(connection, "5m", TEN, TEN + 2 * FIVE, **narrow)  # type: ignore[arg-type]
            return rows["token_id"].tolist()  # type: ignore[no-any-return]

        assert read() == [1, 1, 2, 2, 3, 3]
        assert read(token_ids=[3, 1]) == [1, 1, 3, 3]
        assert read(token_ids=range(2, 4)) == [2, 2, 3, 3]
        assert read(token_ids=[]) == read(token_ids=range(0)) == []
        assert tokens_with_candles(connection, "5m", [2, 9], TEN) == {2}
        assert tokens_with_candles(connection, "5m", [2, 9], TEN + 3 * FIVE) == set()


def test_a_candle_that_contradicts_itself_is_refused(engine: sa.Engine) -> None:
    columns = candle_columns([(1, TEN, 1.0, 0.5, 0.4, 0.45, None)], TEN)
    with engine.connect() as connection, pytest.raises(Exception, match="ohlc"):
        insert_candles(connection, "5m", columns, "snapshots", TEN)


@pytest.mark.parametrize(("minutes", "paused"), [(10, False), (15, False), (15.01, True), (60 * 24, True)])
def test_a_pause_is_longer_than_two_missed_candles(engine: sa.Engine, minutes: float, paused: bool) -> None:
    with rolled_back(engine) as connection:
        assert paused_since(connection, TIMEFRAMES["5m"], TEN) is None
        set_progress(connection, made_until_mark("5m"), TEN)
        since = paused_since(connection, TIMEFRAMES["5m"], TEN + timedelta(minutes=minutes))
        assert since == (TEN if paused else None)
