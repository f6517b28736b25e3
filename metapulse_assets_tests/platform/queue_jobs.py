"""Handlers for the tests of the work queue. Worker processes load them by METAPULSE_JOB_MODULES."""

import asyncio
import os
import time
from typing import Any

import psycopg
import sqlalchemy as sa

from metapulse_assets.platform.work_queue.job import GiveUp, Job, RetryLater
from metapulse_assets.platform.work_queue.policies import MARKET_JOBS, PORTFOLIO_JOBS, STORY_ENHANCEMENT, Policy
from metapulse_assets.platform.work_queue.registry import handler

NAME = __name__
EFFECTS = (
    "CREATE TABLE effects (effect_id bigserial PRIMARY KEY, job_id bigint, note text, pid integer, moment double precision)"
)
EFFECT = "INSERT INTO effects (job_id, note, pid, moment) VALUES (%(job_id)s, %(note)s, %(pid)s, %(moment)s)"
LIMIT = 2


def effect_of(job: Job, note: str = "") -> dict[str, Any]:
    """What a handler leaves behind."""
    return {"job_id": job.job_id, "note": note or str(job.data.get("note", "")), "pid": os.getpid(), "moment": time.time()}


def note(job: Job, text: str) -> None:
    """Leave something behind at once, whatever becomes of the job."""
    with job.platform.engine.begin() as connection:
        connection.exec_driver_sql(EFFECT, effect_of(job, text))


@handler("t-noop")
async def noop(job: Job) -> None:
    """Nothing."""


@handler("t-echo", Policy(attempts=1))
async def echo(job: Job) -> Any:
    """Returns what it is told to."""
    return job.data.get("result")


@handler("t-effect", Policy(attempts=1), transactional=True)
def leave_effect(job: Job, connection: sa.Connection) -> None:
    """One row, in the job's transaction; `seconds` before it is committed."""
    connection.exec_driver_sql(EFFECT, effect_of(job))
    time.sleep(job.data.get("seconds", 0))
    if job.data.get("fails"):
        raise ValueError("after the effect")


@handler("t-effect-async", Policy(attempts=1), transactional=True)
async def leave_effect_async(job: Job, connection: "psycopg.AsyncConnection[Any]") -> dict[str, int]:
    """The same on the asynchronous connection."""
    await connection.execute(EFFECT, effect_of(job))
    await asyncio.sleep(job.data.get("seconds", 0))
    if job.data.get("fails"):
        raise ValueError("after the effect")
    return {"effects": 1}


@handler("t-limited", Policy(attempts=1, concurrency=LIMIT))
async def limited(job: Job) -> None:
    """Says when it is running."""
    await asyncio.to_thread(note, job, "begin")
    await asyncio.sleep(0.02)
    await asyncio.to_thread(note, job, "end")


@handler("t-slow", Policy(attempts=2, timeout_seconds=60, backoff=(0.0,)))
async def slow(job: Job) -> None:
    """Takes its time."""
    await asyncio.to_thread(note, job, "begin")
    await asyncio.sleep(job.data["seconds"])
    await asyncio.to_thread(note, job, "end")


@handler("t-timeout", Policy(attempts=2, timeout_seconds=0.05, backoff=(0.0,)))
async def too_slow(job: Job) -> None:
    """Never ends the first time."""
    if job.attempt == 1:
        await asyncio.sleep(3600)


async def fail_at_first(job: Job) -> str:
    """Fails as often as it is told."""
    if job.attempt <= job.data.get("failures", 0):
        raise ConnectionError(job.data.get("message", f"failure {job.attempt}"))
    return f"attempt {job.attempt}"


FLAKY = {
    "t-story": STORY_ENHANCEMENT,
    "t-market": MARKET_JOBS,
    "t-portfolio": PORTFOLIO_JOBS,
    "t-settings": Policy(),
    "t-hasty": Policy(attempts=3, backoff=(0.0,), keep_failed=3),
}
for queue, policy in FLAKY.items():
    handler(queue, policy)(fail_at_first)


@handler("t-hopeless", Policy(attempts=5))
async def hopeless(job: Job) -> None:
    """Says that no further attempt would help."""
    raise GiveUp("no such wallet")


@handler("t-later", Policy(attempts=2))
async def later(job: Job) -> None:
    """Says when to come again."""
    if job.attempt == 1:
        raise RetryLater(77, "asked to wait")


@handler("t-suicide", Policy(attempts=1, restarts=2))
async def suicide(job: Job) -> None:
    """Kills its process."""
    os.kill(os.getpid(), 9)
