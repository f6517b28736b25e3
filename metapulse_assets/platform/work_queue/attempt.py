"""One attempt at a job: the handler is run within its time, and what came of it is judged by the policy."""

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from metapulse_assets.platform.json_logs import known_secrets
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.claiming import Claimed
from metapulse_assets.platform.work_queue.job import LONGEST_WAIT_SECONDS, GiveUp, Job, RetryLater
from metapulse_assets.platform.work_queue.policies import Policy, doubling, pause_after
from metapulse_assets.platform.work_queue.registry import Handler
from metapulse_assets.platform.work_queue.settling import LeaseLost, Outcome, as_error, as_result, settle, settle_in

if TYPE_CHECKING:
    import sqlalchemy as sa
    from psycopg_pool import AsyncConnectionPool


@dataclass(frozen=True)
class Means:
    """What handlers are run with: connections for `transactional` ones, threads for plain functions."""

    worker_id: UUID
    engine: "Callable[[], sa.Engine]"
    pool: "Callable[[], Awaitable[AsyncConnectionPool]]"
    threads: Executor


async def run_attempt(handler: Handler, job: Job, claimed: Claimed, means: Means) -> Outcome | None:
    """Run a handler; returns what is to be settled, None if its own transaction has settled it. Raises `LeaseLost`."""
    settings, policy = job.platform.settings, handler.policy
    if claimed.refusal is not None:
        return _failed(claimed, claimed.refusal)
    if claimed.lost > policy.restarts:
        return _failed(claimed, f"given up: {claimed.lost} workers vanished while they worked on it")
    time_out = asyncio.timeout(policy.timeout_seconds)
    try:
        async with time_out:
            if not handler.transactional:
                return Outcome(claimed, "completed", as_result(await handler.function(job)))
            await (_in_thread if handler.in_thread else _in_transaction)(handler, job, claimed, means)
            return None
    except LeaseLost:
        raise
    except GiveUp as error:
        return _failed(claimed, _message(error))
    except RetryLater as error:
        return judge(policy, settings, claimed, _message(error), error.seconds)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_being_canceled():
            raise
        if isinstance(error, TimeoutError) and time_out.expired():
            return judge(policy, settings, claimed, f"timeout: it ran longer than {policy.timeout_seconds:g} s")
        # A handler that ends the program, or whose own tasks were canceled, has failed: the worker and its other jobs go on.
        return judge(policy, settings, claimed, _message(error))


def judge(policy: Policy, settings: Settings, job: Claimed, error: str, pause: float | None = None) -> Outcome:
    """Whether a failed attempt is followed by another, and when. `pause`: seconds that the handler asked for."""
    if job.attempt >= (settings.worker_max_attempts if policy.attempts is None else policy.attempts):
        return _failed(job, error)
    if pause is None:
        usual = doubling(settings.worker_backoff_delay / 1000)
        try:
            pause = float(pause_after(usual if policy.backoff is None else policy.backoff, job.attempt))
            if math.isnan(pause):
                raise ValueError("nan is no pause")
        except Exception as fault:
            pause = pause_after(usual, 1)
            error = as_error(f"{error}; and its queue's backoff fails: {type(fault).__name__}: {fault}")
    return Outcome(job, "retried", error=error, pause_seconds=min(max(pause, 0.0), LONGEST_WAIT_SECONDS))


def _is_being_canceled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _in_transaction(handler: Handler, job: Job, claimed: Claimed, means: Means) -> None:
    pool = await means.pool()
    async with pool.connection() as connection, connection.transaction():
        result = await handler.function(job, connection)
        if not await settle(connection, means.worker_id, [Outcome(claimed, "completed", as_result(result))]):
            raise LeaseLost


async def _in_thread(handler: Handler, job: Job, claimed: Claimed, means: Means) -> None:
    def work() -> None:
        with means.engine().begin() as connection:
            # A thread cannot be interrupted; its statements can.
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(handler.policy.timeout_seconds * 1000)}")
            result = handler.function(job, connection)
            if not settle_in(connection, means.worker_id, [Outcome(claimed, "completed", as_result(result))]):
                raise LeaseLost

    context = contextvars.copy_context()
    await asyncio.get_running_loop().run_in_executor(means.threads, context.run, work)


def _failed(job: Claimed, error: str) -> Outcome:
    return Outcome(job, "failed", error=error)


def _message(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:
        text = "its message cannot be shown"
    named = text if isinstance(error, GiveUp | RetryLater) and text else f"{type(error).__name__}: {text}".rstrip(": ")
    return as_error(redact(named, known_secrets()))
