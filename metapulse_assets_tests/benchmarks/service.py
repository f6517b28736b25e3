"""The rows `service.*`: how many questions the HTTP service answers."""

import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from metapulse_assets.platform.database import create_engine
from metapulse_assets.service.access.api_tokens import create_token
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.workplace import UNLIMITED, BenchmarkError, Workplace, workplace

SIGNALS, JOBS, JOBS_P95 = "service.signals_rps", "service.jobs_rps", "service.jobs_p95_ms"
CLIENTS = 20
SECONDS, QUICK_SECONDS = 4.0, 0.5
ROUNDS, QUICK_ROUNDS = 5, 1
STORED_SIGNALS = 5_000
TOKENS = 100
START_SECONDS = 30.0

METHOD = f"""
One service process and a PostgreSQL of its own on this machine; the {CLIENTS} clients are one other process, each on a
connection of its own that asks again when it has its answer. Every request brings a token, is counted in the database against
the limit of its user (set far above what is sent), and gets the whole answer: for `signals` the newest 100 of
{STORED_SIGNALS:,} signals of {TOKENS} tokens, as JSON, with the cache that is on by default (1 s); for `jobs` a job that is
committed before the answer goes.
Medians of {ROUNDS} rounds of {SECONDS:g} s; n is the number of requests in all.
"""

TARGETS: Mapping[str, Target] = {
    SIGNALS: Target("GET /signals, one process", Goal("≥", 1_000)),
    JOBS: Target("POST /jobs, one process"),
    JOBS_P95: Target("the 95th percentile of its answers", Goal("≤", 200)),
}


def measure(bench: Bench) -> Iterator[Row]:
    """All rows of this part, on one service."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if bench.quick else (ROUNDS, SECONDS)
    with workplace() as place, place.database() as url:
        token = _fill(place, url)
        with _service(place, url) as port:
            if bench.wants(SIGNALS):
                bench.say("service: signals")
                found = [_ask(place, url, port, token, "signals", seconds) for _ in range(rounds)]
                yield Row(SIGNALS, statistics.median(len(times) / seconds for times in found), "1/s", sum(map(len, found)))
            if bench.wants(JOBS) or bench.wants(JOBS_P95):
                bench.say("service: jobs")
                found = [_ask(place, url, port, token, "jobs", seconds) for _ in range(rounds)]
                count = sum(map(len, found))
                yield Row(JOBS, statistics.median(len(times) / seconds for times in found), "1/s", count)
                slow = [sorted(times)[int(len(times) * 0.95)] * 1000 for times in found]
                yield Row(JOBS_P95, statistics.median(slow), "ms", count)


def _fill(place: Workplace, url: str) -> str:
    """Tokens, signals, and a token for the service; returns its secret."""
    now = datetime.now(UTC)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO tokens (chain, address, symbol, name, first_recorded_at) "
            "SELECT 'solana', 'address' || n, 'S' || n, 'Token ' || n, %s FROM generate_series(1, %s) AS n",
            (now, TOKENS),
        )
        connection.execute(
            """
            INSERT INTO signals (signal_id, token_id, kind, rule, timeframe, direction, strength, confidence, risk, price_usd,
                horizon_seconds, reasons, opened_at, observed_at, emitted_at, expires_at, recorded_at, origin, mode, run_id)
            SELECT md5(n::text), (SELECT min(token_id) FROM tokens) + n %% %(tokens)s, 'technical', 'rsi_oversold', '5m', 'buy',
                0.5, 0.5, 'low', 1.5, 3600, '[{"text": "RSI is 20.", "inputs": {"rsi_14": 20.0}}]', at, at, at,
                at + interval '1 day', at, 'live', 'sandbox', 'run'
            FROM generate_series(1, %(signals)s) AS n, LATERAL (SELECT %(now)s - n * interval '5 seconds' AS at) AS moment
            """,
            {"tokens": TOKENS, "signals": STORED_SIGNALS, "now": now},
        )
        connection.commit()
    engine = create_engine(url, place.settings(url))
    try:
        with engine.begin() as connection:
            return create_token(connection, "bench", ["signals:read", "jobs:write"], now - timedelta(seconds=1))[1]
    finally:
        engine.dispose()


@contextlib.contextmanager
def _service(place: Workplace, url: str) -> Iterator[int]:
    """A service process; its first port."""
    ports = [_free_port() for _ in range(3)]
    given = {
        "PORT": str(ports[0]),
        "METRICS_PORT": str(ports[1]),
        "HEALTH_PORT": str(ports[2]),
        "METAPULSE_SERVICE_REQUESTS_PER_MINUTE": str(UNLIMITED),
        "METAPULSE_JOB_MODULES": "metapulse_assets_tests.benchmarks.queue",
        "METAPULSE_HOME": str(place.home),
    }
    command = [sys.executable, "-c", "from metapulse_assets.cli import main; main()", "service"]
    process = subprocess.Popen(command, env=place.environment(url, given), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(ports[0]):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise BenchmarkError(f"the service did not start: {process.communicate()[1]}")
            time.sleep(0.05)
        yield ports[0]
    finally:
        process.terminate()
        process.communicate()


def _ask(place: Workplace, url: str, port: int, token: str, what: str, seconds: float) -> list[float]:
    """Have the clients ask for so long; the seconds that each answer took."""
    command = [sys.executable, "-m", "metapulse_assets_tests.benchmarks.service", str(port), token, what, str(seconds)]
    asked = subprocess.run(command, env=place.environment(url), capture_output=True, text=True, check=False)
    if asked.returncode:
        raise BenchmarkError(asked.stderr[-2000:])
    times: list[float] = json.loads(asked.stdout)
    return times


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _request(port: int, token: str, what: str) -> bytes:
    head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    if what == "signals":
        return f"GET /signals HTTP/1.1\r\n{head}\r\n".encode()
    body = json.dumps({"type": "bench-noop", "data": {"number": 1}})
    return f"POST /jobs HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def _be_clients(port: int, token: str, what: str, seconds: float) -> list[float]:
    request, good = _request(port, token, what), b"HTTP/1.1 200" if what == "signals" else b"HTTP/1.1 201"
    times: list[float] = []
    ends = time.perf_counter() + seconds

    async def be_one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < ends:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.partition(b":")[2]))
            if not head.startswith(good):
                raise BenchmarkError(f"{head.decode()}{body.decode()}")
            times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(be_one() for _ in range(CLIENTS)))
    return times


def _main(arguments: list[Any]) -> None:
    """What the clients' process does."""
    port, token, what, seconds = arguments
    print(json.dumps(asyncio.run(_be_clients(int(port), token, what, float(seconds)))))


PART = Part("service", METHOD, TARGETS, measure)

if __name__ == "__main__":
    _main(sys.argv[1:])
