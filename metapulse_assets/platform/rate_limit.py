"""How often a vendor may be asked: a sliding window shared by all processes through PostgreSQL.

A window is kept as counts in small buckets. A bucket counts as long as any of it may lie in the window, and two more stand for
the time a request spends on its way, so that the vendor, too, never sees more than the limit in any window.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.platform.tables import rate_limits

BUCKETS = 60
# A clock this far behind the newest request was set back; a smaller step may be two machines that differ a little.
LONGEST_STEP_BACK_SECONDS = 60.0
# A vendor that asks for more is asked again after this; a block that seems longer is a clock that was set back.
LONGEST_BLOCK_SECONDS = 3600.0
# The bucket begun, the one partly out of the window, and two for jitter on the way to the vendor.
COUNTED_BUCKETS = BUCKETS + 3


@dataclass(frozen=True)
class Limit:
    """At most `requests` in any `window_seconds`."""

    requests: int
    window_seconds: float


@dataclass(frozen=True)
class Gate:
    """A class of requests that a vendor counts together."""

    name: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True)
class Grant:
    """The answer of a gate: how many requests may go now, else after how many seconds to ask again."""

    granted: int
    wait_seconds: float


class SharedRateLimit:
    """Asks the database, which all processes share, whether a request may go."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds; one machine's processes share it, several machines need NTP."""
        self._engine = engine
        self._clock = clock
        self._known: set[str] = set()

    def acquire(self, gate: Gate, wanted: int = 1) -> Grant:
        """Take up to `wanted` places at a gate; taken places are spent, whether used or not."""
        self._ensure_rows(gate)
        with self._engine.begin() as connection:
            rows = {
                row.window_seconds: row
                for row in connection.execute(
                    sa.select(rate_limits)
                    .where(rate_limits.c.gate == gate.name)
                    .order_by(rate_limits.c.window_seconds)
                    .with_for_update()
                )
            }
            # Read after the lock: while waiting for it, time has gone on.
            now = self._clock()
            blocked = max(row.blocked_until for row in rows.values()) - now
            if 0 < blocked <= LONGEST_BLOCK_SECONDS:
                return Grant(0, blocked)
            windows = [_Window.load(limit, rows[limit.window_seconds], now) for limit in gate.limits]
            granted = max(min(wanted, *(window.room() for window in windows)), 0)
            wait = 0.0 if granted else max(window.seconds_to_room(now) for window in windows)
            for window in windows:
                window.counts[-1] += granted
                connection.execute(
                    sa.update(rate_limits)
                    .where(rate_limits.c.gate == gate.name, rate_limits.c.window_seconds == window.limit.window_seconds)
                    .values(newest_bucket=window.newest, counts=window.counts)
                )
            return Grant(granted, wait)

    def block(self, gate: Gate, seconds: float) -> None:
        """Let nobody through for so long, as the vendor asked; an hour at most."""
        self._ensure_rows(gate)
        until = self._clock() + min(seconds, LONGEST_BLOCK_SECONDS)
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(rate_limits)
                # One row says it for all: to lock them in an order of its own could end in a deadlock with `acquire`.
                .where(rate_limits.c.gate == gate.name, rate_limits.c.window_seconds == gate.limits[0].window_seconds)
                .values(blocked_until=sa.func.greatest(rate_limits.c.blocked_until, until))
            )

    def _ensure_rows(self, gate: Gate) -> None:
        if gate.name in self._known:
            return
        with self._engine.begin() as connection:
            for limit in gate.limits:
                connection.execute(
                    insert(rate_limits)
                    .values(gate=gate.name, window_seconds=limit.window_seconds, newest_bucket=0, counts=[])
                    .on_conflict_do_nothing()
                )
        self._known.add(gate.name)


@dataclass
class _Window:
    limit: Limit
    newest: int
    counts: list[int]

    @classmethod
    def load(cls, limit: Limit, row: sa.Row[tuple[object, ...]], now: float) -> "_Window":
        width = limit.window_seconds / BUCKETS
        current = int(now / width)
        if (row.newest_bucket - current) * width > LONGEST_STEP_BACK_SECONDS:
            # As if the newest request had gone this very moment: nothing is handed out twice, and nobody waits for hours.
            return cls(limit, current, shift_counts(row.counts, 0))
        # A clock that stepped back must not hand out the same places twice.
        current = max(current, row.newest_bucket)
        return cls(limit, current, shift_counts(row.counts, current - row.newest_bucket))

    def room(self) -> int:
        return self.limit.requests - sum(self.counts)

    def seconds_to_room(self, now: float) -> float:
        if self.room() > 0:
            return 0.0
        width = self.limit.window_seconds / BUCKETS
        oldest = next(index for index, count in enumerate(self.counts) if count)
        free_at = (self.newest - (COUNTED_BUCKETS - 1) + oldest + COUNTED_BUCKETS) * width
        return max(free_at - now, width)


def shift_counts(counts: Sequence[int], steps: int) -> list[int]:
    """The counts of the last `COUNTED_BUCKETS` buckets after time went on by `steps` buckets, newest last."""
    padded = [0] * (COUNTED_BUCKETS - len(counts)) + list(counts)
    steps = min(steps, COUNTED_BUCKETS)
    return padded[steps:] + [0] * steps
