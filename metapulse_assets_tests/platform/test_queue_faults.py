"""Handlers and payloads at their worst: each ends as a failed job with its reason, and the worker goes on with the others."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.finding import find_job, newest_jobs
from metapulse_assets.platform.work_queue.job import Job, RetryLater
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets.platform.work_queue.registry import Handler, _handlers
from metapulse_assets.platform.work_queue.settling import LONGEST_RESULT
from metapulse_assets_tests.platform.queue_running import attempts, fetch, put, state, work

LARGEST_INTEGER = 2**31 - 1


class Odd(BaseException):
    """No `Exception`."""


class SpeechlessError(Exception):
    """Cannot say what is wrong."""

    def __str__(self) -> str:
        raise ValueError("no words")


async def exits(job: Job) -> None:
    sys.exit(3)


def exits_in_its_thread(job: Job, connection: sa.Connection) -> None:
    sys.exit(3)


async def interrupts(job: Job) -> None:
    raise KeyboardInterrupt


async def is_canceled_from_within(job: Job) -> None:
    inner = asyncio.create_task(asyncio.sleep(3600))
    inner.cancel()
    await inner


async def raises_no_exception(job: Job) -> None:
    raise Odd("odd")


async def cannot_say(job: Job) -> None:
    raise SpeechlessError


async def never_again(job: Job) -> None:
    raise RetryLater(float("nan"), "asked to wait")


async def in_a_thousand_years(job: Job) -> None:
    raise RetryLater(3e10, "asked to wait")


async def nests(job: Job) -> list[Any]:
    result: list[Any] = []
    for _ in range(900):
        result = [result]
    return result


async def says_too_much(job: Job) -> str:
    return "x" * (LONGEST_RESULT + 1)


FAULTS: dict[Callable[..., Any], str] = {
    exits: "SystemExit: 3",
    exits_in_its_thread: "SystemExit: 3",
    interrupts: "KeyboardInterrupt",
    is_canceled_from_within: "CancelledError",
    raises_no_exception: "Odd: odd",
    cannot_say: "SpeechlessError: its message cannot be shown",
    never_again: "RetryLater.seconds: nan is not a number up to 31,536,000 (asked to wait)",
    in_a_thousand_years: "RetryLater.seconds: 30000000000.0 is not",
    nests: "the handler's result cannot be stored as JSON: it is nested deeper than 100",
    says_too_much: "the handler's result has 10,000,003 characters",
}


def test_whatever_a_handler_does_only_its_own_job_fails(
    engine: sa.Engine, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy(attempts=2, backoff=(0.0,))
    for function in FAULTS:
        in_thread = function is exits_in_its_thread
        monkeypatch.setitem(_handlers, function.__name__, Handler(function.__name__, function, policy, in_thread))
    jobs = {function: put(engine, function.__name__) for function in FAULTS}
    good = put(engine, "t-echo", {"result": "done"})
    names = [function.__name__ for function in FAULTS]
    work(make_settings(), "t-echo", *names)
    assert state(engine, good) == "completed"
    for function, reason in FAULTS.items():
        rows = attempts(engine, jobs[function])
        assert [row.status for row in rows] == ["retried", "failed"], function.__name__
        assert reason in str(rows[-1].error)


async def fails(job: Job) -> None:
    raise ConnectionError("refused")


@pytest.mark.parametrize("pause", [lambda _: float("nan"), lambda _: float("soon")])
def test_a_backoff_that_fails_is_told_of_and_replaced(
    engine: sa.Engine,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    pause: Callable[[int], float],
) -> None:
    monkeypatch.setitem(_handlers, "fails", Handler("fails", fails, Policy(attempts=2, backoff=pause), False))
    job = put(engine, "fails")
    work(make_settings(worker_backoff_delay=1), "fails")
    first, last = attempts(engine, job)
    assert (first.status, last.status, last.error) == ("retried", "failed", "ConnectionError: refused")
    assert str(first.error).startswith("ConnectionError: refused; and its queue's backoff fails: ")


PAYLOADS: dict[bytes | None, str | None] = {
    None: None,
    b"": None,
    b"{}": None,
    b"[1]": "list in the place of an object",
    b"\xff\xfe": "cannot be read",
    b'{"a":NaN}': "cannot be stored as JSON",
    b'{"a":1e999}': "cannot be stored as JSON",
    b'{"a":' + b"9" * 5_000 + b"}": "digits",
    b'{"a":"\\u0000"}': "a text holds a NUL",
    b'{"a":"\\ud800"}': "surrogates",
    b'{"a":' + b"[" * 300 + b"]" * 300 + b"}": "nested deeper than 100",
    b'{"a":' + b"[" * 100_000 + b"}": "nested deeper than 100",
    b"x" * 2_000_000: "cannot be read",
}
RAW_INSERT = (
    "INSERT INTO pgqueuer.pgqueuer (priority, entrypoint, payload, status)"
    " VALUES (:priority, 't-noop', :payload, 'queued') RETURNING id"
)


def test_whatever_somebody_writes_into_the_queue_stops_no_worker_and_no_page(
    engine: sa.Engine, make_settings: Callable[..., Settings]
) -> None:
    jobs = {}
    for payload in PAYLOADS:
        ((jobs[payload],),) = fetch(engine, RAW_INSERT, priority=-LARGEST_INTEGER - 1, payload=payload)

    def shown() -> list[str]:
        with engine.connect() as connection:
            assert len(newest_jobs(connection)) == len(PAYLOADS)
            return [job.status for number in jobs.values() if (job := find_job(connection, str(number)))]

    assert shown() == ["waiting"] * len(PAYLOADS)
    work(make_settings(), "t-noop")
    assert shown() == ["failed" if reason else "completed" for reason in PAYLOADS.values()]
    for payload, reason in PAYLOADS.items():
        (row,) = attempts(engine, jobs[payload])
        assert (reason or "") in str(row.error)
    kept = fetch(engine, "SELECT max(length(job_data::text)) FROM failed_jobs")
    assert kept[0][0] < 300_000
