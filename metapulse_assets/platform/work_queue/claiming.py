"""Taking jobs out of the queue: PgQueuer's claim, and a row of the ledger for each, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from metapulse_assets.platform.work_queue.json_text import read_json, unreadable
from metapulse_assets.platform.work_queue.pausing import ALL
from metapulse_assets.platform.work_queue.pgqueuer_schema import QUEUE_TABLE, numbered, pgqueuer_settings, pyformat

if TYPE_CHECKING:
    import psycopg

    from metapulse_assets.platform.work_queue.job import JobData


@dataclass(frozen=True)
class Claimed:
    """A job that a worker holds. `attempt`: 1 for the first. `lost`: how often a worker vanished with it.

    `refusal`: why it cannot be worked on (its payload is not ours).
    """

    job_id: int
    queue: str
    data: "JobData"
    attempt: int
    created_at: datetime
    lost: int
    refusal: str | None = None


class Claimer:
    """Claims for one worker. `limits`: its queues, each with the jobs that may run at once in all processes (0: no limit)."""

    def __init__(self, worker_id: UUID, worker_name: str, limits: Mapping[str, int], lease: timedelta) -> None:
        """`worker_name`: for the ledger. `lease`: a job whose worker is silent for so long is anybody's."""
        from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
        from pgqueuer.domain.types import QueueManagerId

        self._worker_id = QueueManagerId(worker_id)
        self._worker_name = worker_name
        self._limits = dict(limits)
        self._lease = lease
        self._builder = QueryQueueBuilder(pgqueuer_settings())

    async def claim(self, connection: "psycopg.AsyncConnection[Any]", most: int) -> list[Claimed]:
        """Take at most so many jobs, the most important and then the oldest first; empty if there is none to be had."""
        import psycopg
        from pgqueuer.adapters.persistence.queries import lost_capacity_slot_race

        try:
            async with connection.transaction():
                rows = await self._dequeue(connection, most)
                return await self._record(connection, rows) if rows else []
        except psycopg.Error as error:
            # Another worker took the last free place of a limited queue in the same moment.
            if lost_capacity_slot_race(error, f"{pgqueuer_settings().queue_table}_picked_slot_idx"):
                return []
            raise

    async def next_due(self, connection: "psycopg.AsyncConnection[Any]") -> float | None:
        """Seconds until the next waiting job of our queues is due, at most 0 if one is already; None if none waits."""
        cursor = await connection.execute(_NEXT_DUE, {"queues": list(self._limits)})
        row = await cursor.fetchone()
        return None if row is None or row[0] is None else float(row[0])

    async def _dequeue(self, connection: "psycopg.AsyncConnection[Any]", most: int) -> list[dict[str, Any]]:
        from pgqueuer.domain.types import QueueEntrypoint
        from psycopg.rows import dict_row

        paused = {name for (name,) in await (await connection.execute("SELECT queue FROM paused_queues")).fetchall()}
        open_ones = {} if ALL in paused else {name: n for name, n in self._limits.items() if name not in paused}
        if not open_ones:
            return []
        query = self._builder.build_dequeue_query(
            batch_size=most,
            entrypoints=[QueueEntrypoint(name) for name in open_ones],
            concurrency_limits=list(open_ones.values()),
            queue_manager_id=self._worker_id,
            global_concurrency_limit=None,
            heartbeat_timeout=self._lease,
        )
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(pyformat(query.sql).encode(), numbered(*query.args))
            return await cursor.fetchall()

    async def _record(self, connection: "psycopg.AsyncConnection[Any]", rows: list[dict[str, Any]]) -> list[Claimed]:
        ids = [row["id"] for row in rows]
        lost = await (await connection.execute(_END_LOST, {"ids": ids})).fetchall()
        values = {
            "ids": ids,
            "types": [row["entrypoint"] for row in rows],
            "attempts": [row["attempts"] + 1 for row in rows],
            "worker": self._worker_name,
            "unique_ids": [_unique_id(row) for row in rows],
            "created": [row["created"] for row in rows],
        }
        await connection.execute(_BEGIN, values)
        losses: dict[int, int] = {}
        if lost:
            losses = dict(await (await connection.execute(_COUNT_LOST, {"ids": [row[0] for row in lost]})).fetchall())
        return [_claimed(row, losses.get(row["id"], 0)) for row in rows]


def _unique_id(row: dict[str, Any]) -> str | None:
    """What the caller calls the job: the queue has it behind the queue's name."""
    key: str | None = row["dedupe_key"]
    return None if key is None else key.removeprefix(f"{row['entrypoint']}:")


def _claimed(row: dict[str, Any], lost: int) -> Claimed:
    payload = bytes(row["payload"] or b"{}")
    refusal = None
    try:
        data = read_json(payload)
        if not isinstance(data, dict):
            raise ValueError(f"{type(data).__name__} in the place of an object")
    except ValueError as error:
        data, refusal = unreadable(payload), f"its payload cannot be read: {error}"
    return Claimed(row["id"], row["entrypoint"], data, row["attempts"] + 1, row["created"], lost, refusal)


_NEXT_DUE = f"""
SELECT extract(epoch FROM min(execute_after) - now())
FROM {QUEUE_TABLE}
WHERE status = 'queued' AND entrypoint = ANY(%(queues)s)
    AND entrypoint NOT IN (SELECT queue FROM paused_queues) AND NOT EXISTS (SELECT FROM paused_queues WHERE queue = '{ALL}')
"""  # noqa: S608
_END_LOST = """
UPDATE job_attempts SET status = 'lost', ended_at = clock_timestamp(),
    duration_seconds = extract(epoch FROM clock_timestamp() - started_at), error = 'the worker gave no sign of life'
WHERE job_id = ANY(%(ids)s) AND status = 'active' RETURNING job_id
"""
_BEGIN = """
INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, worker, unique_id, created_at)
SELECT job_id, job_type, attempt, 'active', clock_timestamp(), %(worker)s, unique_id, created_at
FROM unnest(%(ids)s::bigint[], %(types)s::text[], %(attempts)s::integer[], %(unique_ids)s::text[], %(created)s::timestamptz[])
    AS claimed (job_id, job_type, attempt, unique_id, created_at)
"""
_COUNT_LOST = "SELECT job_id, count(*) FROM job_attempts WHERE job_id = ANY(%(ids)s) AND status = 'lost' GROUP BY job_id"
