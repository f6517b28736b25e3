"""The stream as a process of its own: killed under load, without its database, stopped. Nothing lost, nothing doubled."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from metapulse_assets.market.stream.spool import SUFFIX, frames_of
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.sandbox.server import SandboxConfig, running
from metapulse_assets.vendors.pumpportal import QUOTE_MINTS, Launch, read_frame
from metapulse_assets_tests.market.stream_feed import Action, Feed, Gate, Read, Wait, feeding
from metapulse_assets_tests.market.stream_frames import create, raw, signature
from metapulse_assets_tests.market.stream_running import column, count, run_until
from metapulse_assets_tests.pipeline.database_proxy import DatabaseProxy

# Far above what anything here takes: only a stream that hangs gets so far.
PATIENCE_SECONDS = 150.0
PROGRAM = "from metapulse_assets.cli import main; main()"


class Stream:
    """Starts `metapulse stream` on a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.log = folder / "home", folder / "stream.log"
        self.spool = self.home / "stream" / "metapulse_sandbox"

    @contextmanager
    def started(self, feed: Feed, url: str) -> Iterator["subprocess.Popen[bytes]"]:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "METAPULSE_MODE": "sandbox",
            "METAPULSE_HOME": str(self.home),
            "PUMPPORTAL_WS_URL": feed.url,
            "METAPULSE_STREAM_RECONNECT_SECONDS": "0.05",
        }
        # With recordings the database, and with it the spool, has another name.
        environment.pop("METAPULSE_RECORDINGS", None)
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", PROGRAM, "stream", "--no-report"]
            process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def spooled(self) -> list[str]:
        """Signatures of the launches that wait on disk."""
        segments = [frames_of(path.read_bytes()) for path in sorted(self.spool.glob(f"*{SUFFIX}"))]
        events = [read_frame(frame.raw) for frames in segments for frame in frames if b"create" in frame.raw]
        return [event.signature for event in events if isinstance(event, Launch)]


@contextmanager
def closable(database_url: str) -> Iterator[DatabaseProxy]:
    """A way to the database that can be closed; its folder's name is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder, DatabaseProxy(database_url, Path(folder)).running() as proxy:
        yield proxy


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(tmp_path)


def wait_until(is_so: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


def paced(numbers: Sequence[int]) -> list[Action]:
    """Launches, some thousand a second; never more than some hundred on the line, however slow the reader."""
    script: list[Action] = []
    for number in numbers:
        script.append(raw(create(number)))
        if number % 20 == 0:
            script.append(Wait(0.005))
        if number % 200 == 0:
            script.append(Read())
    return script


def signatures(numbers: Sequence[int]) -> list[str]:
    return sorted(signature(number) for number in numbers)


@pytest.mark.slow
def test_a_process_killed_under_load_loses_and_doubles_nothing_that_had_arrived(
    stream: Stream, engine: sa.Engine, database_url: str
) -> None:
    kills = 3
    arrived: set[str] = set()
    with feeding(paced(range(12_000))) as feed:
        for kill in range(1, kills + 1):
            wanted = kill * 2_500
            with stream.started(feed, database_url) as process:
                wait_until(lambda wanted=wanted: feed.told > wanted, stream.said)  # type: ignore[misc]
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
            in_tables = {str(value) for value in column(engine, "token_launches", "signature")}
            arrived |= in_tables | set(stream.spooled())
        with stream.started(feed, database_url) as process:
            wait_until(lambda: feed.is_over and signature(11_999) in column(engine, "token_launches", "signature"), stream.said)
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0
    stored = [str(value) for value in column(engine, "token_launches", "signature")]
    assert len(stored) == len(set(stored))
    assert arrived <= set(stored)
    # Only what was on the line at the moments of the kills is not there.
    assert len(stored) > 12_000 - kills * 1_500
    assert stream.spooled() == []
    with engine.connect() as connection:
        doubled = "SELECT count(*) - count(DISTINCT sha256) FROM raw_payloads"
        assert connection.execute(sa.text(doubled)).scalar_one() == 0


@pytest.mark.slow
def test_frames_wait_on_disk_while_the_database_is_away_and_survive_a_kill_meanwhile(
    stream: Stream, engine: sa.Engine, database_url: str
) -> None:
    frames = list(range(9_000))
    away, killed = Gate(), Gate()
    script = [*paced(frames[:3_000]), away, *paced(frames[3_000:6_000]), killed, *paced(frames[6_000:])]
    with closable(database_url) as proxy, feeding(script) as feed:
        with stream.started(feed, proxy.url) as process:
            wait_until(lambda: count(engine, "token_launches") > 1_000, stream.said)
            proxy.close()
            away.open()
            last = signature(5_999)
            wait_until(lambda: feed.told == script.index(killed) and last in stream.spooled(), stream.said)
            before_kill = {str(value) for value in column(engine, "token_launches", "signature")} | set(stream.spooled())
            assert before_kill >= set(signatures(frames[:6_000])), "all that was sent had arrived"
            process.kill()
            process.wait()
        # Started again while the database is still away.
        killed.open()
        with stream.started(feed, proxy.url) as process:
            wait_until(lambda: feed.is_over and signature(8_999) in stream.spooled(), stream.said)
            proxy.open()
            wait_until(lambda: count(engine, "token_launches") >= 9_000, stream.said)
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0
    assert column(engine, "token_launches", "signature") == signatures(frames)
    assert stream.spooled() == []
    said = stream.said()
    assert "frames are kept on disk until it" in said
    assert "database: back" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_stop_is_exit_code_0_and_leaves_on_disk_what_the_database_does_not_take(
    stream: Stream, engine: sa.Engine, database_url: str
) -> None:
    away = Gate()
    script = [*paced(range(500)), away, *paced(range(500, 1_000))]
    with closable(database_url) as proxy, feeding(script) as feed, stream.started(feed, proxy.url) as process:
        wait_until(lambda: count(engine, "token_launches") >= 300, stream.said)
        proxy.close()
        away.open()
        wait_until(lambda: feed.is_over and signature(999) in stream.spooled(), stream.said)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    stored = {str(value) for value in column(engine, "token_launches", "signature")}
    assert stored | set(stream.spooled()) == set(signatures(range(1_000)))
    assert "wait in" in stream.said()


def test_the_recorded_session_replayed_with_faults_gives_its_distinct_valid_frames(
    recordings: Path, engine: sa.Engine, make_settings: Callable[..., Settings]
) -> None:
    path = recordings / "payloads" / "pumpportal" / "session1.jsonl"
    frames: list[Mapping[str, str]] = [json.loads(json.loads(line)["raw"]) for line in path.read_text().splitlines()]
    good = [frame for frame in frames if "txType" in frame and frame["mint"] not in QUOTE_MINTS]
    wanted = {kind: sorted({frame["signature"] for frame in good if frame["txType"] == kind}) for kind in ("create", "migrate")}
    faults = {"cut": 0.05, "duplicate": 0.1, "cut-json": 0.05, "html": 0.05, "out-of-order": 0.1, "slow": 0.02}
    with running(SandboxConfig(data=recordings, speed=5_000.0, slow_seconds=0.3, faults=faults)) as sandbox:
        settings = make_settings(
            pumpportal_ws_url=sandbox.pumpportal_url, stream_reconnect_seconds=0.02, stream_silence_seconds=0.5
        )
        ran = run_until(
            Platform(settings),
            lambda _: count(engine, "token_launches") + count(engine, "token_migrations") >= sum(map(len, wanted.values())),
        )
    assert column(engine, "token_launches", "signature") == wanted["create"]
    assert column(engine, "token_migrations", "signature") == wanted["migrate"]
    assert ran.status.connections > 1
    assert ran.status.refused > 0
    assert ran.status.repeated > 0
    assert ran.status.quote_mints > 0
