"""deploy/aws_lambda.py, called with events as Lambda does."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import SettingsError, get_settings
from metapulse_assets_tests.deploy.delivered import DEPLOY, module_of
from metapulse_assets_tests.platform.queue_jobs import EFFECTS, NAME
from metapulse_assets_tests.platform.queue_running import change, effects, fetch, put, state

JOB = {"type": "t-effect", "data": {"note": "from an event"}}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, engine: sa.Engine, database_url: str) -> Iterator[ModuleType]:
    """The module, in a function's environment on a fresh database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("METAPULSE_JOB_MODULES", NAME)
    get_settings.cache_clear()
    change(engine, EFFECTS)
    yield module_of(DEPLOY / "aws_lambda.py")
    get_settings.cache_clear()


class Context:
    """A call with so many seconds left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


def test_a_job_in_the_event_is_done_and_so_is_what_was_due(function: ModuleType, engine: sa.Engine) -> None:
    earlier = put(engine, "t-effect", {"note": "due before"})

    answer = function.lambda_handler(JOB, Context(60))

    assert answer == {"created": 1, "done": 2, "batchItemFailures": []}
    assert sorted(note for _, note in effects(engine)) == ["due before", "from an event"]
    assert state(engine, earlier) == "completed"
    # A schedule's event brings nothing; nothing is due.
    assert function.lambda_handler({"source": "aws.events", "detail": {}}) == {"created": 0, "done": 0, "batchItemFailures": []}


def test_a_function_url_and_records_that_come_twice(function: ModuleType, engine: sa.Engine) -> None:
    body = base64.b64encode(json.dumps(JOB).encode()).decode()
    assert function.lambda_handler({"body": body, "isBase64Encoded": True})["done"] == 1
    good = {"messageId": "m-1", "body": json.dumps(JOB)}
    unknown = {"messageId": "m-2", "body": '{"type": "no-such-type"}'}
    broken = {"messageId": "m-3", "body": "{"}

    answer = function.lambda_handler({"Records": [good, good, unknown, broken]})

    assert answer == {"created": 1, "done": 1, "batchItemFailures": [{"itemIdentifier": "m-2"}, {"itemIdentifier": "m-3"}]}
    assert len(effects(engine)) == 2


def test_a_long_job_is_let_end_and_one_beyond_the_time_waits_on(
    function: ModuleType, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = put(engine, "t-slow", {"seconds": 0.5})
    assert function.lambda_handler({}, Context(60))["done"] == 1
    assert state(engine, slow) == "completed"

    endless = put(engine, "t-slow", {"seconds": 3600})
    monkeypatch.setattr(function, "SECONDS_TO_END", 0.3)
    assert function.lambda_handler({}, Context(1))["done"] == 1
    assert state(engine, endless) in ("waiting", "delayed")
    assert [note for _, note in effects(engine)] == ["begin", "end", "begin"]


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({"type": 7}, "event.type"),
        ({"type": "t-effect", "data": [1]}, "event.data"),
        ({"body": "no json"}, "body: is no JSON"),
        ({"body": "[]"}, "body.type"),
        ({"body": None}, "body: is no JSON"),
    ],
)
def test_an_event_without_a_job_is_refused_with_its_place(
    function: ModuleType, engine: sa.Engine, event: dict[str, Any], place: str
) -> None:
    with pytest.raises(function.EventError, match=place):
        function.lambda_handler(event)
    assert fetch(engine, "SELECT count(*) FROM pgqueuer.pgqueuer") == [(0,)]


def test_it_needs_a_database(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        function.lambda_handler({})


def test_it_loads_no_dagster() -> None:
    program = "import sys, deploy.aws_lambda; from metapulse_assets.platform.work_queue.registry import load_handlers;"
    program += " load_handlers(); sys.exit('dagster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=DEPLOY.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
