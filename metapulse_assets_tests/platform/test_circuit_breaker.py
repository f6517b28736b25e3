"""The circuit breaker: opens after failures in a row, lets exactly one probe through, and outlives the process."""

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker, CircuitOpenError

POLICY = BreakerPolicy(failures=5, open_seconds=60.0)


@pytest.fixture
def engine(vendor_engine: sa.Engine) -> sa.Engine:
    """One that the tests use in turn."""
    return vendor_engine


class Time:
    """A clock that stands until it is moved."""

    now = 1_772_625_600.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    """The clock of all breakers of a test."""
    return Time()


@pytest.fixture
def process(engine: sa.Engine, time: Time) -> Callable[[], CircuitBreaker]:
    """What a process that starts makes: another breaker on the same database."""
    return lambda: CircuitBreaker(engine, "dexscreener", POLICY, time)


def call(breaker: CircuitBreaker, error: str | None = None) -> bool:
    """One call that fails with this error, or succeeds; whether it was sent."""
    try:
        breaker.before_call()
    except CircuitOpenError:
        return False
    if error is None:
        breaker.succeeded()
    else:
        breaker.failed(error)
    return True


def test_opens_after_five_failures_in_a_row(process: Callable[[], CircuitBreaker]) -> None:
    breaker = process()
    assert [call(breaker, f"HTTP 500 #{n}") for n in range(6)] == [True] * 5 + [False]
    with pytest.raises(CircuitOpenError, match=r"dexscreener: circuit open .* 60 s \(last: HTTP 500 #4\)") as refused:
        breaker.before_call()
    assert (refused.value.vendor, refused.value.retry_in_seconds) == ("dexscreener", 60.0)


def test_failures_of_all_processes_count_together(process: Callable[[], CircuitBreaker]) -> None:
    first, second = process(), process()
    assert [call(breaker, "HTTP 500") for breaker in (first, second, first, second, first)] == [True] * 5
    assert not call(second)
    assert not call(process()), "a restart closes nothing"


@pytest.mark.parametrize("succeeds_in", ["the same", "another"])
def test_a_success_in_between_begins_the_count_anew(process: Callable[[], CircuitBreaker], succeeds_in: str) -> None:
    breaker = process()
    other = breaker if succeeds_in == "the same" else process()
    for _ in range(4):
        call(breaker, "HTTP 500")
    assert call(other)
    assert [call(breaker, "HTTP 500") for _ in range(6)] == [True] * 5 + [False]


def test_vendors_do_not_count_each_other(engine: sa.Engine, process: Callable[[], CircuitBreaker], time: Time) -> None:
    for _ in range(5):
        call(process(), "HTTP 500")
    assert call(CircuitBreaker(engine, "geckoterminal", POLICY, time))
    assert not call(process())


def opened(process: Callable[[], CircuitBreaker]) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = process()
    for _ in range(5):
        call(breaker, "HTTP 500")
    return breaker


def test_after_the_wait_exactly_one_of_two_processes_probes(process: Callable[[], CircuitBreaker], time: Time) -> None:
    first, second = opened(process), process()
    time.now += 59.9
    assert not call(first)
    assert not call(second)
    time.now += 0.1
    second.before_call()
    with pytest.raises(CircuitOpenError):
        first.before_call()
    second.succeeded()
    assert call(first)


def test_of_many_that_ask_at_once_one_probes(process: Callable[[], CircuitBreaker], time: Time) -> None:
    opened(process)
    time.now += 60
    together, probes = threading.Barrier(6), []

    def ask() -> None:
        breaker = process()
        together.wait()
        try:
            breaker.before_call()
        except CircuitOpenError:
            return
        probes.append(breaker)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(probes) == 1


def test_a_probe_that_fails_opens_it_for_another_wait(process: Callable[[], CircuitBreaker], time: Time) -> None:
    breaker = opened(process)
    for _ in range(3):
        time.now += 60
        assert call(breaker, "still down")
        time.now += 59
        assert not call(breaker)
        time.now += 1
        assert call(breaker, "still down")
    time.now += 60
    assert call(breaker)
    assert [call(breaker, "HTTP 500") for _ in range(6)] == [True] * 5 + [False]


def test_a_probe_that_died_is_replaced_after_the_wait(process: Callable[[], CircuitBreaker], time: Time) -> None:
    opened(process)
    time.now += 60
    process().before_call()
    time.now += 59
    assert not call(process())
    time.now += 1
    assert call(process())


def test_a_probe_that_says_nothing_lets_the_next_one_probe(process: Callable[[], CircuitBreaker], time: Time) -> None:
    breaker = opened(process)
    time.now += 60
    breaker.before_call()
    breaker.undecided()
    other = process()
    other.before_call()
    with pytest.raises(CircuitOpenError):
        breaker.before_call()
    other.failed("HTTP 500")
    assert not call(process())


def test_saying_nothing_changes_nothing_else(process: Callable[[], CircuitBreaker]) -> None:
    breaker = process()
    breaker.undecided()
    for _ in range(4):
        call(breaker, "HTTP 500")
    breaker.before_call()
    breaker.undecided()
    assert call(breaker, "HTTP 500")
    assert not call(breaker)
    breaker.undecided()
    assert not call(breaker)


def test_a_late_failure_of_a_call_already_sent_keeps_it_open(process: Callable[[], CircuitBreaker], time: Time) -> None:
    late = process()
    late.before_call()
    opened(process)
    time.now += 30
    late.failed("timeout")
    time.now += 59
    assert not call(process())


@pytest.mark.parametrize("step", [30.0, 3_600.0, 86_400.0])
def test_a_clock_that_was_set_back_does_not_keep_it_open(
    process: Callable[[], CircuitBreaker], time: Time, step: float
) -> None:
    breaker = opened(process)
    time.now -= step
    time.now += 120
    assert call(breaker)


def test_a_policy_of_one_failure_opens_at_the_first(engine: sa.Engine, time: Time) -> None:
    breaker = CircuitBreaker(engine, "strict", BreakerPolicy(1, 10.0), time)
    assert [call(breaker, "x"), call(breaker)] == [True, False]
