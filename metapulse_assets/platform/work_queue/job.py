"""What a handler is given, and what it may raise to say how its job goes on."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metapulse_assets.platform.runtime import Platform

JobData = dict[str, Any]
LONGEST_WAIT_SECONDS = 365 * 86_400
"""Of a job that is to begin later, or again later. Own choice."""


@dataclass(frozen=True)
class Job:
    """One attempt at a job. `attempt`: 1 for the first. `platform`: settings, engine and clock of the worker."""

    job_id: int
    queue: str
    data: JobData
    attempt: int
    created_at: datetime
    platform: "Platform"


class GiveUp(Exception):  # noqa: N818 - an instruction, not an error
    """Raised by a handler: no further attempt would help; the message becomes the dead letter's."""


class RetryLater(Exception):  # noqa: N818 - an instruction, not an error
    """Raised by a handler: this attempt failed, and the next is to come in so many seconds, whatever the policy's pause."""

    def __init__(self, seconds: float, reason: str) -> None:
        """`seconds`: from now on; `reason`: what went wrong. Raises ValueError for a time that is none."""
        if not isinstance(seconds, int | float) or not seconds <= LONGEST_WAIT_SECONDS:
            raise ValueError(f"RetryLater.seconds: {seconds!r} is not a number up to {LONGEST_WAIT_SECONDS:,.0f} ({reason})")
        super().__init__(reason)
        self.seconds = seconds


# Which job the running code works on; the logs read it.
current_job: ContextVar[Job | None] = ContextVar("current_job", default=None)
