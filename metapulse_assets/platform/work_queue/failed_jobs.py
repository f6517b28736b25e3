"""The dead letters of jobs: shown, put in again, dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from metapulse_assets.platform.work_queue.enqueueing import Connection, NewJob, enqueue_many, execute

if TYPE_CHECKING:
    from metapulse_assets.platform.work_queue.job import JobData


class FailedJobError(Exception):
    """There is no such dead letter, or it was put in again before."""


class NoFailedJobError(FailedJobError):
    """There is no such dead letter."""


@dataclass(frozen=True)
class FailedJob:
    """A dead letter. `retried_as`: number of the job that it became, None while it waits for somebody's decision."""

    id: int
    job_type: str
    job_data: "JobData"
    error_message: str
    failed_at: datetime
    job_id: int | None
    attempts: int | None
    retried_at: datetime | None
    retried_as: int | None


_COLUMNS = "id, job_type, job_data, error_message, failed_at, job_id, attempts, retried_at, retried_as"


def list_failed(
    connection: Connection, queue: str | None = None, most: int = 100, retried_too: bool = False
) -> list[FailedJob]:
    """Dead letters, newest first."""
    sql = (
        f"SELECT {_COLUMNS} FROM failed_jobs "  # noqa: S608
        "WHERE (%(queue)s::text IS NULL OR job_type = %(queue)s) AND (%(retried)s OR retried_at IS NULL) "
        "ORDER BY failed_at DESC, id DESC LIMIT %(most)s"
    )
    return [FailedJob(*row) for row in execute(connection, sql, {"queue": queue, "retried": retried_too, "most": most})]


def retry(connection: Connection, failed_id: int) -> int:
    """Put a dead letter's job in again, with all its attempts; returns the new job's number. Raises `FailedJobError`."""
    return _retry(connection, _open(connection, [failed_id]))[0]


def retry_all(connection: Connection, queue: str | None = None) -> list[int]:
    """Put every dead letter (of a queue) in again that was not yet; returns the new jobs' numbers."""
    sql = (
        f"SELECT {_COLUMNS} FROM failed_jobs "  # noqa: S608
        "WHERE retried_at IS NULL AND (%(queue)s::text IS NULL OR job_type = %(queue)s) ORDER BY id FOR UPDATE"
    )
    return _retry(connection, [FailedJob(*row) for row in execute(connection, sql, {"queue": queue})])


def drop(connection: Connection, failed_id: int) -> None:
    """Delete a dead letter for good; raises `FailedJobError` if there is none."""
    if not execute(connection, "DELETE FROM failed_jobs WHERE id = %(id)s RETURNING id", {"id": failed_id}):
        raise NoFailedJobError(f"there is no dead letter {failed_id}")


def drop_all(connection: Connection, queue: str | None = None) -> int:
    """Delete every dead letter (of a queue) for good; returns how many."""
    sql = "DELETE FROM failed_jobs WHERE %(queue)s::text IS NULL OR job_type = %(queue)s RETURNING id"
    return len(execute(connection, sql, {"queue": queue}))


def _open(connection: Connection, ids: Sequence[int]) -> list[FailedJob]:
    sql = f"SELECT {_COLUMNS} FROM failed_jobs WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"  # noqa: S608
    found = {row[0]: FailedJob(*row) for row in execute(connection, sql, {"ids": list(ids)})}
    for wanted in ids:
        if wanted not in found:
            raise NoFailedJobError(f"there is no dead letter {wanted}")
        if found[wanted].retried_at is not None:
            raise FailedJobError(f"dead letter {wanted} was put in again as job {found[wanted].retried_as}")
    return [found[wanted] for wanted in ids]


def _retry(connection: Connection, failed: Sequence[FailedJob]) -> list[int]:
    made = enqueue_many(connection, [NewJob(one.job_type, one.job_data) for one in failed])
    numbers = [job.job_id for job in made]
    sql = (
        "UPDATE failed_jobs AS f SET retried_at = now(), retried_as = r.job_id "
        "FROM unnest(%(ids)s::bigint[], %(jobs)s::bigint[]) AS r (id, job_id) WHERE f.id = r.id RETURNING f.id"
    )
    execute(connection, sql, {"ids": [one.id for one in failed], "jobs": numbers})
    return numbers
