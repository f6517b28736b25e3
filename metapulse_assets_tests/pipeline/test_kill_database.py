"""PostgreSQL killed with -9 under a running worker and stream, and started again: both go on by themselves, nothing is lost.

The seconds that it is away can be set by KILL_TEST_AWAY_SECONDS, to try longer ones by hand.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.database import claim, create_engine, upgrade
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets_tests.market.stream_feed import Action, Feed, Gate, Read, Wait, feeding
from metapulse_assets_tests.market.stream_frames import create, raw, signature
from metapulse_assets_tests.platform.queue_jobs import EFFECTS, NAME
from metapulse_assets_tests.platform.queue_running import change, fetch

pytestmark = pytest.mark.slow
AWAY_SECONDS = float(os.environ.get("KILL_TEST_AWAY_SECONDS", "5"))
# Far above what anything here takes: only what hangs gets so far.
PATIENCE_SECONDS = 150.0
JOBS, FRAMES = 240, 3_000
METAPULSE = (sys.executable, "-c", "from metapulse_assets.cli import main; main()")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of a PostgreSQL of its own, whose end nobody else minds."""
    folder = tmp_path / "server"
    embedded_postgres.ensure_running(folder)
    yield folder
    embedded_postgres.stop(folder)
    embedded_postgres.remove(folder)


@pytest.fixture
def url(home: Path) -> str:
    server = embedded_postgres.locate(home)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE kill")
    upgrade(server.url("kill"))
    claim(server.url("kill"), Mode.SANDBOX)
    return server.url("kill")


@contextmanager
def metapulse(environment: dict[str, str], log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command as a process; killed with its children if the block leaves it running."""
    with log.open("ab") as output:
        process = subprocess.Popen([*METAPULSE, *arguments], env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], why: Callable[[], str]) -> None:
    """Look until it is so."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + PATIENCE_SECONDS, why()
        time.sleep(0.05)


def kill_database(home: Path) -> None:
    """All of its processes at once, as a crash of the machine would."""
    data = embedded_postgres.locate(home).data
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    for process in [postmaster, *postmaster.children()]:
        process.kill()
    # Nobody waits for it: the process that started it is gone.
    assert not psutil.wait_procs([postmaster], timeout=60)[1] or postmaster.status() == psutil.STATUS_ZOMBIE


def frames(numbers: range) -> list[Action]:
    script: list[Action] = []
    for number in numbers:
        script.append(raw(create(number)))
        if number % 50 == 0:
            script += [Wait(0.02), Read()]
    return script


def put(engine: sa.Engine, count: int) -> set[int]:
    queues = ("t-effect", "t-effect-async")
    with engine.begin() as connection:
        made = enqueue_many(connection, [NewJob(queues[number % 2], {"seconds": 0.05}) for number in range(count)])
    return {job.job_id for job in made}


def count(engine: sa.Engine, table: str) -> int:
    return int(fetch(engine, f"SELECT count(*) FROM {table}")[0][0])


def test_worker_and_stream_go_on_when_the_database_was_killed(home: Path, url: str, tmp_path: Path) -> None:
    engine = create_engine(url, load_settings())
    change(engine, EFFECTS)
    jobs = put(engine, JOBS)
    away = Gate()
    script = [*frames(range(FRAMES // 2)), away, *frames(range(FRAMES // 2, FRAMES))]
    logs = {name: tmp_path / f"{name}.log" for name in ("worker", "stream")}
    with feeding(script) as feed:
        environment = environment_of(url, feed, tmp_path)
        with (
            metapulse(environment, logs["worker"], "worker", "--processes", "2", "--concurrency", "3") as worker,
            metapulse(environment, logs["stream"], "stream", "--no-report") as stream,
        ):

            def said() -> str:
                return "\n".join(log.read_text() for log in logs.values())

            wait_until(lambda: count(engine, "effects") >= 20 and count(engine, "token_launches") >= 200, said)
            kill_database(home)
            engine.dispose()
            away.open()
            time.sleep(AWAY_SECONDS)
            assert worker.poll() is None, said()
            assert stream.poll() is None, said()
            assert not embedded_postgres.is_running(home)
            embedded_postgres.ensure_running(home)
            # What is put in from now on is done, too.
            jobs |= put(engine, 20)
            back = time.monotonic()
            wait_until(lambda: feed.is_over and count(engine, "token_launches") >= FRAMES, said)
            stream_took = time.monotonic() - back
            wait_until(lambda: count(engine, "pgqueuer.pgqueuer") == 0, said)
            queue_took = time.monotonic() - back
            for process in (worker, stream):
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE_SECONDS) == 0, said()
    figures = (
        f"database away {AWAY_SECONDS:g} s, then all frames in after {stream_took:.1f} s, no job left after {queue_took:.1f} s"
    )
    effects = Counter(row[0] for row in fetch(engine, "SELECT job_id FROM effects"))
    missing, doubled = len(jobs - effects.keys()), sum(times > 1 for times in effects.values())
    assert (missing, doubled) == (0, 0), f"{len(jobs)} jobs: {missing} without an effect, {doubled} with several; {figures}"
    stored = Counter(row[0] for row in fetch(engine, "SELECT signature FROM token_launches"))
    sent = {signature(number) for number in range(FRAMES)}
    missing, doubled = len(sent - stored.keys()), sum(times > 1 for times in stored.values())
    assert (missing, doubled) == (0, 0), f"{FRAMES} frames: {missing} missing, {doubled} doubled; {figures}"
    assert not fetch(engine, "SELECT * FROM failed_jobs"), "a vanished database is no failure of a job"
    assert "Traceback" not in said()
    print(f"{len(jobs)} jobs, {FRAMES} frames, none missing, none doubled; {figures}")
    engine.dispose()


def environment_of(url: str, feed: Feed, folder: Path) -> dict[str, str]:
    """What the processes are told."""
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "METAPULSE_MODE": "sandbox",
        "METAPULSE_HOME": str(folder / "home"),
        "METAPULSE_JOB_MODULES": NAME,
        "METAPULSE_WORKER_LEASE_SECONDS": "1",
        "PUMPPORTAL_WS_URL": feed.url,
        "METAPULSE_STREAM_RECONNECT_SECONDS": "0.05",
    }
    environment.pop("METAPULSE_RECORDINGS", None)
    return environment
