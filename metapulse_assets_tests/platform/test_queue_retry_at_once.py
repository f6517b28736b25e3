"""A job that comes again at once may be claimed before its worker knows that the last attempt was settled."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue import worker as worker_module
from metapulse_assets.platform.work_queue.settling import Outcome, settle_group
from metapulse_assets_tests.platform.queue_running import attempts, put, work


def test_a_retry_that_comes_before_the_settling_is_known_is_worked_on(
    engine: sa.Engine, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def settle_and_say_so_late(connection: Any, worker_id: UUID, outcomes: Sequence[Outcome]) -> set[int]:
        settled = await settle_group(connection, worker_id, outcomes)
        await asyncio.sleep(0.2)
        return settled

    monkeypatch.setattr(worker_module, "settle_group", settle_and_say_so_late)
    job_id = put(engine, "t-hasty", {"failures": 2})
    work(make_settings(), "t-hasty")

    assert [attempt.status for attempt in attempts(engine, job_id)] == ["retried", "retried", "completed"]
