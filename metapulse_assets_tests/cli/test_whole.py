"""The program as people use it: processes of its own, a home of its own, free ports."""

import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
import psutil
import psycopg
import pytest

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.settings import project_root

pytestmark = pytest.mark.slow
# Far above what anything here takes.
PATIENCE_SECONDS = 300.0
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
METAPULSE = (sys.executable, "-c", "from metapulse_assets.cli import main; main()")


QUERY = """{ schedulesOrError(repositorySelector: {repositoryLocationName: "metapulse", repositoryName: "__repository__"})
  { ... on Schedules { results { scheduleState { status } } } } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a machine of its own: a small market, a home, ports, an instance of Dagster."""
    folder = tmp_path_factory.mktemp("machine")
    shutil.copy(project_root() / "dagster.yaml", folder)
    yield {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "METAPULSE_MODE": "sandbox",
        "DAGSTER_HOME": str(folder),
        "METAPULSE_HOME": str(folder / "home"),
        "METAPULSE_COMPUTE_LOGS": str(folder / "home" / "compute_logs"),
        "METAPULSE_SANDBOX_PORT": str(free_port()),
        **{name: str(free_port()) for name in ("METAPULSE_WEBSERVER_PORT", "PORT", "METRICS_PORT", "HEALTH_PORT")},
        "METAPULSE_MAX_TRACKED_TOKENS": "10",
    }
    embedded_postgres.stop(folder / "home")
    embedded_postgres.remove(folder / "home")


def metapulse(machine: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*METAPULSE, *arguments], env=machine, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def processes_of(machine: dict[str, str]) -> list[list[str]]:
    """Command lines of living processes that were started on this machine's home."""
    server = str(embedded_postgres.locate(Path(machine["METAPULSE_HOME"])).data)
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            home = process.environ().get("METAPULSE_HOME")
            if process.status() != psutil.STATUS_ZOMBIE and (home == machine["METAPULSE_HOME"] or server in line):
                found.append(line)
        except psutil.Error:
            continue
    return found


def test_run_goes_from_nothing_to_signals(machine: dict[str, str]) -> None:
    done = metapulse(machine, "run")

    assert done.returncode == 0, done.stderr
    assert "mode sandbox: simulated market, no key, no internet" in done.stderr.splitlines()[0]
    assert done.stdout.startswith("Open signals (sandbox: simulated, not for trading)")
    assert "stored: 10 tracked tokens" in done.stderr
    charts = [Path(line.removeprefix("chart: ")) for line in done.stderr.splitlines() if line.startswith("chart: ")]
    assert charts
    assert all(chart.read_bytes().startswith(b"\x89PNG") for chart in charts)
    assert processes_of(machine) == []

    listed = metapulse(machine, "signals", "--json")
    found = json.loads(listed.stdout)
    assert found
    assert {signal["mode"] for signal in found} == {"sandbox"}
    assert "technical" in {signal["kind"] for signal in found}
    assert processes_of(machine) == []

    # Which of so few tokens the models have a view of depends on the hour.
    [chosen, *_] = sorted(found, key=lambda signal: signal["kind"] != "ai")
    explained = metapulse(machine, "explain", chosen["signal_id"][:12])
    assert explained.returncode == 0, explained.stderr
    assert "made again at its time: equal" in explained.stdout
    assert "sha256" in explained.stdout
    assert "the chain holds" in explained.stderr
    assert metapulse(machine, "explain", "no-such-signal").returncode == 2


RECORDED = "timestamp,open,high,low,close,volume\n"


def test_a_replay_of_recorded_days_comes_out_equal(machine: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "recorded" / "ohlcv_binance_1h"
    folder.mkdir(parents=True)
    start, price, lines = datetime(2023, 3, 25), 100.0, []
    luck = random.Random(7)
    for hour in range(40 * 24):
        before, price = price, price * (1 + luck.gauss(0, 0.01))
        high, low = max(before, price) * 1.002, min(before, price) / 1.002
        lines.append(f"{start + timedelta(hours=hour):%Y-%m-%d %H:%M:%S},{before},{high},{low},{price},1000")
    (folder / "SOLUSDT_1h.csv.gz").write_bytes(gzip.compress((RECORDED + "\n".join(lines)).encode()))
    days = ("--from", "2023-05-01", "--to", "2023-05-02")
    options = ("--candles", "ohlcv_binance_1h", "--name", "test", "--again")
    done = metapulse(machine, "replay", str(folder.parent), *days, *options)

    assert done.returncode == 0, done.stderr
    assert "candles: 888 new, of 1 tokens (SOL)" in done.stderr
    page = Path(machine["METAPULSE_HOME"]) / "replays" / "test" / "report.md"
    told = page.read_text()
    assert "every table came out equal" in told
    assert "| SOL | Solana |" in told
    assert processes_of(machine) == []
    absent = metapulse(machine, "replay", str(folder.parent), *days, "--candles", "nowhere")
    assert absent.returncode == 2
    assert "no candle files" in absent.stderr


def survives_the_daemons_death(machine: dict[str, str]) -> None:
    """The daemon is killed in the middle of a tick that it started: the tick ends all the same, and so does the next."""
    page, service = (f"http://127.0.0.1:{machine[port]}" for port in ("METAPULSE_WEBSERVER_PORT", "PORT"))

    def status_of(run_id: str) -> str:
        query = f'{{ runOrError(runId: "{run_id}") {{ ... on Run {{ status }} }} }}'
        answer = httpx2.post(f"{page}/graphql", json={"query": query}, timeout=60).json()["data"]
        return str(answer["runOrError"]["status"])

    def launch() -> str:
        answer = httpx2.post(f"{service}/jobs/token-data", timeout=60)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    first = launch()
    wait_until(lambda: status_of(first) == "STARTED", "the tick does not begin")
    daemons = [process for process in psutil.process_iter() if is_daemon_of(machine, process)]
    assert daemons
    for process in daemons:
        process.kill()
    wait_until(lambda: status_of(first) in ENDED, "the tick whose daemon died does not end")
    assert status_of(first) == "SUCCESS"
    second = launch()
    wait_until(lambda: status_of(second) in ENDED, "nobody carries out the next tick")
    assert status_of(second) == "SUCCESS"
    url = embedded_postgres.locate(Path(machine["METAPULSE_HOME"])).url("metapulse_sandbox")
    with psycopg.connect(url) as connection:
        for table, key in (
            ("token_metrics", "token_id, observed_at"),
            ("candles", "token_id, timeframe, opened_at"),
            ("signals", "token_id, rule, timeframe, opened_at"),
        ):
            counts = f"SELECT count(*), count(DISTINCT ({key})) FROM {table}"
            [(rows, distinct)] = connection.execute(counts.encode()).fetchall()
            assert rows == distinct, f"{table}: {rows} rows, {distinct} distinct"


def is_daemon_of(machine: dict[str, str], process: psutil.Process) -> bool:
    try:
        is_ours = process.environ().get("METAPULSE_HOME") == machine["METAPULSE_HOME"]
        return is_ours and "dagster-daemon run" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def wait_until(condition: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.1)


def test_up_answers_and_leaves_nothing(machine: dict[str, str]) -> None:
    with Up(machine, "--no-first-run") as up:
        up.wait_for("MetaPulse is up")
        page = f"http://127.0.0.1:{machine['METAPULSE_WEBSERVER_PORT']}"
        answer = httpx2.post(f"{page}/graphql", json={"query": QUERY}, timeout=60).json()["data"]
        assert {schedule["scheduleState"]["status"] for schedule in answer["schedulesOrError"]["results"]} == {"RUNNING"}
        lines = [" ".join(line) for line in processes_of(machine)]
        for part in ("dagster-webserver", "dagster-daemon run", "main() stream", "main() worker", "main() service", "sandbox"):
            assert any(part in line for line in lines), (part, lines)
        for port in ("PORT", "METRICS_PORT", "HEALTH_PORT"):
            assert httpx2.get(f"http://127.0.0.1:{machine[port]}/health/live", timeout=60).is_success
        assert httpx2.get(f"http://127.0.0.1:{machine['PORT']}/workers", timeout=60).json()["count"] == 1
        report = "\n".join(up.said)
        assert "queues       none is registered: the worker waits" in report
        assert "GROQ_API_KEY not given, not used in mode sandbox" in report
        survives_the_daemons_death(machine)
        second = metapulse(machine, "up")
        assert second.returncode == 1
        assert "another `metapulse up` runs" in second.stderr
        assert metapulse(machine, "db", "stop").returncode == 1
        code = up.stop(signal.SIGINT)

    assert code == 0
    assert up.said[-1] == "stopped; no process is left"
    assert not [line for line in up.said if "still there" in line], up.said
    assert processes_of(machine) == []
    logs = Path(machine["METAPULSE_HOME"]) / "logs"
    for name, last in (("worker", "worker stopped"), ("service", "service stopped"), ("stream", "stream: stopped")):
        assert last in (logs / f"{name}.log").read_text()


def test_up_refuses_a_port_that_is_taken(machine: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(machine["METAPULSE_WEBSERVER_PORT"])))
        other.listen()
        refused = metapulse(machine, "up")

    assert refused.returncode == 1
    assert "METAPULSE_WEBSERVER_PORT" in refused.stderr
    assert processes_of(machine) == []


def test_ctrl_c_ends_a_run(machine: dict[str, str]) -> None:
    with Up(machine, command="run") as run:
        run.wait_for("Dagster: everything")
        code = run.stop(signal.SIGINT)

    assert code == 130
    assert processes_of(machine) == []


class Up:
    """A command that stays, and what it has said so far."""

    def __init__(self, machine: dict[str, str], *arguments: str, command: str = "up") -> None:
        self.said: list[str] = []
        # In a session of its own and with SIGINT ignored, as a script's shell starts what it puts into the background.
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *METAPULSE, command, *arguments],
            env=machine,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> "Up":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self.stop(signal.SIGTERM)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def wait_for(self, text: str) -> None:
        """Read until a line holds a text."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line.rstrip("\n"))
            if text in line:
                return
        raise AssertionError("\n".join(self.said))

    def stop(self, number: signal.Signals) -> int:
        """Send a signal; returns the exit code."""
        assert self._process.stderr is not None
        self._process.send_signal(number)
        self.said += self._process.stderr.read().splitlines()
        return self._process.wait(PATIENCE_SECONDS)
