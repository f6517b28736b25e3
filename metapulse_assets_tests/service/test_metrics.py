"""The page of figures: what it says after known work, that totals never fall, and that every reader understands it."""

import asyncio
import os
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from dagster._core.storage.runs.schema import DaemonHeartbeatsTable
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.testclient import TestClient

from metapulse_assets.market.stream.writing import FRAMES_METRIC, HEARD_MARK, LAG_METRIC, ROWS_METRIC
from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.operations.tables import alarms, job_logs
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker
from metapulse_assets.platform.dead_letters import DeadLetter, store_dead_letters
from metapulse_assets.platform.metric_totals import DURATION_BOUNDS, Tally
from metapulse_assets.platform.progress import set_progress
from metapulse_assets.platform.settings import Settings, project_root
from metapulse_assets.platform.vendor_client import DURATION_METRIC, REQUESTS_METRIC
from metapulse_assets.platform.work_queue import pausing
from metapulse_assets.platform.work_queue.enqueueing import cancel
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets.platform.work_queue.retention import clean_up
from metapulse_assets.service import probes
from metapulse_assets.service.metrics import exposition as metrics_module
from metapulse_assets.service.metrics.exposition import Figures
from metapulse_assets.service.metrics.families import buckets_of
from metapulse_assets.service.metrics.of_work import memory_here
from metapulse_assets.signals.tables import signals
from metapulse_assets_tests.platform.queue_running import change, fetch, put, work
from metapulse_assets_tests.service.conftest import StartService, bearer
from metapulse_assets_tests.service.plain_rows import fill

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
WORKER = (
    "INSERT INTO workers (worker_id, name, queues, concurrency, seen_at)"
    " VALUES (CAST(:id AS uuid), 'host:1', '{t-echo}', :places, now() - make_interval(secs => :silent))"
)
BUSY, IDLE, GONE = (f"{number}" * 8 + "-0000-0000-0000-000000000000" for number in (1, 2, 3))
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
# A name, as Prometheus and OpenMetrics have it; and the units that ours may end with.
NAME = re.compile(r"metapulse_[a-z0-9]+(_[a-z0-9]+)*")
Samples = dict[tuple[Any, ...], float]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long this machine takes is no part of the test."""
    monkeypatch.setattr(probes, "PROBE_SECONDS", 30.0)


@pytest.fixture
def service(start_service: StartService, database_url: str) -> TestClient:
    """A service whose day stands still; Dagster's tables are in the same database."""
    return start_service(clock=lambda: NOW, dagster_database_url=database_url)


def scrape(service: TestClient, **headers: str) -> Samples:
    """Every sample by its name and its labels' values, sorted by the labels' names."""
    service.app.state.figures = None  # type: ignore[attr-defined]
    text = service.get("/metrics", headers=headers)
    assert text.status_code == 200, text.text
    families = list(parse_text(text.text))
    samples = [sample for family in families for sample in family.samples]
    found = {(s.name, *(s.labels[name] for name in sorted(s.labels))): s.value for s in samples}
    assert len(found) == len(samples), "no sample twice"
    return found


def of(samples: Samples, name: str) -> dict[Any, float]:
    """The samples of a name that begin with `metapulse_`, by their labels' values."""
    chosen = {key[1:]: value for key, value in samples.items() if key[0] == f"metapulse_{name}"}
    return {key[0] if len(key) == 1 else key: value for key, value in chosen.items()}


def of_queue(samples: Samples, name: str, queue: str) -> dict[str, float]:
    """The samples of a queue that are not 0, by their other label."""
    return {key[1]: value for key, value in of(samples, name).items() if key[0] == queue and value}


def test_figures_of_the_queue_agree_with_the_work(
    service: TestClient, engine: sa.Engine, make_settings: Callable[..., Settings]
) -> None:
    for _ in range(3):
        put(engine, "t-echo")
    put(engine, "t-hasty", {"failures": 1})
    put(engine, "t-hasty", {"failures": 9})
    work(make_settings(), "t-echo", "t-hasty")
    put(engine, "t-echo", delay=timedelta(hours=1))
    put(engine, "t-echo")
    put(engine, "t-noop")
    canceled = put(engine, "t-market")
    with engine.begin() as connection:
        pausing.pause(connection, "t-noop")
        cancel(connection, canceled)

    first = scrape(service)
    assert of_queue(first, "jobs_processed_total", "t-echo") == {"completed": 3}
    assert of_queue(first, "jobs_processed_total", "t-hasty") == {"completed": 1, "failed": 1}
    assert of_queue(first, "jobs_processed_total", "t-market") == {"canceled": 1}
    assert of(first, "jobs_processed_total")["t-slow", "completed"] == 0, "a rate needs the 0 before the first job"
    # One retry of the job that failed once, two of the one that was given up after three attempts.
    assert of_queue(first, "job_retries_total", "t-hasty") == {"retried": 3}
    assert of_queue(first, "queue_size", "t-echo") == {"delayed": 1, "waiting": 1}
    assert of_queue(first, "queue_size", "t-noop") == {"paused": 1}
    assert of(first, "queue_paused")["t-noop"] == 1
    assert of(first, "queue_paused")["t-echo"] == 0
    assert of(first, "dead_letter_queue_size")["t-hasty"] == 1
    assert of(first, "dead_letter_queue_size")["t-echo"] == 0
    assert of(first, "job_error_ratio") == {"t-echo": 0.0, "t-hasty": 0.5}
    assert set(of(first, "queue_oldest_due_seconds")) == {"t-echo"}
    ((took,),) = fetch(
        engine, "SELECT sum(duration_seconds) FROM job_attempts WHERE job_type = 't-echo' AND status = 'completed'"
    )
    assert of(first, "job_duration_seconds_sum")["t-echo", "completed"] == pytest.approx(took, abs=1e-4)
    assert of(first, "job_duration_seconds_count")["t-echo", "completed"] == 3
    recent = of(first, "job_recent_duration_seconds")
    assert 0 < recent["0.5", "t-echo"] <= recent["0.95", "t-echo"] <= recent["0.99", "t-echo"] <= took

    with engine.begin() as connection:
        pausing.resume(connection)
        removed = clean_up(connection, {name: Policy(keep_completed=0, keep_failed=0) for name in ("t-echo", "t-hasty")})
    assert removed.attempts
    put(engine, "t-hasty")
    work(make_settings(), "t-echo", "t-hasty", "t-noop")
    second = scrape(service)
    assert_no_total_fell(first, second)
    assert of_queue(second, "jobs_processed_total", "t-echo") == {"completed": 4}
    assert of_queue(second, "jobs_processed_total", "t-hasty") == {"completed": 2, "failed": 1}
    assert of(second, "job_duration_seconds_count")["t-echo", "completed"] == 4
    assert of(second, "dead_letter_queue_size")["t-hasty"] == 0


def assert_no_total_fell(first: Samples, second: Samples) -> None:
    """Whatever counts from the beginning is there again, and not less."""
    totals = [key for key in first if key[0].endswith(("_total", "_sum", "_count", "_bucket"))]
    assert len(totals) > 50
    fallen = {key: (first[key], second.get(key)) for key in totals if second.get(key, -1.0) < first[key]}
    assert fallen == {}


def test_utilisation_is_of_the_workers_that_live(service: TestClient, engine: sa.Engine) -> None:
    assert of(scrape(service), "worker_utilisation_ratio") == {}
    for worker, places, silent in ((BUSY, 4, 0), (IDLE, 6, 0), (GONE, 50, 16)):
        change(engine, WORKER, id=worker, places=places, silent=silent)
    for holder in (BUSY, BUSY, GONE, None):
        job_id = put(engine, "t-echo")
        if holder:
            sql = "UPDATE pgqueuer.pgqueuer SET status = 'picked', queue_manager_id = CAST(:worker AS uuid) WHERE id = :id"
            change(engine, sql, worker=holder, id=job_id)
    found = scrape(service)
    names = ("workers", "worker_slots", "worker_active_jobs", "worker_utilisation_ratio")
    assert [found[f"metapulse_{name}",] for name in names] == [2, 10, 2, 0.2]
    assert of_queue(found, "queue_size", "t-echo") == {"active": 3, "waiting": 1}


def test_memory_is_of_the_workers_of_this_machine() -> None:
    here = f"{socket.gethostname()}:{os.getpid()}"
    (memory,) = memory_here([here, "elsewhere:1", f"{socket.gethostname()}:999999999", f"{socket.gethostname()}:x", "odd"])

    assert memory > 10_000_000


def test_figures_of_runs_agree_with_their_history(service: TestClient, engine: sa.Engine) -> None:
    def run(number: int, job: str, status: str, hours_ago: float, seconds: float | None, run_engine: str = "dagster") -> None:
        at = NOW - timedelta(hours=hours_ago)
        ended = at if status in ("success", "failure") else None
        moments: dict[str, Any] = {"created_at": at, "started_at": at, "ended_at": ended, "updated_at": at}
        row = {"engine": run_engine, "job_id": str(number), "attempt": 1, "job": job, "status": status, "cause": "manual"}
        with engine.begin() as connection:
            connection.execute(sa.insert(job_logs).values(**row, **moments, duration_seconds=seconds))

    run(1, "market_tick", "success", 1, 4.0)
    run(2, "market_tick", "success", 2, 6.0)
    run(3, "market_tick", "failure", 3, 1.0)
    run(4, "market_tick", "success", 25, 99.0)
    run(5, "ai_tick", "started", 0.1, None)
    run(6, "story", "success", 1, 1.0, "queue")
    found = scrape(service)

    assert of(found, "runs_last_day") == {("market_tick", "success"): 2, ("market_tick", "failure"): 1}
    assert of(found, "run_recent_duration_seconds")["market_tick", "0.5"] == 5.0
    assert of(found, "runs_in_progress") == {("ai_tick", "started"): 1}
    newest = (NOW - timedelta(hours=1)).timestamp()
    assert of(found, "run_last_end_timestamp_seconds")["market_tick", "success"] == newest


def test_figures_of_tokens_and_signals(service: TestClient, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for number in (1, 2, 3):
            fill(connection, tokens, NOW, token_id=number, address=f"a{number}")
            fill(connection, tracked_tokens, NOW, token_id=number, active=number != 3)
        plain = {"token_id": 1, "kind": "technical", "direction": "buy", "risk": "low", "origin": "live", "mode": "sandbox"}
        for number, (emitted, expires) in enumerate(((-60, 60), (-60, 1), (-60, -1), (1, 60))):
            moments = {
                "emitted_at": NOW + timedelta(minutes=emitted),
                "expires_at": NOW + timedelta(minutes=expires),
                "strength": 0.5,
                "confidence": 0.5,
            }
            fill(connection, signals, NOW, signal_id=str(number), **plain, **moments)
        fill(connection, signals, NOW, signal_id="s", **{**plain, "direction": "sell"}, **moments | {"emitted_at": NOW})
    found = scrape(service)

    assert found["metapulse_tokens_tracked",] == 2
    # Sorted by the labels' names: direction, kind.
    assert of(found, "signals_open") == {("buy", "technical"): 2, ("sell", "technical"): 1}
    assert of(found, "data_age_seconds")["signals"] == 0


def test_figures_of_vendors_stream_data_and_daemon(service: TestClient, engine: sa.Engine) -> None:
    CircuitBreaker(engine, "groq", BreakerPolicy(3, 60.0)).failed("HTTP 500")
    CircuitBreaker(engine, "gemini", BreakerPolicy(1, 60.0)).failed("HTTP 500")
    tally = Tally()
    for seconds in (0.03, 0.04, 0.2, 99.0):
        tally.observe(DURATION_METRIC, seconds, vendor="groq")
        tally.observe(LAG_METRIC, seconds)
    tally.count(REQUESTS_METRIC, 3, vendor="groq", outcome="ok")
    tally.count(REQUESTS_METRIC, vendor="groq", outcome="unanswered")
    tally.count(FRAMES_METRIC, 12)
    tally.count(ROWS_METRIC, 7, table="token_trades")
    with engine.begin() as connection:
        tally.store(connection)
        set_progress(connection, HEARD_MARK, NOW - timedelta(seconds=7))
        store_dead_letters(connection, [DeadLetter("groq", "item", "a", "bad", {})], NOW - timedelta(minutes=5))
        store_dead_letters(connection, [DeadLetter("groq", "item", "b", "bad", {})], NOW - timedelta(minutes=65))
        alarm = {"severity": "error", "text": "x", "first_seen": NOW, "last_seen": NOW, "count": 1}
        connection.execute(sa.insert(alarms).values(**alarm, key="lasting"))
        connection.execute(sa.insert(alarms).values(**alarm, key="over", resolved_at=NOW))
        DaemonHeartbeatsTable.create(connection)
        beat = {"daemon_type": "SENSOR", "daemon_id": "d", "timestamp": (NOW - timedelta(seconds=9)).replace(tzinfo=None)}
        connection.execute(sa.insert(DaemonHeartbeatsTable).values(**beat, body=""))
    found = scrape(service)

    assert of(found, "vendor_requests_total") == {("ok", "groq"): 3, ("unanswered", "groq"): 1}
    buckets = of(found, "vendor_request_duration_seconds_bucket")
    assert [buckets[bound, "groq"] for bound in ("0.05", "0.25", "+Inf")] == [2, 3, 4]
    assert of(found, "vendor_request_duration_seconds_sum")["groq"] == pytest.approx(99.27)
    states = {key: value for key, value in of(found, "vendor_breaker_state").items() if value}
    assert states == {("closed", "groq"): 1, ("open", "gemini"): 1}
    assert of(found, "vendor_breaker_failures") == {"groq": 1, "gemini": 1}
    assert found["metapulse_stream_frames_total",] == 12
    assert of(found, "stream_rows_total") == {"token_trades": 7}
    assert of(found, "stream_lag_seconds_bucket")["0.25"] == 3
    assert found["metapulse_stream_heard_age_seconds",] == 7
    assert of(found, "refused_items_last_hour") == {"groq": 1}
    assert of(found, "alarms_open") == {"error": 1, "warning": 0}
    assert of(found, "daemon_heartbeat_age_seconds") == {"SENSOR": 9}
    assert found["metapulse_database_up",] == 1
    assert set(of(found, "scrape_success").values()) == {1}
    assert found["metapulse_database_size_bytes",] > 1_000_000


@pytest.fixture
def no_database(start_service: StartService) -> TestClient:
    """A service whose database is away."""
    return start_service(database_url="postgresql://user:planted-secret@127.0.0.1:1/nothing")


def test_without_a_database_the_service_still_tells_of_itself(no_database: TestClient) -> None:
    found = scrape(no_database)

    assert found["metapulse_database_up",] == 0
    assert set(of(found, "scrape_success").values()) == {0}
    assert found["metapulse_process_resident_memory_bytes",] > 10_000_000
    assert found["metapulse_build_info", "sandbox", of_version(found)] == 1
    assert "planted-secret" not in no_database.get("/metrics").text


def of_version(found: Samples) -> str:
    """The program's version."""
    return next(str(key[2]) for key in found if key[0] == "metapulse_build_info")


def test_requests_are_counted_by_route_and_never_by_path(service: TestClient) -> None:
    for path in ("/health/live", "/health/live", "/jobs/1234567", "/no/such/page", "/no/such/other"):
        service.get(path)
    service.request("BREW", "/health/live")
    found = scrape(service)

    answered = of(found, "http_requests_total")
    assert answered["GET", "/health/live", "200"] == 2
    assert answered["GET", "/jobs/{job_id}", "404"] == 1
    assert answered["GET", "(no such page)", "404"] == 2
    assert not [key for key in answered if "1234567" in key[1] or "BREW" in key[0]]
    assert sum(value for key, value in answered.items() if key[0] == "other") == 1
    assert of(found, "http_request_duration_seconds_count")["GET", "/health/live"] == 2
    assert found["metapulse_http_requests_in_progress",] == 1, "the one that asks"


def test_every_name_is_well_formed_documented_and_the_same_in_both_formats(
    service: TestClient, engine: sa.Engine, make_settings: Callable[..., Settings]
) -> None:
    with engine.begin() as connection:
        DaemonHeartbeatsTable.create(connection)
    put(engine, "t-echo")
    work(make_settings(), "t-echo")
    text, openmetrics = service.get("/metrics"), service.get("/metrics", headers=OPENMETRICS)
    assert text.headers["content-type"].startswith("text/plain; version=")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    plain = {family.name: family for family in parse_text(text.text)}
    strict = {family.name: family for family in parse_openmetrics(openmetrics.text)}  # type: ignore[no-untyped-call]
    assert len(strict) > 40
    # The older format has no infos: there they are gauges under their samples' name.
    assert {name.removesuffix("_info") for name in plain} == strict.keys()
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", (project_root() / "docs" / "metrics.md").read_text(), re.MULTILINE)
    ends = {"counter": "_total", "info": "_info"}
    assert sorted(documented) == sorted((name + ends.get(family.type, ""), family.type) for name, family in strict.items())
    for name, family in strict.items():
        assert NAME.fullmatch(name), name
        assert family.documentation.endswith("."), name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), name
        if family.type in ("histogram", "summary"):
            assert name.endswith("_seconds"), name


def test_figures_need_a_token_that_may_read_them(start_service: StartService, make_token: Callable[..., str]) -> None:
    service = start_service(service_tokens_required=True, service_requests_per_minute=1)

    assert service.get("/metrics").status_code == 401
    assert service.get("/metrics", headers=bearer(make_token("signals:read"))).status_code == 403
    reader = bearer(make_token("metrics:read"))
    assert [service.get("/metrics", headers=reader).status_code for _ in range(3)] == [200] * 3


def test_many_scrapes_at_once_cost_one_reading(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[datetime] = []

    async def read(_: Settings, now: datetime) -> list[Any]:
        readings.append(now)
        await asyncio.sleep(0.01)
        return []

    monkeypatch.setattr(metrics_module, "read_figures", read)

    async def scrape_often() -> None:
        figures = Figures(make_settings(), lambda: NOW)
        await asyncio.gather(*(figures.read() for _ in range(20)))
        await figures.read()

    asyncio.run(scrape_often())
    assert len(readings) == 1


BOUNDS = st.sampled_from(["0.1", "1.0", "10.0", "+Inf"])


@given(st.dictionaries(BOUNDS, st.integers(0, 1_000).map(float)))
def test_buckets_add_up_and_end_without_bound(counts: dict[str, float]) -> None:
    buckets = buckets_of(counts)

    bounds = [float(bound) for bound, _ in buckets]
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    assert buckets[-1][1] == sum(counts.values())
    assert all(before[1] <= after[1] for before, after in pairwise(buckets))
    assert dict(buckets)["0.1"] == counts.get("0.1", 0.0)
    assert len(buckets) == len(DURATION_BOUNDS) + 1
