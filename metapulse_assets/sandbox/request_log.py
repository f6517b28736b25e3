"""What arrived at the sandbox: tests assert on it and people read it."""

from collections import deque
from dataclasses import asdict, dataclass
from typing import Final

# Enough for a long load test; the oldest entries go first.
_CAPACITY: Final = 200_000


@dataclass(slots=True)
class LoggedRequest:
    """One request. ``time`` is its arrival (wall time, UTC epoch seconds); ``status`` is None until it is answered.

    ``fault`` names the faults applied, joined by commas, or is None.
    """

    time: float
    vendor: str
    limit_class: str
    method: str
    path: str
    status: int | None = None
    fault: str | None = None


class RequestLog:
    """The requests in the order of their arrival."""

    def __init__(self) -> None:
        self._entries: deque[LoggedRequest] = deque(maxlen=_CAPACITY)

    def add(self, entry: LoggedRequest) -> None:
        """Append a request; its status and fault may be filled in later."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget every request."""
        self._entries.clear()

    def as_json(self) -> list[dict[str, object]]:
        """Return the requests as JSON-ready objects, the oldest first."""
        return [asdict(entry) for entry in list(self._entries)]
