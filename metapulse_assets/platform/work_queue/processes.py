"""Worker processes side by side: one that has done its share of jobs, or died, is started afresh; all are stopped together.

Apart from `platform/processes.py`, which takes a process that ends soon for a broken one: here that is the rule.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# Names the process that a worker belongs to: without it, a worker stops.
PARENT = "METAPULSE_WORKER_PARENT"
# The pause before a process that failed is started again; doubles with each failure in a row.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
LOOK_SECONDS = 0.05
# After its own time to stop, what a worker gets before it is killed.
GRACE_SECONDS = 3.0


@dataclass
class _Place:
    """One of the processes; it may be many in a row."""

    process: "subprocess.Popen[bytes] | None" = None
    failures: int = 0
    start_at: float = 0.0


@dataclass
class WorkerProcesses:
    """Keeps `count` processes of a command running. `request_stop` may be called from a signal handler."""

    command: Sequence[str]
    count: int
    stop_seconds: float
    say: Callable[[str], None]
    on_look: Callable[[], None] = field(default=lambda: None)
    started: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Nothing runs yet."""
        self._places = [_Place() for _ in range(self.count)]
        self._stopping = False

    def request_stop(self) -> None:
        """Have `run` stop all of them."""
        self._stopping = True

    def pids(self) -> list[int]:
        """Of those that run."""
        return [place.process.pid for place in self._places if place.process is not None and place.process.poll() is None]

    def run(self) -> int:
        """Keep them running until a stop is asked for; returns how many had to be killed then."""
        try:
            while not self._stopping:
                for place in self._places:
                    self._look(place)
                self.on_look()
                time.sleep(LOOK_SECONDS)
        finally:
            killed = self._stop_all()
        return killed

    def _look(self, place: _Place) -> None:
        if place.process is None:
            if time.monotonic() >= place.start_at and not self._stopping:
                # In a session of its own: Ctrl-C reaches only us, and we tell it once.
                place.process = subprocess.Popen(  # noqa: S603 - a command of ours
                    list(self.command), start_new_session=True, env={**os.environ, PARENT: str(os.getpid())}
                )
                self.started += 1
            return
        code = place.process.poll()
        if code is None:
            return
        pid, place.process = place.process.pid, None
        if code == 0:
            place.failures = 0
            return
        pause = min(FIRST_PAUSE_SECONDS * 2**place.failures, LONGEST_PAUSE_SECONDS)
        place.failures += 1
        place.start_at = time.monotonic() + pause
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self.say(f"worker process {pid} {how}; another is started in {pause:g} s")

    def _stop_all(self) -> int:
        processes = [place.process for place in self._places if place.process is not None]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.stop_seconds + GRACE_SECONDS
        killed = 0
        for process in processes:
            try:
                process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                killed += 1
                process.kill()
                process.wait()
        return killed


def is_orphan() -> bool:
    """Whether the process that this worker belongs to is gone."""
    parent = os.environ.get(PARENT)
    return parent is not None and os.getppid() != int(parent)
