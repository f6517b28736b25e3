"""Rate limits as the vendors count them: requests in the last 60 seconds of wall time, per limit class."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

WINDOW_SECONDS: Final = 60.0


def parse_limit(text: str) -> tuple[str, int]:
    """Return (limit class, requests per minute) of ``NAME=N``. Raises ValueError naming what is wrong with it."""
    name, separator, number = text.partition("=")
    if not separator or not number.strip().isdecimal():
        raise ValueError(f"limit: {text!r} is not NAME=N, such as dexscreener=300")
    return name.strip(), int(number)


class SlidingWindows:
    """Counts the admitted requests of each limit class; a refused request does not count."""

    def __init__(self, per_minute: Mapping[str, int], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raise ValueError for a limit below one."""
        for name, limit in per_minute.items():
            if limit < 1:
                raise ValueError(f"limit: {name}={limit} is below one request per minute")
        self.per_minute: Final = dict(per_minute)
        self._monotonic = monotonic
        self._admitted: dict[str, deque[float]] = {name: deque() for name in per_minute}

    def admit(self, name: str) -> bool:
        """Return whether one more request of this class is within its limit, and count it if so."""
        now = self._monotonic()
        admitted = self._admitted[name]
        while admitted and now - admitted[0] >= WINDOW_SECONDS:
            admitted.popleft()
        if len(admitted) >= self.per_minute[name]:
            return False
        admitted.append(now)
        return True

    def remaining(self, name: str) -> int:
        """Return how many more requests of this class would be admitted now."""
        since = self._monotonic() - WINDOW_SECONDS
        return self.per_minute[name] - sum(at > since for at in self._admitted[name])
