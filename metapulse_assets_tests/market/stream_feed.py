"""A vendor of the stream's tests: tells a script over a real WebSocket, and lies, stumbles and falls silent as it says.

What one connection was not told, the next one is; so the distinct valid frames of a script are what must become rows.
"""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode


@dataclass(frozen=True)
class Cut:
    """The line goes dead in the midst of a frame, when all before it have arrived."""


@dataclass(frozen=True)
class Silence:
    """Nothing comes any more on this connection; pings are answered."""


@dataclass(frozen=True)
class Wait:
    """So many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Read:
    """Nothing more is said until the other side has taken in all before it."""


@dataclass(frozen=True)
class Gate:
    """Nothing more is said until the test opens it."""

    opened: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        """Let what follows through."""
        self.opened.set()


Action = bytes | Cut | Silence | Wait | Read | Gate


@dataclass
class Feed:
    """The vendor, as the test sees it. `asked`: the messages of each connection; `told`: how far the script is."""

    script: Sequence[Action]
    url: str = ""
    asked: list[list[dict[str, object]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    told: int = 0
    open_now: int = 0
    most_open: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the script was told to its end."""
        return self.told >= len(self.script)

    async def handle(self, connection: ServerConnection) -> None:
        """One connection."""
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        messages: list[dict[str, object]] = []
        self.asked.append(messages)
        self.paths.append(connection.request.path if connection.request else "")
        listening = asyncio.create_task(self._listen(connection, messages))
        with suppress(ConnectionClosed):
            while len(messages) < 2:
                await asyncio.sleep(0.005)
            await self._tell(connection)
            await connection.wait_closed()
        listening.cancel()
        self.open_now -= 1

    async def _listen(self, connection: ServerConnection, messages: list[dict[str, object]]) -> None:
        with suppress(ConnectionClosed):
            async for text in connection:
                messages.append(json.loads(text))

    async def _tell(self, connection: ServerConnection) -> None:
        while not self.is_over and not connection.transport.is_closing():
            action = self.script[self.told]
            if isinstance(action, Gate) and not action.opened.is_set():
                await asyncio.sleep(0.01)
                continue
            if isinstance(action, Read):
                # The answer to a ping proves that everything before it was read.
                await (await connection.ping())
            if isinstance(action, bytes):
                # As text, though a script may say what is no UTF-8.
                connection.transport.write(Frame(Opcode.TEXT, action).serialize(mask=False))
                if self.told % 50 == 0:
                    await asyncio.sleep(0)
                    while connection.transport.get_write_buffer_size() > 100_000:
                        await asyncio.sleep(0.001)
            self.told += 1
            if isinstance(action, Wait):
                await asyncio.sleep(action.seconds)
            elif isinstance(action, Cut):
                # As with `Read`: all before it have arrived.
                await (await connection.ping())
                connection.transport.write(Frame(Opcode.TEXT, b'{"signature":"half').serialize(mask=False)[:8])
                await asyncio.sleep(0.01)
                connection.transport.abort()
                return
            elif isinstance(action, Silence):
                return


@contextmanager
def feeding(script: Sequence[Action]) -> Iterator[Feed]:
    """A feed in a thread of its own; it has stopped when the block ends."""
    feed = Feed(script)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        async with serve(feed.handle, "127.0.0.1", 0, compression=None, close_timeout=0.2) as server:
            host, port = next(iter(server.sockets)).getsockname()[:2]
            feed.url = f"ws://{host}:{port}/api/data"
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield feed
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
