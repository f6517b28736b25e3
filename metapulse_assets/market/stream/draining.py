"""From the spool to the database: batch after batch in their order, again and again while the database is away."""

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
import sqlalchemy as sa

from metapulse_assets.market.stream.spool import Spool
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.market.stream.writing import BatchWriter, Written
from metapulse_assets.platform.json_logs import known_secrets
from metapulse_assets.platform.redaction import redact
from metapulse_assets.vendors.pumpportal import Notice

Result = TypeVar("Result")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# A batch that the database refuses for what is in it, not for its own state, is tried so often and then set aside.
ATTEMPTS_ON_BAD_DATA = 3
BEAT_SECONDS = 10.0
# What says that the rows are wrong; everything else may pass, and is waited for.
BAD_DATA = (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, UnicodeError, LookupError, RecursionError)


@dataclass
class Drain:
    """Writes what is in the spool. `arrived` is set by whoever puts something in."""

    spool: Spool
    writer: BatchWriter
    status: StreamStatus
    say: Callable[[str], None]
    arrived: asyncio.Event
    batch_seconds: float
    _is_away: bool = False

    async def run(self) -> None:
        """Write until cancelled."""
        if self.spool.left_by_others:
            self.say(f"spool: {self.spool.left_by_others} batches of an earlier process are written first")
        while True:
            if not await self._something_came():
                await self._beat()
                continue
            await asyncio.sleep(self.batch_seconds)
            await self.empty()

    async def empty(self) -> None:
        """Write everything that is in the spool now. Cancelled in the midst, it leaves on disk what is not written."""
        self.arrived.clear()
        segments = self.spool.seal()
        if segments:
            await in_thread(self.spool.sync)
        for segment in segments:
            await self._write(segment)

    async def _something_came(self) -> bool:
        if self.spool.backlog_bytes:
            return True
        try:
            await asyncio.wait_for(self.arrived.wait(), BEAT_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _beat(self) -> None:
        if not self.status.connected:
            return
        try:
            await in_thread(self.writer.beat)
        except Exception as error:
            self._note_failure(error)

    async def _write(self, segment: Path) -> None:
        failures = bad_data = 0
        while True:
            try:
                written = await in_thread(lambda: self.writer.write(segment))
            except Exception as error:  # whatever it is, the frames are on disk and the stream goes on
                failures += 1
                self.status.failed_writes += 1
                bad_data += is_bad_data(error)
                self._note_failure(error)
                if bad_data >= ATTEMPTS_ON_BAD_DATA:
                    self.status.set_aside += 1
                    self.say(f"spool: a batch cannot be written and is set aside as {self.spool.set_aside(segment)}")
                    return
            else:
                self._note_success(segment, written)
                return
            pause = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
            await asyncio.sleep(pause * (0.5 + 0.5 * random.random()))  # noqa: S311 - spreads tries, guards nothing
            await in_thread(self.spool.sync)

    def _note_success(self, segment: Path, written: Written) -> None:
        self.spool.remove(segment)
        self.status.add(written)
        for notice in written.notices:
            _say_notice(notice, self.say)
        if self._is_away:
            self._is_away = False
            self.say("database: back; what waited on disk is being written")

    def _note_failure(self, error: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            lines = str(error).strip().splitlines() or [""]
            text = f"database: {type(error).__name__}: {lines[0]}; frames are kept on disk until it is back"
            self.say(redact(text, known_secrets()))


def is_bad_data(error: Exception) -> bool:
    """Whether the rows themselves are at fault."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return isinstance(cause, BAD_DATA)


async def in_thread(call: Callable[[], Result]) -> Result:
    """Run a call in a thread that does not keep the process alive, so that a hung database cannot delay its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as caught:  # told to whoever waits
            error = caught
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the loop is gone, and with it whoever waited

    threading.Thread(target=work, name="metapulse-stream", daemon=True).start()
    return await future


def _say_notice(notice: Notice, say: Callable[[str], None]) -> None:
    say(redact(f"feed {'complains' if notice.is_error else 'says'}: {notice.text}", known_secrets()))
