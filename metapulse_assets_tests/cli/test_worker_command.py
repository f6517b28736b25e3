"""`metapulse worker`: what it says at its start, and what it starts."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.cli import worker as worker_module
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets.platform.work_queue.statistics import QueueCounts
from metapulse_assets_tests.cli.conftest import Command
from metapulse_assets_tests.platform.queue_jobs import NAME
from metapulse_assets_tests.platform.queue_running import fetch


def test_it_says_what_it_works_with_and_shows_no_secret(
    command: Command, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "supervise", lambda *_: 0)
    shown = command(
        *("worker", "--queues", "t-noop, t-echo"),
        DATABASE_URL=database_url.replace("postgres@", "postgres:planted-pw@"),
        METAPULSE_JOB_MODULES=NAME,
        REDIS_URL="redis://u:planted-redis@localhost:6379",
        OPENAI_API_KEY="planted-openai",
        DEBUG_SCORING="true",
        LOG_LEVEL="warn",
    )
    assert shown.exit_code == 0, shown.stderr
    for line in (
        "redis: redis://u:***@localhost:6379; OpenAI key: set",
        "debug scoring: true; log level: warning",
        "queues: t-echo, t-noop",
        "processes: 1; jobs at once in each: 10; it ends after: 100",
    ):
        assert line in shown.stderr.splitlines()
    assert "database: postgresql://postgres:***@" in shown.stderr
    assert "planted" not in shown.output


@pytest.mark.parametrize(
    ("options", "environment", "processes", "concurrency"),
    [
        ((), {}, 1, 10),
        ((), {"CLUSTER_MODE": "true"}, 4, 10),
        ((), {"CLUSTER_MODE": "true", "CLUSTER_WORKERS": "2", "WORKER_CONCURRENCY": "5"}, 2, 5),
        (("--processes", "3", "--concurrency", "7"), {"CLUSTER_MODE": "true", "WORKER_CONCURRENCY": "5"}, 3, 7),
    ],
)
def test_options_win_over_settings(
    command: Command,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    environment: dict[str, str],
    processes: int,
    concurrency: int,
) -> None:
    asked: list[tuple[Any, ...]] = []

    def note(*arguments: Any) -> int:
        asked.append(arguments[3:])
        return 1

    monkeypatch.setattr(worker_module, "supervise", note)
    shown = command("worker", *options, DATABASE_URL=database_url, **environment)
    assert shown.exit_code == 1
    assert asked == [(concurrency, processes)]


def test_in_this_process_it_ends_after_its_share(command: Command, engine: sa.Engine, database_url: str) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {}) for _ in range(7)])
    given = {"DATABASE_URL": database_url, "METAPULSE_JOB_MODULES": NAME}
    shown = command("worker", "--processes", "0", "--queues", "t-noop", **given, WORKER_MAX_JOBS="5")
    assert shown.exit_code == 0, shown.stderr
    assert fetch(engine, "SELECT status, count(*) FROM job_attempts GROUP BY 1") == [("completed", 5)]
    assert fetch(engine, "SELECT count(*) FROM pgqueuer.pgqueuer") == [(2,)]


def test_statistics_are_said_every_half_minute(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    moment = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    tell = worker_module.statistics_teller(load_settings(database_url=database_url), {"t-noop": None})  # type: ignore[dict-item]
    for at in (100.0, 129.9, 130.0, 130.1, 159.9, 160.0):
        moment[0] = at
        tell()
    line = "Queue Stats - Waiting: 0, Active: 0, Completed: 0, Failed: 0"
    assert capsys.readouterr().err.splitlines() == [line] * 2


def test_statistics_are_told_of_all_queues_and_of_each() -> None:
    counts = [QueueCounts("a", waiting=3, active=2, completed=20, failed=1), QueueCounts("b", completed=5, delayed=7)]
    assert worker_module.statistics_lines([]) == []
    assert worker_module.statistics_lines(counts[:1]) == ["Queue Stats - Waiting: 3, Active: 2, Completed: 20, Failed: 1"]
    assert worker_module.statistics_lines(counts) == [
        "Queue Stats - Waiting: 3, Active: 2, Completed: 25, Failed: 1",
        "Queue Stats of a - Waiting: 3, Active: 2, Completed: 20, Failed: 1",
        "Queue Stats of b - Waiting: 0, Active: 0, Completed: 5, Failed: 0",
    ]


def test_a_worker_that_waits_for_the_database_heeds_a_stop(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "AWAY_LOOK_SECONDS", 0.01)
    nowhere = "postgresql://u@127.0.0.1:1/x"

    async def wait(url: str, stop_after: float) -> bool:
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(stop_after, stopping.set)
        return await worker_module.database_is_back(url, stopping)

    assert asyncio.run(wait(nowhere, 0.1)) is False
    assert asyncio.run(wait(database_url, 30)) is True
