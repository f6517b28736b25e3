"""Counts sent to a DogStatsD agent over UDP. Sending costs the caller nothing, never blocks, and fails nobody.

What is counted, and when, is said where it happens; here is only the way out.
"""

import contextlib
import logging
import queue
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from metapulse_assets.platform.settings import host_and_port

LOGGER = logging.getLogger("metapulse.statsd")

# What fits into one packet of an Ethernet with room for headers, as DogStatsD's own clients have it.
LARGEST_PACKET = 1_432
# So many wait to be sent; more are dropped, as UDP would drop them.
MOST_WAITING = 10_000
# So long the agent's address is taken for right, and so long one that cannot be found is not looked for again.
RESOLVE_SECONDS = 60.0
# So long the last ones are waited for at the end.
GOODBYE_SECONDS = 1.0
# Signs that end a name, a tag or a line in the protocol.
_SEPARATORS = re.compile(r"[\s|,:@#]")

Count = tuple[str, tuple[tuple[str, str], ...]]


class Statsd:
    """Sends counts from a thread of its own, which begins with the first. To be used in one thread, and closed."""

    def __init__(self, address: str) -> None:
        """`address`: "host:port". Raises ValueError for one that is not."""
        self._address = host_and_port(address)
        self._waiting: queue.Queue[Count | None] = queue.Queue(MOST_WAITING)
        self._said = False
        self._look_at = 0.0
        self._target: Any = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def count(self, metric: str, tags: Mapping[str, str]) -> None:
        """One more of a metric, with these tags."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="statsd", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait((metric, tuple(tags.items())))

    def close(self) -> None:
        """Send what waits, for a second at most."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(GOODBYE_SECONDS)

    def _send_all(self) -> None:
        is_open = True
        while is_open:
            counts: Counter[Count] = Counter()
            first = self._waiting.get()
            is_open = first is not None
            if first is not None:
                counts[first] += 1
            with contextlib.suppress(queue.Empty):
                while is_open:
                    following = self._waiting.get_nowait()
                    is_open = following is not None
                    if following is not None:
                        counts[following] += 1
            for packet in packets(counts):
                self._send(packet)
        if self._socket is not None:
            self._socket.close()

    def _send(self, packet: bytes) -> None:
        try:
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + RESOLVE_SECONDS
                self._resolve()
            if self._socket is not None:
                self._socket.sendto(packet, self._target)
                self._said = False
        except OSError as error:
            self._say(error)

    def _resolve(self) -> None:
        family, _, _, _, target = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        if self._socket is None or self._socket.family != family:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self._target = target

    def _say(self, error: OSError) -> None:
        """Once, until something could be sent again."""
        if not self._said:
            self._said = True
            reason = error.strerror or type(error).__name__
            LOGGER.warning("METAPULSE_STATSD_ADDRESS: counts cannot be sent (%s); jobs go on", reason)


def packets(counts: Mapping[Count, int]) -> Iterable[bytes]:
    """Counts as DogStatsD's datagrams: lines `name:number|c|#tag:value,tag:value`, as many in one as fit."""
    packet = b""
    for (metric, tags), number in counts.items():
        tagged = ",".join(f"{_plain(name)}:{_plain(value)}" for name, value in tags)
        line = f"{_plain(metric)}:{number}|c{f'|#{tagged}' if tagged else ''}".encode(errors="replace")
        if packet and len(packet) + 1 + len(line) > LARGEST_PACKET:
            yield packet
            packet = b""
        packet = packet + b"\n" + line if packet else line
    if packet:
        yield packet


def _plain(text: str) -> str:
    return _SEPARATORS.sub("_", text)
