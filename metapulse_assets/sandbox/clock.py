"""The sandbox's clock: every simulated or replayed time comes from here, so that a day can pass in minutes."""

import time
from collections.abc import Callable


class SandboxClock:
    """A clock that starts at the wall time and runs ``speed`` times as fast (1 is wall time, 0 stands still)."""

    def __init__(self, speed: float = 1.0, wall: Callable[[], float] = time.time) -> None:
        """Raise ValueError for a negative or non-finite speed."""
        if not 0 <= speed < float("inf"):
            raise ValueError(f"speed: {speed} is not a finite number of 0 or more")
        self.speed = speed
        self._wall = wall
        self._start = wall()

    def now(self) -> float:
        """Return the sandbox's time in UTC epoch seconds."""
        wall = self._wall()
        return wall if self.speed == 1.0 else self._start + self.speed * (wall - self._start)
