"""One batch of the work queue as a function on AWS Lambda: puts in what the event brings, does what is due, and ends.

For side effects that come seldom, where no worker is to stay up; Dagster, the stream and the service need a place that stays.
The image needs `pip install awslambdaric` and the command `python -m awslambdaric deploy.aws_lambda.lambda_handler` for it.
Settings come from the function's environment; DATABASE_URL is required.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any, Protocol

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import SettingsError, get_settings
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue_many
from metapulse_assets.platform.work_queue.living import living_workers
from metapulse_assets.platform.work_queue.logs import set_up_logging
from metapulse_assets.platform.work_queue.registry import Handler, UnknownJobType, find_handler, load_handlers
from metapulse_assets.platform.work_queue.statistics import count_jobs
from metapulse_assets.platform.work_queue.worker import Worker, WorkerOptions

BATCH_JOBS = 100
"""Jobs of one call at most: PulseEngine's batch."""
SECONDS_TO_END = 5.0
"""Before Lambda ends the call, running jobs get so long to end. Own choice."""
SECONDS_UNTOLD = 60.0
LOOK_SECONDS = 0.1


class EventError(Exception):
    """The event holds no job where one was expected; the message names the place."""


class LambdaContext(Protocol):
    """What Lambda tells of the call."""

    def get_remaining_time_in_millis(self) -> int:
        """Until the call is ended."""
        ...


def lambda_handler(event: Mapping[str, Any], context: LambdaContext | None = None) -> dict[str, Any]:
    """Work through one batch.

    `event`: {"type": …, "data": {…}}; the same as the body of a function URL; SQS records with it as their body, of which one
    that SQS repeats while its job waits or runs is put in once; or anything without these (a schedule): then due jobs are done.

    Returns {"created": jobs put in, "done": jobs taken, "batchItemFailures": SQS records that hold no job}. Raises `EventError`
    for a single job that is none, `UnknownJobType` for a type without a handler, `SettingsError` without a database.
    """
    settings = get_settings()
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL: is not set; a function keeps no database of its own")
    set_up_logging(settings)
    handlers = load_handlers(settings.job_modules)
    jobs, refused = jobs_of(event)
    platform = Platform(settings)
    with platform.engine.begin() as connection:
        created = sum(each.created for each in enqueue_many(connection, jobs)) if jobs else 0
    left = context.get_remaining_time_in_millis() / 1000 if context is not None else SECONDS_UNTOLD
    done = asyncio.run(_work(platform, handlers, max(left - SECONDS_TO_END, 0.0)))
    return {"created": created, "done": done, "batchItemFailures": [{"itemIdentifier": name} for name in refused]}


def jobs_of(event: Mapping[str, Any]) -> tuple[list[NewJob], list[str]]:
    """The jobs that an event brings, and the SQS records that hold none."""
    if "Records" in event:
        jobs, refused = [], []
        for place, record in enumerate(event["Records"]):
            try:
                jobs.append(
                    _job(_parsed(record.get("body"), f"Records[{place}].body"), f"Records[{place}]", record["messageId"])
                )
            except (EventError, UnknownJobType):
                refused.append(str(record.get("messageId", place)))
        return jobs, refused
    if "body" in event:
        body = event["body"]
        if event.get("isBase64Encoded"):
            body = base64.b64decode(body or "").decode("utf-8", "replace")
        return [_job(_parsed(body, "body"), "body")], []
    if "type" in event:
        return [_job(event, "event")], []
    return [], []


def _parsed(body: Any, place: str) -> Any:
    try:
        return json.loads(body)
    except (TypeError, ValueError) as error:
        raise EventError(f"{place}: is no JSON: {error}") from None


def _job(value: Any, place: str, unique_id: str | None = None) -> NewJob:
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise EventError(f"{place}.type: is not there, or no text")
    data = value.get("data", {})
    if not isinstance(data, dict):
        raise EventError(f"{place}.data: is no object")
    find_handler(value["type"])
    return NewJob(value["type"], data, unique_id=unique_id)


async def _work(platform: Platform, handlers: Mapping[str, Handler], seconds: float) -> int:
    """Do due jobs until none is left, the batch is full, or the time is over; returns how many were taken."""
    worker = Worker(platform, handlers, WorkerOptions(max_jobs=BATCH_JOBS, stop_seconds=SECONDS_TO_END))

    def is_done() -> bool:
        with platform.engine.connect() as connection:
            waiting = any(each.waiting for each in count_jobs(connection, handlers) if each.queue in handlers)
            return not waiting and not any(each.jobs for each in living_workers(connection) if each.id == worker.worker_id)

    async def watch() -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await asyncio.to_thread(is_done):
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            pass
        worker.stop()

    watcher = asyncio.create_task(watch())
    try:
        await worker.run()
    finally:
        watcher.cancel()
    return worker.taken
