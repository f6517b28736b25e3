"""Ends a process whose event loop stands still: a handler that never lets go holds up every other job, and its own time limit.

Its jobs are then taken over like those of any worker that vanished, and the one that does it again and again is given up.
"""

import asyncio
import threading
from collections.abc import Callable

LOOK_SECONDS = 1.0


class Watchdog:
    """Looks, from a thread of its own, whether an event loop still moves; `run` is a task of that loop.

    `looks`: after so many of them, `LOOK_SECONDS` apart, without a movement between, `bite` is called, from that thread.
    """

    def __init__(self, looks: int, bite: Callable[[], None], look_seconds: float = LOOK_SECONDS) -> None:
        """Nobody looks yet."""
        self._looks, self._bite, self._pause = looks, bite, look_seconds
        self._moves = 0
        self._ended = threading.Event()

    async def run(self) -> None:
        """Show that the loop moves, until canceled."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._moves += 1
                await asyncio.sleep(self._pause / 2)
        finally:
            self._ended.set()

    def _watch(self) -> None:
        seen, silent = 0, 0
        # Looks are counted, not seconds: a process that was stopped and goes on has not looked in between.
        while not self._ended.wait(self._pause):
            silent = silent + 1 if self._moves == seen else 0
            seen = self._moves
            if silent >= self._looks:
                self._bite()
                return
