"""The life of a queue's jobs, line by line: what `metapulse tail` shows. Reads PgQueuer's log."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.pgqueuer_schema import LOG_TABLE

# A transaction may become visible so much after the numbers of its lines were given out.
LATE_SECONDS = 30.0
REMEMBERED = 50_000
_NAMES = {"picked": "active", "successful": "completed", "exception": "failed", "queued": "waiting"}


@dataclass(frozen=True)
class LifecycleLine:
    """Something that happened to a job. `event`: waiting, active, completed, failed, canceled or retried."""

    at: datetime
    queue: str
    job_id: int
    event: str
    error: str | None

    def text(self) -> str:
        """For people."""
        moment = self.at.strftime("%H:%M:%S.%f")[:-3]
        return f"{moment}  {self.queue} #{self.job_id} {self.event}" + (f": {self.error}" if self.error else "")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "time": self.at.isoformat(timespec="milliseconds"),
            "queue": self.queue,
            "job_id": self.job_id,
            "event": self.event,
            "error": self.error,
        }


class Follower:
    """Reads a queue's lines, each once. Starts with the last `lines` ones."""

    def __init__(self, queue: str, lines: int = 10) -> None:
        """Nothing is read yet."""
        self._queue = queue
        self._first = lines
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._newest: datetime | None = None

    def read(self, connection: Connection) -> list[LifecycleLine]:
        """What has happened since the last call, in its order."""
        if self._newest is None:
            rows = execute(connection, _FIRST, {"queue": self._queue, "late": LATE_SECONDS})
            (self._newest,) = execute(connection, "SELECT now()", {})[0]
            self._remember(rows)
            return [_line(row) for row in rows[max(len(rows) - self._first, 0) :]] if self._first else []
        values = {"queue": self._queue, "since": self._newest, "late": LATE_SECONDS}
        rows = [row for row in execute(connection, _NEXT, values) if row[0] not in self._seen]
        self._remember(rows)
        return [_line(row) for row in rows]

    def _remember(self, rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            self._seen[row[0]] = None
            if self._newest is None or row[1] > self._newest:
                self._newest = row[1]
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _line(row: Sequence[Any]) -> LifecycleLine:
    _, at, queue, job_id, status, error = row
    event = "retried" if status == "queued" and error else _NAMES.get(status, status)
    return LifecycleLine(at, queue, job_id, event, error)


_SELECT = f"SELECT id, created, entrypoint, job_id, status::text, traceback ->> 'exception_message' FROM {LOG_TABLE}"  # noqa: S608
_FIRST = f"""
SELECT * FROM (({_SELECT} WHERE entrypoint = %(queue)s ORDER BY id DESC LIMIT 1000)
    UNION ({_SELECT} WHERE entrypoint = %(queue)s AND created > now() - make_interval(secs => %(late)s))) AS found ORDER BY id
"""  # noqa: S608
_NEXT = f"""
{_SELECT} WHERE entrypoint = %(queue)s AND created > %(since)s - make_interval(secs => %(late)s) ORDER BY id
"""
