"""A secret planted in every setting that holds one, and in the database's password: it must turn up nowhere."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from starlette.testclient import TestClient

from metapulse_assets.operations import queue_history, watching
from metapulse_assets.platform.json_logs import JsonFormatter, known_secrets
from metapulse_assets.platform.raw_payloads import load_payload
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings, get_settings, variables_of
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets.service.app import create_app
from metapulse_assets.social.post_assets import social_posts
from metapulse_assets_tests.market.stream_feed import feeding
from metapulse_assets_tests.market.stream_frames import create, raw
from metapulse_assets_tests.pipeline import leaking_jobs
from metapulse_assets_tests.pipeline.test_kill_database import wait_until
from metapulse_assets_tests.platform.queue_running import change, fetch
from metapulse_assets_tests.platform.stub_vendor import Reply, serving

METAPULSE = (sys.executable, "-c", "from metapulse_assets.cli import main; main()")
PLANTED = "planted-7f3a9c"
URLS = {"database_url", "database_replica_url", "dagster_database_url", "redis_url"}
SECRETS = [
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in (SecretStr, SecretStr | None) and name not in URLS
]


def with_password(url: str, name: str = "database") -> str:
    """The test database's URL with a password, which it does not ask for."""
    return url.replace("postgres@", f"postgres:{PLANTED}-{name}@", 1)


def planted(database_url: str) -> dict[str, str]:
    """Every setting that holds a secret, by field name."""
    assert with_password(database_url) != database_url
    return {
        **{name: f"{PLANTED}-{name}" for name in SECRETS},
        "database_url": with_password(database_url),
        "redis_url": f"redis://u:{PLANTED}-redis@127.0.0.1:1/0",
    }


def leaks(engine: sa.Engine) -> list[str]:
    """Tables of which some row holds something planted, and answers of vendors that do."""
    tables = fetch(
        engine,
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables "
        "WHERE table_schema IN ('public', 'pgqueuer') AND table_type = 'BASE TABLE'",
    )
    assert len(tables) > 40
    found = [name for (name,) in tables if fetch(engine, f"SELECT 1 FROM {name} AS t WHERE t::text LIKE '%{PLANTED}%' LIMIT 1")]
    stored = fetch(engine, "SELECT vendor, payload_id FROM raw_payloads")
    with engine.connect() as connection:
        return found + [
            f"body of {vendor}" for vendor, payload_id in stored if PLANTED.encode() in load_payload(connection, payload_id)
        ]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the loggers say, as the handlers of a run write it."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))

    keeper = Keeper()
    logging.getLogger().addHandler(keeper)
    logging.getLogger("metapulse").setLevel(logging.DEBUG)
    yield lines
    logging.getLogger().removeHandler(keeper)
    logging.getLogger("metapulse").setLevel(logging.NOTSET)


@pytest.fixture
def live(
    engine: sa.Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Platform]]:
    """A live platform with everything planted, also in the environment; its vendors are at one URL."""
    change(engine, "UPDATE database_identity SET mode = 'live'")
    for name, value in planted(database_url).items():
        monkeypatch.setenv(variables_of(name)[0], value)
    monkeypatch.setenv("METAPULSE_MODE", "live")
    monkeypatch.setenv("METAPULSE_HOME", str(tmp_path / "home"))

    def make(url: str) -> Platform:
        for name in ("TWITTER", "GROQ", "GEMINI", "DEXSCREENER", "GECKOTERMINAL"):
            monkeypatch.setenv(f"{name}_API_URL", url)
        monkeypatch.setenv("METAPULSE_X_WATCHED_ACCOUNTS", "somebody")
        monkeypatch.setenv("METAPULSE_VENDOR_BACKOFF_SECONDS", "0.01")
        get_settings.cache_clear()
        known_secrets.cache_clear()
        return Platform(get_settings())

    yield make
    monkeypatch.undo()
    get_settings.cache_clear()
    known_secrets.cache_clear()


def test_every_secret_has_a_setting_here() -> None:
    assert len(SECRETS) >= 10
    assert set(Settings.model_fields) >= URLS


def test_a_vendor_that_refuses_and_repeats_our_key_makes_it_known_to_nobody(
    live: Callable[[str], Platform], engine: sa.Engine, said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(Reply(status=401, body=b'{"title": "Unauthorized", "detail": "', echo_headers=True)) as vendor:
        platform = live(vendor.url)
        assert len(platform.settings.secrets()) > len(SECRETS)
        day = platform.now().date().isoformat()
        result = dg.materialize([social_posts], partition_key=day, resources={"platform": platform}, raise_on_error=False)
        assert any(PLANTED in value for arrival in vendor.arrivals for value in arrival.headers.values())
    told = [str(event) for event in result.all_events] + said + list(capfd.readouterr())
    assert not [line for line in told if PLANTED in line]
    assert leaks(engine) == []


def test_pages_show_none_whatever_fails(
    live: Callable[[str], Platform], engine: sa.Engine, said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    platform = live("http://127.0.0.1:1")
    pages = ("/health", "/health/summary", "/health/ready", "/metrics", "/signals", "/tokens", "/jobs", "/dlq", "/workers")

    def look(platform: Platform) -> list[str]:
        app, page = create_app(platform), "http://127.0.0.1:3001"
        with TestClient(app, page, raise_server_exceptions=False, client=("127.0.0.1", 5)) as it:
            answers = [it.get(page, headers={"Authorization": f"Bearer {PLANTED}-guess"}) for page in (*pages, "/openapi.json")]
            answers += [it.get(page) for page in pages]
            answers.append(it.post("/jobs", json={"type": "t-leak", "data": {}}))
        return [f"{answer.status_code} {answer.text} {dict(answer.headers)}" for answer in answers]

    told = look(platform)
    nowhere = platform.settings.model_copy(
        update={"database_url": SecretStr(f"postgresql://u:{PLANTED}-database@127.0.0.1:1/x")}
    )
    told += look(Platform(nowhere))
    assert any(line.startswith("503") for line in told)
    told += said + list(capfd.readouterr())
    assert not [line for line in told if PLANTED in line]
    assert leaks(engine) == []


@pytest.mark.slow
def test_processes_tell_none_whatever_fails(engine: sa.Engine, database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "all.log"
    nowhere = f"postgresql://u:{PLANTED}-database@127.0.0.1:1/x"
    frames = [raw(create(number)) for number in range(20)]
    with feeding(frames) as feed, feeding(frames) as other_feed:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "METAPULSE_RECORDINGS"},
            **{variables_of(name)[0]: value for name, value in planted(database_url).items()},
            "METAPULSE_MODE": "sandbox",
            "METAPULSE_HOME": str(tmp_path / "home"),
            "METAPULSE_JOB_MODULES": leaking_jobs.NAME,
            "METAPULSE_SANDBOX_PORT": "1",
            "PUMPPORTAL_WS_URL": f"{feed.url}?api-key={PLANTED}-query",
            "LOG_LEVEL": "debug",
        }

        def start(*arguments: str, **more: str) -> "subprocess.Popen[bytes]":
            with log.open("ab") as output:
                return subprocess.Popen([*METAPULSE, *arguments], env={**environment, **more}, stdout=output, stderr=output)

        with engine.begin() as connection:
            enqueue_many(connection, [NewJob("t-leak", {}) for _ in range(3)])
        staying = [start("worker", "--processes", "1"), start("stream", "--no-report")]
        ending = [
            start("doctor", DATABASE_URL=nowhere),
            start("worker", "--processes", "0", DATABASE_URL=nowhere),
        ]
        of_other = {"METAPULSE_HOME": str(tmp_path / "other"), "PUMPPORTAL_WS_URL": f"{other_feed.url}?api-key={PLANTED}-query"}
        away = start("stream", "--no-report", DATABASE_URL=nowhere, **of_other)
        try:
            wait_until(lambda: fetch(engine, "SELECT count(*) FROM failed_jobs") == [(3,)], log.read_text)
            ending.append(start("doctor"))
            wait_until(lambda: fetch(engine, "SELECT count(*) FROM token_launches") == [(20,)], log.read_text)
            wait_until(lambda: "frames are kept on disk" in log.read_text(), log.read_text)
            assert [process.wait(120) for process in ending] == [1, 1, 1]
            for process in (*staying, away):
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0, log.read_text()
        finally:
            for process in (*staying, *ending, away):
                process.kill()
    told = log.read_text()
    assert "failed for good after attempt 2" in told
    assert [line for line in told.splitlines() if PLANTED in line] == []
    # What goes on from there: the history of jobs, statistics, alarms.
    platform = Platform(load_planted(database_url, tmp_path))
    queue_history.copy_attempts(engine, platform.now().replace(year=2000))
    watching.measure_queues(platform)
    watching.measure(platform)
    watching.raise_alarms(platform, None)
    assert fetch(engine, "SELECT count(*) FROM job_logs WHERE status = 'failure'") == [(6,)]
    assert leaks(engine) == []


def load_planted(database_url: str, folder: Path) -> Settings:
    """Settings of the sandbox with everything planted."""
    from metapulse_assets.platform.settings import load_settings

    return load_settings(mode=Mode.SANDBOX, home=folder / "home", job_modules=leaking_jobs.NAME, **planted(database_url))
