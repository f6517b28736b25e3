"""`metapulse worker`: what it says at its start, and what it starts."""

from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.cli import worker as worker_module
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
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
    line = "statistics of t-noop: Waiting 0, Active 0, Completed 0, Failed 0, Delayed 0, Paused 0"
    assert capsys.readouterr().err.splitlines() == [line] * 2
