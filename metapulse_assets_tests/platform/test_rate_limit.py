"""The shared rate limit: no window of the vendor's ever holds more than the limit, and nearly the limit gets through."""

import bisect
import threading
import uuid
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.rate_limit import BUCKETS, LONGEST_BLOCK_SECONDS, Gate, Limit, SharedRateLimit
from metapulse_assets.platform.tables import rate_limits

START = 1_772_625_600.37
in_one_database = settings(max_examples=15)
# Seconds until the next request (in windows), places wanted, which of two processes asks.
patterns = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(0, 1.2)), st.integers(1, 12), st.booleans()),
    min_size=5,
    max_size=45,
)


@pytest.fixture
def engine(vendor_engine: sa.Engine) -> sa.Engine:
    """One that the tests use in turn."""
    return vendor_engine


class Time:
    """True time, and what a clock that is off by so much shows."""

    def __init__(self) -> None:
        self.now = START

    def clock(self, offset: float = 0.0) -> Callable[[], float]:
        """A clock that is ahead by so many seconds."""
        return lambda: self.now + offset


def gate(*limits: tuple[int, float]) -> Gate:
    """A gate that no other test or example uses."""
    return Gate(f"test.{uuid.uuid4().hex}", tuple(Limit(*limit) for limit in limits))


def most_in_a_window(moments: Sequence[float], seconds: float) -> int:
    """The largest number of moments in any closed window of this length."""
    ordered = sorted(moments)
    return max((bisect.bisect_right(ordered, start + seconds) - n for n, start in enumerate(ordered)), default=0)


def test_the_measure_of_this_file_counts_right() -> None:
    assert most_in_a_window([], 1) == 0
    assert most_in_a_window([0.0, 0.5, 1.0, 1.6], 1) == 3
    assert most_in_a_window([3.0, 0.0, 3.0], 1) == 2


@in_one_database
@given(pattern=patterns, requests=st.integers(1, 12), window=st.sampled_from([1.0, 60.0, 900.0]), skewed=st.booleans())
def test_no_window_ever_holds_more_than_the_limit(
    engine: sa.Engine, pattern: list[tuple[float, int, bool]], requests: int, window: float, skewed: bool
) -> None:
    time, one = Time(), gate((requests, window))
    skew = window / BUCKETS if skewed else 0.0
    processes = [SharedRateLimit(engine, time.clock(skew)), SharedRateLimit(engine, time.clock(-skew))]
    sent: list[float] = []
    for pause, wanted, which in pattern:
        time.now += pause * window
        grant = processes[which].acquire(one, wanted)
        assert 0 <= grant.granted <= wanted
        assert (grant.granted == 0) == (grant.wait_seconds > 0)
        sent += [time.now] * grant.granted
    assert most_in_a_window(sent, window) <= requests
    assert sent


@pytest.mark.parametrize("phase", [0.0, 0.5, 0.999])
@pytest.mark.parametrize(("slow", "fast", "spare"), [(0, 0, 2), (-1, 1, 0), (1, -1, 0)])
def test_a_place_comes_back_after_its_window_and_what_clocks_may_differ(
    engine: sa.Engine, phase: float, slow: int, fast: int, spare: int
) -> None:
    """Clocks may differ by a bucket each way, or requests be two buckets on their way: the worst that may happen at once."""
    time, one, bucket = Time(), gate((2, 60.0)), 60.0 / BUCKETS
    time.now = START // bucket * bucket + phase * bucket
    taken = time.now
    assert SharedRateLimit(engine, time.clock(slow * bucket)).acquire(one, 9).granted == 2
    next_one = SharedRateLimit(engine, time.clock(fast * bucket))
    while not next_one.acquire(one).granted:
        time.now += bucket / 8
        assert time.now < taken + 70
    assert time.now - taken >= 60.0 + spare * bucket - 1e-6


@in_one_database
@given(pattern=patterns, delays=st.lists(st.floats(0, 2 / BUCKETS - 1e-6), min_size=1, max_size=9))
def test_requests_that_take_a_moment_to_arrive_do_not_exceed_it_either(
    engine: sa.Engine, pattern: list[tuple[float, int, bool]], delays: list[float]
) -> None:
    time, one = Time(), gate((5, 1.0))
    process = SharedRateLimit(engine, time.clock())
    arrived: list[float] = []
    for pause, wanted, _ in pattern:
        time.now += pause
        for _ in range(process.acquire(one, wanted).granted):
            arrived.append(time.now + delays[len(arrived) % len(delays)])
    assert most_in_a_window(arrived, 1.0) <= 5


@in_one_database
@given(pattern=patterns, steps=st.lists(st.one_of(st.floats(0, 2), st.floats(0, 10_000)), min_size=1, max_size=4))
def test_a_clock_that_steps_back_hands_nothing_out_twice(
    engine: sa.Engine, pattern: list[tuple[float, int, bool]], steps: list[float]
) -> None:
    time, one, behind = Time(), gate((4, 1.0), (10, 60.0)), 0.0
    process = SharedRateLimit(engine, lambda: time.now - behind)
    sent: list[float] = []
    for turn, (pause, wanted, stepped) in enumerate(pattern):
        time.now += pause
        behind += steps[turn % len(steps)] if stepped else 0.0
        sent += [time.now] * process.acquire(one, wanted).granted
    assert most_in_a_window(sent, 1.0) <= 4
    assert most_in_a_window(sent, 60.0) <= 10


@pytest.mark.parametrize("step", [0.5, 50.0, 3_600.0, 86_400.0 * 365])
def test_after_a_step_back_nobody_waits_for_the_old_time(engine: sa.Engine, step: float) -> None:
    time, one = Time(), gate((3, 1.0))
    process = SharedRateLimit(engine, time.clock())
    assert process.acquire(one, 9).granted == 3
    time.now -= step
    begun, granted = time.now, 0
    while not granted:
        grant = process.acquire(one, 9)
        granted, time.now = grant.granted, time.now + grant.wait_seconds
    assert 0 < time.now - begun <= 60 + 2


@pytest.mark.parametrize("limits", [[(1, 1.0)], [(10, 1.0)], [(300, 60.0)], [(10, 1.0), (60, 60.0)]])
def test_nearly_the_limit_gets_through(engine: sa.Engine, limits: list[tuple[int, float]]) -> None:
    time, one = Time(), gate(*limits)
    processes = [SharedRateLimit(engine, time.clock()) for _ in range(2)]
    sent: list[float] = []
    longest = max(window for _, window in limits)
    while time.now < START + 6 * longest:
        for process in processes:
            grant = process.acquire(one, 8)
            sent += [time.now] * grant.granted
            time.now += grant.wait_seconds
    for requests, window in limits:
        assert most_in_a_window(sent, window) <= requests
    slowest = min(requests / window for requests, window in limits)
    assert len(sent) >= 0.85 * slowest * 6 * longest


def test_a_waiter_is_told_the_earliest_moment(engine: sa.Engine) -> None:
    time, one = Time(), gate((2, 60.0))
    process = SharedRateLimit(engine, time.clock())
    assert process.acquire(one).granted == 1
    time.now += 30
    assert process.acquire(one, 5).granted == 1
    wait = process.acquire(one).wait_seconds
    assert 30 <= wait <= 30 + 60 * 3 / BUCKETS
    time.now += wait - 0.001
    assert process.acquire(one).granted == 0
    time.now += 0.002
    assert process.acquire(one).granted == 1


def test_places_asked_for_at_once_are_handed_out_once(engine: sa.Engine) -> None:
    one, together = gate((20, 60.0), (30, 900.0)), threading.Barrier(4)
    granted: list[int] = []

    def ask() -> None:
        process = SharedRateLimit(engine, lambda: START)
        together.wait()
        granted.extend(process.acquire(one).granted for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), sum(granted)) == (40, 20)


def test_gates_do_not_count_each_other(engine: sa.Engine) -> None:
    process, first, second = SharedRateLimit(engine, Time().clock()), gate((1, 60.0)), gate((1, 60.0))
    assert [process.acquire(one).granted for one in (first, first, second, second)] == [1, 0, 1, 0]


def test_a_block_holds_for_everybody_and_is_not_shortened(engine: sa.Engine) -> None:
    time, one = Time(), gate((10, 1.0), (300, 60.0))
    mine, theirs = SharedRateLimit(engine, time.clock()), SharedRateLimit(engine, time.clock())
    mine.block(one, 30.0)
    mine.block(one, 5.0)
    for process in (mine, theirs):
        grant = process.acquire(one)
        assert grant.granted == 0
        assert grant.wait_seconds == pytest.approx(30.0)
    time.now += 29.9
    assert theirs.acquire(one).granted == 0
    time.now += 0.2
    assert theirs.acquire(one).granted == 1


def test_a_block_ends_after_an_hour_whatever_was_asked(engine: sa.Engine) -> None:
    time, one = Time(), gate((10, 1.0))
    process = SharedRateLimit(engine, time.clock())
    process.block(one, 1e12)
    assert process.acquire(one).wait_seconds == pytest.approx(LONGEST_BLOCK_SECONDS)
    time.now -= 86_400
    assert process.acquire(one).granted == 1


def test_a_changed_limit_counts_what_was_sent_before(engine: sa.Engine) -> None:
    time, wide = Time(), gate((10, 60.0))
    assert SharedRateLimit(engine, time.clock()).acquire(wide, 8).granted == 8
    narrow = Gate(wide.name, (Limit(5, 60.0), Limit(2, 1.0)))
    restarted = SharedRateLimit(engine, time.clock())
    assert restarted.acquire(narrow, 3).granted == 0
    time.now += 63.5
    assert restarted.acquire(narrow, 3).granted == 2


def test_the_table_stays_small(engine: sa.Engine) -> None:
    time, one = Time(), gate((1_000, 1.0))
    process = SharedRateLimit(engine, time.clock())
    for _ in range(20):
        time.now += 0.3
        process.acquire(one)
    with engine.connect() as connection:
        counts = connection.execute(sa.select(rate_limits.c.counts).where(rate_limits.c.gate == one.name)).scalar_one()
    assert len(counts) <= BUCKETS + 3
