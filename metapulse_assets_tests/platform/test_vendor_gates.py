"""How a vendor's client stands at the gate: places taken and given up, the vendor's own limits heeded, an open circuit."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from metapulse_assets.platform import vendor_client
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitOpenError
from metapulse_assets.platform.rate_limit import Gate, Grant, Limit, SharedRateLimit
from metapulse_assets.platform.tables import circuit_breakers, rate_limits
from metapulse_assets.platform.vendor_client import Answer, CallPolicy, VendorClient, VendorError
from metapulse_assets_tests.platform.stub_vendor import Reply, StubVendor, serving
from metapulse_assets_tests.platform.test_rate_limit import most_in_a_window

GATE = Gate("stub", (Limit(100, 600.0),))
ONCE = CallPolicy(timeout_seconds=5.0, attempts=1, backoff_seconds=0.01, breaker=BreakerPolicy(5, 60.0))
THRICE = CallPolicy(timeout_seconds=5.0, attempts=3, backoff_seconds=0.01, breaker=BreakerPolicy(5, 60.0))
NOW = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)


@pytest.fixture
def engine(vendor_engine: sa.Engine) -> sa.Engine:
    """One that the tests use in turn."""
    return vendor_engine


def spent(engine: sa.Engine) -> int:
    """Places taken at the gate."""
    with engine.connect() as connection:
        return sum(connection.execute(sa.select(rate_limits.c.counts)).scalar_one())


def visits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the places wanted whenever the database is asked for some."""
    seen: list[int] = []
    acquire = SharedRateLimit.acquire

    def counted(self: SharedRateLimit, gate: Gate, wanted: int = 1) -> Grant:
        seen.append(wanted)
        return acquire(self, gate, wanted)

    monkeypatch.setattr(SharedRateLimit, "acquire", counted)
    return seen


def calls(stub: StubVendor, engine: sa.Engine, count: int, policy: CallPolicy = ONCE, gate: Gate = GATE) -> list[Any]:
    """So many calls at once by one client; answers and errors."""

    async def run() -> list[Any]:
        async with VendorClient("stub", stub.url, engine, policy, clock=lambda: NOW) as client:
            return await asyncio.gather(*(client.get_json("/x", gate) for _ in range(count)), return_exceptions=True)

    return asyncio.run(run())


def test_calls_one_after_the_other_take_a_place_each(engine: sa.Engine) -> None:
    async def run(stub: StubVendor) -> None:
        async with VendorClient("stub", stub.url, engine, ONCE) as client:
            for sent in (1, 2, 3):
                await client.get_json("/x", GATE)
                # A place taken ahead and used minutes later would come on top of the places of that time.
                assert spent(engine) == client.requests_sent == sent

    with serving() as stub:
        asyncio.run(run(stub))


def test_calls_made_at_once_ask_the_database_once(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = visits(monkeypatch)
    with serving() as stub:
        assert all(isinstance(answer, Answer) for answer in calls(stub, engine, 12))
        assert (asked, spent(engine), len(stub.arrivals)) == ([12], 12, 12)


def test_every_try_takes_a_place(engine: sa.Engine) -> None:
    with serving(Reply(500), Reply(429), Reply()) as stub:
        calls(stub, engine, 1, THRICE)
        assert spent(engine) == len(stub.arrivals) == 3


def test_a_call_that_is_given_up_leaves_no_place_behind(engine: sa.Engine) -> None:
    async def run(stub: StubVendor) -> None:
        async with VendorClient("stub", stub.url, engine, ONCE) as client:
            tasks = [asyncio.create_task(client.get_json("/x", GATE)) for _ in range(4)]
            await asyncio.sleep(0)
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            before = spent(engine)
            await client.get_json("/x", GATE)
            assert spent(engine) == before + 1

    with serving() as stub:
        asyncio.run(run(stub))
        assert len(stub.arrivals) == 2


def test_who_finds_no_place_waits_for_one(engine: sa.Engine) -> None:
    with serving() as stub:
        answers = calls(stub, engine, 5, gate=Gate("stub", (Limit(2, 0.3),)))
        assert all(isinstance(answer, Answer) for answer in answers)
        moments = [arrival.at for arrival in stub.arrivals]
        # Five places of two each 0.3 s: the third pair cannot go before 0.6 s have passed.
        assert moments[4] - moments[0] >= 0.5


def test_a_place_whose_time_went_by_while_connecting_is_taken_anew(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, slow = anyio.connect_tcp, iter([1.5] * 5)

    async def slow_at_first(*arguments: Any, **options: Any) -> Any:
        await anyio.sleep(next(slow, 0.0))
        return await connect(*arguments, **options)

    monkeypatch.setattr(anyio, "connect_tcp", slow_at_first)
    with serving() as stub:
        answers = calls(stub, engine, 10, gate=Gate("stub", (Limit(5, 3.0),)))
        assert all(isinstance(answer, Answer) for answer in answers)
        # The first five would else arrive a second and a half late, together with the next five.
        assert most_in_a_window([arrival.at for arrival in stub.arrivals], 2.4) <= 5


def test_waiting_for_the_place_anew_is_not_the_vendor_s_time(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = anyio.connect_tcp

    async def slow(*arguments: Any, **options: Any) -> Any:
        await anyio.sleep(0.1)
        return await connect(*arguments, **options)

    monkeypatch.setattr(anyio, "connect_tcp", slow)
    asked = visits(monkeypatch)
    hasty = CallPolicy(timeout_seconds=2.0, attempts=1, backoff_seconds=0.01, breaker=ONCE.breaker)
    with serving() as stub:
        (answer,) = calls(stub, engine, 1, hasty, Gate("stub", (Limit(1, 3.0),)))
        assert isinstance(answer, Answer)
        # The place it began with, at least one refusal, and the place it went with.
        assert len(asked) >= 3


RESET_HEADERS = [
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "40"}, 40),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW.timestamp() + 40:.0f}"}, 40),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{(NOW.timestamp() + 40) * 1000:.0f}"}, 40),
    ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": f"{NOW.timestamp() + 40:.0f}"}, 40),
    ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "40"}, 40),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW.timestamp() - 40:.0f}"}, 0),
    ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "40"}, 0),
    ({"x-ratelimit-remaining": "0"}, 0),
    ({"x-ratelimit-remaining": "few", "x-ratelimit-reset": "40"}, 0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "nan"}, 0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "inf"}, 0),
]


@pytest.mark.parametrize(("headers", "shut_for"), RESET_HEADERS)
@pytest.mark.parametrize("status", [200, 429])
def test_the_vendor_s_own_count_shuts_the_gate_for_everybody(
    engine: sa.Engine, headers: dict[str, str], shut_for: float, status: int
) -> None:
    with serving(Reply(status, headers=headers)) as stub:
        calls(stub, engine, 1)
    grant = SharedRateLimit(engine).acquire(GATE)
    assert shut_for - 10 <= grant.wait_seconds <= shut_for
    assert grant.granted == (0 if shut_for else 1)


def test_a_gate_that_the_vendor_shut_stays_shut_after_the_call(engine: sa.Engine) -> None:
    limited = Reply(429, headers={"Retry-After": "600"})
    with serving(limited) as stub:
        outcomes = calls(stub, engine, 3)
        assert all(isinstance(outcome, VendorError) for outcome in outcomes)
    assert 590 <= SharedRateLimit(engine).acquire(GATE).wait_seconds <= 600


def test_a_run_does_not_sleep_for_a_vendor_that_asks_for_too_long(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_client, "LONGEST_WAIT_SECONDS", 30.0)
    with serving(Reply(429, headers={"Retry-After": "31"}), Reply()) as stub:
        (failed,) = calls(stub, engine, 1, THRICE)
        assert isinstance(failed, VendorError)
        assert failed.reason == "HTTP 429, too many requests"
        (shut,) = calls(stub, engine, 1, THRICE)
        assert isinstance(shut, VendorError)
        assert shut.reason == "rate limit: shut for 31 s"
        assert len(stub.arrivals) == 1


def set_breaker(engine: sa.Engine, **values: object) -> None:
    """Change the stub's breaker, as time would."""
    with engine.begin() as connection:
        connection.execute(sa.update(circuit_breakers).values(**values))


def state(engine: sa.Engine) -> str:
    """State of the stub's breaker."""
    with engine.connect() as connection:
        return str(connection.execute(sa.select(circuit_breakers.c.state)).scalar())


def test_the_sixth_call_to_a_vendor_in_trouble_is_not_sent(engine: sa.Engine) -> None:
    with serving(Reply(500)) as stub:
        for _ in range(5):
            (failed,) = calls(stub, engine, 1)
            assert isinstance(failed, VendorError)
        for _ in range(2):
            (refused,) = calls(stub, engine, 1)
            assert isinstance(refused, CircuitOpenError)
        assert len(stub.arrivals) == 5
        set_breaker(engine, changed_at=0.0)
        stub.script = [Reply()]
        assert all(isinstance(answer, Answer) for answer in calls(stub, engine, 1) + calls(stub, engine, 2))
        assert state(engine) == "closed"


def test_tries_of_one_call_open_it_as_well(engine: sa.Engine) -> None:
    with serving(Reply(500)) as stub:
        calls(stub, engine, 1, THRICE)
        (refused,) = calls(stub, engine, 1, THRICE)
        assert isinstance(refused, CircuitOpenError)
        assert len(stub.arrivals) == 5


@pytest.mark.parametrize("answer", [Reply(404), Reply(429)])
def test_a_vendor_that_answers_is_not_in_trouble(engine: sa.Engine, answer: Reply) -> None:
    with serving(answer) as stub:
        for _ in range(7):
            calls(stub, engine, 1)
        assert len(stub.arrivals) == 7


def test_a_probe_that_is_told_to_slow_down_is_followed_by_another(engine: sa.Engine) -> None:
    with serving(*[Reply(500)] * 5, Reply(429), Reply()) as stub:
        for _ in range(5):
            calls(stub, engine, 1)
        set_breaker(engine, changed_at=0.0)
        (answer,) = calls(stub, engine, 1, THRICE)
        assert isinstance(answer, Answer)
        assert (len(stub.arrivals), state(engine)) == (7, "closed")


CALLER = """
import asyncio, sys
from metapulse_assets.platform.database import create_engine
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.vendor_client import VendorClient

database, vendor, count = sys.argv[1:]
gate = Gate("shared", (Limit(20, 1.0),))

async def run():
    async with VendorClient("stub", vendor, create_engine(database, load_settings())) as client:
        await asyncio.gather(*(client.get_json("/x", gate) for _ in range(int(count))))

asyncio.run(run())
"""


@pytest.mark.slow
def test_two_processes_together_stay_below_the_limit(database_url: str) -> None:
    with serving() as stub:
        command = [sys.executable, "-c", CALLER, database_url, stub.url, "24"]
        processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
        moments = [arrival.at for arrival in stub.arrivals]
    assert len(moments) == 48
    # On a busy machine a request may spend long on its way; with a limit each, twice as many would come in any window.
    assert most_in_a_window(moments, 0.7) <= 20
    assert max(moments) - min(moments) >= 2.0
