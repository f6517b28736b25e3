"""The most memory that some processes have in use together, sampled beside them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

SAMPLE_SECONDS = 0.05
MEBIBYTE = 2**20

Processes = Callable[[], Iterable[psutil.Process]]


@dataclass
class Peak:
    """MiB by group of processes: at the moment when all groups together were highest, and each group's own highest."""

    together: dict[str, float] = field(default_factory=dict)
    alone: dict[str, float] = field(default_factory=dict)
    samples: int = 0

    @property
    def total(self) -> float:
        """The highest sum."""
        return sum(self.together.values())

    def take(self, now: dict[str, float]) -> None:
        """Take in a sample."""
        self.samples += 1
        for name, size in now.items():
            self.alone[name] = max(self.alone.get(name, 0.0), size)
        if sum(now.values()) > self.total:
            self.together = now


@contextmanager
def watching(peak: Peak, groups: Mapping[str, Processes]) -> Iterator[None]:
    """Samples the proportional set size (PSS) of groups of processes into `peak` every 50 ms while the block runs.

    PSS counts a page that several processes share once in all, divided among them: PostgreSQL's shared buffers above all.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            started = time.monotonic()
            peak.take({name: sum(map(_pss, processes())) / MEBIBYTE for name, processes in groups.items()})
            ended.wait(max(SAMPLE_SECONDS - (time.monotonic() - started), 0.0))

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
