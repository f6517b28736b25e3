"""Worker processes: killed, stopped, ending after their share; whatever happens, each job has one effect."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets.platform.work_queue.processes import PARENT, WorkerProcesses
from metapulse_assets_tests.platform.queue_jobs import EFFECTS, LIMIT, NAME
from metapulse_assets_tests.platform.queue_running import PATIENCE_SECONDS, change, fetch

pytestmark = pytest.mark.slow
PROGRAM = (sys.executable, "-c", "from metapulse_assets.cli import main; main()", "worker")
COMPLETED = "SELECT count(*) FROM job_attempts WHERE status = 'completed'"
ONCE = "SELECT count(*), count(DISTINCT job_id) FROM effects"


@pytest.fixture
def environment(database_url: str, engine: sa.Engine, tmp_path: Path) -> dict[str, str]:
    """What worker processes are told."""
    change(engine, EFFECTS)
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "METAPULSE_HOME": str(tmp_path / "home"),
        "METAPULSE_JOB_MODULES": NAME,
        "METAPULSE_WORKER_LEASE_SECONDS": "3",
        "METAPULSE_LOG_FORMAT": "json",
    }


@contextmanager
def worker(environment: dict[str, str], *options: str, **more: str) -> Iterator["subprocess.Popen[str]"]:
    """`metapulse worker …` as a process; killed with its children if the block leaves it running."""
    process = subprocess.Popen([*PROGRAM, *options], env={**environment, **more}, stderr=subprocess.PIPE, text=True)
    children: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        for child in children:
            child.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.05)


def put(engine: sa.Engine, jobs: Sequence[NewJob]) -> None:
    """Jobs, committed."""
    with engine.begin() as connection:
        enqueue_many(connection, jobs)


def count(engine: sa.Engine, sql: str) -> int:
    """The one number that a statement says."""
    return int(fetch(engine, sql)[0][0])


def stop(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> str:
    """Ask a worker to stop; returns what it said."""
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    return said


def one_at_work(engine: sa.Engine, family: psutil.Process) -> psutil.Process:
    """A worker process that has a job in hand, as soon as there is one."""
    found: list[psutil.Process] = []

    def look() -> bool:
        active = fetch(engine, "SELECT DISTINCT worker FROM job_attempts WHERE status = 'active'")
        found.extend(child for child in family.children() if any(row[0].endswith(f":{child.pid}") for row in active))
        return bool(found)

    wait_until(look)
    return found[0]


def test_killed_workers_jobs_are_done_again_and_have_one_effect(engine: sa.Engine, environment: dict[str, str]) -> None:
    queues = ("t-effect", "t-effect-async")
    put(engine, [NewJob(queues[number % 2], {"seconds": 0.1, "note": str(number)}) for number in range(60)])
    with worker(environment, "--processes", "2", "--concurrency", "3") as process:
        family = psutil.Process(process.pid)
        for done in (6, 20, 34):
            wait_until(lambda done=done: count(engine, "SELECT count(*) FROM effects") >= done)  # type: ignore[misc]
            one_at_work(engine, family).kill()
        wait_until(lambda: count(engine, "SELECT count(*) FROM pgqueuer.pgqueuer") == 0)
        said = stop(process)
    assert fetch(engine, ONCE) == [(60, 60)]
    assert count(engine, COMPLETED) == 60
    lost = fetch(engine, "SELECT job_id, attempt FROM job_attempts WHERE status = 'lost'")
    assert lost
    # A vanished worker is no failure of the job.
    assert {attempt for _, attempt in lost} == {1}
    assert said.count("was killed by signal 9; another is started") == 3
    assert fetch(engine, "SELECT count(*) FROM failed_jobs") == [(0,)]


def test_three_processes_share_three_hundred_jobs_none_twice_and_keep_the_limit(
    engine: sa.Engine, environment: dict[str, str]
) -> None:
    put(engine, [NewJob("t-effect", {"note": "effect"}) for _ in range(300)] + [NewJob("t-limited", {}) for _ in range(30)])
    with worker(environment, "--processes", "3", "--queues", "t-effect,t-limited", WORKER_MAX_JOBS="60") as process:
        wait_until(lambda: count(engine, "SELECT count(*) FROM pgqueuer.pgqueuer") == 0)
        stop(process, signal.SIGINT)
    assert fetch(engine, f"{ONCE} WHERE note = 'effect'") == [(300, 300)]
    assert count(engine, COMPLETED) == 330
    # Each did its share and another took its place.
    workers = fetch(engine, "SELECT worker, count(*) FROM job_attempts GROUP BY 1")
    assert len(workers) >= 6
    assert max(jobs for _, jobs in workers) == 60
    running = most = 0
    for (note,) in fetch(engine, "SELECT note FROM effects WHERE note <> 'effect' ORDER BY effect_id"):
        running += 1 if note == "begin" else -1
        most = max(most, running)
    assert most == LIMIT


def test_a_stopped_worker_ends_what_it_does_and_leaves_the_rest(engine: sa.Engine, environment: dict[str, str]) -> None:
    put(engine, [NewJob("t-slow", {"seconds": 3.0}) for _ in range(6)])
    options = ("--processes", "0", "--concurrency", "2")
    with worker(environment, *options) as process:
        wait_until(lambda: count(engine, "SELECT count(*) FROM effects WHERE note = 'begin'") == 2)
        said = stop(process, signal.SIGUSR2)
    assert fetch(engine, "SELECT note, count(*) FROM effects GROUP BY 1 ORDER BY 1") == [("begin", 2), ("end", 2)]
    assert fetch(engine, "SELECT status::text, attempts, count(*) FROM pgqueuer.pgqueuer GROUP BY 1, 2") == [("queued", 0, 4)]
    assert '"message": "worker ends after 2 jobs"' in said


def test_a_worker_whose_thread_cannot_be_interrupted_stops_all_the_same(engine: sa.Engine, environment: dict[str, str]) -> None:
    put(engine, [NewJob("t-effect", {"seconds": 600})])
    with worker(environment, "--processes", "0", METAPULSE_WORKER_STOP_SECONDS="0.1") as process:
        wait_until(lambda: count(engine, "SELECT count(*) FROM job_attempts WHERE status = 'active'") == 1)
        stop(process)
    assert fetch(engine, "SELECT status::text FROM pgqueuer.pgqueuer") == [("queued",)]
    assert fetch(engine, "SELECT count(*) FROM effects") == [(0,)]


def test_workers_whose_parent_vanished_stop(engine: sa.Engine, environment: dict[str, str]) -> None:
    with worker(environment, "--processes", "1") as process:
        wait_until(lambda: bool(psutil.Process(process.pid).children()))
        (child,) = psutil.Process(process.pid).children()
        wait_until(lambda: count(engine, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN ch_pgqueuer%'") > 0)
        process.kill()
        psutil.wait_procs([child], timeout=60)
        assert not child.is_running()


def test_a_process_that_keeps_failing_is_started_again_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT, raising=False)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text.partition(" ended ")[2])
        for place in processes._places:
            place.start_at = 0.0
        if len(said) == 7:
            processes.request_stop()

    processes = WorkerProcesses([sys.executable, "-c", "raise SystemExit(3)"], 1, 1.0, say)
    assert processes.run() == 0
    pauses = [1, 2, 4, 8, 16, 30, 30]
    assert said == [f"with exit code 3; another is started in {pause} s" for pause in pauses]


def test_a_process_that_does_not_heed_is_killed(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    stubborn = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(deaf)!r}, 'w'); time.sleep(600)"
    processes = WorkerProcesses([sys.executable, "-c", stubborn], 1, -2.5, lambda text: None)
    processes.on_look = lambda: processes.request_stop() if deaf.exists() else None
    assert processes.run() == 1
    assert processes.pids() == []
