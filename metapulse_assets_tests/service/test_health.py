"""The pages of the state: each fault, brought about one by one, gives the right code, names its culprit, and goes."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa
from dagster._core.storage.runs.schema import DaemonHeartbeatsTable
from starlette.testclient import TestClient

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.market.stream.writing import HEARD_MARK
from metapulse_assets.market.tables import candles, pools, token_metrics, tokens
from metapulse_assets.operations.health import HealthRow, store_health
from metapulse_assets.operations.health_facts import ProcessFacts
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker
from metapulse_assets.platform.progress import set_progress
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue import pausing
from metapulse_assets.service import probes
from metapulse_assets.service.health import live as live_health
from metapulse_assets.service.health.live import LiveHealth, LiveHealthWatch, measure_live
from metapulse_assets.service.health.of_dagster import DAEMON_SILENT_SECONDS
from metapulse_assets.service.health.parts import QUEUE_STUCK_SECONDS, QueueState, queue_rows
from metapulse_assets.service.probes import in_time
from metapulse_assets.social.tables import social_metrics
from metapulse_assets_tests.platform.queue_running import change, put
from metapulse_assets_tests.service.conftest import StartService
from metapulse_assets_tests.service.fake_dagster import FakeDagster, fake_dagster
from metapulse_assets_tests.service.plain_rows import fill

NOW = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)
DAEMONS = ("SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR")
WORKER = "INSERT INTO workers (worker_id, name, queues, concurrency) VALUES (gen_random_uuid(), 'host:1', '{t-echo}', 10)"
LATE = "UPDATE pgqueuer.pgqueuer SET execute_after = now() - make_interval(secs => :seconds)"


@pytest.fixture(autouse=True)
def a_machine_at_ease(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has to do meanwhile, and how long that takes, is no part of the test."""
    monkeypatch.setattr(probes, "PROBE_SECONDS", 30.0)
    monkeypatch.setattr(live_health, "LATENCY_WARN_SECONDS", 30.0)
    monkeypatch.setattr(live_health, "LATENCY_FAIL_SECONDS", 60.0)
    monkeypatch.setattr(live_health, "read_process", lambda: ProcessFacts(100_000_000, 0.1, 0.5, 4_000_000_000))


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    """A stand-in for the webserver."""
    with fake_dagster() as it:
        yield it


@pytest.fixture
def settings(make_settings: Callable[..., Settings], database_url: str, dagster: FakeDagster, engine: sa.Engine) -> Settings:
    """Of an installation in which all is well."""
    _make_well(engine)
    return make_settings(dagster_url=dagster.url, dagster_database_url=database_url)


@pytest.fixture
def service(start_service: StartService, settings: Settings, dagster: FakeDagster, database_url: str) -> TestClient:
    """The service of that installation."""
    return start_service(clock=lambda: NOW, dagster_url=dagster.url, dagster_database_url=database_url)


def _make_well(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        DaemonHeartbeatsTable.create(connection)
        for name in DAEMONS:
            row = {"daemon_type": name, "daemon_id": "d", "timestamp": NOW.replace(tzinfo=None), "body": ""}
            connection.execute(sa.insert(DaemonHeartbeatsTable).values(**row))
        set_progress(connection, HEARD_MARK, NOW)
        store_health(connection, [HealthRow("jobs", "market_tick.failed_share", 0.0, "share")], NOW)
        fill(connection, tokens, NOW, token_id=1)
        fill(connection, pools, NOW, pool_id=1, token_id=1)
        for table, column, extra in (
            (token_metrics, "observed_at", {"pool_id": 1}),
            (candles, "opened_at", {"timeframe": "5m"}),
            (technical_analyses, "opened_at", {"timeframe": "5m"}),
            (social_metrics, "as_of", {}),
        ):
            fill(connection, table, NOW, token_id=1, **{column: NOW - timedelta(seconds=30)}, **extra)


def ask(service: TestClient, page: str = "/health") -> tuple[int, dict[str, Any]]:
    """A page as it is now, whatever was seen a moment ago."""
    service.app.state.health_watch = None  # type: ignore[attr-defined]
    answer = service.get(page)
    return answer.status_code, answer.json()


def culprits(document: dict[str, Any]) -> set[tuple[str, str]]:
    """What is not well."""
    return {(row["service"], row["metric"]) for row in document["culprits"]}


# Each fault: brings itself about, and goes when the block ends.
Fault = Callable[[sa.Engine, FakeDagster], "contextlib.AbstractContextManager[None]"]


@contextlib.contextmanager
def database_away(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    url = engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    engine.dispose()


@contextlib.contextmanager
def breaker_open(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    breaker = CircuitBreaker(engine, "groq", BreakerPolicy(1, 60.0))
    breaker.failed("https://user:planted-secret@groq.example refused")
    yield
    breaker.succeeded()


def _beat(engine: sa.Engine, seconds_ago: float, *names: str) -> None:
    moment = (NOW - timedelta(seconds=seconds_ago)).replace(tzinfo=None)
    with engine.begin() as connection:
        where = DaemonHeartbeatsTable.c.daemon_type.in_(names or DAEMONS)
        connection.execute(sa.update(DaemonHeartbeatsTable).where(where).values(timestamp=moment))


@contextlib.contextmanager
def daemon_dead(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    _beat(engine, DAEMON_SILENT_SECONDS + 1)
    yield
    _beat(engine, 0)


@contextlib.contextmanager
def daemon_never_there(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    change(engine, "ALTER TABLE daemon_heartbeats RENAME TO elsewhere")
    yield
    change(engine, "ALTER TABLE elsewhere RENAME TO daemon_heartbeats")


@contextlib.contextmanager
def part_of_daemon_hangs(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    _beat(engine, 301, "SENSOR")
    yield
    _beat(engine, 0)


@contextlib.contextmanager
def queue_stuck(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    put(engine, "t-echo")
    change(engine, WORKER)
    change(engine, LATE, seconds=QUEUE_STUCK_SECONDS + 1)
    yield
    change(engine, "DELETE FROM pgqueuer.pgqueuer")
    change(engine, "DELETE FROM workers")


@contextlib.contextmanager
def no_worker(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    put(engine, "t-echo")
    change(engine, LATE, seconds=11)
    yield
    change(engine, "DELETE FROM pgqueuer.pgqueuer")


@contextlib.contextmanager
def worker_vanished_with_its_job(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    put(engine, "t-echo")
    change(engine, "UPDATE pgqueuer.pgqueuer SET status = 'picked', heartbeat = now() - interval '80 s'")
    yield
    change(engine, "DELETE FROM pgqueuer.pgqueuer")


@contextlib.contextmanager
def webserver_away(_: sa.Engine, dagster: FakeDagster) -> Iterator[None]:
    dagster.body = b"<html>"
    yield
    dagster.body = None


@contextlib.contextmanager
def code_not_loaded(_: sa.Engine, dagster: FakeDagster) -> Iterator[None]:
    dagster.code_is_loaded = False
    yield
    dagster.code_is_loaded = True


@contextlib.contextmanager
def stream_silent(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    change(engine, "UPDATE progress_marks SET through = through - interval '60 s' WHERE name = :name", name=HEARD_MARK)
    yield
    change(engine, "UPDATE progress_marks SET through = :now WHERE name = :name", name=HEARD_MARK, now=NOW)


@contextlib.contextmanager
def data_old(engine: sa.Engine, _: FakeDagster) -> Iterator[None]:
    with engine.begin() as connection:
        row = connection.execute(sa.select(token_metrics)).mappings().one()
        connection.execute(sa.delete(token_metrics))
    yield
    with engine.begin() as connection:
        connection.execute(sa.insert(token_metrics).values(**row))


QUEUE = ("queue", "working")
FAULTS: list[tuple[Fault, int, str, tuple[str, str], set[tuple[str, str]]]] = [
    (database_away, 503, "down", ("database", "reachable"), {("daemon", "heartbeat_age")}),
    (breaker_open, 200, "degraded", ("groq", "breaker"), set()),
    (daemon_dead, 503, "down", ("daemon", "heartbeat_age"), set()),
    (daemon_never_there, 503, "down", ("daemon", "heartbeat_age"), set()),
    (part_of_daemon_hangs, 200, "degraded", ("daemon", "SENSOR.heartbeat_age"), set()),
    (queue_stuck, 503, "down", QUEUE, {("queue", "t-echo.oldest_due")}),
    (no_worker, 503, "down", QUEUE, {("queue", "t-echo.oldest_due")}),
    (worker_vanished_with_its_job, 503, "down", QUEUE, {("queue", "t-echo.oldest_due")}),
    (webserver_away, 200, "degraded", ("webserver", "reachable"), {("code_server", "loaded")}),
    (code_not_loaded, 200, "degraded", ("code_server", "loaded"), set()),
    (stream_silent, 200, "degraded", ("stream", "heard_age"), set()),
    (data_old, 200, "degraded", ("data", "token_metrics.newest_age"), set()),
]


def test_each_fault_has_its_code_and_culprit_and_goes_with_it(
    service: TestClient, engine: sa.Engine, dagster: FakeDagster
) -> None:
    for fault, code, status, first, others in FAULTS:
        name = fault.__name__
        with fault(engine, dagster):
            found, document = ask(service)
            assert (name, found, document["status"]) == (name, code, status), document["culprits"]
            assert (name, culprits(document)) == (name, {first, *others})
            shown = document["culprits"][0]
            assert (shown["service"], shown["metric"]) == first
            assert shown["reason"]
            text = json.dumps(document)
            assert "planted-secret" not in text
            assert "Traceback" not in text
            assert "postgresql://" not in text
            assert ask(service, "/health/summary")[0] == code
            assert service.get("/health/live").status_code == 200
        found, document = ask(service)
        assert (name, found, document["status"], document["culprits"]) == (name, 200, "ok", [])


def test_ready_needs_database_code_and_daemon(service: TestClient, engine: sa.Engine, dagster: FakeDagster) -> None:
    code, document = ask(service, "/health/ready")
    assert (code, document["ready"], document["lacking"]) == (200, True, [])
    for fault, lacking in (
        (database_away, {"database", "daemon"}),
        (daemon_dead, {"daemon"}),
        (webserver_away, {"webserver", "code_server"}),
        (code_not_loaded, {"code_server"}),
    ):
        with fault(engine, dagster):
            code, document = ask(service, "/health/ready")
            assert document["ready"] is False
            assert (code, {row["service"] for row in document["lacking"]}) == (503, lacking)
    for fault in (breaker_open, queue_stuck, data_old):
        with fault(engine, dagster):
            assert ask(service, "/health/ready")[0] == 200, fault


def test_the_summary_counts_what_the_page_shows(service: TestClient, engine: sa.Engine, dagster: FakeDagster) -> None:
    with breaker_open(engine, dagster), stream_silent(engine, dagster):
        _, page = ask(service)
        _, summary = ask(service, "/health/summary")
    assert page["mode"] == summary["mode"] == "sandbox"
    statuses = [row["status"] for row in page["checks"]]
    assert summary["counts"] == {status: statuses.count(status) for status in ("ok", "warn", "fail")}
    assert summary["services"]["groq"] == {"ok": 0, "warn": 0, "fail": 1}
    assert summary["services"]["stream"] == {"ok": 0, "warn": 1, "fail": 0}


def test_the_pages_need_no_token_and_answer_head(start_service: StartService, settings: Settings, dagster: FakeDagster) -> None:
    service = start_service(
        client="203.0.113.9", service_tokens_required=True, service_requests_per_minute=1, dagster_url=dagster.url
    )
    for page in ("/health", "/health/summary", "/health/live", "/health/ready"):
        for _ in range(3):
            assert service.get(page).status_code in (200, 503)
            head = service.head(page)
            assert head.status_code in (200, 503)
            assert head.text == ""
    assert service.get("/metrics").status_code == 401


def test_one_part_that_hangs_keeps_no_other_from_being_told(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PROBE_SECONDS", 3.0)
    with engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE circuit_breakers IN ACCESS EXCLUSIVE MODE"))
        found = asyncio.run(measure_live(settings, NOW))
    reasons = {row.service: row.reason or "" for row in found.culprits}
    assert "no answer within 3 s" in reasons["vendors"]
    assert found.status == "degraded"
    assert found.status_of("queue", "working") == "ok"


def test_a_question_that_does_not_stop_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_SECONDS", 0.01)
    ended: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("told")
            await asyncio.sleep(60)

    async def ask_it() -> None:
        with pytest.raises(TimeoutError):
            await in_time(stubborn())
        await asyncio.sleep(0)
        assert ended == ["told"]

    asyncio.run(ask_it())


def test_a_webserver_that_hangs_is_told_of(settings: Settings, dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_SECONDS", 3.0)
    dagster.delay_seconds = 6.0
    found = asyncio.run(measure_live(settings, NOW))
    assert {"webserver", "code_server"} <= {row.service for row in found.culprits}
    assert found.status_of("daemon", "heartbeat_age") == "ok"


def test_many_who_ask_cost_one_measurement(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[datetime] = []

    async def measure(_: Settings, now: datetime) -> LiveHealth:
        measured.append(now)
        await asyncio.sleep(0.01)
        return LiveHealth("ok", now, ())

    monkeypatch.setattr(live_health, "measure_live", measure)
    seconds = [100.0]
    monkeypatch.setattr(live_health, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    async def ask_often() -> None:
        watch = LiveHealthWatch(settings, lambda: NOW)
        impatient = asyncio.create_task(watch.look())
        await asyncio.sleep(0)
        others = [asyncio.create_task(watch.look()) for _ in range(50)]
        impatient.cancel()
        assert len(await asyncio.gather(*others)) == 50
        assert len(measured) == 1
        seconds[0] += 4.9
        await watch.look()
        assert len(measured) == 1
        seconds[0] += 0.2
        await watch.look()
        assert len(measured) == 2

    asyncio.run(ask_often())


@pytest.mark.parametrize(
    ("states", "workers", "stuck", "works"),
    [
        ([QueueState("a", 3, 46.0, 0, False)], 1, {"a"}, False),
        ([QueueState("a", 3, 44.0, 0, False)], 1, set(), True),
        ([QueueState("a", 3, 11.0, 0, False)], 0, {"a"}, False),
        ([QueueState("a", 3, 9.0, 0, False)], 0, set(), True),
        ([QueueState("a", 3, 9_999.0, 0, True)], 0, set(), True),
        ([QueueState("a", 3, 9_999.0, 1, False)], 1, set(), True),
        ([QueueState("a", 0, 0.0, 0, False)], 0, set(), True),
        ([QueueState("a", 3, 46.0, 0, False), QueueState("b", 0, 0.0, 1, False)], 1, {"a"}, True),
        ([], 0, set(), True),
    ],
)
def test_a_queue_is_stuck_where_due_jobs_wait_for_nobody(
    states: list[QueueState], workers: int, stuck: set[str], works: bool
) -> None:
    rows = queue_rows(states, workers)

    assert {row.metric.removesuffix(".oldest_due") for row in rows if row.status == "fail"} - {"working"} == stuck
    assert rows[0] == HealthRow("queue", "working", float(works), "state", "ok" if works else "fail", rows[0].reason)
    assert (rows[0].reason is None) == works


def test_a_paused_queue_is_not_stuck(service: TestClient, engine: sa.Engine, dagster: FakeDagster) -> None:
    with queue_stuck(engine, dagster):
        with engine.begin() as connection:
            pausing.pause(connection)
        assert ask(service)[1]["status"] == "ok"


def test_what_was_stored_is_added(service: TestClient, engine: sa.Engine) -> None:
    letters = HealthRow("dead_letters", "x.last_hour", 50.0, "count", "warn", "50 refusals of x in the last hour")
    old_vendor = HealthRow("groq", "breaker", 1.0, "state", "fail", "as it was a minute ago")
    with engine.begin() as connection:
        store_health(connection, [letters, old_vendor], NOW)
    _, document = ask(service)
    assert culprits(document) == {("dead_letters", "x.last_hour")}, "vendors are asked now, not read from what was stored"

    change(engine, "DELETE FROM health_metrics")
    _, document = ask(service)
    assert culprits(document) == {("health", "measured_age")}
