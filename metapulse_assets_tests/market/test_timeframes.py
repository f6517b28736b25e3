"""Where a moment falls in the candles."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=TIMEFRAMES)
@given(moment=st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_each_moment_lies_in_the_candle_it_is_said_to_lie_in(timeframe: Timeframe, moment: datetime) -> None:
    start = timeframe.floor(moment)
    assert start <= moment < start + timeframe.interval
    assert (start - EPOCH) % timeframe.interval == timedelta(0)


def test_the_moment_before_the_epoch_lies_before_it() -> None:
    assert TIMEFRAMES["5m"].floor(EPOCH - timedelta(microseconds=1)) == EPOCH - timedelta(minutes=5)


def test_the_zone_of_a_moment_plays_no_part() -> None:
    moment = datetime(2026, 3, 5, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert TIMEFRAMES["1d"].floor(moment) == datetime(2026, 3, 4, tzinfo=UTC)


def test_each_timeframe_is_a_whole_number_of_its_finer_one() -> None:
    for timeframe in TIMEFRAMES.values():
        if timeframe.finer is not None:
            assert timeframe.interval % TIMEFRAMES[timeframe.finer].interval == timedelta(0)
