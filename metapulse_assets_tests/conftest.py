"""Fixtures that every room of the suite may use: a database of one's own, settings, recordings, a sandbox.

One embedded PostgreSQL serves the whole session, all workers of pytest-xdist included; each test gets a database cloned from a
migrated template, which takes a few hundredths of a second.
"""

import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.database import claim, create_engine, upgrade
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings, load_settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running

TEMPLATE = "metapulse_test_template"
SESSION_HOME = "METAPULSE_TEST_SESSION_HOME"
# What would steer the code under test from outside.
_STEERING = (
    *("METAPULSE_", "DEXSCREENER_", "GECKOTERMINAL_", "TWITTER_", "GROQ_", "GEMINI_", "RUGCHECK_", "GOPLUS_", "PUMPPORTAL_"),
    *("DATABASE_", "TOKEN_DATA_", "SOCIAL_DATA_", "AI_ANALYSIS_", "SIGNAL_GENERATION_", "LOG_LEVEL"),
)
# What keeps data through a crash of the machine costs half of the time that it takes to clone a database.
_NOT_NEEDED_HERE = ("fsync", "full_page_writes", "synchronous_commit")
# Rooms whose tests run whole ticks.
_LONG = {"pipeline", "benchmarks"}
_KEPT = {"METAPULSE_RECORDINGS", SESSION_HOME}

# How long an example takes on a busy machine says nothing about the code. Where a change is judged (`CI`), the same examples
# are drawn each time; elsewhere new ones.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Give all workers one home for the embedded server; the settings of the machine's owner steer no test."""
    for name in list(os.environ):
        if name.startswith(_STEERING) and name not in _KEPT:
            del os.environ[name]
    Settings.model_config["env_file"] = None
    # Whoever was put into the background by a script ignores Ctrl-C, and so would all processes that the tests start and stop.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if SESSION_HOME not in os.environ:
        home = Path(os.environ.get("TMPDIR", "/tmp")) / f"metapulse-tests-{uuid.uuid4().hex[:8]}"  # noqa: S108
        os.environ[SESSION_HOME] = str(home)
    os.environ["METAPULSE_HOME"] = os.environ[SESSION_HOME]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the long tests out to the workers of pytest-xdist, each before its share of the short ones.

    `--dist worksteal` hands out equal runs of the list; left to the end, one long test would keep all but one worker waiting.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    is_long = {item: item.get_closest_marker("slow") is not None or _LONG & set(item.path.parts) != set() for item in items}
    long, short = [item for item in items if is_long[item]], [item for item in items if not is_long[item]]
    dealt: list[pytest.Item] = []
    for worker in range(workers):
        share = long[worker::workers]
        room = (len(items) - len(dealt)) // (workers - worker) - len(share)
        dealt += share + short[:room]
        short = short[room:]
    items[:] = dealt


def pytest_unconfigure(config: pytest.Config) -> None:
    """The controller stops the server that its workers shared."""
    if not hasattr(config, "workerinput"):
        home = Path(os.environ[SESSION_HOME])
        if home.exists():
            embedded_postgres.stop(home)
            embedded_postgres.remove(home)
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded market data and vendor payloads; tests that need it skip where it is absent."""
    folder = os.environ.get("METAPULSE_RECORDINGS")
    if not folder:
        pytest.skip("METAPULSE_RECORDINGS is not set: no recorded data on this machine")
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        pytest.fail(f"METAPULSE_RECORDINGS={folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def server_home() -> Path:
    """The home of the session's running PostgreSQL."""
    home = Path(os.environ[SESSION_HOME])
    embedded_postgres.ensure_running(home)
    with psycopg.connect(embedded_postgres.locate(home).url(), autocommit=True) as connection:
        for safety in _NOT_NEEDED_HERE:
            connection.execute(f"ALTER SYSTEM SET {safety} = off")
        connection.execute("SELECT pg_reload_conf()")
    return home


@pytest.fixture(scope="session")
def template_database(server_home: Path) -> str:
    """Name of a migrated database to clone, made once by whichever worker comes first."""
    server = embedded_postgres.locate(server_home)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(77)")
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
        if not known:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
            upgrade(server.url(TEMPLATE))
            claim(server.url(TEMPLATE), Mode.SANDBOX)
        connection.execute("SELECT pg_advisory_unlock(77)")
    return TEMPLATE


@pytest.fixture
def database_url(server_home: Path, template_database: str) -> Iterator[str]:
    """libpq URL of a fresh migrated database of mode sandbox, dropped after the test."""
    server = embedded_postgres.locate(server_home)
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        # Copying files is twice as fast here as writing the copy to the log.
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
        yield server.url(name)
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a fresh migrated database."""
    engine = create_engine(database_url, load_settings())
    yield engine
    engine.dispose()


@pytest.fixture
def make_settings(database_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings on the test's database, quick to give up, with overrides by field name."""

    def make(**overrides: object) -> Settings:
        defaults: dict[str, object] = {
            "mode": Mode.SANDBOX,
            "home": tmp_path / "home",
            "database_url": database_url,
            "vendor_backoff_seconds": 0.01,
            "vendor_timeout_seconds": 5.0,
        }
        return load_settings(**{**defaults, **overrides})

    return make


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox on a free port with its own simulated market and generous limits."""
    limits = dict.fromkeys(("dexscreener", "dexscreener-profiles", "geckoterminal"), 100_000)
    with running(SandboxConfig(limits=limits)) as it:
        yield it


@pytest.fixture
def platform(make_settings: Callable[..., Settings], sandbox: Sandbox) -> Platform:
    """A platform on a fresh database whose vendors are answered by a sandbox."""
    return Platform(
        make_settings(
            dexscreener_api_url=sandbox.dexscreener_url,
            geckoterminal_api_url=sandbox.geckoterminal_url,
            dexscreener_rate_limit=10_000,
            dexscreener_pairs_per_minute=100_000,
            dexscreener_profiles_per_minute=100_000,
            geckoterminal_rate_limit=100_000,
        )
    )


class FixedClock:
    """A clock that stands until it is moved."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def noon() -> FixedClock:
    """A clock standing a few seconds after noon of a plain day."""
    return FixedClock(datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC))
