"""The stream run inside a test, until what the test waits for is there."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from metapulse_assets.market.stream.process import StopSwitch, run_stream
from metapulse_assets.market.stream.reporting import Report
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.platform.runtime import Platform

PATIENCE_SECONDS = 120.0


@dataclass
class Ran:
    """What a run of the stream said and counted."""

    said: list[str] = field(default_factory=list)
    status: StreamStatus = field(default_factory=StreamStatus)


def run_until(platform: Platform, is_done: Callable[[Ran], bool], report: Report | None = None) -> Ran:
    """Run the stream until a condition holds. Fails if it does not come to hold."""
    ran, switch = Ran(), StopSwitch()

    async def watch() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(is_done, ran):
            assert time.monotonic() < deadline, ran.said
            await asyncio.sleep(0.02)

    async def main() -> StreamStatus:
        running = asyncio.create_task(run_stream(platform, switch, ran.said.append, report))
        watching = asyncio.create_task(watch())
        await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
        switch.stop()
        status = await running
        await watching
        return status

    ran.status = asyncio.run(main())
    return ran


def count(engine: sa.Engine, table: str, where: str = "true") -> int:
    """Number of rows."""
    with engine.connect() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one())


def column(engine: sa.Engine, table: str, name: str) -> list[object]:
    """The values of a column, sorted."""
    with engine.connect() as connection:
        return list(connection.execute(sa.text(f"SELECT {name} FROM {table} ORDER BY 1")).scalars())
