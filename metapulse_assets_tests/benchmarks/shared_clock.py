"""One clock for several processes: the stand-in of the market and the pipeline must agree on what time it is."""

import mmap
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

# The moment the clock was set to, and the wall time at which that was done; both epoch seconds.
_LAYOUT = struct.Struct("dd")


class SharedClock:
    """Reads the time from a small file; it goes on at the wall's pace from the moment it was set to."""

    def __init__(self, path: Path) -> None:
        """The file must have been made by `create`."""
        with path.open("r+b") as handle:
            self._file = mmap.mmap(handle.fileno(), _LAYOUT.size)

    @classmethod
    def create(cls, path: Path, moment: datetime) -> "SharedClock":
        """A new clock that stands at a moment and goes on from there."""
        path.write_bytes(bytes(_LAYOUT.size))
        clock = cls(path)
        clock.set(moment)
        return clock

    def set(self, moment: datetime) -> None:
        """Let all its readers be at this moment; call it only while none of them is at work."""
        _LAYOUT.pack_into(self._file, 0, moment.timestamp(), time.time())

    def seconds(self) -> float:
        """Now, in UTC epoch seconds."""
        moment, set_at = _LAYOUT.unpack_from(self._file, 0)
        return float(moment) + time.time() - float(set_at)

    def __call__(self) -> datetime:
        """Now, in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)
