"""A worker: claims jobs, runs their handlers side by side, settles them in groups, keeps its leases, stops gracefully."""

import asyncio
import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from metapulse_assets.platform.database import libpq_url
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.statsd import Statsd
from metapulse_assets.platform.work_queue.attempt import Means, run_attempt
from metapulse_assets.platform.work_queue.claiming import Claimed, Claimer
from metapulse_assets.platform.work_queue.cpu_limit import CpuLimit
from metapulse_assets.platform.work_queue.job import Job, current_job
from metapulse_assets.platform.work_queue.living import SIGN_SECONDS, announce, show_life, take_leave
from metapulse_assets.platform.work_queue.logs import LOGGER
from metapulse_assets.platform.work_queue.pgqueuer_schema import CHANNEL, QUEUE_TABLE
from metapulse_assets.platform.work_queue.registry import Handler
from metapulse_assets.platform.work_queue.settling import GROUP_SETTING, LeaseLost, Outcome, settle_group

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import AsyncConnectionPool

# Looked for work that often even if nobody calls: leases run out and pauses end without a call.
POLL_SECONDS = 1.0
# A job that is due and cannot be had (its queue is at its limit) is looked for that often.
BUSY_POLL_SECONDS = 0.1
# Signs of life within a lease, so that two may fail.
BEATS = 3
# What is sent to METAPULSE_STATSD_ADDRESS, and how an attempt's ending is called there; a released one was not processed.
PROCESSED_METRIC = "worker.job.processed"
PROCESSED_STATUS = {"completed": "success", "failed": "failed", "retried": "retried"}


@dataclass(frozen=True)
class WorkerOptions:
    """`concurrency`: jobs at once in this process. `max_jobs`: then it ends; None: never. Times in seconds.

    `stop_seconds`: what running jobs get after a stop was asked for; then they are interrupted and wait again. `cpu_limit`:
    percent of all processors; while they are busier, nothing is begun; None: no limit.
    """

    concurrency: int = 10
    max_jobs: int | None = None
    lease_seconds: float = 30.0
    stop_seconds: float = 25.0
    cpu_limit: float | None = None


# A row that somebody holds is being settled: waiting for it could end in a deadlock, and it needs no sign of life.
SIGN_OF_LIFE = f"""
UPDATE {QUEUE_TABLE} SET heartbeat = now() WHERE id IN (
    SELECT id FROM {QUEUE_TABLE}
    WHERE id = ANY(%(ids)s) AND queue_manager_id = %(worker)s AND status = 'picked' FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608


class JobThreads(ThreadPoolExecutor):
    """Threads for plain functions; knows whether one is still at work."""

    def __init__(self, most: int) -> None:
        """So many at once."""
        super().__init__(most, thread_name_prefix="job")
        self._futures: set[Future[Any]] = set()

    def submit(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> "Future[Any]":
        """As of every executor."""
        future = super().submit(function, *args, **keywords)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def busy(self) -> bool:
        """Whether a function has not returned yet."""
        return any(future.running() for future in tuple(self._futures))


@dataclass
class _Running:
    task: "asyncio.Task[None]"
    canceled: bool = False


@dataclass
class Worker:
    """A worker for the queues of these handlers. `run` it once, in an event loop of its own."""

    platform: Platform
    handlers: Mapping[str, Handler]
    options: WorkerOptions = field(default_factory=WorkerOptions)
    on_beat: Callable[[], None] = field(default=lambda: None)
    worker_id: uuid.UUID = field(default_factory=uuid.uuid4)
    taken: int = field(default=0, init=False)
    interrupted: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Nothing is opened yet."""
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._running: dict[int, _Running] = {}
        self._outcomes: list[Outcome] = []
        self._unsettled: set[tuple[int, int]] = set()
        self._outcome_ready = asyncio.Event()
        self._pool: AsyncConnectionPool | None = None
        self._cpu = CpuLimit(self.options.cpu_limit)
        address = self.platform.settings.statsd_address
        self._statsd = Statsd(address) if address else None
        threads = min(self.options.concurrency, self.platform.settings.database_pool_max)
        self._threads = JobThreads(threads)
        limits = {name: handler.policy.concurrency for name, handler in self.handlers.items()}
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._claimer = Claimer(self.worker_id, self._name, limits, timedelta(seconds=self.options.lease_seconds))

    def stop(self) -> None:
        """Claim nothing more; `run` returns when the running jobs have ended."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop` or the last of `max_jobs`. Raises `psycopg.Error` if the database goes away."""
        import psycopg

        async with contextlib.AsyncExitStack() as stack:
            claiming, settling, listening, beating = [
                await stack.enter_async_context(await psycopg.AsyncConnection.connect(self._url, autocommit=True))
                for _ in range(4)
            ]
            await settling.execute(GROUP_SETTING)
            await announce(beating, self.worker_id, self._name, sorted(self.handlers), self.options.concurrency)
            await listening.execute(f"LISTEN {CHANNEL}".encode())
            helpers = [
                asyncio.create_task(work) for work in (self._listen(listening), self._settle_all(settling), self._beat(beating))
            ]
            claims = asyncio.create_task(self._claim_all(claiming))
            try:
                await _first_end(claims, *helpers)
                await self._let_end()
                await _first_end(asyncio.create_task(self._all_settled()), *helpers)
                await take_leave(settling, self.worker_id)
            finally:
                for task in (claims, *helpers, *(running.task for running in self._running.values())):
                    task.cancel()
                await asyncio.gather(claims, *helpers, return_exceptions=True)
                await self._close()

    @cached_property
    def _url(self) -> str:
        return libpq_url(self.platform.settings)

    async def _claim_all(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            left = None if self.options.max_jobs is None else self.options.max_jobs - self.taken
            if left == 0:
                return
            free = self.options.concurrency - len(self._running)
            wanted = free if left is None else min(free, left)
            pause = POLL_SECONDS
            if wanted > 0 and not self._stopping.is_set() and not self._cpu.is_exceeded:
                claimed = await self._claimer.claim(connection, wanted)
                for job in claimed:
                    self._begin(job)
                if claimed:
                    # Lets what was begun run, and what ended be settled.
                    await asyncio.sleep(0)
                    continue
                due = await self._claimer.next_due(connection)
                pause = POLL_SECONDS if due is None else min(max(due, BUSY_POLL_SECONDS), POLL_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    def _begin(self, claimed: Claimed) -> None:
        # A retried job may be had again before we know that its last attempt was settled: that is another attempt.
        if claimed.job_id in self._running or (claimed.job_id, claimed.attempt) in self._unsettled:
            # Our own sign of life came late and we took it from ourselves: the attempt under way goes on in its place.
            return
        self.taken += 1
        task = asyncio.create_task(self._work(claimed))
        self._running[claimed.job_id] = _Running(task)
        # Not at the end of the task's own code: one that is canceled at once never gets there.
        task.add_done_callback(lambda _: self._ended(claimed.job_id))

    async def _work(self, claimed: Claimed) -> None:
        job = Job(claimed.job_id, claimed.queue, claimed.data, claimed.attempt, claimed.created_at, self.platform)
        current_job.set(job)
        LOGGER.debug("begun, attempt %d", claimed.attempt)
        try:
            outcome = await run_attempt(self.handlers[claimed.queue], job, claimed, self._means)
            if outcome is None:
                LOGGER.info("completed")
                self._tell_statsd(claimed.queue, "completed")
            else:
                self._report(outcome)
        except LeaseLost:
            LOGGER.warning("taken from this worker or canceled meanwhile: what it did in the job's transaction is undone")
        except asyncio.CancelledError:
            if self._running[claimed.job_id].canceled:
                LOGGER.warning("canceled")
            else:
                LOGGER.warning("interrupted, it waits again")
                self._report(Outcome(claimed, "released", error="interrupted: the worker stopped"))

    def _ended(self, job_id: int) -> None:
        self._running.pop(job_id, None)
        self._wake.set()

    def _report(self, outcome: Outcome) -> None:
        if outcome.ending == "completed":
            LOGGER.info("completed")
        elif outcome.ending == "retried":
            LOGGER.warning("attempt %d failed: %s; again in %g s", outcome.job.attempt, outcome.error, outcome.pause_seconds)
        elif outcome.ending == "failed":
            LOGGER.error("failed for good after attempt %d: %s", outcome.job.attempt, outcome.error)
        self._outcomes.append(outcome)
        self._unsettled.add((outcome.job.job_id, outcome.job.attempt))
        self._outcome_ready.set()

    async def _settle_all(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        """Whatever has ended while the last group was being settled is the next group."""
        while True:
            await self._outcome_ready.wait()
            self._outcome_ready.clear()
            group, self._outcomes = self._outcomes, []
            if not group:
                continue
            settled = await settle_group(connection, self.worker_id, group)
            for outcome in group:
                self._unsettled.discard((outcome.job.job_id, outcome.job.attempt))
                if outcome.job.job_id in settled:
                    self._tell_statsd(outcome.job.queue, outcome.ending)
                else:
                    LOGGER.warning(
                        "%s #%d was taken from this worker or canceled meanwhile: what came of it here is not recorded",
                        outcome.job.queue,
                        outcome.job.job_id,
                    )
            self._wake.set()

    def _tell_statsd(self, queue: str, ending: str) -> None:
        if self._statsd is not None and ending in PROCESSED_STATUS:
            self._statsd.count(PROCESSED_METRIC, {"type": queue, "status": PROCESSED_STATUS[ending]})

    async def _all_settled(self) -> None:
        while self._unsettled:
            await asyncio.sleep(0.005)

    async def _listen(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        async for note in connection.notifies():
            with contextlib.suppress(ValueError, AttributeError):
                told = json.loads(note.payload)
                if told.get("type") == "cancellation_event":
                    self._cancel(told.get("ids") or [])
            self._wake.set()

    def _cancel(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            running = self._running.get(job_id)
            if running is not None:
                running.canceled = True
                running.task.cancel()

    async def _beat(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        """Signs of life for what this worker holds, and of itself."""
        next_sign = time.monotonic() + SIGN_SECONDS
        while True:
            await asyncio.sleep(min(self.options.lease_seconds / BEATS, 1.0))
            self.on_beat()
            self._cpu.look()
            if time.monotonic() >= next_sign:
                next_sign = time.monotonic() + SIGN_SECONDS
                await show_life(connection, self.worker_id)
            held = [*self._running, *(job_id for job_id, _ in self._unsettled)]
            if held:
                await connection.execute(SIGN_OF_LIFE.encode(), {"ids": held, "worker": self.worker_id})

    async def _let_end(self) -> None:
        """Wait for the running jobs; those that take too long are interrupted."""
        tasks = [running.task for running in self._running.values()]
        if not tasks:
            return
        LOGGER.info("stopping: %d jobs still run", len(tasks))
        # Without a stop (the last of `max_jobs`) each has the time that its policy gives it, unless a stop comes.
        waits = asyncio.gather(*tasks, return_exceptions=True)
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((waits, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        _, late = await asyncio.wait(tasks, timeout=self.options.stop_seconds)
        for task in late:
            self.interrupted += 1
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)

    @cached_property
    def _means(self) -> Means:
        return Means(self.worker_id, lambda: self.platform.engine, self._open_pool, self._threads)

    async def _open_pool(self) -> "AsyncConnectionPool":
        from psycopg_pool import AsyncConnectionPool

        if self._pool is None:
            size = min(self.options.concurrency, self.platform.settings.database_pool_max)
            self._pool = AsyncConnectionPool(self._url, min_size=1, max_size=size, open=False)
        await self._pool.open()
        return self._pool

    @property
    def threads_left(self) -> bool:
        """Whether a handler of an interrupted job still runs in its thread."""
        return self._threads.busy()

    async def _close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._statsd is not None:
            await asyncio.to_thread(self._statsd.close)
        if self._pool is not None:
            await self._pool.close(timeout=1.0)


async def _first_end(work: "asyncio.Task[None]", *helpers: "asyncio.Task[None]") -> None:
    """Wait for the work, or for the failure of a helper, none of which ends by itself."""
    await asyncio.wait((work, *helpers), return_when=asyncio.FIRST_COMPLETED)
    for task in (*helpers, work):
        if task.done():
            task.result()
