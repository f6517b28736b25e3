"""The rows `stream.*`: PumpPortal's frames on their way over a WebSocket into the tables.

``python -m metapulse_assets_tests.benchmarks.stream feed FRAMES PER_SECOND`` is the vendor, ``… listen`` the stream itself.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

import psycopg
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from metapulse_assets.market.stream.process import StopSwitch, run_stream
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.market.stream.writing import Written
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import load_settings
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.workplace import BenchmarkError, Workplace, end, workplace

MODULE = "metapulse_assets_tests.benchmarks.stream"
THROUGHPUT, LATENCY = "stream.frames_per_s", "stream.row_p99_ms"
# As fast as the line takes them; and a pace at which every frame's way is measured.
FRAMES, QUICK_FRAMES = 200_000, 20_000
PACED_PER_S, PACED_SECONDS, QUICK_PACED_SECONDS = 2_000, 10, 2
RUNS = 3
LISTENING = "listening at "
WAIT_SECONDS = 240.0
AS_FAST_AS_POSSIBLE = 0
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PACE_SECONDS = 0.01

METHOD = f"""
The vendor is a process of its own that speaks WebSocket over loopback; the listener is the process of `metapulse stream` with
its spool on disk and an embedded PostgreSQL, on the same machine: three processes share its cores. One frame in ten is a
launch, the others are trades, all different, about 480 bytes each. `{THROUGHPUT}`: {FRAMES:,} frames as fast as the line takes
them; from the first one sent to the last row committed. `{LATENCY}`: {PACED_PER_S:,} frames a second for {PACED_SECONDS} s; the
99th percentile from sent to arrived plus that from arrived to committed. Median of {RUNS} runs; every row is counted.
"""

TARGETS: Mapping[str, Target] = {
    THROUGHPUT: Target("from the socket to the committed row", Goal("≥", 10_000)),
    LATENCY: Target(f"from sent to committed, at {PACED_PER_S:,} frames a second", Goal("≤", 500)),
}


def measure(bench: Bench) -> Iterator[Row]:
    """Both rows, each on fresh databases."""
    runs = 1 if bench.quick else RUNS
    frames = QUICK_FRAMES if bench.quick else FRAMES
    seconds = QUICK_PACED_SECONDS if bench.quick else PACED_SECONDS
    with workplace() as place:
        if bench.wants(THROUGHPUT):
            bench.say(f"stream: {frames:,} frames as fast as they come")
            figures = [_one(place, frames, AS_FAST_AS_POSSIBLE)[0] for _ in range(runs)]
            yield Row(THROUGHPUT, statistics.median(figures), "frames/s", runs)
        if bench.wants(LATENCY):
            bench.say(f"stream: {PACED_PER_S:,} frames a second")
            figures = [_one(place, PACED_PER_S * seconds, PACED_PER_S)[1] for _ in range(runs)]
            yield Row(LATENCY, statistics.median(figures), "ms", runs)


def _one(place: Workplace, frames: int, per_second: int) -> tuple[float, float]:
    """Send so many frames and wait for their rows: frames a second, and the 99th percentile in ms."""
    with place.database() as url, _started(place, url, "feed", str(frames), str(per_second)) as feed:
        assert feed.stdout is not None
        address = feed.stdout.readline().removeprefix(LISTENING).strip()
        more = {"PUMPPORTAL_WS_URL": address, "METAPULSE_HOME": str(place.home / f"listener-{time.time_ns()}")}
        with _started(place, url, "listen", more=more) as listener:
            sent = json.loads(feed.stdout.readline())
            _await_rows(url, frames, listener)
            listener.send_signal(signal.SIGTERM)
            said, _ = listener.communicate(timeout=30)
        committed = json.loads(said.splitlines()[-1])
        with psycopg.connect(url) as connection:
            # The moment of sending is in the frame.
            way = "extract(epoch FROM received_at) - substr(pool, 2)::float8 / 1e6"
            found = connection.execute(
                f"SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY {way}) FROM token_trades"
            ).fetchone()
    rate = frames / (committed["last_commit"] - sent["first"])
    return rate, 1000 * (float(found[0] if found else 0) + float(committed["p99"]))


def _await_rows(url: str, frames: int, listener: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            counts = connection.execute("SELECT (SELECT count(*) FROM token_trades) + (SELECT count(*) FROM token_launches)")
            stored = int((counts.fetchone() or (0,))[0])
            if stored >= frames:
                return
            if time.monotonic() > deadline or listener.poll() is not None:
                raise BenchmarkError(f"{stored} of {frames} frames are rows")
            time.sleep(0.5)


@contextmanager
def _started(
    place: Workplace, url: str, *arguments: str, more: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, *arguments], env=place.environment(url, more), stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        end(process)


def frame(number: int, sent_us: int) -> bytes:
    """A launch or a trade with the moment of its sending in it."""
    signature, mint, trader = _base58(number, 88), _base58(number % 500, 44), _base58(number % 3_000 + 7, 44)
    shared = {"signature": signature, "mint": mint, "traderPublicKey": trader}
    curve = {"bondingCurveKey": mint, "vTokensInBondingCurve": 9.5e8, "vSolInBondingCurve": 33.8, "marketCapSol": 35.6}
    # A pool that is no pool's name has room for a time.
    if number % 10 == 0:
        own = {"txType": "create", "initialBuy": 1e6 + number, "solAmount": 0.3, "name": f"Coin {number}", "symbol": "COIN"}
        body = {**shared, **own, **curve, "uri": "https://example.invalid/coin", "is_mayhem_mode": False, "pool": f"p{sent_us}"}
    else:
        own = {"txType": "buy" if number % 2 else "sell", "tokenAmount": 1e5 + number, "solAmount": 0.04}
        body = {**shared, **own, **curve, "newTokenBalance": 2e6, "pool": f"p{sent_us}"}
    return json.dumps(body, separators=(",", ":")).encode()


def _base58(number: int, length: int) -> str:
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(length, ALPHABET[0])


def on_the_wire(payload: bytes) -> bytes:
    """A text frame as a server writes it."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


async def feed(frames: int, per_second: int) -> None:
    """Serve one listener: all frames at once, or at a pace; says when the first was sent."""
    ready = [on_the_wire(frame(number, 0)) for number in range(frames)] if not per_second else []

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        transport = connection.transport
        started = time.time()
        print(json.dumps({"first": started}), flush=True)
        if ready:
            for first in range(0, frames, 100):
                transport.write(b"".join(ready[first : first + 100]))
                while transport.get_write_buffer_size() > 1_000_000:
                    await asyncio.sleep(0.001)
        else:
            step = int(per_second * PACE_SECONDS)
            for first in range(0, frames, step):
                now_us = time.time_ns() // 1000
                transport.write(b"".join(on_the_wire(frame(n, now_us)) for n in range(first, min(first + step, frames))))
                await asyncio.sleep(max(started + (first + step) / per_second - time.time(), 0))
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        print(f"{LISTENING}ws://{host}:{port}/", flush=True)
        await server.serve_forever()


def listen() -> None:
    """Run the stream until SIGTERM; says at the end how long rows took."""
    settings = load_settings()
    switch = StopSwitch()
    signal.signal(signal.SIGTERM, lambda *_: switch.stop())
    last_commit = 0.0
    plain_add = StreamStatus.add

    def add(self: StreamStatus, written: Written) -> None:
        nonlocal last_commit
        last_commit = time.time()
        plain_add(self, written)

    def report(rows: dict[tuple[str, date], int], lags: Sequence[float], facts: dict[str, int]) -> None:
        ordered = sorted(lags)
        print(json.dumps({"p99": ordered[int(len(ordered) * 0.99)], "last_commit": last_commit}), flush=True)

    StreamStatus.add = add  # type: ignore[method-assign]
    asyncio.run(run_stream(Platform(settings), switch, lambda line: print(line, file=sys.stderr), report))


PART = Part("stream", METHOD, TARGETS, measure)

if __name__ == "__main__":
    if sys.argv[1] == "feed":
        asyncio.run(feed(int(sys.argv[2]), int(sys.argv[3])))
    else:
        listen()
    os._exit(0)
