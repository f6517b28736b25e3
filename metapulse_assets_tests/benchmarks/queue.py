"""The rows `queue.*`: how fast jobs are put in, done, and begun."""

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import psycopg

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue, enqueue_many
from metapulse_assets.platform.work_queue.job import Job
from metapulse_assets.platform.work_queue.logs import LOGGER
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets.platform.work_queue.registry import handler, handlers
from metapulse_assets.platform.work_queue.worker import Worker, WorkerOptions
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.workplace import BenchmarkError, Workplace, workplace

ENQUEUE, NOOP, START = "queue.enqueue_per_s", "queue.noop_per_s", "queue.start_p99_ms"
QUEUE, TIMED = "bench-noop", "bench-timed"
ROUNDS, QUICK_ROUNDS = 5, 1
JOBS, QUICK_JOBS = 20_000, 2_000
STARTS, QUICK_STARTS = 300, 30
AT_ONCE = 500
PROCESSES = 2
# Between two jobs of an idle worker.
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
LEFT = "SELECT count(*) FROM pgqueuer.pgqueuer"

METHOD = f"""
A PostgreSQL of its own on this machine, durable as it comes (`fsync`, `synchronous_commit` on). `enqueue`: {JOBS:,} jobs by
`enqueue_many` in one transaction, with its commit. `noop`: {JOBS:,} waiting jobs, whose handler does nothing, done by
{PROCESSES} worker processes with {AT_ONCE} at once each, from the moment when both may claim to the last settled job; claim,
ledger, completion and log of every job are in it, the put-in is not. `start`: one worker with nothing to do, in a thread of its
own; every {PAUSE_SECONDS * 1000:.0f} ms a job is put in, and the time is taken from before that call to the handler's first
line.
Medians of {ROUNDS} rounds; n is the number of jobs in all.
"""

TARGETS: Mapping[str, Target] = {
    ENQUEUE: Target("jobs put in, in bulk", Goal("≥", 15_000)),
    NOOP: Target("jobs done that do nothing", Goal("≥", 7_000)),
    START: Target("from put in to begun, the worker idle", Goal("≤", 25)),
    "queue.start_median_ms": Target("the median of the same"),
}

_begun: dict[int, float] = {}


@handler(QUEUE, Policy(attempts=1))
async def noop(job: Job) -> None:
    """Nothing."""


@handler(TIMED, Policy(attempts=1))
async def timed(job: Job) -> None:
    """Keeps the time."""
    _begun[job.data["number"]] = time.perf_counter()


def measure(bench: Bench) -> Iterator[Row]:
    """All rows of this part, on one PostgreSQL."""
    with workplace() as place:
        jobs = QUICK_JOBS if bench.quick else JOBS
        rounds = QUICK_ROUNDS if bench.quick else ROUNDS
        if bench.wants(ENQUEUE) or bench.wants(NOOP):
            put_in, done = [], []
            for number in range(rounds):
                bench.say(f"queue: {jobs:,} jobs, round {number + 1}")
                with place.database() as url:
                    put_in.append(jobs / _put_in(url, jobs))
                    if bench.wants(NOOP):
                        done.append(jobs / _do_all(place, url, jobs))
            yield Row(ENQUEUE, statistics.median(put_in), "1/s", jobs * rounds)
            if done:
                yield Row(NOOP, statistics.median(done), "1/s", jobs * rounds)
        if bench.wants("queue.start_"):
            bench.say("queue: starts")
            with place.database() as url:
                times = sorted(_starts(place, url, QUICK_STARTS if bench.quick else STARTS))
            yield Row(START, times[min(int(len(times) * 0.99), len(times) - 1)] * 1000, "ms", len(times))
            yield Row("queue.start_median_ms", statistics.median(times) * 1000, "ms", len(times))


def _put_in(url: str, jobs: int) -> float:
    with psycopg.connect(url) as connection:
        began = time.perf_counter()
        enqueue_many(connection, [NewJob(QUEUE, {"number": number}) for number in range(jobs)])
        connection.commit()
        return time.perf_counter() - began


def _do_all(place: Workplace, url: str, jobs: int) -> float:
    """Seconds that the worker processes take for all jobs."""
    command = [sys.executable, "-m", "metapulse_assets_tests.benchmarks.queue", str(jobs)]
    processes = [
        subprocess.Popen(command, env=place.environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise BenchmarkError("a worker process did not start")
        with psycopg.connect(url, autocommit=True) as connection:
            began = time.perf_counter()
            for process in processes:
                assert process.stdin is not None
                process.stdin.close()
            connection.execute("SET statement_timeout = '10s'")
            while (connection.execute(LEFT).fetchone() or (0,))[0]:
                if time.perf_counter() - began > PATIENCE_SECONDS:
                    raise BenchmarkError("the jobs were not done in time")
                time.sleep(0.02)
            seconds = time.perf_counter() - began
            completed = connection.execute("SELECT count(*) FROM job_attempts WHERE status = 'completed'").fetchone()
        if completed != (jobs,):
            raise BenchmarkError(f"{completed} of {jobs} jobs are completed")
        return seconds
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _starts(place: Workplace, url: str, count: int) -> list[float]:
    """Seconds from each enqueue to the handler's first line."""
    settings = place.settings(url)
    LOGGER.setLevel("WARNING")
    ready = threading.Event()
    found: list[Worker] = []

    async def run() -> None:
        found.append(Worker(Platform(settings), {TIMED: handlers()[TIMED]}))
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, ready.set)
        stop = asyncio.create_task(asyncio.to_thread(over.wait))
        stop.add_done_callback(lambda _: found[0].stop())
        await found[0].run()

    over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    _begun.clear()
    put: list[float] = []
    try:
        ready.wait()
        with psycopg.connect(url, autocommit=True) as connection:
            for number in range(count):
                put.append(time.perf_counter())
                enqueue(connection, TIMED, {"number": number})
                time.sleep(PAUSE_SECONDS)
            deadline = time.perf_counter() + PATIENCE_SECONDS
            while len(_begun) < count and time.perf_counter() < deadline:
                time.sleep(0.01)
    finally:
        over.set()
        thread.join()
    return [_begun[number] - at for number, at in enumerate(put)]


def _be_a_worker() -> None:
    """What a worker process does: gets ready, says so, and works once its standard input is closed, until it is stopped."""
    from metapulse_assets.platform.settings import get_settings

    LOGGER.setLevel("WARNING")
    settings = get_settings()
    worker_handlers = {QUEUE: handlers()[QUEUE]}
    print("ready", flush=True)
    sys.stdin.read()

    async def run() -> None:
        await Worker(Platform(settings), worker_handlers, WorkerOptions(concurrency=AT_ONCE)).run()

    asyncio.run(run())


PART = Part("queue", METHOD, TARGETS, measure)

if __name__ == "__main__":
    _be_a_worker()
