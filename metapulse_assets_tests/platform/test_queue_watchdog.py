"""What happens to a process whose event loop stands still."""

import asyncio
import threading

from metapulse_assets.cli.worker import blocked_looks
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.work_queue.watchdog import Watchdog

PATIENCE_SECONDS = 60.0


def test_a_loop_that_stands_still_is_found() -> None:
    bitten = threading.Event()

    async def block() -> bool:
        watching = asyncio.create_task(Watchdog(3, bitten.set, look_seconds=0.01).run())
        await asyncio.sleep(0)
        # What a bad handler does.
        found = bitten.wait(PATIENCE_SECONDS)
        watching.cancel()
        return found

    assert asyncio.run(block())


def test_a_loop_that_moves_or_has_ended_is_left_alone() -> None:
    bites: list[int] = []
    watchdog = Watchdog(10_000, lambda: bites.append(1), look_seconds=0.001)

    async def move() -> None:
        watching = asyncio.create_task(watchdog.run())
        await asyncio.sleep(0.05)
        watching.cancel()

    asyncio.run(move())
    for thread in threading.enumerate():
        if thread.name == "watchdog":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert bites == []


def test_a_handler_may_block_as_long_as_its_worker_holds_its_jobs() -> None:
    assert blocked_looks(load_settings(worker_lease_seconds=30)) == 60
    assert blocked_looks(load_settings(worker_lease_seconds=1)) == 30
