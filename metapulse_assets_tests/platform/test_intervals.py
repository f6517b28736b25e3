"""Intervals: a cron expression ticks exactly that far apart, or there is none and the nearest are named."""

import importlib
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.intervals import cron_for_interval

# The very one that Dagster's schedules tick by.
croniter = importlib.import_module("dagster._vendored.croniter").croniter
MINUTE = 60_000
# Every number of minutes that divides an hour, and of hours that divides a day.
POSSIBLE = [m for m in range(1, 60) if 60 % m == 0] + [60 * h for h in range(1, 25) if 24 % h == 0]


@pytest.mark.parametrize("minutes", POSSIBLE)
def test_ticks_are_exactly_the_interval_apart(minutes: int) -> None:
    ticks = croniter(cron_for_interval(minutes * MINUTE), datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC))
    moments = [ticks.get_next(datetime) for _ in range(150)]
    assert {after - before for before, after in pairwise(moments)} == {timedelta(minutes=minutes)}
    assert datetime(2026, 2, 28, tzinfo=UTC) in moments


@given(milliseconds=st.one_of(st.integers(-MINUTE, 2 * 24 * 60 * MINUTE), st.integers(1, 3_000).map(lambda m: m * MINUTE)))
def test_any_other_interval_is_refused_with_the_nearest(milliseconds: int) -> None:
    if milliseconds > 0 and milliseconds % MINUTE == 0 and milliseconds // MINUTE in POSSIBLE:
        assert cron_for_interval(milliseconds)
        return
    with pytest.raises(ValueError, match="cron") as refused:
        cron_for_interval(milliseconds)
    if milliseconds > 0 and milliseconds % MINUTE == 0:
        below, above = (int(found) // MINUTE for found in re.findall(r"(\d+) ms", str(refused.value)))
        minutes = milliseconds // MINUTE
        assert below == max(m for m in POSSIBLE if m < minutes)
        assert above == min((m for m in POSSIBLE if m > minutes), default=24 * 60)
