"""The one connection to the feed: subscribed, read into the spool, watched, and made anew when it is lost.

Nothing here waits for the database; what a frame means is not looked at.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from metapulse_assets.market.stream.rows import microseconds_of
from metapulse_assets.market.stream.spool import Spool
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.platform.clock import Clock
from metapulse_assets.platform.redaction import redact, redact_url
from metapulse_assets.platform.vendor_settings import is_loopback
from metapulse_assets.vendors.pumpportal import subscriptions, trade_messages

# Own choice: the vendor bans clients that press it, so one that is down for long is asked once a minute.
LONGEST_PAUSE = 60.0
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 1.0
FULL_SPOOL_PAUSE = 0.2
# Frames that the library may hold before it stops reading, and from when on it reads again.
QUEUE = (1024, 256)
# How often the wanted tokens are compared with the subscribed ones.
FOLLOW_SECONDS = 1.0
# How often silence is looked for, as a share of the longest that is borne.
WATCH_SHARE = 0.05


@dataclass(frozen=True)
class FeedPolicy:
    """Where the feed is and how patient to be. `url` holds the key; `with_trades`: there is one, so trades may be asked for."""

    url: str
    with_trades: bool
    silence_seconds: float
    ping_seconds: float
    reconnect_seconds: float

    @property
    def shown_url(self) -> str:
        """Where the feed is, fit to be shown."""
        return redact_url(self.url.partition("?")[0])


@dataclass
class Collector:
    """Reads the feed into the spool until it is cancelled."""

    policy: FeedPolicy
    spool: Spool
    clock: Clock
    status: StreamStatus
    say: Callable[[str], None]
    wanted_mints: Callable[[], Collection[str]] = frozenset
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _last_frame: float = 0.0
    _asked: int = 0
    _connection: ClientConnection | None = None
    _is_ending: bool = False

    async def end(self) -> None:
        """Say goodbye; `run` then returns when all that had arrived is on disk."""
        self._is_ending = True
        if self._connection is not None:
            await self._connection.close()

    async def run(self) -> None:
        """Connect, read, and connect again after a pause that doubles until more has come than answers to what was asked."""
        failures = 0
        while True:
            frames_before, self._asked = self.status.frames, 0
            reason = await self._one_connection()
            self.status.connected = False
            if self._is_ending:
                return
            # Who is banned may be answered and then cut off; each try would prolong it.
            failures = 0 if self.status.frames > frames_before + self._asked else failures + 1
            pause = pause_after(failures, self.policy.reconnect_seconds)
            self.say(f"feed: {reason}; connecting again in {pause:.1f} s")
            await asyncio.sleep(pause)

    async def _one_connection(self) -> str:
        """Read one connection to its end; returns why it ended."""
        try:
            async with self._connected() as connection:
                subscribed = frozenset(self.wanted_mints()) if self.policy.with_trades else frozenset()
                for message in subscriptions(sorted(subscribed)):
                    await connection.send(message)
                    self._asked += 1
                self._connection = connection
                self.status.connected = True
                self.status.connections += 1
                self.status.followed_mints = len(subscribed)
                trades = f", trades of {len(subscribed)} tokens" if self.policy.with_trades else "; no key, so no trades"
                self.say(f"feed: listening to {self.policy.shown_url}: launches, migrations{trades}")
                silence = asyncio.create_task(self._watch(connection))
                following = asyncio.create_task(self._follow(connection, subscribed))
                try:
                    await self._read(connection)
                finally:
                    self._connection = None
                    for task in (silence, following):
                        task.cancel()
                    await asyncio.gather(silence, following, return_exceptions=True)
        except (OSError, WebSocketException, TimeoutError) as error:
            return redact(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        return "the connection was closed"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        options = {"proxy": None} if is_loopback(self.policy.url) else {}
        async with connect(
            self.policy.url,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=self.policy.ping_seconds,
            ping_timeout=self.policy.ping_seconds,
            max_queue=QUEUE,
            **options,  # type: ignore[arg-type]
        ) as connection:
            yield connection

    async def _read(self, connection: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        self._last_frame = loop.time()
        while True:
            raw = await connection.recv(decode=False)
            received_us = microseconds_of(self.clock())
            self._last_frame = loop.time()
            self.status.frames += 1
            await self._keep(received_us, raw)
            self.arrived.set()

    async def _keep(self, received_us: int, raw: bytes) -> None:
        """Have the frame on disk, however long that takes: not reading on is what slows the feed down."""
        told = False
        while True:
            try:
                if not self.spool.is_full:
                    self.spool.append(received_us, raw)
                    return
                reason = "the spool is full"
            except OSError as error:
                reason = f"the spool cannot be written: {error.strerror or error}"
            if not told:
                self.say(f"feed: {reason}; reading no further until there is room")
                told = True
            self.arrived.set()
            await asyncio.sleep(FULL_SPOOL_PAUSE)

    async def _watch(self, connection: ClientConnection) -> None:
        """End a connection on which nothing has come for too long: pongs alone do not make a live feed."""
        loop = asyncio.get_running_loop()
        longest = self.policy.silence_seconds
        while True:
            await asyncio.sleep(longest * WATCH_SHARE)
            if loop.time() - self._last_frame > longest:
                self.say(f"feed: silent for {longest:g} s, taken for dead")
                # Not a polite close: who does not speak may not answer either.
                connection.transport.abort()
                return

    async def _follow(self, connection: ClientConnection, subscribed: frozenset[str]) -> None:
        """Keep the subscriptions to trades equal to what is wanted."""
        while self.policy.with_trades:
            await asyncio.sleep(FOLLOW_SECONDS)
            wanted = frozenset(self.wanted_mints())
            if wanted == subscribed:
                continue
            with suppress(WebSocketException):
                for message in trade_messages("subscribeTokenTrade", wanted - subscribed):
                    await connection.send(message)
                for message in trade_messages("unsubscribeTokenTrade", subscribed - wanted):
                    await connection.send(message)
            subscribed = wanted
            self.status.followed_mints = len(subscribed)


def pause_after(failures: int, first: float, luck: Callable[[], float] = random.random) -> float:
    """Seconds before the next try: doubling from `first` to a minute, of which a random half is left out."""
    whole: float = min(first * 2 ** min(failures, 30), LONGEST_PAUSE)
    return whole * (0.5 + 0.5 * luck())
