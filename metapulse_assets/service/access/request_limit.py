"""How often a caller may ask: a sliding window in PostgreSQL that all services share.

The window is kept as counts in buckets of half a second. A bucket counts as long as any of it may lie in the window, so that no
60 seconds ever hold more than the limit. Requests that arrive while a statement is under way are counted together by the next.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

WINDOW_SECONDS = 60.0
BUCKET_SECONDS = 0.5
# Those that lie in the window whole, and the one that is partly out of it.
BUCKETS = int(WINDOW_SECONDS / BUCKET_SECONDS) + 1
# One statement's answer, connecting included.
ANSWER_SECONDS = 3.0
CLEAN_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Verdict:
    """Whether a request may go on; if not, after how many seconds there is room."""

    admitted: bool
    wait_seconds: int = 0


class RequestLimit:
    """Counts requests; one a process, used in one event loop."""

    def __init__(self, url: str, limit: int, **connection_arguments: Any) -> None:
        """`url`: of libpq. `limit`: requests of a caller in any 60 s."""
        self._url = url
        self._limit = limit
        self._arguments = connection_arguments
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: list[tuple[str, asyncio.Future[Verdict]]] = []
        self._counting: asyncio.Task[None] | None = None
        self._clean_up_at = time.monotonic() + CLEAN_UP_SECONDS

    async def admit(self, caller: str) -> Verdict:
        """Count a request; raises `psycopg.Error` or TimeoutError if nobody can count."""
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((caller, verdict))
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count_all())
        return await verdict

    async def close(self) -> None:
        """Close the connection."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)
        await self._disconnect()

    async def _count_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    verdicts = await self._count([caller for caller, _ in group])
            except Exception as error:
                await self._disconnect()
                for _, verdict in group:
                    if not verdict.done():
                        verdict.set_exception(error)
                continue
            except asyncio.CancelledError:
                for _, verdict in group:
                    verdict.cancel()
                raise
            for (_, verdict), answer in zip(group, verdicts, strict=True):
                # Whoever hung up waits for nothing.
                if not verdict.done():
                    verdict.set_result(answer)

    async def _count(self, callers: Sequence[str]) -> list[Verdict]:
        """Count one group; the verdicts come in its order."""
        wanted: dict[str, int] = {}
        for caller in callers:
            wanted[caller] = wanted.get(caller, 0) + 1
        values = {"callers": list(wanted), "wanted": list(wanted.values()), "most": self._limit}
        left, wait = {}, {}
        for caller, granted, counts, bucket, now in await self._execute(values):
            left[caller] = granted
            wait[caller] = seconds_to_room(counts, bucket, now)
        verdicts = []
        for caller in callers:
            left[caller] -= 1
            verdicts.append(Verdict(True) if left[caller] >= 0 else Verdict(False, wait[caller]))
        return verdicts

    async def _execute(self, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        if self._connection is not None:
            # A connection that broke while nobody asked shows it only now: then once more, on a new one.
            with contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError):
                return await self._count_on(self._connection, values)
            await self._disconnect()
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, **self._arguments)
        # What a crash of the server loses is lost anyway: the table is unlogged.
        await self._connection.execute("SET synchronous_commit = off")
        return await self._count_on(self._connection, values)

    async def _count_on(self, connection: "psycopg.AsyncConnection[Any]", values: dict[str, Any]) -> list[tuple[Any, ...]]:
        if time.monotonic() >= self._clean_up_at:
            self._clean_up_at = time.monotonic() + CLEAN_UP_SECONDS
            await connection.execute(_FORGET)
        return await (await connection.execute(_COUNT, values)).fetchall()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()


def seconds_to_room(counts: Sequence[int], bucket: int, now: float) -> int:
    """Whole seconds until the oldest counted requests leave the window, at least 1. `bucket`: number of the newest count."""
    oldest = next((place for place, count in enumerate(counts) if count), len(counts) - 1)
    leaves = (bucket - (len(counts) - 1) + oldest + BUCKETS) * BUCKET_SECONDS
    return max(math.ceil(leaves - now), 1)


# `now()` is one moment for the whole statement; a service whose statement waited for another's takes that one's bucket. In the
# order of the callers, so that two services never wait for each other.
_COUNT = f"""
INSERT INTO request_counts AS r (caller, bucket, counts, granted)
SELECT caller, floor(extract(epoch FROM now()) / {BUCKET_SECONDS})::bigint,
    array_fill(0, ARRAY[{BUCKETS - 1}]) || least(wanted, %(most)s), least(wanted, %(most)s)
FROM unnest(%(callers)s::text[], %(wanted)s::integer[]) AS asked (caller, wanted) ORDER BY caller
ON CONFLICT (caller) DO UPDATE SET (bucket, counts, granted) = (
    SELECT newest, before || (current + room), room
    FROM (
        SELECT newest, kept[1:{BUCKETS - 1}] AS before, kept[{BUCKETS}] AS current,
            greatest(least(excluded.granted, %(most)s - (SELECT sum(c) FROM unnest(kept) AS c)), 0)::integer AS room
        FROM (
            SELECT newest, (r.counts || array_fill(0, ARRAY[steps]))[steps + 1:steps + {BUCKETS}] AS kept
            FROM (
                SELECT greatest(r.bucket, excluded.bucket) AS newest,
                    least(greatest(excluded.bucket - r.bucket, 0), {BUCKETS})::integer AS steps
            ) AS moved
        ) AS shifted
    ) AS judged
)
RETURNING caller, granted, counts, bucket, extract(epoch FROM now())::float8
"""  # noqa: S608
_FORGET = f"DELETE FROM request_counts WHERE bucket < extract(epoch FROM now()) / {BUCKET_SECONDS} - {2 * BUCKETS}"  # noqa: S608
