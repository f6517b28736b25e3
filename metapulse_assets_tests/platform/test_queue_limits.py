"""How many jobs run, when, and in which order: pauses, priorities, limits, stops, leases. On the real queue."""

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue import pausing
from metapulse_assets.platform.work_queue.cpu_limit import CpuLimit
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets.platform.work_queue.worker import SIGN_OF_LIFE
from metapulse_assets_tests.platform.queue_jobs import EFFECTS, LIMIT
from metapulse_assets_tests.platform.queue_running import (
    attempts,
    change,
    effects,
    fetch,
    peak,
    put,
    state,
    work,
    work_together,
)

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(make_settings: MakeSettings, engine: sa.Engine) -> Settings:
    """Settings on a fresh database with a table for the handlers' effects."""
    change(engine, EFFECTS)
    return make_settings()


def test_nothing_of_a_paused_queue_is_claimed(engine: sa.Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        assert pausing.pause(connection, "t-echo")
        assert not pausing.pause(connection, "t-echo")
    held, free = put(engine, "t-echo"), put(engine, "t-noop")
    work(settings, "t-echo", "t-noop", until=lambda: state(engine, free) == "completed")
    assert state(engine, held) == "paused"
    with engine.begin() as connection:
        pausing.pause(connection)
    also_held = put(engine, "t-noop")
    looks = []

    def resume_after_a_while() -> bool:
        looks.append((state(engine, held), state(engine, also_held)))
        if len(looks) == 20:
            with engine.begin() as connection:
                assert pausing.resume(connection)
                assert pausing.paused(connection) == set()
        return looks[-1] == ("completed", "completed")

    work(settings, "t-echo", "t-noop", until=resume_after_a_while)
    assert set(looks[:20]) == {("paused", "paused")}


def test_the_more_important_go_first(engine: sa.Engine, settings: Settings) -> None:
    numbers = {p: put(engine, "t-effect", {"note": str(p)}, priority=p) for p in ("low", 7, "medium", 0, "high")}
    work(settings, "t-effect", concurrency=1)
    assert [note for _, note in effects(engine)] == ["0", "high", "medium", "7", "low"]
    assert len(set(numbers.values())) == 5


def test_a_worker_ends_after_its_share(engine: sa.Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {}) for _ in range(250)])
    left = []
    taken = []
    for _ in range(3):
        taken.append(work(settings, "t-noop", max_jobs=100).taken)
        left.append(fetch(engine, "SELECT count(*) FROM pgqueuer.pgqueuer")[0][0])
    assert (taken, left) == ([100, 100, 50], [150, 50, 0])
    assert fetch(engine, "SELECT count(*), count(DISTINCT job_id) FROM job_attempts WHERE status = 'completed'") == [(250, 250)]


def test_a_queues_limit_holds_for_all_workers_together(engine: sa.Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-limited", {}) for _ in range(20)])
    work_together(settings, [["t-limited"]] * 3, concurrency=5)
    assert peak(effects(engine)) == LIMIT


def test_a_process_runs_no_more_at_once_than_it_was_told(engine: sa.Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-slow", {"seconds": 0.01}) for _ in range(12)])
    work(settings, "t-slow", concurrency=3)
    assert peak(effects(engine)) == 3


def test_a_stop_lets_running_jobs_end_and_the_rest_wait(engine: sa.Engine, settings: Settings) -> None:
    jobs = [put(engine, "t-slow", {"seconds": 2.0}) for _ in range(5)]
    worker = work(settings, "t-slow", until=lambda: len(effects(engine)) == 2, concurrency=2)
    assert [state(engine, job) for job in jobs] == ["completed"] * 2 + ["waiting"] * 3
    assert (worker.taken, worker.interrupted) == (2, 0)


@pytest.mark.parametrize(("queue", "data"), [("t-slow", {"seconds": 3600}), ("t-effect-async", {"seconds": 3600})])
def test_a_job_that_outlasts_the_stop_waits_again_as_if_never_begun(
    engine: sa.Engine, settings: Settings, queue: str, data: dict[str, Any]
) -> None:
    job_id = put(engine, queue, data)
    worker = work(settings, queue, until=lambda: state(engine, job_id) == "active", stop_seconds=0.0)
    assert state(engine, job_id) == "waiting"
    assert worker.interrupted == 1
    (row,) = attempts(engine, job_id)
    assert (row.status, row.error) == ("released", "interrupted: the worker stopped")
    assert fetch(engine, "SELECT attempts, queue_manager_id, slot FROM pgqueuer.pgqueuer") == [(0, None, None)]


def test_the_lease_of_a_long_job_is_kept(engine: sa.Engine, settings: Settings) -> None:
    job_id = put(engine, "t-slow", {"seconds": 4.0})
    work_together(settings, [["t-slow"]] * 2, until=lambda: state(engine, job_id) == "completed", lease_seconds=2.0)
    assert effects(engine) == [(job_id, "begin"), (job_id, "end")]
    assert [row.status for row in attempts(engine, job_id)] == ["completed"]


def test_a_sign_of_life_waits_for_nobody(engine: sa.Engine, database_url: str) -> None:
    jobs = [put(engine, "t-noop") for _ in range(3)]
    worker_id = uuid.uuid4()
    old = "UPDATE pgqueuer.pgqueuer SET heartbeat = 'epoch', status = 'picked', queue_manager_id = :worker WHERE id = ANY(:ids)"
    change(engine, old, worker=worker_id, ids=jobs[:2])
    change(engine, old, worker=uuid.uuid4(), ids=jobs[2:])
    with psycopg.connect(database_url) as holder, psycopg.connect(database_url) as beating:
        # As the settling of a group holds the jobs that are in it, and may want more of them.
        holder.execute("SELECT FROM pgqueuer.pgqueuer WHERE id = %s FOR UPDATE", (jobs[0],))
        beating.execute("SET lock_timeout = '1s'")
        beating.execute(SIGN_OF_LIFE.encode(), {"ids": jobs, "worker": worker_id})
    alive = fetch(engine, "SELECT id FROM pgqueuer.pgqueuer WHERE heartbeat > 'epoch'")
    assert alive == [(jobs[1],)]


@pytest.mark.parametrize("statement", ["LISTEN", "SET enable_nestloop"])
def test_a_worker_that_loses_the_database_ends_with_an_error_and_its_job_is_done_by_another(
    engine: sa.Engine, settings: Settings, statement: str
) -> None:
    job_id = put(engine, "t-slow", {"seconds": 0.2})
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE :beginning"
    done: list[bool] = []

    def cut_once() -> bool:
        if not done and state(engine, job_id) == "active":
            done.append(fetch(engine, cut, beginning=f"{statement}%") == [(True,)])
        return False

    with pytest.raises(psycopg.OperationalError):
        work(settings, "t-slow", until=cut_once)
    assert done == [True]
    assert state(engine, job_id) == "active"
    change(engine, "UPDATE pgqueuer.pgqueuer SET heartbeat = now() - interval '1 hour'")
    work(settings, "t-slow")
    assert [row.status for row in attempts(engine, job_id)] == ["lost", "completed"]


def test_nothing_is_begun_while_the_processors_are_too_busy(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[float] = []

    def busy(_: float | None) -> float:
        looks.append(99.0 if len(looks) < 4 else 10.0)
        if looks[-1] > 50 and len(looks) > 1:
            # Nothing was claimed since the look before, which found them busy already.
            claimed.append(fetch(engine, "SELECT count(*) FROM job_attempts")[0][0])
        return looks[-1]

    claimed: list[int] = []
    monkeypatch.setattr("psutil.cpu_percent", busy)

    class Late(CpuLimit):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.is_exceeded = True

    monkeypatch.setattr("metapulse_assets.platform.work_queue.worker.CpuLimit", Late)
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {})] * 5)
    with caplog.at_level("INFO", "metapulse.worker"):
        work(settings, "t-noop", cpu_limit=50.0, lease_seconds=1.0)
    assert claimed == [0, 0, 0]
    assert fetch(engine, "SELECT status, count(*) FROM job_attempts GROUP BY 1") == [("completed", 5)]
    assert "free enough again" in caplog.text


def test_without_a_limit_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_percent", lambda _: pytest.fail("measured"))
    limit = CpuLimit(None)
    limit.look()
    assert not limit.is_exceeded
