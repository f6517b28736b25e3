"""How the jobs of a queue are treated: tries, pauses between them, time, how many at once, how important. Plain values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

PriorityName = Literal["high", "medium", "low"]
# Lower goes first, as the Node services had it.
PRIORITIES: dict[str, int] = {"high": 1, "medium": 5, "low": 10}
LARGEST_PRIORITY = 2**31 - 1

Backoff = Sequence[float] | Callable[[int], float]


@dataclass(frozen=True)
class Policy:
    """The treatment of a queue's jobs.

    `attempts`: tries in all, the first included; None: WORKER_MAX_ATTEMPTS. `backoff`: seconds before the 2nd, 3rd, … try (the
    last one repeats), or a function of the number of the attempt that failed; None: WORKER_BACKOFF_DELAY, doubling.
    `concurrency`: jobs of the queue that run at once in all processes together; 0: no limit. `restarts`: how often a job
    is begun again whose worker vanished. `keep_completed`, `keep_failed`: finished jobs that the clean-up leaves; None: all.
    """

    attempts: int | None = None
    backoff: Backoff | None = None
    timeout_seconds: float = 300.0
    concurrency: int = 0
    priority: PriorityName | int = "medium"
    restarts: int = 3
    keep_completed: int | None = 100
    keep_failed: int | None = 50

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by name."""
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts: {self.attempts} is not at least 1")
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds: {self.timeout_seconds} is not above 0")
        if self.concurrency < 0 or self.restarts < 0:
            raise ValueError("concurrency and restarts: not below 0")
        if isinstance(self.backoff, Sequence) and not (self.backoff and all(0 <= s < math.inf for s in self.backoff)):
            raise ValueError(f"backoff: {self.backoff!r} is not a list of seconds")
        priority_number(self.priority)


def priority_number(priority: PriorityName | int) -> int:
    """A priority as a number; raises ValueError for a name that is none."""
    if isinstance(priority, str):
        if priority not in PRIORITIES:
            raise ValueError(f"priority: {priority!r} is none of {', '.join(PRIORITIES)}")
        return PRIORITIES[priority]
    if not 0 <= priority <= LARGEST_PRIORITY:
        raise ValueError(f"priority: {priority} is not between 0 and {LARGEST_PRIORITY}")
    return priority


def doubling(first_seconds: float) -> Callable[[int], float]:
    """Pauses that double: d after the first attempt, 2d after the second, …"""

    def pause(failed_attempt: int) -> float:
        return first_seconds * float(2 ** (failed_attempt - 1))

    return pause


def pause_after(backoff: Backoff, failed_attempt: int) -> float:
    """Seconds to wait after this attempt (1 for the first) failed."""
    if callable(backoff):
        return backoff(failed_attempt)
    return backoff[min(failed_attempt, len(backoff)) - 1]


# What each of the older services did; their documents are the source.
STORY_ENHANCEMENT = Policy(attempts=3, backoff=(2.0, 4.0, 8.0))
MARKET_JOBS = Policy(attempts=3, backoff=doubling(5.0))
PORTFOLIO_JOBS = Policy(attempts=4, backoff=(5.0, 10.0, 15.0))
