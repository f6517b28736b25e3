"""Jobs over HTTP: the older services' own lines, and a job's whole life."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue import progress, registry
from metapulse_assets.service.routes.stories import scoring_stats
from metapulse_assets_tests.platform import queue_jobs
from metapulse_assets_tests.platform.queue_running import change, fetch, put, work
from metapulse_assets_tests.service import story_jobs
from metapulse_assets_tests.service.conftest import StartService

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def story_handlers() -> Iterator[None]:
    """The handlers of the documents' job types, for this test only."""
    before = registry.handlers()
    story_jobs.register()
    yield
    for name in set(registry.handlers()) - set(before):
        del registry._handlers[name]


@pytest.mark.usefixtures("story_handlers")
@pytest.mark.parametrize(
    ("path", "headers", "body", "job_type"),
    [
        # As printed, the second with the data filled in; curl -d calls it a form.
        ("/", JSON, '{"type": "sync_positions", "data": {"userId": "123"}}', "sync_positions"),
        ("/", FORM, '{"type": "execute_order", "data": {"symbol": "SOL"}}', "execute_order"),
        ("/jobs", FORM, '{"type": "stripe_webhook", "data": {"id": "evt_1"}}', "stripe_webhook"),
        ("/jobs", {}, '{"type": "sync_positions"}', "sync_positions"),
    ],
)
def test_the_documents_lines_put_a_job_in(
    service: TestClient, engine: sa.Engine, path: str, headers: dict[str, str], body: str, job_type: str
) -> None:
    made = service.post(path, content=body, headers=headers)
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "waiting"
    assert made.headers["Location"] == f"/jobs/{made.json()['id']}"
    rows = fetch(engine, "SELECT id, entrypoint, convert_from(payload, 'UTF8')::json FROM pgqueuer.pgqueuer")
    assert rows == [(made.json()["id"], job_type, json.loads(body).get("data", {}))]


@pytest.mark.usefixtures("story_handlers")
def test_every_line_of_the_documents_has_its_page(start_service: StartService) -> None:
    service = start_service(dagster_url="http://127.0.0.1:1")
    service.post("/jobs", json={"type": "story-enhancement", "data": {"storyId": "1"}, "id": "story-enhancement-story-uuid"})
    # Dagster is not there: what asks for it says 503.
    for line, codes in {
        "GET /health": {503},
        "GET /health/summary": {503},
        "GET /health/live": {200},
        "GET /health/ready": {503},
        "GET /metrics": {200},
        "POST /jobs/token-data": {503},
        "POST /jobs/social-data": {503},
        "POST /jobs/ai-analysis": {503},
        "POST /jobs/signals": {503},
        "POST /jobs/cleanup": {503},
        "GET /jobs/1": {200},
        "GET /workers": {200},
        "POST /workers/pause": {200},
        "POST /workers/resume": {200},
        "GET /api/stories/scoring/job/story-enhancement-story-uuid": {200},
        "GET /api/stories/scoring/stats": {200},
        "DELETE /jobs/1": {200},
    }.items():
        method, path = line.split()
        assert service.request(method, path).status_code in codes, line


def test_what_the_document_leaves_out_is_refused_with_its_place(service: TestClient) -> None:
    refused = service.post("/", content='{"type": "execute_order", "data": {...}}', headers=FORM)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "body"
    assert "line 1, column 36" in refused.json()["detail"]


def test_an_unknown_type_is_refused_with_the_known_ones(service: TestClient) -> None:
    for path in ("/", "/jobs"):
        refused = service.post(path, json={"type": "no-such", "data": {}})
        assert refused.status_code == 400
        assert "'no-such' is unknown" in refused.json()["detail"]
        assert "t-echo" in refused.json()["known_types"]
    assert service.post("/workers/pause", json={"queue": "no-such"}).status_code == 400
    assert service.get("/jobs?queue=no-such").status_code == 400


def test_a_job_is_followed_from_its_putting_in_to_its_result(
    service: TestClient, make_settings: Callable[..., Settings]
) -> None:
    body = {"type": "t-echo", "data": {"result": {"answer": 42}}, "id": "mine-1", "priority": "high"}
    made = service.post("/jobs", json=body).json()
    again = service.post("/jobs", json=body)
    assert again.status_code == 200
    assert again.json() == {**made, "created": False}
    for reference in (made["id"], "mine-1"):
        before = service.get(f"/jobs/{reference}").json()
        assert (before["status"], before["priority"], before["data"]) == ("waiting", 1, body["data"])
        assert before["progress"] == {"attempt": 0, "of_attempts": 1, "percent": None}
    work(make_settings(), "t-echo")
    after = service.get("/jobs/mine-1").json()
    assert (after["id"], after["status"], after["result"]) == (made["id"], "completed", {"answer": 42})
    assert after["progress"] == {"attempt": 1, "of_attempts": 1, "percent": 100}
    assert after["created_at"] <= after["started_at"] <= after["ended_at"]
    assert [attempt["status"] for attempt in after["attempts"]] == ["completed"]
    assert after["mode"] == "sandbox"
    # Its name is free again.
    assert service.post("/jobs", json=body).status_code == 201


def test_a_failed_job_shows_its_error_and_can_be_put_in_again_once(
    service: TestClient, make_settings: Callable[..., Settings]
) -> None:
    made = service.post("/jobs", json={"type": "t-hasty", "data": {"failures": 3, "message": "down"}}).json()
    work(make_settings(), "t-hasty")
    failed = service.get(f"/jobs/{made['id']}").json()
    assert (failed["status"], failed["error"]) == ("failed", "ConnectionError: down")
    assert [attempt["status"] for attempt in failed["attempts"]] == ["retried", "retried", "failed"]
    assert failed["data"] == {"failures": 3, "message": "down"}
    (letter,) = service.get("/dlq", params={"queue": "t-hasty"}).json()["dead_letters"]
    assert letter["id"] == failed["dead_letter"]
    assert service.get("/dlq?queue=t-echo").json()["dead_letters"] == []
    retried = service.post(f"/dlq/{letter['id']}/retry")
    assert retried.status_code == 201
    assert service.get(f"/jobs/{retried.json()['id']}").json()["data"] == letter["job_data"]
    assert service.post(f"/dlq/{letter['id']}/retry").status_code == 409
    assert service.post("/dlq/999/retry").status_code == 404
    assert service.get("/dlq").json()["dead_letters"] == []
    (shown,) = service.get("/dlq?retried=true").json()["dead_letters"]
    assert shown["retried_as"] == retried.json()["id"]


def test_a_waiting_and_a_running_job_can_be_canceled_an_ended_one_not(
    service: TestClient, engine: sa.Engine, make_settings: Callable[..., Settings]
) -> None:
    waiting, ended = put(engine, "t-echo"), put(engine, "t-noop")
    with engine.begin() as connection:
        connection.exec_driver_sql(queue_jobs.EFFECTS)
    assert service.delete(f"/jobs/{waiting}").json() == {"id": waiting, "status": "canceled"}
    work(make_settings(), "t-noop")
    assert service.delete(f"/jobs/{ended}").status_code == 409
    assert service.delete(f"/jobs/{waiting}").status_code == 409
    assert service.delete("/jobs/999").status_code == 404
    running = put(engine, "t-slow", {"seconds": 60})
    answers: list[int] = []
    seen: list[dict[str, Any]] = []

    def canceled() -> bool:
        job = service.get(f"/jobs/{running}").json()
        if job["status"] == "active" and not answers:
            seen.append(service.get("/workers").json())
            answers.append(service.delete(f"/jobs/{running}").status_code)
        return bool(answers)

    work(make_settings(), "t-slow", until=canceled)
    assert answers == [200]
    assert service.get(f"/jobs/{running}").json()["status"] == "canceled"
    # While it ran, its worker was shown with it.
    (worker,) = seen[0]["workers"]
    assert worker["queues"] == ["t-slow"]
    assert [(job["id"], job["type"], job["attempt"]) for job in worker["jobs"]] == [(running, "t-slow", 1)]


def test_a_worker_is_shown_while_it_lives(
    service: TestClient, engine: sa.Engine, make_settings: Callable[..., Settings]
) -> None:
    counts: list[int] = []

    def counted() -> bool:
        counts.append(service.get("/workers").json()["count"])
        return counts[-1] == 1

    work(make_settings(), "t-noop", until=counted)
    assert counts[-1] == 1
    # It took its leave.
    assert service.get("/workers").json()["workers"] == []
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO workers (worker_id, name, queues, concurrency, seen_at) VALUES "
                "(gen_random_uuid(), 'vanished:1', '{}', 1, now() - interval '16 seconds'), "
                "(gen_random_uuid(), 'idle:2', '{t-noop}', 3, now() - interval '14 seconds')"
            )
        )
    assert [worker["name"] for worker in service.get("/workers").json()["workers"]] == ["idle:2"]


def test_pausing_and_resuming_hold_for_one_queue_or_all(service: TestClient, engine: sa.Engine) -> None:
    job = put(engine, "t-echo")
    # As the document prints it: no body at all.
    assert service.post("/workers/pause").json() == {"changed": True, "paused": ["*"]}
    assert service.post("/workers/pause").json() == {"changed": False, "paused": ["*"]}
    assert service.get(f"/jobs/{job}").json()["status"] == "paused"
    assert service.post("/workers/resume").json() == {"changed": True, "paused": []}
    assert service.post("/workers/pause", content='{"queue": "t-echo"}', headers=FORM).json()["paused"] == ["t-echo"]
    assert service.get("/workers").json()["paused"] == ["t-echo"]
    assert service.get("/jobs?queue=t-echo").json()["queues"][0]["is_paused"] is True
    assert service.post("/workers/resume", json={"queue": "t-echo"}).json() == {"changed": True, "paused": []}
    assert service.get(f"/jobs/{job}").json()["status"] == "waiting"


def test_counts_and_pages_of_jobs(service: TestClient, engine: sa.Engine, make_settings: Callable[..., Settings]) -> None:
    done = put(engine, "t-noop")
    work(make_settings(), "t-noop")
    open_ones = [put(engine, "t-echo") for _ in range(5)]
    later = service.post("/jobs", json={"type": "t-echo", "delay_seconds": 3600}).json()
    assert later["status"] == "delayed"
    first = service.get("/jobs?limit=3").json()
    assert [job["id"] for job in first["jobs"]] == [later["id"], *open_ones[:2:-1]]
    rest = service.get("/jobs", params={"limit": 100, "before": first["next"]}).json()
    assert [job["id"] for job in rest["jobs"]] == [*open_ones[2::-1], done]
    assert rest["next"] is None
    counts = {each["queue"]: each for each in first["queues"]}
    assert (counts["t-echo"]["waiting"], counts["t-echo"]["delayed"], counts["t-noop"]["completed"]) == (5, 1, 1)
    assert [job["id"] for job in service.get("/jobs?queue=t-noop").json()["jobs"]] == [done]


def test_a_reference_that_names_no_job_is_404(service: TestClient) -> None:
    strange = ["0", "-1", "9" * 30, "9223372036854775807", "1e3", "%00", "%ED%A0%80", "'; DROP TABLE jobs; --", "a" * 5_000]
    for reference in strange:
        for method in ("GET", "DELETE"):
            assert service.request(method, f"/jobs/{reference}").status_code == 404, reference


def test_jobs_that_are_none_of_ours_or_almost_forgotten_are_shown_too(service: TestClient, engine: sa.Engine) -> None:
    job = put(engine, "t-echo")
    change(engine, "UPDATE pgqueuer.pgqueuer SET payload = '\\xff00'")
    values = "('t-noop', '[1]', 'x', 777, 3)"
    change(engine, f"INSERT INTO failed_jobs (job_type, job_data, error_message, job_id, attempts) VALUES {values}")
    assert service.get(f"/jobs/{job}").json()["data"] == {"unreadable_payload": "ff00"}
    dead = service.get("/jobs/777").json()
    assert (dead["status"], dead["error"], dead["data"], dead["progress"]["attempt"]) == ("failed", "x", [1], 3)
    assert service.delete("/jobs/777").status_code == 409


def test_without_a_handler_the_pages_of_stories_say_so(service: TestClient) -> None:
    for path in ("/api/stories/scoring/stats", "/api/stories/scoring/job/story-enhancement-1"):
        refused = service.get(path)
        if "story-enhancement" not in registry.handlers():
            assert refused.status_code == 400
            assert "'story-enhancement' is unknown" in refused.json()["detail"]


@pytest.mark.usefixtures("story_handlers")
def test_story_scoring_answers_in_the_documents_shapes(
    start_service: StartService, make_settings: Callable[..., Settings]
) -> None:
    service = start_service(openai_api_key="sk-planted")
    name = "story-enhancement-7f3c"
    service.post("/jobs", json={"type": "story-enhancement", "data": {"storyId": "7f3c"}, "id": name})
    waiting = service.get(f"/api/stories/scoring/job/{name}").json()["data"]["job"]
    assert (waiting["id"], waiting["storyId"], waiting["status"], waiting["result"]) == (name, "7f3c", "waiting", None)
    work(make_settings(), "story-enhancement")
    shown = service.get(f"/api/stories/scoring/job/{name}").json()
    job = shown["data"]["job"]
    assert shown["success"] is True
    assert set(job) == {"id", "storyId", "status", "result", "createdAt", "updatedAt"}
    assert (job["id"], job["storyId"], job["status"]) == (name, "7f3c", "completed")
    assert set(job["result"]) == {"success", "storyId", "enhancedScores", "processingTime"}
    assert set(job["result"]["enhancedScores"]) == {"hypeScore", "ethicsScore", "realityCheck", "eli5Summary"}
    assert isinstance(job["result"]["processingTime"], int)
    for moment in (job["createdAt"], job["updatedAt"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
        datetime.fromisoformat(moment)
    stats = service.get("/api/stories/scoring/stats").json()
    assert stats == {
        "success": True,
        "data": {
            "stats": {
                "totalJobs": 1,
                "pendingJobs": 0,
                "completedJobs": 1,
                "failedJobs": 0,
                "openAIConfigured": True,
                "queueSize": 0,
            }
        },
    }
    assert service.get("/api/stories/scoring/job/story-enhancement-none").status_code == 404
    other = service.post("/jobs", json={"type": "t-echo"}).json()["id"]
    assert service.get(f"/api/stories/scoring/job/{other}").status_code == 404


def test_the_counts_of_stories_are_as_in_the_document() -> None:
    from metapulse_assets.platform.work_queue.statistics import QueueCounts

    counts = QueueCounts("story-enhancement", waiting=3, completed=20, failed=2)
    assert scoring_stats(counts, True) == {
        "totalJobs": 25,
        "pendingJobs": 3,
        "completedJobs": 20,
        "failedJobs": 2,
        "openAIConfigured": True,
        "queueSize": 3,
    }


@pytest.mark.usefixtures("story_handlers")
def test_a_handler_says_how_far_it_is(engine: sa.Engine, service: TestClient, make_settings: Callable[..., Settings]) -> None:
    job = put(engine, "story-enhancement", {"storyId": "1"})
    work(make_settings(), "story-enhancement")
    assert fetch(engine, "SELECT progress FROM job_attempts") == [(40.0,)]
    # Ended, it is whole.
    assert service.get(f"/jobs/{job}").json()["progress"]["percent"] == 100


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
def test_what_is_no_percentage_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        progress.report(None, percent)  # type: ignore[arg-type]
