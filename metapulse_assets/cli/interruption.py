"""Ctrl-C and its kin: the first one interrupts the work, later ones do not interrupt the clean-up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from metapulse_assets.cli.terminal import say


class StopRequest:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        """Nobody has yet."""
        self.received = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.received:
            say("stopping already, one moment")
            return
        self.received = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a request came and somebody else's code swallowed it."""
        if self.received:
            raise KeyboardInterrupt


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """SIGINT, SIGTERM and SIGHUP raise `KeyboardInterrupt`, once.

    SIGINT also where a script's shell had us ignore it, as it does with what it starts in the background; SIGHUP not where
    `nohup` did. Children then start with the default handling, since only what is ignored is inherited.
    """
    request = StopRequest()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request.handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
