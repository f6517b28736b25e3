"""Starting, stopping and asking the sandbox itself: in a thread, as a process, with wrong settings."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import httpx2
import pytest

from metapulse_assets.sandbox.__main__ import main, parse_arguments
from metapulse_assets.sandbox.clock import SandboxClock
from metapulse_assets.sandbox.faults import ITEM_FAULTS, REQUEST_FAULTS
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, build_app, running
from metapulse_assets_tests.sandbox.conftest import now

COMMAND = [sys.executable, "-m", "metapulse_assets.sandbox"]


@contextmanager
def process(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the sandbox as a process; yields it and its URL once it has said that it is ready."""
    started = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        ready = re.fullmatch(r"sandbox ready at (http://127\.0\.0\.1:\d+)\n", line)
        assert ready, line
        yield started, ready[1]
    finally:
        started.kill()
        started.communicate()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_code_0(sent: signal.Signals) -> None:
    with process("--tokens", "5", "--fault", "slow=1", "--slow-seconds", "300") as (started, url):
        with httpx2.Client(timeout=httpx2.Timeout(60.0, read=2.0)) as client:
            assert client.get(f"{url}/sandbox/health").json()["status"] == "ok"
            with pytest.raises(httpx2.ReadTimeout):
                client.get(f"{url}/dexscreener/tokens/v1/solana/x")
            started.send_signal(sent)
            assert started.wait(timeout=60) == 0
        assert started.stderr is not None
        assert started.stderr.read() == ""


def test_a_cut_answer_is_no_complaint_of_the_process() -> None:
    with process("--tokens", "5", "--fault", "cut=1") as (started, url):
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(f"{url}/dexscreener/token-profiles/latest/v1")
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=60) == 0
        assert started.stderr is not None
        assert started.stderr.read() == ""


def test_a_wrong_setting_ends_the_process_with_code_2(tmp_path: Path) -> None:
    arguments = ["--data", str(tmp_path / "nowhere")]
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"sandbox: data: {tmp_path / 'nowhere'} is not a folder\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--limit twitter=3", "'twitter' is unknown"),
        ("--limit dexscreener", "NAME=N"),
        ("--fault quake=1", "'quake' is unknown; known are rate-limit"),
        ("--fault slow=7", "from 0 to 1"),
        ("--tokens 0", "tokens: 0"),
        ("--speed -1", "speed: -1.0"),
        ("--epoch yesterday", "yesterday"),
    ],
)
def test_wrong_arguments_are_named(arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(arguments.split())
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert complaint in capsys.readouterr().err


def test_the_help_names_limits_and_faults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in (*REQUEST_FAULTS, *ITEM_FAULTS, "dexscreener-profiles=60", "geckoterminal=30", "--slow-seconds"):
        assert name in text


def test_a_taken_port_is_named(sandbox: Sandbox) -> None:
    with (
        pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{sandbox.port}"),
        running(SandboxConfig(port=sandbox.port, tokens=1)),
    ):
        pass


def test_the_port_asked_for_is_used_and_given_back() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        with running(SandboxConfig(port=port, tokens=1)) as sandbox:
            assert sandbox.url == f"http://127.0.0.1:{port}"
            assert httpx2.get(f"{sandbox.url}/sandbox/health").status_code == 200


def test_health_and_market_tell_what_runs(sandbox: Sandbox, http: httpx2.Client) -> None:
    health = http.get(f"{sandbox.url}/sandbox/health").json()
    assert health["market"] == "simulation"
    assert health["vendors"]["dexscreener"] == sandbox.dexscreener_url
    assert sandbox.geckoterminal_url.startswith(health["vendors"]["geckoterminal"])
    assert abs(datetime.fromisoformat(health["time"]).timestamp() - now()) < 5
    market = http.get(f"{sandbox.url}/sandbox/market").json()
    assert market["kind"] == "simulation"
    assert market["tokens"] == 120
    assert sum(market["chains"].values()) == market["pools"] == sum(market["stages"].values())


def test_the_request_log_over_http(sandbox: Sandbox, http: httpx2.Client) -> None:
    http.get(f"{sandbox.dexscreener_url}/tokens/v1/solana/x")
    logged = http.get(f"{sandbox.url}/sandbox/requests").json()
    assert logged == sandbox.requests()
    assert [entry["path"] for entry in logged] == ["/dexscreener/tokens/v1/solana/x"]
    assert http.delete(f"{sandbox.url}/sandbox/requests").json() == []
    assert sandbox.requests() == []


def test_latency_is_added_to_every_answer() -> None:
    with (
        running(SandboxConfig(tokens=1, latency_seconds=0.3)) as sandbox,
        httpx2.Client(timeout=httpx2.Timeout(60.0, read=0.1)) as client,
    ):
        with pytest.raises(httpx2.ReadTimeout):
            client.get(f"{sandbox.dexscreener_url}/tokens/v1/solana/x")
        assert client.get(f"{sandbox.dexscreener_url}/tokens/v1/solana/x", timeout=10).status_code == 200


def test_the_clock_runs_at_its_speed() -> None:
    wall = [1000.0]
    clock = SandboxClock(60.0, lambda: wall[0])
    assert clock.now() == 1000.0
    wall[0] += 5
    assert clock.now() == 1300.0
    assert SandboxClock(1.0, lambda: wall[0]).now() == wall[0]
    still = SandboxClock(0.0, lambda: wall[0])
    wall[0] += 100
    assert still.now() == 1005.0
    for speed in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="speed"):
            SandboxClock(speed)


def test_a_faster_market_moves_on() -> None:
    with running(SandboxConfig(tokens=5, speed=20_000.0)) as sandbox, httpx2.Client() as client:
        url = f"{sandbox.url}/sandbox/health"
        first, second = (datetime.fromisoformat(client.get(url).json()["time"]) for _ in range(2))
        assert second > first
        path = f"{sandbox.geckoterminal_url}/networks/solana/trending_pools"
        assert client.get(path).json()["data"] != client.get(path).json()["data"]


def test_negative_waits_are_refused() -> None:
    with pytest.raises(ValueError, match="latency_seconds: -1"):
        build_app(SandboxConfig(latency_seconds=-1))
    with pytest.raises(ValueError, match="slow_seconds: nan"):
        build_app(SandboxConfig(slow_seconds=float("nan")))


def test_every_argument_reaches_the_configuration(tmp_path: Path) -> None:
    text = (
        f"--host 127.0.0.2 --port 81 --data {tmp_path} --epoch 2026-02-03 --speed 2 --tokens 7 --seed 3 --fault slow=1"
        " --fault cut=0.5 --limit dexscreener=9 --latency 0.1 --slow-seconds 4"
    )
    assert parse_arguments(text.split()) == SandboxConfig(
        host="127.0.0.2",
        port=81,
        data=tmp_path,
        epoch=date(2026, 2, 3),
        speed=2.0,
        tokens=7,
        seed=3,
        faults={"slow": 1.0, "cut": 0.5},
        limits={"dexscreener": 9},
        latency_seconds=0.1,
        slow_seconds=4.0,
    )
    assert parse_arguments([]) == SandboxConfig()
