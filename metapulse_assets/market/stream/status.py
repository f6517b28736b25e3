"""What the stream has done so far, in numbers that its log, its reports and its tests read. Plain data."""

from collections import deque
from dataclasses import dataclass, field
from datetime import date

from metapulse_assets.market.stream.writing import Written

# Nobody may be asking for them.
MOST_LAGS = 100_000


@dataclass
class StreamStatus:
    """Counts since the process began; `unreported` since the last report."""

    connected: bool = False
    connections: int = 0
    frames: int = 0
    written_frames: int = 0
    rows: int = 0
    repeated: int = 0
    quote_mints: int = 0
    refused: int = 0
    failed_writes: int = 0
    set_aside: int = 0
    followed_mints: int = 0
    slowest_s: float = 0.0
    unreported: dict[tuple[str, date], int] = field(default_factory=dict)
    unreported_lags: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_LAGS))

    def add(self, written: Written) -> None:
        """Take in a batch that was written."""
        self.written_frames += written.frames
        self.repeated += written.repeated
        self.quote_mints += written.quote_mints
        self.refused += written.refused
        for place, count in written.rows.items():
            self.rows += count
            self.unreported[place] = self.unreported.get(place, 0) + count
        self.unreported_lags += written.lags
        self.slowest_s = max(self.slowest_s, *written.lags) if written.lags else self.slowest_s

    def take_unreported(self) -> tuple[dict[tuple[str, date], int], list[float]]:
        """Rows by table and day, and seconds from frame to row, since this was last asked."""
        rows, lags = self.unreported, list(self.unreported_lags)
        self.unreported = {}
        self.unreported_lags.clear()
        return rows, lags

    def line(self, backlog_bytes: int) -> str:
        """Everything in a line."""
        state = "connected" if self.connected else "not connected"
        parts = [f"{self.frames:,} frames", f"{self.rows:,} rows", f"{self.repeated:,} repeated", f"{self.refused:,} refused"]
        parts += [f"{self.quote_mints:,} of quote tokens", f"{self.connections} connections"]
        if backlog_bytes:
            parts.append(f"{backlog_bytes / 1e6:.1f} MB wait on disk")
        return f"{state}: {', '.join(parts)}"
