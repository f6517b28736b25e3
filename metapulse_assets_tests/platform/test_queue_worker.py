"""What a worker makes of jobs: states, attempts, dead letters, effects. On the real queue."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.enqueueing import cancel
from metapulse_assets.platform.work_queue.logs import LOGGER, JobJsonFormatter, JobTextFormatter
from metapulse_assets.platform.work_queue.policies import MARKET_JOBS, PORTFOLIO_JOBS, STORY_ENHANCEMENT, Policy
from metapulse_assets_tests.platform.queue_jobs import EFFECTS
from metapulse_assets_tests.platform.queue_running import (
    attempts,
    change,
    effects,
    fetch,
    make_worker,
    put,
    state,
    work,
)

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(make_settings: MakeSettings, engine: sa.Engine) -> Settings:
    """Settings on a fresh database with a table for the handlers' effects."""
    change(engine, EFFECTS)
    return make_settings()


def test_a_job_waits_is_active_and_completed(engine: sa.Engine, settings: Settings) -> None:
    job_id = put(engine, "t-slow", {"seconds": 0.05})
    assert state(engine, job_id) == "waiting"
    seen: list[str | None] = []

    def done() -> bool:
        seen.append(state(engine, job_id))
        return seen[-1] == "completed"

    work(settings, "t-slow", until=done)
    assert list(dict.fromkeys(seen)) in (["waiting", "active", "completed"], ["active", "completed"])
    assert effects(engine) == [(job_id, "begin"), (job_id, "end")]
    (row,) = attempts(engine, job_id)
    assert (row.status, row.attempt, row.error, row.job_type) == ("completed", 1, None, "t-slow")
    assert row.ended_at is not None
    assert row.duration_seconds == pytest.approx((row.ended_at - row.started_at).total_seconds(), abs=1e-5)
    assert row.worker


@pytest.mark.parametrize("result", [None, {"a": [1, "ü", None]}, "text", 3, 'a \\u0000 that is "none"'])
def test_what_a_handler_returns_is_kept(engine: sa.Engine, settings: Settings, result: Any) -> None:
    job_id = put(engine, "t-echo", {"result": result})
    work(settings, "t-echo")
    assert [(row.status, row.result) for row in attempts(engine, job_id)] == [("completed", result)]


def test_a_result_that_cannot_be_stored_fails_its_job_alone(engine: sa.Engine, settings: Settings) -> None:
    async def returns_a_set(job: object) -> set[int]:
        return {1}

    from metapulse_assets.platform.work_queue.registry import Handler

    good = put(engine, "t-echo", {"result": 1})
    bad = put(engine, "t-noop")
    worker = make_worker(settings, "t-echo", "t-noop")
    worker.handlers = {**worker.handlers, "t-noop": Handler("t-noop", returns_a_set, Policy(attempts=1), False)}

    async def run() -> None:
        runs = asyncio.create_task(worker.run())
        while {state(engine, good), state(engine, bad)} != {"completed", "failed"}:
            await asyncio.sleep(0.01)
        worker.stop()
        await runs

    asyncio.run(asyncio.wait_for(run(), 30))
    assert "the handler's result cannot be stored as JSON" in str(attempts(engine, bad)[0].error)


@pytest.mark.parametrize(
    ("queue", "policy", "pauses"),
    [
        ("t-story", STORY_ENHANCEMENT, [2, 4]),
        ("t-market", MARKET_JOBS, [5, 10]),
        ("t-portfolio", PORTFOLIO_JOBS, [5, 10, 15]),
        ("t-settings", Policy(), [0.5, 1, 2]),
    ],
)
def test_a_failing_job_is_tried_again_after_its_pauses_and_then_dead(
    engine: sa.Engine, make_settings: MakeSettings, queue: str, policy: Policy, pauses: list[float]
) -> None:
    settings = make_settings(worker_max_attempts=4, worker_backoff_delay=500)
    job_id = put(engine, queue, {"failures": 99})
    gaps = []
    for number, pause in enumerate(pauses, 1):

        def failed(number: int = number) -> bool:
            return [row.status for row in attempts(engine, job_id)] == ["retried"] * number

        work(settings, queue, until=failed)
        assert state(engine, job_id) == "delayed"
        ((gap,),) = fetch(engine, "SELECT extract(epoch FROM execute_after - updated) FROM pgqueuer.pgqueuer")
        gaps.append(float(gap))
        assert gaps[-1] == pytest.approx(pause, rel=0.001)
        # So much later …
        change(engine, "UPDATE pgqueuer.pgqueuer SET execute_after = now() - interval '1 second'")
    work(settings, queue)
    assert state(engine, job_id) == "failed"
    rows = attempts(engine, job_id)
    assert [(row.attempt, row.status, row.error) for row in rows] == [
        (number, "failed" if number == len(rows) else "retried", f"ConnectionError: failure {number}")
        for number in range(1, len(pauses) + 2)
    ]
    dead = fetch(engine, "SELECT * FROM failed_jobs")
    assert [row[1:4] for row in dead] == [(queue, {"failures": 99}, f"ConnectionError: failure {len(rows)}")]


def test_a_job_that_heals_completes(engine: sa.Engine, settings: Settings) -> None:
    job_id = put(engine, "t-hasty", {"failures": 2})
    work(settings, "t-hasty")
    assert [(row.status, row.result) for row in attempts(engine, job_id)] == [
        *[("retried", None)] * 2,
        ("completed", "attempt 3"),
    ]
    assert fetch(engine, "SELECT * FROM failed_jobs") == []


def test_a_job_that_takes_too_long_fails_and_is_tried_again(engine: sa.Engine, settings: Settings) -> None:
    job_id = put(engine, "t-timeout")
    work(settings, "t-timeout")
    assert [(row.status, row.error) for row in attempts(engine, job_id)] == [
        ("retried", "timeout: it ran longer than 0.05 s"),
        ("completed", None),
    ]


def test_a_handler_may_give_up_or_name_the_pause(engine: sa.Engine, settings: Settings) -> None:
    hopeless, later = put(engine, "t-hopeless"), put(engine, "t-later")
    ended = "SELECT count(*) FROM job_attempts WHERE ended_at IS NOT NULL"
    work(settings, "t-hopeless", "t-later", until=lambda: fetch(engine, ended) == [(2,)])
    assert [(row.status, row.error) for row in attempts(engine, hopeless)] == [("failed", "no such wallet")]
    assert [(row.status, row.error) for row in attempts(engine, later)] == [("retried", "asked to wait")]
    ((gap,),) = fetch(engine, "SELECT extract(epoch FROM execute_after - updated) FROM pgqueuer.pgqueuer")
    assert float(gap) == 77


@pytest.mark.parametrize("queue", ["t-effect", "t-effect-async"])
def test_an_effect_and_its_jobs_completion_are_one(engine: sa.Engine, settings: Settings, queue: str) -> None:
    good, bad = put(engine, queue, {"note": "good"}), put(engine, queue, {"note": "bad", "fails": True})
    work(settings, queue)
    assert effects(engine) == [(good, "good")]
    assert [state(engine, job_id) for job_id in (good, bad)] == ["completed", "failed"]


@pytest.mark.parametrize("queue", ["t-effect", "t-effect-async"])
def test_who_lost_a_job_leaves_no_effect(engine: sa.Engine, settings: Settings, queue: str) -> None:
    job_id = put(engine, queue, {"note": "first", "seconds": 0.3})

    def taken() -> bool:
        # As another worker does when this one's lease has run out.
        other = "SET queue_manager_id = gen_random_uuid(), heartbeat = now() WHERE status = 'picked' RETURNING id"
        return bool(fetch(engine, f"UPDATE pgqueuer.pgqueuer {other}"))

    work(settings, queue, until=taken)
    assert effects(engine) == []
    assert state(engine, job_id) == "active"
    change(engine, "UPDATE pgqueuer.pgqueuer SET heartbeat = now() - interval '1 hour'")
    work(settings, queue)
    assert effects(engine) == [(job_id, "first")]
    assert [(row.status, row.attempt) for row in attempts(engine, job_id)] == [("lost", 1), ("completed", 1)]


def test_a_job_whose_workers_keep_vanishing_is_given_up(engine: sa.Engine, settings: Settings) -> None:
    job_id = put(engine, "t-suicide")
    change(
        engine,
        "INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, worker) "
        "SELECT :job, 't-suicide', 1, status, now(), 'w' FROM unnest(ARRAY['lost', 'lost', 'active']) AS s (status)",
        job=job_id,
    )
    work(settings, "t-suicide")
    assert [(row.status, row.error) for row in attempts(engine, job_id)][-1] == (
        "failed",
        "given up: 3 workers vanished while they worked on it",
    )


def test_a_payload_that_is_not_ours_becomes_a_dead_letter(engine: sa.Engine, settings: Settings) -> None:
    insert = "INSERT INTO pgqueuer.pgqueuer (priority, status, entrypoint, payload) VALUES (0, 'queued', 't-noop', :payload)"
    for payload in (b"[1]", b"x\xff", b'{"a": "\\u0000"}', None):
        change(engine, insert, payload=payload)
    work(settings, "t-noop")
    errors = [row[0] for row in fetch(engine, "SELECT error_message FROM failed_jobs ORDER BY id")]
    assert len(errors) == 3
    assert all(error.startswith("its payload cannot be read: ") for error in errors)
    assert fetch(engine, "SELECT count(*) FROM job_attempts WHERE status = 'completed'") == [(1,)]


def test_a_waiting_job_can_be_canceled_and_a_running_one_interrupted(engine: sa.Engine, settings: Settings) -> None:
    waiting, running = put(engine, "t-noop", delay=timedelta(hours=1)), put(engine, "t-slow", {"seconds": 3600})

    def cancel_both() -> bool:
        if ("begin",) not in fetch(engine, "SELECT note FROM effects"):
            return False
        with engine.begin() as connection:
            assert cancel(connection, waiting)
            assert cancel(connection, running)
            assert not cancel(connection, running)
        return True

    worker = work(settings, "t-slow", "t-noop", until=cancel_both)
    assert [state(engine, job_id) for job_id in (waiting, running)] == ["canceled", "canceled"]
    assert [row.status for job in (waiting, running) for row in attempts(engine, job)] == ["canceled"] * 2
    assert effects(engine) == [(running, "begin")]
    assert worker.interrupted == 0


def test_each_log_line_names_its_job_and_no_secret(
    engine: sa.Engine, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metapulse_assets.platform.json_logs.known_secrets", lambda: ("planted-secret",))
    monkeypatch.setattr("metapulse_assets.platform.work_queue.attempt.known_secrets", lambda: ("planted-secret",))
    monkeypatch.setattr("metapulse_assets.platform.work_queue.logs.known_secrets", lambda: ("planted-secret",))
    lines: list[tuple[str, str]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((JobJsonFormatter().format(record), JobTextFormatter().format(record)))

    keep = Keep()
    LOGGER.addHandler(keep)
    LOGGER.setLevel(logging.DEBUG)
    try:
        job_id = put(engine, "t-hasty", {"failures": 99, "message": "key planted-secret or ?api_key=other-secret"})
        work(settings, "t-hasty")
    finally:
        LOGGER.removeHandler(keep)
        LOGGER.setLevel(logging.NOTSET)
    about = [json.loads(line) for line, _ in lines]
    assert [(line["job_id"], line["queue"], line["attempt"]) for line in about] == [
        (job_id, "t-hasty", number) for number in (1, 1, 2, 2, 3, 3)
    ]
    assert all(f"t-hasty #{job_id}" in text for _, text in lines)
    stored = str(fetch(engine, "SELECT error FROM job_attempts UNION ALL SELECT error_message FROM failed_jobs"))
    told = str(fetch(engine, "SELECT traceback FROM pgqueuer.pgqueuer_log"))
    assert "***" in stored
    assert "***" in told
    for text in (str(lines), stored, told):
        assert "planted-secret" not in text
        assert "other-secret" not in text
