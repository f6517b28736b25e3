"""The pipeline as it runs in earnest: a Dagster daemon with a code server and the project's instance, a tick every minute."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import sqlalchemy as sa

from metapulse_assets.platform.database import create_engine, with_database
from metapulse_assets.platform.settings import project_root
from metapulse_assets_tests.benchmarks.prepared_market import prepare
from metapulse_assets_tests.benchmarks.rows import Bench
from metapulse_assets_tests.benchmarks.workplace import SAME_TOKENS, UNLIMITED, BenchmarkError, end, stand_in, workplace

EVERY_MINUTE = {"ENABLE_SCHEDULED_JOBS": "true", "TOKEN_DATA_INTERVAL": "60000", "SIGNAL_GENERATION_INTERVAL": "60000"}
# Between two looks at the database; one look is one row of a table of a dozen.
LOOK_SECONDS = 0.02
SCHEDULED_AT = ".dagster/scheduled_execution_time"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True)
class ScheduledRun:
    """One run, in epoch seconds: the schedule's moment, the run's row made, its work begun, its end."""

    run_id: str
    status: str
    scheduled: float
    created: float
    started: float
    ended: float


@dataclass(frozen=True)
class Scheduled:
    """A running daemon and what it works on."""

    engine: sa.Engine
    dagster_url: str
    home: Path
    process: "subprocess.Popen[str]"

    def signals_seen(self, bench: Bench, count: int) -> list[float]:
        """When the signals' progress mark changed, epoch seconds, for so many ticks from now on."""
        seen: list[float] = []
        last = self._mark()
        deadline = time.time() + 60 * (count + 3)
        while len(seen) < count:
            self._check(deadline)
            mark = self._mark()
            if mark != last:
                last = mark
                seen.append(time.time())
                bench.say(f"signals of scheduled tick {len(seen)} of {count} are there")
            time.sleep(LOOK_SECONDS)
        return seen

    def runs_ended(self, bench: Bench, count: int) -> list[ScheduledRun]:
        """The next runs that end successfully. Raises BenchmarkError if one fails."""
        known = {run.run_id for run in self.runs() if run.status in ENDED}
        deadline = time.time() + 60 * (count + 3)
        said = 0
        while True:
            self._check(deadline)
            new = [run for run in self.runs() if run.run_id not in known and run.status in ENDED]
            if any(run.status != "SUCCESS" for run in new):
                raise BenchmarkError(f"a scheduled run failed\n{self.log()}")
            if len(new) > said:
                said = len(new)
                bench.say(f"scheduled run {said} of {count} ended")
            if len(new) >= count:
                return new
            time.sleep(0.5)

    def succeeded(self, bench: Bench, jobs: Sequence[str], count: int) -> dict[str, list[str]]:
        """The ids of the runs that succeeded, by job, the oldest first, when each of the jobs has so many; others may fail."""
        deadline = time.time() + 60 * 3 * (count + 3)
        said: dict[str, int] = {}
        while True:
            self._check(deadline)
            with psycopg.connect(self.dagster_url) as connection:
                rows = connection.execute(
                    "SELECT pipeline_name, run_id FROM runs WHERE status = 'SUCCESS' ORDER BY id"
                ).fetchall()
            found = {job: [run_id for name, run_id in rows if name == job] for job in jobs}
            if (done := {job: len(ids) for job, ids in found.items()}) != said:
                said = done
                bench.say(", ".join(f"{job}: {number} of {count}" for job, number in done.items()))
            if min(done.values()) >= count:
                return found
            time.sleep(1)

    def runs(self) -> list[ScheduledRun]:
        """All runs so far, the oldest first."""
        with psycopg.connect(self.dagster_url) as connection:
            rows = connection.execute(
                "SELECT runs.run_id, status, run_tags.value, extract(epoch FROM create_timestamp), start_time, end_time"
                " FROM runs JOIN run_tags ON run_tags.run_id = runs.run_id AND run_tags.key = %s ORDER BY runs.id",
                (SCHEDULED_AT,),
            ).fetchall()
        return [
            ScheduledRun(run_id, status, datetime.fromisoformat(at).timestamp(), float(made), begun or 0.0, ended or 0.0)
            for run_id, status, at, made, begun, ended in rows
        ]

    def event_kilobytes(self) -> float:
        """The text of Dagster's events for a run that ended, kB, as it is handed to PostgreSQL."""
        with psycopg.connect(self.dagster_url) as connection:
            row = connection.execute(
                "SELECT avg(kb) FROM (SELECT sum(octet_length(event)) / 1000.0 AS kb FROM event_logs WHERE run_id IN"
                " (SELECT run_id FROM runs WHERE status = 'SUCCESS') GROUP BY run_id) AS each_run"
            ).fetchone()
        return float(row[0] or 0) if row else 0.0

    def log(self) -> str:
        """The end of what the daemon and its children said."""
        return (self.home / "daemon.log").read_text(errors="replace")[-4000:]

    def _mark(self) -> datetime | None:
        with self.engine.connect() as connection:
            return connection.execute(sa.text("SELECT through FROM progress_marks WHERE name = 'signals'")).scalar()

    def _check(self, deadline: float) -> None:
        if self.process.poll() is not None:
            raise BenchmarkError(f"the daemon ended with exit code {self.process.returncode}\n{self.log()}")
        if time.time() > deadline:
            raise BenchmarkError(f"the schedule did not bring what was waited for\n{self.log()}")


@contextmanager
def scheduled(bench: Bench, tokens: int, module: str, settings: Mapping[str, str] = EVERY_MINUTE) -> Iterator[Scheduled]:
    """A daemon on a prepared market of so many tokens that runs the jobs of a definitions module as the settings say."""
    with workplace() as place, place.database() as url:
        engine = create_engine(url, place.settings(url))
        bench.say(f"{tokens:,} tokens: making their past")
        prepare(engine, tokens, datetime.now(UTC))
        arguments = ["metapulse_assets.sandbox", "--tokens", str(tokens), "--port", "0"]
        for limit in ("dexscreener", "dexscreener-profiles", "geckoterminal"):
            arguments += ["--limit", f"{limit}={UNLIMITED}"]
        with stand_in(arguments, place.environment(url)) as sandbox:
            home = place.home / "dagster"
            home.mkdir()
            shutil.copy(project_root() / "dagster.yaml", home)
            (home / "workspace.yaml").write_text(json.dumps({"load_from": [{"python_module": {"module_name": module}}]}))
            own = {"DAGSTER_HOME": str(home), "METAPULSE_COMPUTE_LOGS": str(home / "logs")}
            more = {**sandbox.addresses(), **SAME_TOKENS, **own, **settings}
            with (home / "daemon.log").open("w") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "dagster._daemon", "run", "-w", str(home / "workspace.yaml")],
                    cwd=home,
                    env=place.environment(url, more),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            try:
                dagster_url = with_database(url, lambda name: f"{name}_dagster")
                _wait_for_storage(process, dagster_url, home)
                yield Scheduled(engine, dagster_url, home, process)
            finally:
                end(process)
        engine.dispose()


def _wait_for_storage(process: "subprocess.Popen[str]", url: str, home: Path) -> None:
    """Wait until the daemon has made its tables."""
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        try:
            with psycopg.connect(url) as connection:
                if connection.execute("SELECT to_regclass('run_tags'), to_regclass('job_ticks')").fetchone() != (None, None):
                    return
        except psycopg.OperationalError:
            pass
        time.sleep(0.5)
    raise BenchmarkError(f"the daemon did not start\n{(home / 'daemon.log').read_text(errors='replace')[-4000:]}")
