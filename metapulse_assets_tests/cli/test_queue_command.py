"""`metapulse queue …` and `metapulse tail`."""

import json

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets.platform.work_queue.statistics import count_jobs
from metapulse_assets_tests.cli.conftest import Command
from metapulse_assets_tests.platform.queue_jobs import NAME


def put(engine: sa.Engine, *queues: str) -> None:
    """A job in each of these queues."""
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob(queue, {}) for queue in queues])


def test_statistics_as_json_and_as_a_table(command: Command, engine: sa.Engine, database_url: str) -> None:
    put(engine, "t-noop", "t-noop", "t-echo")
    shown = command("queue", "stats", "--json", DATABASE_URL=database_url, METAPULSE_JOB_MODULES=NAME)
    assert shown.exit_code == 0
    counts = {entry["queue"]: entry for entry in json.loads(shown.stdout)}
    assert counts["t-noop"] == {
        "queue": "t-noop",
        "waiting": 2,
        "active": 0,
        "completed": 0,
        "failed": 0,
        "delayed": 0,
        "paused": 0,
        "is_paused": False,
    }
    assert counts["t-slow"]["waiting"] == 0
    table = command("queue", "stats", DATABASE_URL=database_url).stdout.splitlines()
    assert table[1].split() == ["queue", "Waiting", "Active", "Completed", "Failed", "Delayed", "Paused"]
    assert ["t-echo", "1", "0", "0", "0", "0", "0"] in [line.split() for line in table]


def test_a_database_that_is_down_is_exit_code_1(command: Command) -> None:
    for arguments in (("queue", "stats", "--json"), ("queue", "pause", "--all"), ("dlq", "list"), ("tail", "t-noop")):
        shown = command(*arguments, DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/x", METAPULSE_JOB_MODULES=NAME)
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert "127.0.0.1" in shown.stderr
        assert "hidden" not in shown.stderr


def test_no_database_yet_is_exit_code_3(command: Command) -> None:
    for arguments in (("queue", "stats"), ("dlq", "retry", "--all")):
        shown = command(*arguments)
        assert (shown.exit_code, shown.stdout) == (3, "")


def test_pausing_and_resuming(command: Command, engine: sa.Engine, database_url: str) -> None:
    put(engine, "t-noop", "t-echo")

    def say(*arguments: str) -> str:
        shown = command("queue", *arguments, DATABASE_URL=database_url, METAPULSE_JOB_MODULES=NAME)
        assert shown.exit_code == 0, shown.stderr
        return shown.stdout

    def paused() -> list[str]:
        with engine.begin() as connection:
            return [counts.queue for counts in count_jobs(connection) if counts.paused]

    assert say("pause", "t-noop") == "queue t-noop is paused\n"
    assert say("pause", "t-noop") == "queue t-noop was paused already\n"
    assert paused() == ["t-noop"]
    assert say("pause", "--all") == "every queue is paused\n"
    assert paused() == ["t-echo", "t-noop"]
    assert say("resume", "t-noop").splitlines() == [
        "queue t-noop is resumed",
        "every queue is still paused: metapulse queue resume --all",
    ]
    assert say("resume", "--all") == "every queue is resumed\n"
    assert say("resume", "--all") == "every queue was not paused\n"
    assert paused() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("queue", "pause"), "name one queue, or say --all"),
        (("queue", "resume", "t-noop", "--all"), "name one queue, or say --all"),
        (("queue", "pause", "t-nop"), "job type 't-nop' is unknown"),
        (("tail", "t-nop"), "job type 't-nop' is unknown"),
        (("worker", "--queues", "t-noop,t-nop"), "--queues: job type 't-nop' is unknown"),
        (("worker", "--concurrency", "51"), "less than or equal to 50"),
        (("dlq", "retry"), "give one ID, or --all"),
        (("dlq", "drop", "3", "--all"), "give one ID, or --all"),
    ],
)
def test_wrong_use_is_exit_code_2(command: Command, database_url: str, arguments: tuple[str, ...], says: str) -> None:
    shown = command(*arguments, DATABASE_URL=database_url, METAPULSE_JOB_MODULES=NAME)
    assert shown.exit_code == 2
    assert says in shown.stderr


def test_a_module_of_jobs_that_is_not_there_is_named_with_its_setting(command: Command, database_url: str) -> None:
    shown = command("queue", "stats", DATABASE_URL=database_url, METAPULSE_JOB_MODULES="no_such_jobs")
    assert shown.exit_code == 2
    assert "METAPULSE_JOB_MODULES: no_such_jobs cannot be imported" in shown.stderr


def test_a_setting_above_the_limit_is_refused_by_name(command: Command, database_url: str) -> None:
    shown = command("worker", DATABASE_URL=database_url, WORKER_CONCURRENCY="51")
    assert shown.exit_code == 2
    assert "WORKER_CONCURRENCY" in shown.stderr


def test_the_lines_of_a_queue(command: Command, engine: sa.Engine, database_url: str) -> None:
    put(engine, "t-noop", "t-echo", "t-noop")
    given = {"DATABASE_URL": database_url, "METAPULSE_JOB_MODULES": NAME}
    lines = command("tail", "t-noop", "--no-follow", **given).stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["t-noop #1 waiting", "t-noop #3 waiting"]
    shown = command("tail", "t-noop", "--no-follow", "--json", "-n", "1", **given).stdout
    assert {**json.loads(shown), "time": ""} == {"time": "", "queue": "t-noop", "job_id": 3, "event": "waiting", "error": None}
