"""Where a benchmark works: a home, a PostgreSQL and processes of its own, all of them gone afterwards."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.database import ensure_ready
from metapulse_assets.platform.settings import Settings, load_settings, project_root
from metapulse_assets.platform.vendor_settings import Mode

NO_COMPILED_FILES = "PYTHONDONTWRITEBYTECODE"
# What would steer the code under test from outside.
STEERING = (
    *(NO_COMPILED_FILES, "METAPULSE_", "DAGSTER_", "DEXSCREENER_", "GECKOTERMINAL_", "DATABASE_", "LOG_LEVEL"),
    *("TWITTER_", "GROQ_", "GEMINI_", "RUGCHECK_", "GOPLUS_", "PUMPPORTAL_"),
    *("TOKEN_DATA_", "SOCIAL_DATA_", "AI_ANALYSIS_", "SIGNAL_GENERATION_", "ENABLE_"),
)
# Above what any benchmark sends: the vendor's limits are not what is measured.
UNLIMITED = 1_000_000_000
# Nobody is let go, and no place is free for anybody: the number of tokens is what is measured.
SAME_TOKENS = {
    "METAPULSE_MIN_VOLUME_H24_USD": "0",
    "METAPULSE_MIN_LIQUIDITY_USD": "0",
    "METAPULSE_MAX_TRACKED_TOKENS": "1",
}
READY = "sandbox ready at "
STOP_SECONDS = 20.0


class BenchmarkError(Exception):
    """A process of a benchmark failed; the message ends with what it said last."""


@dataclass(frozen=True)
class StandIn:
    """A sandbox in a process of its own."""

    url: str
    process: psutil.Process

    def addresses(self) -> dict[str, str]:
        """The settings that point at it, by the names of the environment."""
        return {
            "DEXSCREENER_API_URL": f"{self.url}/dexscreener",
            "GECKOTERMINAL_API_URL": f"{self.url}/geckoterminal/api/v2",
            "DEXSCREENER_RATE_LIMIT": str(UNLIMITED),
            "DEXSCREENER_PAIRS_PER_MINUTE": str(UNLIMITED),
            "DEXSCREENER_PROFILES_PER_MINUTE": str(UNLIMITED),
            "GECKOTERMINAL_RATE_LIMIT": str(UNLIMITED),
            # Ticks follow each other at once here, and would wait for a minute that does not pass.
            "RUGCHECK_RATE_LIMIT": str(UNLIMITED),
            "GOPLUS_RATE_LIMIT": str(UNLIMITED),
            "TWITTER_API_URL": f"{self.url}/x",
            "GROQ_API_URL": f"{self.url}/groq",
            "GEMINI_API_URL": f"{self.url}/gemini",
            "RUGCHECK_API_URL": f"{self.url}/rugcheck",
            "GOPLUS_API_URL": f"{self.url}/goplus",
            "PUMPPORTAL_WS_URL": f"ws{self.url.removeprefix('http')}/pumpportal/api/data",
        }


@dataclass(frozen=True)
class Workplace:
    """A home with a running PostgreSQL."""

    home: Path

    @property
    def server(self) -> embedded_postgres.EmbeddedServer:
        """Its PostgreSQL."""
        return embedded_postgres.locate(self.home)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The libpq URL of a fresh migrated database of mode sandbox; it and its Dagster database are dropped after."""
        name = f"bench_{uuid.uuid4().hex[:8]}"
        url = self.server.url(name)
        ensure_ready(self.settings(url))
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}_dagster"')
        try:
            yield url
        finally:
            with psycopg.connect(self.server.url(), autocommit=True) as connection:
                for database in (name, f"{name}_dagster"):
                    connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def settings(self, database_url: str) -> Settings:
        """The settings of this process on one of its databases."""
        return load_settings(mode=Mode.SANDBOX, home=self.home, database_url=database_url)

    def environment(self, database_url: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a process that works on one of its databases, steered by nothing else."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
        if os.environ.get(NO_COMPILED_FILES):
            # Processes start from compiled modules, as those of an installed package do.
            own["PYTHONPYCACHEPREFIX"] = _compiled()
        name = urlsplit(database_url).path.lstrip("/")
        return {
            **own,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(project_root()), os.environ.get("PYTHONPATH", "")))),
            "METAPULSE_MODE": Mode.SANDBOX.value,
            "METAPULSE_HOME": str(self.home),
            "DATABASE_URL": database_url,
            "METAPULSE_DAGSTER_DATABASE_URL": self.server.url(f"{name}_dagster"),
            "LOG_LEVEL": "warning",
            **(more or {}),
        }

    def postgres_processes(self) -> list[psutil.Process]:
        """All processes of its PostgreSQL, the first one first."""
        first = psutil.Process(int((self.server.data / "postmaster.pid").read_text().split()[0]))
        return [first, *first.children(recursive=True)]

    def postgres_cpu_s(self) -> float:
        """Processor seconds that its PostgreSQL has used so far, ended connections included."""
        processes = self.postgres_processes()
        total = float(sum(processes[0].cpu_times()[2:4]))
        for process in processes:
            try:
                total += sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return total


@functools.cache
def _compiled() -> str:
    """A folder for compiled modules that all processes of this benchmark share, removed when it ends."""
    folder = tempfile.mkdtemp(prefix="metapulse-bench-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def workplace() -> Iterator[Workplace]:
    """A home under the temporary folder with a running PostgreSQL; both are removed after."""
    with tempfile.TemporaryDirectory(prefix="metapulse-bench-") as folder:
        home = Path(folder)
        embedded_postgres.ensure_running(home)
        try:
            yield Workplace(home)
        finally:
            embedded_postgres.stop(home)
            embedded_postgres.remove(home)


@contextmanager
def stand_in(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[StandIn]:
    """A sandbox started by `python -m` with these arguments, which must say where it listens; stopped after."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], env=dict(environment), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(READY):
            raise BenchmarkError(f"{' '.join(arguments)} did not start: {line.strip() or 'it said nothing'}")
        yield StandIn(line.removeprefix(READY).strip(), psutil.Process(process.pid))
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Ask a process to stop, and make sure that it does, with all its children."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, STOP_SECONDS / 4)
    for child in alive:
        child.kill()
    if process.stdout is not None:
        process.stdout.close()
