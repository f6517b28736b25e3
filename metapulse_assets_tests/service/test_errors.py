"""What a caller learns of our own faults: an id. The log has the rest, without secrets."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from metapulse_assets.platform.json_logs import known_secrets
from metapulse_assets.platform.work_queue import living
from metapulse_assets.service import request_log
from metapulse_assets.service.request_log import RequestLog, ServiceJsonFormatter, ServiceTextFormatter
from metapulse_assets_tests.service.conftest import StartService, bearer

SECRET = "planted-secret-4711"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What the service logs."""
    found: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    keeper = Keeper()
    monkeypatch.setattr(request_log.LOGGER, "handlers", [keeper])
    monkeypatch.setattr(request_log.LOGGER, "level", logging.INFO)
    request_log.LOGGER.manager._clear_cache()  # type: ignore[attr-defined]
    known_secrets.cache_clear()
    return found


def test_an_unexpected_error_shows_an_id_and_nothing_else(
    service: TestClient, lines: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(f"postgresql://u:{SECRET}@host/db in /home/somebody/file.py")

    monkeypatch.setattr(living, "living_workers", fail)
    answer = service.get("/workers")
    assert answer.status_code == 500
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert answer.headers["X-Request-ID"] == problem["request_id"]
    for word in ("RuntimeError", "Traceback", "file.py", SECRET, "postgresql"):
        assert word not in answer.text
    (record,) = [line for line in lines if line.exc_info]
    for formatter in (ServiceJsonFormatter(), ServiceTextFormatter()):
        text = formatter.format(record)
        assert problem["request_id"] in text
        assert "RuntimeError" in text
        assert "in fail" in text
        assert SECRET not in text


def test_each_request_is_a_line_without_what_it_carried(start_service: StartService, lines: list[logging.LogRecord]) -> None:
    service = start_service()
    found = service.get(f"/jobs/{SECRET}?token={SECRET}", headers={**bearer(f"mp_{SECRET}"), "X-Request-ID": SECRET})
    service.post("/jobs", content=f'{{"type": "{SECRET}", "data": {{}}}}')
    service.get(f"/{SECRET}")
    line = json.loads(ServiceJsonFormatter().format(lines[0]))
    assert (line["method"], line["path"], line["status"]) == ("GET", "/jobs/{job_id}", 401)
    assert line["request_id"] == found.headers["X-Request-ID"] != SECRET
    assert isinstance(line["ms"], float)
    assert len(lines) == 3
    for record in lines:
        assert SECRET not in ServiceJsonFormatter().format(record)
        assert SECRET not in ServiceTextFormatter().format(record)


def test_every_answer_carries_what_keeps_it_safe(service: TestClient) -> None:
    for path in ("/signals", "/nothing", "/docs", "/openapi.json"):
        headers = service.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-MetaPulse-Mode"] == "sandbox"
        assert "Content-Security-Policy" in headers
        assert "server" not in headers
        assert not any(name.startswith("access-control") for name in headers)
    assert service.options("/signals", headers={"Origin": "https://evil.example"}).status_code in (401, 405)


def test_the_page_of_the_description_needs_nothing_from_outside(service: TestClient) -> None:
    page = service.get("/docs").text
    assert "https://" not in page
    assert "/static-offline-docs/swagger-ui-bundle.js" in page
    assert service.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_probes_for_weak_spots_find_none(service: TestClient) -> None:
    for probe in (
        "'; DROP TABLE signals; --",
        "%00",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "${jndi:ldap://x}",
        "<script>alert(1)</script>",
    ):
        for path in (f"/jobs/{probe}", f"/tokens/{probe}", f"/tokens?symbol={probe}", f"/dlq?queue={probe}", f"/{probe}"):
            answer = service.get(path)
            assert answer.status_code < 500, path
            assert answer.headers["Content-Type"] in ("application/json", "application/problem+json")
            assert "Traceback" not in answer.text
            assert "psycopg" not in answer.text
    assert service.get("/static-offline-docs/%2e%2e/%2e%2e/core.py").status_code == 404


def test_who_hangs_up_is_no_failure_of_ours(lines: list[logging.LogRecord]) -> None:
    async def hang_up(*_: Any) -> None:
        raise ClientDisconnect

    scope = {"type": "http", "method": "POST", "path": "/jobs", "headers": []}
    asyncio.run(RequestLog(hang_up, "sandbox")(scope, None, None))  # type: ignore[arg-type]
    assert [(line.levelname, line.exc_info) for line in lines] == [("INFO", None)]
    assert json.loads(ServiceJsonFormatter().format(lines[0]))["status"] == request_log.CLIENT_GONE


def test_a_database_that_is_newer_than_this_program_is_waited_for(
    start_service: StartService, engine: sa.Engine, lines: list[logging.LogRecord]
) -> None:
    with engine.begin() as connection:
        (revision,) = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    service = start_service()
    assert service.get("/jobs").status_code == 503
    assert any("9999" in line.getMessage() for line in lines)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    deadline = time.monotonic() + 120
    while service.get("/jobs").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_page_answers_head_as_it_answers_get(service: TestClient) -> None:
    paths = ("/jobs", "/workers", "/signals", "/tokens", "/dlq", "/metrics", "/docs", "/jobs/4711", "/nothing", "/jobs?limit=0")
    for path in paths:
        got, head = service.get(path), service.head(path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert int(head.headers["Content-Length"]) > 0
    refused = service.head("/workers/pause")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
