"""Frames on disk from the moment they arrive until they are in the database: append-only segments, taken in their order.

Every frame is in a file before anything else is done with it, so that neither a killed process nor an absent database loses
one. Reading frames and writing rows belong elsewhere.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

SUFFIX = ".frames"
SEGMENT_BYTES = 4_000_000


class SpoolError(Exception):
    """The spool cannot be used; the message says why."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came. `received_us`: microseconds since 1970, UTC."""

    received_us: int
    raw: bytes


def encoded(received_us: int, raw: bytes) -> bytes:
    """A frame as a segment holds it: arrival, length, and the bytes as they are."""
    return b"%d %d\n%b\n" % (received_us, len(raw), raw)


def frames_of(segment: bytes) -> Iterator[Frame]:
    """The frames of a segment. What a crash left half-written at its end is left out."""
    place = 0
    while (end := segment.find(b"\n", place)) >= 0:
        try:
            received_us, length = map(int, segment[place:end].split(b" "))
        except ValueError:
            return
        place = end + 1 + length
        if length < 0 or segment[place : place + 1] != b"\n":
            return
        yield Frame(received_us, segment[end + 1 : place])
        place += 1


class Spool:
    """The segments of one folder, which one process at a time may use. Everything but `sync` belongs to one thread."""

    def __init__(self, folder: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Take up what an earlier process left. Raises `SpoolError` if another one uses the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = _locked(folder)
        self._limit, self._segment_limit = limit_bytes, segment_bytes
        found = sorted(folder.glob(f"*{SUFFIX}"))
        self._sealed = {path: path.stat().st_size for path in found}
        self._next = int(found[-1].stem) + 1 if found else 1
        self._open: tuple[Path, int] | None = None
        self._open_bytes = 0
        self.backlog_bytes = sum(self._sealed.values())
        self.left_by_others = len(found)

    @property
    def is_full(self) -> bool:
        """Whether no more may be taken in until something was written."""
        return self.backlog_bytes >= self._limit

    def append(self, received_us: int, raw: bytes) -> None:
        """Write a frame to disk's cache, which outlives this process. Raises OSError if the disk takes no more."""
        data = encoded(received_us, raw)
        if self._open is None:
            self._begin()
        assert self._open is not None  # noqa: S101 - just begun
        written = os.write(self._open[1], data)
        if written < len(data):
            # Without its whole length it would hide all that comes after it.
            os.ftruncate(self._open[1], self._open_bytes)
            raise OSError(f"{self._open[0].name}: the disk took {written} of {len(data)} bytes")
        self._open_bytes += len(data)
        self.backlog_bytes += len(data)
        if self._open_bytes >= self._segment_limit:
            self._seal()

    def seal(self) -> list[Path]:
        """Close the segment that is being written, and return all that are whole, the oldest first."""
        if self._open_bytes:
            self._seal()
        return list(self._sealed)

    def remove(self, segment: Path) -> None:
        """Forget a segment: its rows are in the database."""
        segment.unlink(missing_ok=True)
        self._forget(segment)

    def set_aside(self, segment: Path) -> Path:
        """Keep a segment that cannot be written, out of the way of the others; returns where it is now."""
        aside = segment.with_suffix(".refused")
        segment.rename(aside)
        self._forget(segment)
        return aside

    def sync(self) -> None:
        """Have what was written reach the disk itself, files and folder. May be called in a thread of its own."""
        for path in (*sorted(self.folder.glob(f"*{SUFFIX}")), self.folder):
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """Let another process use the folder. What is in it stays."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
        self._lock.close()

    def _begin(self) -> None:
        path = self.folder / f"{self._next:016d}{SUFFIX}"
        self._open = (path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600))
        self._next += 1
        self._open_bytes = 0

    def _seal(self) -> None:
        assert self._open is not None  # noqa: S101 - callers made sure
        os.close(self._open[1])
        self._sealed[self._open[0]] = self._open_bytes
        self._open, self._open_bytes = None, 0

    def _forget(self, segment: Path) -> None:
        self.backlog_bytes -= self._sealed.pop(segment)


def _locked(folder: Path) -> TextIO:
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise SpoolError(f"another `metapulse stream` writes to {folder}; the vendor allows one connection") from None
    return lock
