"""Jobs that a program puts in with a plain INSERT, as into a table."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.registry import _handlers
from metapulse_assets_tests.platform.queue_jobs import EFFECTS
from metapulse_assets_tests.platform.queue_running import attempts, change, fetch, put, state, work

INSERT = "INSERT INTO {view} (type, data) VALUES (:type, CAST(:data AS jsonb)) RETURNING id, status"


def insert(engine: sa.Engine, job_type: str | None, data: object, view: str = "queued_jobs") -> int:
    """What a program does; returns the job's number."""
    [(job_id, status)] = fetch(engine, INSERT.format(view=view), type=job_type, data=json.dumps(data))
    assert status == "waiting"
    return int(job_id)


@pytest.fixture
def settings(make_settings: Callable[..., Settings], engine: sa.Engine) -> Settings:
    change(engine, EFFECTS)
    return make_settings()


def test_an_inserted_row_is_worked_on_like_any_job(engine: sa.Engine, settings: Settings) -> None:
    job_id = insert(engine, "t-echo", {"result": {"ü": 1}})
    assert state(engine, job_id) == "waiting"
    assert fetch(engine, "SELECT type, data, status FROM queued_jobs") == [("t-echo", {"result": {"ü": 1}}, "waiting")]
    work(settings, "t-echo")
    [row] = attempts(engine, job_id)
    assert (row.status, row.result) == ("completed", {"ü": 1})
    assert fetch(engine, "SELECT * FROM queued_jobs") == []


def test_a_rolled_back_row_is_no_job(engine: sa.Engine, settings: Settings) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text(INSERT.format(view="queued_jobs")), {"type": "t-noop", "data": "{}"})
        connection.rollback()
    assert fetch(engine, "SELECT * FROM queued_jobs") == []


def test_it_comes_after_what_is_more_important_and_with_what_is_not(engine: sa.Engine, settings: Settings) -> None:
    by_sql = insert(engine, "t-noop", {})
    high, medium = put(engine, "t-noop", priority="high"), put(engine, "t-noop", priority="medium")
    work(settings, "t-noop", concurrency=1)
    began = fetch(engine, "SELECT job_id FROM job_attempts ORDER BY attempt_id")
    assert [row[0] for row in began] == [high, by_sql, medium]


def test_payments_have_a_view_of_their_own_that_takes_nothing_else(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_handlers, "stripe_webhook", replace(_handlers["t-noop"], queue="stripe_webhook"))
    job_id = insert(engine, "stripe_webhook", {"id": "evt_1"}, "payment_jobs")
    work(settings, "stripe_webhook")
    assert state(engine, job_id) == "completed"
    insert(engine, "t-noop", {})
    assert fetch(engine, "SELECT * FROM payment_jobs") == []
    with pytest.raises(sa.exc.DBAPIError, match="payment_jobs"):
        insert(engine, "t-noop", {}, "payment_jobs")
    assert fetch(engine, "SELECT count(*) FROM queued_jobs") == [(1,)]


@pytest.mark.parametrize(
    ("job_type", "data", "why"), [(None, {}, "type: is missing"), ("", {}, "type"), ("t-noop", [1], "data: is not")]
)
def test_a_row_that_is_no_job_is_refused_with_the_field(
    engine: sa.Engine, settings: Settings, job_type: str | None, data: object, why: str
) -> None:
    with pytest.raises(sa.exc.IntegrityError, match=why):
        insert(engine, job_type, data)
