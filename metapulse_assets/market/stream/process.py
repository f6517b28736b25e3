"""The stream as a process: collector, drain, reports and the list of followed tokens, put together and brought to an end."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metapulse_assets.market.stream.collecting import Collector, FeedPolicy
from metapulse_assets.market.stream.draining import Drain, in_thread
from metapulse_assets.market.stream.followed import tracked_mints
from metapulse_assets.market.stream.reporting import Report, keep_reporting, report_once
from metapulse_assets.market.stream.spool import Spool
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.market.stream.writing import BatchWriter
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.vendors.pumpportal import connection_url

FOLLOWED_SECONDS = 60.0
# What a stop may take: closing the connection, writing the rest. What is not written by then waits on disk.
GOODBYE_SECONDS, LAST_WRITES_SECONDS, LAST_REPORT_SECONDS = 2.0, 3.0, 3.0
MEGABYTE = 1_000_000


class StopSwitch:
    """Tells the stream to stop, from a signal handler or another thread, before it runs as well as while it does."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.is_on = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None

    def stop(self) -> None:
        """Ask for the end."""
        self.is_on = True
        if self._loop is not None and self._event is not None:
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Return when the end was asked for."""
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        if not self.is_on:
            await self._event.wait()
        self._loop = None


@dataclass
class Followed:
    """The tokens whose trades are wanted: those named in the settings and those that are tracked."""

    platform: Platform
    mints: frozenset[str] = field(default_factory=frozenset)

    async def keep_up(self) -> None:
        """Look once a minute who is tracked now; while the database is away, those of before stay."""
        while True:
            await self.look()
            await asyncio.sleep(FOLLOWED_SECONDS)

    async def look(self) -> None:
        """Look once."""
        try:
            tracked = await in_thread(self._tracked)
        except Exception:  # the drain tells of a database that is away
            return
        self.mints = tracked | frozenset(self.platform.settings.stream_mints)

    def _tracked(self) -> frozenset[str]:
        with self.platform.engine.connect() as connection:
            return tracked_mints(connection)


def spool_folder(settings: Settings) -> Path:
    """Where frames wait; each mode has a folder of its own, as it has a database."""
    return settings.home / "stream" / settings.database_label


def feed_policy(settings: Settings) -> FeedPolicy:
    """The settings that are about the feed."""
    return FeedPolicy(
        url=connection_url(settings),
        with_trades=settings.key_of(settings.pumpportal_api_key) is not None,
        silence_seconds=settings.stream_silence_seconds,
        ping_seconds=settings.stream_ping_seconds,
        reconnect_seconds=settings.stream_reconnect_seconds,
    )


async def run_stream(
    platform: Platform, switch: StopSwitch, say: Callable[[str], None], report: Report | None = None
) -> StreamStatus:
    """Listen and write until the switch is on; then write the rest and return what came of it.

    Raises `SpoolError` if another process listens already.
    """
    settings = platform.settings
    spool = Spool(spool_folder(settings), settings.stream_spool_mb * MEGABYTE)
    try:
        return await _run(platform, spool, switch, say, report)
    finally:
        spool.close()


async def _run(
    platform: Platform, spool: Spool, switch: StopSwitch, say: Callable[[str], None], report: Report | None
) -> StreamStatus:
    settings, status = platform.settings, StreamStatus()
    followed = Followed(platform, frozenset(settings.stream_mints))
    policy = feed_policy(settings)
    collector = Collector(policy, spool, platform.clock, status, say, lambda: followed.mints)
    writer = BatchWriter(lambda: platform.engine, platform.clock, policy.shown_url)
    drain = Drain(spool, writer, status, say, collector.arrived, settings.stream_batch_seconds)
    background = [asyncio.create_task(followed.keep_up())] if policy.with_trades else []
    if report is not None:
        background.append(asyncio.create_task(keep_reporting(status, report, lambda: spool.backlog_bytes, say)))
    reading, draining = asyncio.create_task(collector.run()), asyncio.create_task(drain.run())
    stopping = asyncio.create_task(switch.wait())
    try:
        # The first two end only by an error that nobody foresaw, and then so does the process.
        done, _ = await asyncio.wait([stopping, reading, draining], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await collector.end()
                # While it waits to connect again there is nothing to wait for.
                await (reading if status.connected else asyncio.sleep(0))
    finally:
        await _cancelled(stopping, reading, draining, *background)
        status.connected = False
        await _write_the_rest(drain, say)
        if report is not None:
            await _within(LAST_REPORT_SECONDS, report_once(status, report, spool.backlog_bytes, say))
    return status


async def _write_the_rest(drain: Drain, say: Callable[[str], None]) -> None:
    await _within(LAST_WRITES_SECONDS, drain.empty())
    if drain.spool.backlog_bytes:
        say(f"spool: {drain.spool.backlog_bytes:,} bytes wait in {drain.spool.folder} for the next start")


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return


async def _cancelled(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
