"""`metapulse dlq …`."""

import json

import pytest
import sqlalchemy as sa

from metapulse_assets_tests.cli.conftest import Command
from metapulse_assets_tests.platform.queue_jobs import NAME
from metapulse_assets_tests.platform.queue_running import change, fetch

DEAD = (
    "INSERT INTO failed_jobs (job_type, job_data, error_message, failed_at) "
    "SELECT 't-noop', jsonb_build_object('n', n), 'error ' || n, now() + n * interval '1 minute' "
    "FROM generate_series(1, 3) AS n"
)


@pytest.fixture
def given(engine: sa.Engine, database_url: str) -> dict[str, str]:
    """The environment of a database with three dead letters."""
    change(engine, DEAD)
    return {"DATABASE_URL": database_url, "METAPULSE_JOB_MODULES": NAME}


def test_dead_letters_are_listed_newest_first(command: Command, given: dict[str, str]) -> None:
    shown = command("dlq", "list", "--json", "--limit", "2", **given)
    assert shown.exit_code == 0
    assert [(one["id"], one["job_type"], one["job_data"], one["error_message"]) for one in json.loads(shown.stdout)] == [
        (3, "t-noop", {"n": 3}, "error 3"),
        (2, "t-noop", {"n": 2}, "error 2"),
    ]
    table = command("dlq", "list", **given).stdout
    assert table.index("error 3") < table.index("error 2") < table.index("error 1")
    assert command("dlq", "list", "--queue", "t-echo", **given).stdout == "no dead letters\n"


def test_one_is_put_in_again_and_marked(command: Command, engine: sa.Engine, given: dict[str, str]) -> None:
    assert command("dlq", "retry", "2", **given).stdout == "put in again: 1, as job 1\n"
    assert fetch(engine, "SELECT entrypoint, convert_from(payload, 'UTF8')::jsonb FROM pgqueuer.pgqueuer") == [
        ("t-noop", {"n": 2})
    ]
    assert fetch(engine, "SELECT id, retried_as FROM failed_jobs WHERE retried_at IS NOT NULL") == [(2, 1)]
    again = command("dlq", "retry", "2", **given)
    assert (again.exit_code, again.stderr) == (1, "dead letter 2 was put in again as job 1\n")
    assert [one["id"] for one in json.loads(command("dlq", "list", "--json", **given).stdout)] == [3, 1]
    assert [one["id"] for one in json.loads(command("dlq", "list", "--json", "--all", **given).stdout)] == [3, 2, 1]


def test_all_are_put_in_again(command: Command, engine: sa.Engine, given: dict[str, str]) -> None:
    assert command("dlq", "retry", "--all", **given).stdout == "put in again: 3\n"
    assert fetch(engine, "SELECT count(*) FROM pgqueuer.pgqueuer") == [(3,)]
    assert command("dlq", "retry", "--all", "--queue", "t-noop", **given).stdout == "put in again: 0\n"


def test_dropped_ones_are_gone(command: Command, engine: sa.Engine, given: dict[str, str]) -> None:
    assert command("dlq", "drop", "1", **given).stdout == "dropped: 1\n"
    missing = command("dlq", "drop", "1", **given)
    assert (missing.exit_code, missing.stderr) == (1, "there is no dead letter 1\n")
    assert command("dlq", "drop", "--all", **given).stdout == "dropped: 2\n"
    assert fetch(engine, "SELECT count(*) FROM failed_jobs") == [(0,)]


def test_one_whose_handler_is_gone_is_said_to_be(command: Command, engine: sa.Engine, given: dict[str, str]) -> None:
    change(engine, "UPDATE failed_jobs SET job_type = 'gone-since' WHERE id = 1")
    shown = command("dlq", "retry", "1", **given)
    assert shown.exit_code == 1
    assert "job type 'gone-since' is unknown" in shown.stderr
