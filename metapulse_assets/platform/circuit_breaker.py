"""Whether a vendor is being called at all: opens after failures in a row, lets one probe through after a while.

The state is in PostgreSQL: all processes share it, and a restart does not close it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.platform.tables import circuit_breakers


class CircuitOpenError(Exception):
    """The vendor failed too often of late; it is not being called."""

    def __init__(self, vendor: str, retry_in_seconds: float, last_error: str) -> None:
        """`last_error` is shown to people: it must hold no secret."""
        self.vendor = vendor
        self.retry_in_seconds = retry_in_seconds
        super().__init__(
            f"{vendor}: circuit open after repeated failures, next try in {retry_in_seconds:.0f} s (last: {last_error})"
        )


@dataclass(frozen=True)
class BreakerPolicy:
    """How many failures in a row open it, and for how long it stays open."""

    failures: int = 5
    open_seconds: float = 60.0


class CircuitBreaker:
    """One vendor's breaker."""

    def __init__(self, engine: sa.Engine, vendor: str, policy: BreakerPolicy, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds."""
        self._engine = engine
        self._vendor = vendor
        self._policy = policy
        self._clock = clock
        self._clean = False

    def before_call(self) -> None:
        """Raise `CircuitOpenError` unless a call may go; after the wait, the first asker becomes the probe."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(circuit_breakers).where(circuit_breakers.c.vendor == self._vendor)).one_or_none()
            self._clean = row is None or (row.state == "closed" and row.failures == 0)
            if row is None or row.state == "closed":
                return
            now = self._clock()
            # A probe that died leaves half_open behind; its lease is as long as the wait.
            remaining = row.changed_at + self._policy.open_seconds - now
            # More than twice the wait can only be a clock that was set back.
            if 0 < remaining <= 2 * self._policy.open_seconds:
                raise CircuitOpenError(self._vendor, remaining, row.last_error)
            became_probe = connection.execute(
                sa.update(circuit_breakers)
                .where(circuit_breakers.c.vendor == self._vendor, circuit_breakers.c.changed_at == row.changed_at)
                .values(state="half_open", changed_at=now)
            ).rowcount
            if not became_probe:
                raise CircuitOpenError(self._vendor, self._policy.open_seconds, row.last_error)

    def succeeded(self) -> None:
        """A call was answered: close, forget the failures."""
        if self._clean:
            return
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(circuit_breakers)
                .where(circuit_breakers.c.vendor == self._vendor)
                .values(state="closed", failures=0, changed_at=self._clock())
            )
        self._clean = True

    def undecided(self) -> None:
        """A call ended in a way that says nothing of the vendor; if it was the probe, the next asker is the probe."""
        if self._clean:
            return
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(circuit_breakers)
                .where(circuit_breakers.c.vendor == self._vendor, circuit_breakers.c.state == "half_open")
                .values(state="open", changed_at=self._clock() - self._policy.open_seconds)
            )

    def failed(self, error: str) -> None:
        """A call failed for a reason of the vendor's; the last of so many in a row opens the breaker."""
        now = self._clock()
        with self._engine.begin() as connection:
            failures = circuit_breakers.c.failures + 1
            opens = sa.or_(circuit_breakers.c.state != "closed", failures >= self._policy.failures)
            connection.execute(
                insert(circuit_breakers)
                .values(
                    vendor=self._vendor,
                    state="open" if self._policy.failures <= 1 else "closed",
                    failures=1,
                    changed_at=now,
                    last_error=error,
                )
                .on_conflict_do_update(
                    index_elements=["vendor"],
                    set_={
                        "failures": failures,
                        "state": sa.case((opens, "open"), else_=circuit_breakers.c.state),
                        "changed_at": now,
                        "last_error": error,
                    },
                )
            )
        self._clean = False
