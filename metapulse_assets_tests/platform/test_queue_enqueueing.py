"""Putting jobs in: in the caller's transaction, once, in bulk, later; and what is refused."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from metapulse_assets.platform.work_queue.enqueueing import (
    Enqueued,
    NewJob,
    cancel,
    enqueue,
    enqueue_many,
    enqueue_many_async,
)
from metapulse_assets.platform.work_queue.json_text import storable_json
from metapulse_assets.platform.work_queue.policies import Policy, doubling, pause_after, priority_number
from metapulse_assets.platform.work_queue.registry import UnknownJobType, handler, handlers
from metapulse_assets.platform.work_queue.statistics import state_of
from metapulse_assets_tests.platform import queue_jobs
from metapulse_assets_tests.platform.queue_running import change, fetch

COUNT = "SELECT count(*) FROM pgqueuer.pgqueuer"


def test_no_commit_no_job(engine: sa.Engine, database_url: str) -> None:
    with engine.connect() as connection:
        made = enqueue(connection, "t-noop", {})
        assert state_of(connection, made.job_id) == "waiting"
        connection.rollback()
    with psycopg.connect(database_url) as plain:
        enqueue(plain, "t-noop", {})
        plain.rollback()
    assert fetch(engine, COUNT) == [(0,)]
    with engine.connect() as connection:
        enqueue(connection, "t-noop", {"by": "sqlalchemy"})
        connection.commit()
    with psycopg.connect(database_url) as plain:
        enqueue(plain, "t-noop", {"by": "psycopg"})

    async def put() -> list[Enqueued]:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            return await enqueue_many_async(connection, [NewJob("t-noop", {"by": "async"})])

    assert asyncio.run(put())[0].created
    payloads = [json.loads(bytes(row[0])) for row in fetch(engine, "SELECT payload FROM pgqueuer.pgqueuer ORDER BY id")]
    assert payloads == [{"by": "sqlalchemy"}, {"by": "psycopg"}, {"by": "async"}]


def test_ten_thousand_at_once_keep_their_order(engine: sa.Engine) -> None:
    jobs = [NewJob("t-noop", {"number": number}, unique_id=f"n{number}" if number % 2 else None) for number in range(10_000)]
    with engine.begin() as connection:
        made = enqueue_many(connection, jobs)
        again = enqueue_many(connection, jobs[:6_000])
    assert [one.job_id for one in made] == sorted({one.job_id for one in made})
    stored = fetch(engine, "SELECT id, convert_from(payload, 'UTF8')::jsonb ->> 'number' FROM pgqueuer.pgqueuer ORDER BY id")
    assert stored[:3] == [(made[number].job_id, str(number)) for number in range(3)]
    assert len(stored) == 10_000 + 3_000
    assert [one.created for one in again] == [not number % 2 for number in range(6_000)]
    assert [one.job_id for one in again if not one.created] == [one.job_id for one in made[1:6_000:2]]


def test_one_job_an_id_while_it_waits_or_runs(engine: sa.Engine) -> None:
    def put(queue: str = "t-noop") -> Enqueued:
        with engine.begin() as connection:
            return enqueue(connection, queue, {}, unique_id="story-1")

    first = put()
    assert first.created
    assert put() == Enqueued(first.job_id, False)
    assert put("t-echo").created
    change(engine, "UPDATE pgqueuer.pgqueuer SET status = 'picked' WHERE id = :id", id=first.job_id)
    assert put() == Enqueued(first.job_id, False)
    with engine.begin() as connection:
        assert cancel(connection, first.job_id)
        twins = enqueue_many(connection, [NewJob("t-noop", {}, unique_id="story-1")] * 2)
    assert twins[0].created
    assert twins[1] == Enqueued(twins[0].job_id, False)


def test_two_who_put_in_the_same_at_once_make_one_job(engine: sa.Engine) -> None:
    with engine.connect() as one, engine.connect() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
        enqueue(one, "t-noop", {}, unique_id="x")
        # Waits for the first to decide …
        with pytest.raises(sa.exc.OperationalError):
            enqueue(other, "t-noop", {}, unique_id="x")
        other.rollback()
        one.rollback()
        # … and goes first if that one takes it back.
        assert enqueue(other, "t-noop", {}, unique_id="x").created


def test_a_delayed_job_is_due_later(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        job_id = enqueue(connection, "t-noop", {}, delay=timedelta(hours=2)).job_id
        assert state_of(connection, job_id) == "delayed"
    ((gap,),) = fetch(engine, "SELECT execute_after - created FROM pgqueuer.pgqueuer")
    assert gap == timedelta(hours=2)


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (NewJob("t-noop", {"price": float("nan")}), r"jobs\[1\]\.data of t-noop: .*Out of range float"),
        (NewJob("t-noop", {"name": "a\0b"}), r"jobs\[1\]\.data of t-noop: .*NUL"),
        (NewJob("t-noop", {"name": "\ud800"}), r"jobs\[1\]\.data of t-noop: .*surrogates not allowed"),
        (NewJob("t-noop", {"name": {1}}), r"jobs\[1\]\.data of t-noop: .*set is not JSON serializable"),
        (NewJob("t-noop", [1]), r"jobs\[1\]\.data of t-noop: is not an object"),  # type: ignore[arg-type]
        (NewJob("t-noop", {}, delay=timedelta(seconds=-1)), r"jobs\[1\]\.delay of t-noop: is below 0"),
        (NewJob("t-noop", {}, delay=timedelta.max), r"jobs\[1\]\.delay of t-noop: .* above 365 days"),
        (NewJob("t-noop", {}, unique_id="ü" * 1_001), r"jobs\[1\]\.unique_id of t-noop: is longer than 2000 bytes"),
        (NewJob("t-noop", {}, unique_id=""), r"jobs\[1\]\.unique_id of t-noop"),
        (NewJob("t-noop", {}, priority="urgent"), r"priority: 'urgent' is none of high, medium, low"),  # type: ignore[arg-type]
        (NewJob("t-noop", {}, priority=-1), "priority: -1 is not between 0"),
    ],
)
def test_one_bad_job_and_none_is_put_in(engine: sa.Engine, job: NewJob, says: str) -> None:
    with engine.begin() as connection, pytest.raises(ValueError, match=says):
        enqueue_many(connection, [NewJob("t-noop", {}), job])
    assert fetch(engine, COUNT) == [(0,)]


def test_an_unknown_job_type_is_named_with_those_that_are_known(engine: sa.Engine) -> None:
    with engine.begin() as connection, pytest.raises(UnknownJobType, match=r"'t-nop' is unknown; known are: .*t-noop"):
        enqueue(connection, "t-nop", {})


# jsonb has decimal numbers; large floats come back as the integers that their digits say.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(values)
@hypothesis_settings(max_examples=60)
def test_what_is_taken_for_storable_can_be_stored(shared_engine: sa.Engine, value: Any) -> None:
    try:
        text = storable_json(value)
    except ValueError:
        assert any("\0" in text or not _encodes(text) for text in _texts(value))
        return
    with shared_engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT %(text)s::jsonb", {"text": text}).scalar()
    assert stored == value


def _texts(value: Any) -> list[str]:
    """All texts in a value, names of fields included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in _texts(each)]
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"attempts": 0}, "attempts"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"concurrency": -1}, "concurrency"),
        ({"backoff": ()}, "backoff"),
        ({"backoff": (5, -1)}, "backoff"),
        ({"priority": "urgent"}, "priority"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_name(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Policy(**arguments)


def test_pauses_and_priorities() -> None:
    assert [pause_after((5, 10, 15), number) for number in (1, 2, 3, 4)] == [5, 10, 15, 15]
    assert [pause_after(doubling(2), number) for number in (1, 2, 3)] == [2, 4, 8]
    assert [priority_number(name) for name in ("high", "medium", "low")] == [1, 5, 10]


def test_a_queue_has_one_handler_which_is_asynchronous_or_transactional() -> None:
    with pytest.raises(ValueError, match=r"queue t-noop: .*queue_jobs handles it already"):
        handler("t-noop")(queue_jobs.echo)
    with pytest.raises(ValueError, match="queue t-plain: its handler must be an async function"):
        handler("t-plain")(lambda job: None)
    for name in ("", "*", "a,b", "a\n"):
        with pytest.raises(ValueError, match="cannot be a name"):
            handler(name)(queue_jobs.echo)
    assert handlers()["t-noop"].function is queue_jobs.noop
