"""Starting Dagster's jobs over HTTP: which, with which tags, when it is refused, and that production has no such pages."""

import json
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from starlette.testclient import TestClient

from metapulse_assets.platform.settings import SettingsError, load_settings, project_root
from metapulse_assets.service import probes
from metapulse_assets.service.launching import JOBS
from metapulse_assets_tests.cli.test_whole import free_port
from metapulse_assets_tests.service.conftest import StartService, bearer
from metapulse_assets_tests.service.fake_dagster import FakeDagster, fake_dagster

NOW = datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)
PAGES = {
    "token-data": "market_tick",
    "social-data": "social_tick",
    "ai-analysis": "ai_tick",
    "signals": "signals_tick",
    "cleanup": "cleanup",
}


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    """A stand-in for the webserver."""
    with fake_dagster() as it:
        yield it


@pytest.fixture
def service(start_service: StartService, dagster: FakeDagster) -> TestClient:
    """A service that knows that webserver."""
    return start_service(clock=lambda: NOW, dagster_url=dagster.url)


def test_each_page_starts_its_job_for_today(service: TestClient, dagster: FakeDagster) -> None:
    assert PAGES.keys() == JOBS.keys()
    for number, (page, job) in enumerate(PAGES.items(), 1):
        dagster.running.clear()
        answer = service.post(f"/jobs/{page}")

        run = f"run-{number}"
        expected = {"run_id": run, "job": job, "status": "queued", "page": f"{dagster.url}/runs/{run}"}
        assert (answer.status_code, answer.json()) == (202, expected)
        launched = dagster.launched[-1]
        assert launched["selector"] == {
            "repositoryLocationName": "metapulse",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        tags = {tag["key"]: tag["value"] for tag in launched["executionMetadata"]["tags"]}
        partition = {} if job == "cleanup" else {"dagster/partition": "2026-03-04"}
        assert tags == {"metapulse/launched_by": "service", **partition}


def test_all_of_them_can_be_asked_for_one_after_the_other(service: TestClient, dagster: FakeDagster) -> None:
    assert [service.post(f"/jobs/{page}").status_code for page in PAGES] == [202] * len(PAGES)
    assert {launched["selector"]["jobName"] for launched in dagster.launched} == set(JOBS.values())


def test_a_job_is_not_started_while_a_run_of_it_goes_on(service: TestClient, dagster: FakeDagster) -> None:
    dagster.running["market_tick"] = [{"runId": "earlier", "status": "STARTED", "tags": [{"key": "dagster/schedule_name"}]}]
    answer = service.post("/jobs/token-data")

    assert answer.status_code == 409
    assert answer.json()["run_id"] == "earlier"
    assert answer.json()["page"].endswith("/runs/earlier")
    assert "market_tick has not ended yet (started): earlier" in answer.json()["detail"]
    assert dagster.launched == []

    dagster.running["market_tick"] = [{"runId": "past", "status": "STARTED", "tags": [{"key": "dagster/backfill"}]}]
    assert service.post("/jobs/token-data").status_code == 202, "a backfill of other days is in nobody's way"


def test_of_many_who_ask_at_once_one_starts_it(service: TestClient, dagster: FakeDagster) -> None:
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda _: service.post("/jobs/cleanup").status_code, range(8)))

    assert sorted(codes) == [202, *[409] * 7]
    assert len(dagster.launched) == 1


def _not_loaded(dagster: FakeDagster) -> None:
    dagster.answers["repositoriesOrError"] = {"__typename": "PythonError", "message": "Traceback: secret"}


def _no_job(dagster: FakeDagster) -> None:
    dagster.jobs = ()


def _refused(dagster: FakeDagster) -> None:
    dagster.answers["launchRun"] = {"__typename": "PythonError", "message": "Traceback: secret"}


def _broken(dagster: FakeDagster) -> None:
    dagster.status = 500


def _something_else(dagster: FakeDagster) -> None:
    dagster.body = b"<html>secret</html>"


def _errors_only(dagster: FakeDagster) -> None:
    dagster.body = json.dumps({"data": None, "errors": [{"message": "secret"}]}).encode()


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (_not_loaded, 503, "Dagster has not loaded its code"),
        (_no_job, 503, "Dagster knows no job market_tick"),
        (_refused, 502, "Dagster did not start market_tick (PythonError)"),
        (_broken, 503, "Dagster's webserver does not answer: start it"),
        (_something_else, 503, "does not answer as its webserver does"),
        (_errors_only, 503, "does not answer as its webserver does"),
    ],
)
def test_what_goes_wrong_is_said_without_internals(
    service: TestClient, dagster: FakeDagster, fault: Callable[[FakeDagster], None], status: int, said: str
) -> None:
    fault(dagster)
    answer = service.post("/jobs/token-data")

    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_webserver_that_is_away_is_to_be_started(start_service: StartService) -> None:
    answer = start_service(dagster_url=f"http://127.0.0.1:{free_port()}").post("/jobs/cleanup")

    assert answer.status_code == 503
    assert "start it (`metapulse up`)" in answer.json()["detail"]


def test_production_has_no_such_pages(
    start_service: StartService, dagster: FakeDagster, make_token: Callable[..., str]
) -> None:
    service = start_service(environment="production", dagster_url=dagster.url)
    for page in PAGES:
        assert service.post(f"/jobs/{page}", headers=bearer(make_token())).status_code == 404
        assert service.post(f"/jobs/{page}").status_code == 404
        assert f"/jobs/{page}" not in service.get("/openapi.json", headers=bearer(make_token())).json().get("paths", {})
    assert dagster.launched == []


def test_development_describes_them(service: TestClient) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    assert all("409" in paths[f"/jobs/{page}"]["post"]["responses"] for page in PAGES)


def test_a_password_in_the_webservers_address_is_shown_to_nobody(start_service: StartService, dagster: FakeDagster) -> None:
    service = start_service(dagster_url=dagster.url.replace("//", "//user:planted-secret@"))
    for _ in range(2):
        answer = service.post("/jobs/cleanup")
        assert answer.json()["page"] == f"{dagster.url}/runs/run-1"
        assert "planted-secret" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("url", ["nonsense", "http://[", "http://127.0.0.1:99999", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(SettingsError, match="METAPULSE_DAGSTER_URL: it is not the address of a page"):
        load_settings(dagster_url=url)


@pytest.mark.slow
def test_a_real_webserver_queues_the_run(
    start_service: StartService, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the webserver is started: the run is queued, and stays so."""
    monkeypatch.setattr(probes, "PROBE_SECONDS", 30.0)
    shutil.copy(project_root() / "dagster.yaml", tmp_path)
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "DAGSTER_HOME": str(tmp_path),
        "METAPULSE_HOME": str(tmp_path / "home"),
        "METAPULSE_COMPUTE_LOGS": str(tmp_path / "compute_logs"),
        "METAPULSE_MODE": "sandbox",
        "DATABASE_URL": database_url,
    }
    program = str(Path(sysconfig.get_path("scripts")) / "dagster-webserver")
    command = [program, "-h", "127.0.0.1", "-p", str(port), "-w", str(project_root() / "workspace.yaml")]
    with (tmp_path / "log").open("wb") as log:
        webserver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        page = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(webserver, page, tmp_path / "log")
        service = start_service(dagster_url=page)

        answer = service.post("/jobs/token-data")
        assert answer.status_code == 202, answer.text + (tmp_path / "log").read_text()[-3_000:]
        run = _run(page, answer.json()["run_id"])
        assert run["pipelineName"] == "market_tick"
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert tags["dagster/partition"] == datetime.now(UTC).date().isoformat()
        assert tags["metapulse/launched_by"] == "service"
        assert tags["dagster/max_runtime"] == "540", "the job's own tags"
        assert run["status"] == "QUEUED"

        again = service.post("/jobs/token-data")
        assert (again.status_code, again.json()["run_id"]) == (409, answer.json()["run_id"])
        assert service.post("/jobs/cleanup").status_code == 202

        health = service.get("/health/ready").json()
        assert [row["service"] for row in health["lacking"]] == ["daemon"], health
    finally:
        webserver.terminate()
        webserver.wait(240)
        _drop_dagsters_database(database_url)


def _drop_dagsters_database(database_url: str) -> None:
    name = urlsplit(database_url).path.removeprefix("/") + "_dagster"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def _wait_until_it_answers(webserver: "subprocess.Popen[bytes]", page: str, log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{page}/server_info", timeout=60, trust_env=False).is_success:
                return
        except httpx2.HTTPError:
            time.sleep(0.2)
        assert webserver.poll() is None, log.read_text()
    raise AssertionError(log.read_text())


def _run(page: str, run_id: str) -> dict[str, Any]:
    query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { pipelineName status tags { key value } } } }"
    answer = httpx2.post(f"{page}/graphql", json={"query": query, "variables": {"id": run_id}}, timeout=60, trust_env=False)
    run: dict[str, Any] = answer.json()["data"]["runOrError"]
    return run
