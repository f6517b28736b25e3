"""`metapulse doctor` on the faults that the older services' documents tell of: each is named, with its cure."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import sqlalchemy as sa

from metapulse_assets.cli.health_checks import EXHAUSTED_CURE, database_cure
from metapulse_assets.cli.queue_checks import queue_checks
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.work_queue import pausing
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets_tests.cli.conftest import Command
from metapulse_assets_tests.platform.queue_jobs import NAME
from metapulse_assets_tests.platform.queue_running import change

PLANTED = "planted-secret"


class Found(NamedTuple):
    """A line of the report."""

    state: str
    finding: str
    cure: str


@pytest.fixture
def instance(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that holds Dagster's configuration; its ports are somebody else's test."""
    (root / "dagster.yaml").touch()
    monkeypatch.setattr("metapulse_assets.cli.ports.all_ports", lambda settings: [])
    return root


def doctor(command: Command, **environment: str) -> list[tuple[str, Found]]:
    """The report; its exit code must tell whether something is wrong."""
    result = command("doctor", "--json", **environment)
    assert PLANTED not in result.output
    found = [(each["name"], Found(each["state"], each["finding"], each["cure"])) for each in json.loads(result.stdout)]
    assert result.exit_code == int(any(each.state == "wrong" for _, each in found))
    assert all(each.cure for _, each in found if each.state == "wrong")
    return found


def one(found: list[tuple[str, Found]], name: str) -> Found:
    [it] = [each for its, each in found if its == name]
    return it


@contextmanager
def answering(status: int, body: bytes = b"{}") -> Iterator[str]:
    """A vendor that answers everything so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def queue_report(engine: sa.Engine) -> dict[str, Found]:
    with engine.connect() as connection:
        found = queue_checks(connection, load_settings(job_modules=NAME))
        return {check.name: Found(check.state, check.finding, check.cure) for check in found}


def put(engine: sa.Engine, queue: str, count: int, seconds: float = 0.0) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob(queue, {}) for _ in range(count)])
        ago = timedelta(seconds=seconds)
        connection.exec_driver_sql("UPDATE pgqueuer.pgqueuer SET execute_after = execute_after - %(ago)s", {"ago": ago})


def begin_worker(engine: sa.Engine, *queues: str, concurrency: int = 1) -> None:
    change(
        engine,
        "INSERT INTO workers (worker_id, name, queues, concurrency) VALUES (:id, 'here:1', :queues, :concurrency)",
        id=uuid4(),
        queues=list(queues),
        concurrency=concurrency,
    )


def test_a_queue_that_gets_on_is_one_line(engine: sa.Engine) -> None:
    begin_worker(engine, "t-noop")
    put(engine, "t-noop", 3)
    found = queue_report(engine)
    assert found.keys() == {"workers", "work queue"}
    assert {each.state for each in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("workers", "finding", "cure"),
    [
        ([], "no worker is alive", "metapulse worker"),
        (["t-echo"], "no worker that is alive does this queue", "--queues t-noop"),
        (["t-noop"], "its workers begin none", "logs/worker.log"),
    ],
)
def test_jobs_that_nobody_begins(engine: sa.Engine, workers: list[str], finding: str, cure: str) -> None:
    if workers:
        begin_worker(engine, *workers)
    put(engine, "t-noop", 2, seconds=90)
    found = queue_report(engine)["queue t-noop"]
    assert found.state == "wrong"
    assert finding in found.finding
    assert cure in found.cure


def test_a_type_that_nothing_handles(engine: sa.Engine) -> None:
    put(engine, "t-noop", 1)
    change(engine, "UPDATE pgqueuer.pgqueuer SET entrypoint = 'unheard-of'")
    found = queue_report(engine)["queue unheard-of"]
    assert found.state == "wrong"
    assert "METAPULSE_JOB_MODULES" in found.cure


def test_a_pause_and_a_backlog_are_worth_knowing(engine: sa.Engine) -> None:
    begin_worker(engine, "t-noop", "t-echo", concurrency=2)
    put(engine, "t-noop", 101)
    put(engine, "t-echo", 2)
    with engine.begin() as connection:
        pausing.pause(connection, "t-echo")
    found = queue_report(engine)
    assert found["queue t-noop"].state == found["queue t-echo"].state == "note"
    assert "backlog: 101 jobs" in found["queue t-noop"].finding
    assert "WORKER_CONCURRENCY" in found["queue t-noop"].cure
    assert "metapulse queue resume t-echo" in found["queue t-echo"].cure


def test_jobs_whose_worker_vanished(engine: sa.Engine) -> None:
    put(engine, "t-noop", 1)
    change(engine, "UPDATE pgqueuer.pgqueuer SET status = 'picked', heartbeat = now() - interval '10 min'")
    found = queue_report(engine)["queue t-noop"]
    assert (found.state, "stuck" in found.finding) == ("wrong", True)


ENDED = """
INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, ended_at, duration_seconds, error, worker)
SELECT :first + n, 't-noop', 1, :status, now(), now(), :seconds, :error, 'w' FROM generate_series(1, :count) AS n
"""


@pytest.mark.parametrize(("failed", "state"), [(0, None), (2, "note"), (6, "wrong")])
def test_a_high_rate_of_failures_is_told_with_the_newest_error(engine: sa.Engine, failed: int, state: str | None) -> None:
    change(engine, ENDED, first=0, status="completed", seconds=1, error=None, count=10 - failed)
    change(engine, ENDED, first=100, status="retried", seconds=1, error="ConnectError: broker away", count=failed)
    found = queue_report(engine).get("queue t-noop")
    assert (found.state if found else None) == state
    if found is not None:
        assert f"{failed} of 10 attempts" in found.finding
        assert "broker away" in found.finding


def test_slow_jobs_and_dead_letters(engine: sa.Engine) -> None:
    change(engine, ENDED, first=0, status="completed", seconds=200, error=None, count=2)
    with engine.connect() as connection:
        checks = list(queue_checks(connection, load_settings(job_modules=NAME)))
    assert any("slow: an attempt takes 200.0 s of the 300 s" in check.finding for check in checks)
    change(engine, "DELETE FROM job_attempts")
    change(engine, "INSERT INTO failed_jobs (job_type, job_data, error_message) VALUES ('t-noop', '{}', 'e')")
    assert "metapulse dlq" in queue_report(engine)["queue t-noop"].cure


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ('FATAL:  password authentication failed for user "u"', "user and password"),
        ("FATAL:  sorry, too many clients already", EXHAUSTED_CURE),
        ("FATAL:  remaining connection slots are reserved", EXHAUSTED_CURE),
        ("failed to resolve host 'nowhere'", "the host"),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', "start that server"),
        ("connection timeout expired", "firewall"),
        ("something new", "start that server"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_by_its_cause(error: str, cure: str) -> None:
    assert cure in database_cure(error)


def test_a_host_that_is_none_and_a_server_without_places(
    command: Command, instance: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = one(doctor(command, DATABASE_URL=f"postgresql://me:{PLANTED}@nowhere.invalid/x"), "database")
    assert (found.state, "host" in found.cure) == ("wrong", True)
    monkeypatch.setattr("metapulse_assets.operations.health.CONNECTIONS_FAIL_SHARE", 0.0)
    found = one(doctor(command, DATABASE_URL=database_url), "database connections")
    assert (found.state, found.cure) == ("wrong", EXHAUSTED_CURE)


def test_a_database_url_with_a_wrong_parameter_has_its_cure(command: Command, instance: Path) -> None:
    url = f"postgresql://u:{PLANTED}@127.0.0.1:1/db?unheard_of=1"
    found = one(doctor(command, DATABASE_URL=url), "database")
    assert (found.state, "unheard_of" in found.finding) == ("wrong", True)
    assert "DATABASE_URL" in found.cure


def test_chains_that_nobody_knows_are_named(command: Command, instance: Path) -> None:
    found = doctor(command, METAPULSE_CHAINS="solana,eth", METAPULSE_WATCHED_TOKENS="bnb:0xabc,base:0xdef")
    for name, chain in (("METAPULSE_CHAINS", "eth"), ("METAPULSE_WATCHED_TOKENS", "bnb")):
        line = one(found, name)
        assert (line.state, line.finding) == ("wrong", f"{chain!r} is no chain that is known here")
        assert "ethereum" in line.cure


def test_urls_that_are_none_and_those_that_the_sandbox_does_not_use(command: Command, instance: Path) -> None:
    found = doctor(
        command,
        DEXSCREENER_API_URL="api.dexscreener.com",
        PUMPPORTAL_WS_URL=f"https://pumpportal.fun/api/data?api-key={PLANTED}",
        GROQ_API_URL="https://api.groq.com",
    )
    assert one(found, "DEXSCREENER_API_URL").state == one(found, "PUMPPORTAL_WS_URL").state == "wrong"
    assert one(found, "GROQ_API_URL").state == "note"


@pytest.mark.parametrize(
    ("status", "state", "word"), [(200, "ok", "takes it"), (401, "wrong", "refuses it"), (429, "note", "too often")]
)
def test_keys_of_models_are_tried(command: Command, instance: Path, status: int, state: str, word: str) -> None:
    with answering(status) as url:
        live = dict.fromkeys(("GROQ_API_URL", "GEMINI_API_URL", "DEXSCREENER_API_URL", "GECKOTERMINAL_API_URL"), url)
        keys = dict.fromkeys(("GROQ_API_KEY", "GEMINI_API_KEY", "TWITTER_BEARER_TOKEN"), PLANTED)
        found = doctor(command, METAPULSE_MODE="live", **live, **keys)
    for name in ("GROQ_API_KEY", "GEMINI_API_KEY"):
        assert one(found, name).state == state
        assert word in one(found, name).finding
    # A question to X costs money.
    assert one(found, "TWITTER_BEARER_TOKEN").finding == "set; social data"
    missing = one(found, "PUMPPORTAL_API_KEY")
    assert (missing.state, "switched off" in missing.finding) == ("note", True)


def test_vendors_that_refuse_or_are_asked_too_often(
    command: Command, instance: Path, engine: sa.Engine, database_url: str
) -> None:
    from metapulse_assets.platform.clock import system_clock
    from metapulse_assets.platform.day_partitions import ensure_days, utc_day

    with engine.begin() as connection:
        ensure_days(connection, "raw_payloads", [utc_day(system_clock())])
        for vendor, status in (("dexscreener", 429), ("x", 401)):
            connection.execute(
                sa.text(
                    "INSERT INTO raw_payloads (sha256, vendor, url, status, recorded_at, size, body)"
                    " VALUES (decode(md5(:vendor), 'hex'), :vendor, 'u', :status, now(), 0, '')"
                ),
                {"vendor": vendor, "status": status},
            )
    found = doctor(command, DATABASE_URL=database_url)
    limited, refused = one(found, "dexscreener: rate limit"), one(found, "x: access")
    assert (limited.state, "DEXSCREENER_RATE_LIMIT" in limited.cure) == ("note", True)
    assert (refused.state, "TWITTER_BEARER_TOKEN" in refused.cure) == ("wrong", True)


def test_redis_is_told_of_and_not_needed(command: Command, instance: Path) -> None:
    assert one(doctor(command), "redis").finding == "not given, not needed"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(64)
                client.sendall(b"-NOAUTH Authentication required.\r\n")

        threading.Thread(target=answer, daemon=True).start()
        found = one(doctor(command, REDIS_URL=f"redis://u:{PLANTED}@127.0.0.1:{port}/0"), "redis")
        assert found.state == "ok"
    found = one(doctor(command, REDIS_URL=f"redis://u:{PLANTED}@127.0.0.1:{port}/0"), "redis")
    assert (found.state, "unset REDIS_URL" in found.cure) == ("note", True)
    assert one(doctor(command, REDIS_URL=f"http://u:{PLANTED}@h"), "redis").state == "wrong"


def test_little_memory_is_told(command: Command, instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metapulse_assets.operations.health.MEMORY_LEFT_FAIL_BYTES", 10**15)
    assert one(doctor(command), "memory").state == "wrong"


def test_a_port_that_a_stranger_took(command: Command, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "dagster.yaml").touch()
    with answering(404) as url:
        port = url.rpartition(":")[2]
        found = one(doctor(command, PORT=port, METAPULSE_MODE="replay"), f"port {port}")
        assert (found.state, "another PORT" in found.cure) == ("wrong", True)
    with answering(200) as url:
        # What answers as the service does is taken for it.
        port = url.rpartition(":")[2]
        assert one(doctor(command, PORT=port, METAPULSE_MODE="replay"), f"port {port}").state == "ok"
