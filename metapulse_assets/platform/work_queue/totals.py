"""What the queues have done since the beginning: what is in the ledger, and what the clean-up took out of it.

No counter is kept while jobs are done: one row that every settling would have to change would make them wait for each other.
"""

from dataclasses import asdict, dataclass
from typing import Any

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute


@dataclass(frozen=True)
class QueueTotals:
    """Attempts of a queue that ended so, since the beginning; none of them ever falls. `seconds`: what all took together.

    `completed`, `failed` (for good) and `canceled` end a job, and so count jobs; the others are followed by another attempt.
    """

    queue: str
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    retried: int = 0
    released: int = 0
    lost: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The totals for programs."""
        return asdict(self)


def read_totals(connection: Connection) -> dict[str, QueueTotals]:
    """The totals of every queue that ever did something, by name; all as of one moment."""
    found: dict[str, dict[str, int]] = {}
    microseconds: dict[str, int] = {}
    for queue, status, attempts, taken in execute(connection, TOTALS, {}):
        found.setdefault(queue, {})[status] = int(attempts)
        microseconds[queue] = microseconds.get(queue, 0) + int(taken)
    return {queue: QueueTotals(queue, **found[queue], seconds=microseconds[queue] / 1e6) for queue in sorted(found)}


# One statement, so that rows which a clean-up moves meanwhile are counted once.
TOTALS = """
SELECT job_type, status, sum(attempts), sum(microseconds) FROM (
    SELECT job_type, status, count(*) AS attempts, coalesce(sum((duration_seconds * 1e6)::bigint), 0) AS microseconds
    FROM job_attempts WHERE ended_at IS NOT NULL GROUP BY 1, 2
    UNION ALL
    SELECT job_type, status, attempts, microseconds FROM forgotten_attempts
) AS both_parts GROUP BY 1, 2 ORDER BY 1, 2
"""
