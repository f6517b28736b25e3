"""A way to the database that a test can close: existing connections break, new ones are refused."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

SOCKET = ".s.PGSQL.5432"


class DatabaseProxy:
    """Passes bytes between clients in a folder of its own and the real server's socket."""

    def __init__(self, url: str, folder: Path) -> None:
        """`url` is a libpq URL whose host is a folder of sockets."""
        parts = urlsplit(url)
        self._real = Path(parse_qs(parts.query)["host"][0]) / SOCKET
        self._own = folder / SOCKET
        self.url = f"postgresql://{parts.netloc}{parts.path}?host={quote(str(folder))}&port=5432"
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def open(self) -> None:
        """Let clients through."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def close(self) -> None:
        """Break every connection and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._break(), self._loop).result(10)

    @contextmanager
    def running(self) -> Iterator["DatabaseProxy"]:
        """Open while the block lasts, unless the test closes it."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        self.open()
        try:
            yield self
        finally:
            self.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._own)

    async def _break(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._own.unlink(missing_ok=True)
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._real)
        writers = {writer, there_writer}
        self._open |= writers
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        self._open -= writers

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()
