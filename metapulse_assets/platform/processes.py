"""Processes of ours: started, watched, restarted, and stopped so that not one is left. Knows nothing of what they do.

Why no library: honcho 2.0 stops everything when one process ends and restarts nothing; circus 0.19 does both, but brings
tornado and pyzmq and listens on TCP ports of its own. Neither sees a grandchild that outlives its parent, which is what
Dagster's code servers and run workers do. Linux hands such orphans to the nearest "subreaper", so this process becomes one.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

# One that lived shorter than this died quickly; the pause before each restart is twice the one before.
QUICK_SECONDS = 60.0
QUICK_DEATHS = 5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# After the signal to stop and its time come SIGTERM and this time, then SIGKILL.
TERM_SECONDS = 1.5
LARGEST_LOG_BYTES = 20_000_000
LOOK_SECONDS = 0.1
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ProcessError(Exception):
    """A process ended that should not have, or did not get ready; the message ends with the last line of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to start and how to stop it: `stop_signal` first, and `stop_seconds` to heed it."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5.0


@dataclass
class _Supervised:
    spec: ProcessSpec
    process: "subprocess.Popen[bytes]"
    log_start: int
    started_at: float = field(default_factory=time.monotonic)
    quick_deaths: int = 0
    restart_at: float | None = None

    def last_words(self) -> str:
        """How it ended, with the last line that it wrote."""
        with contextlib.suppress(OSError), self.spec.log.open("rb") as log:
            log.seek(self.log_start)
            lines = COLOURS.sub("", log.read().decode(errors="replace")).strip().splitlines()
            if lines:
                return f"exit code {self.process.returncode}: {lines[-1]}"
        return f"exit code {self.process.returncode}"


class Supervisor:
    """Starts processes in sessions of their own, so that a terminal's Ctrl-C reaches only this process, which then stops them.

    Use from one thread, as a context manager: whatever is left at the end is stopped, the last started first.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], spared: Callable[[], int | None] = lambda: None) -> None:
        """`folder`: where they work. `spared`: pid of one that may become a descendant of ours and is not to be touched."""
        self._folder = folder
        self._say = say
        self._spared = spared
        self._supervised: dict[str, _Supervised] = {}
        self._seen: set[psutil.Process] = set()
        if LIBC is not None:
            LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def __enter__(self) -> "Supervisor":
        """Nothing runs yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop what is left."""
        self.stop_all()

    def start(self, spec: ProcessSpec) -> None:
        """Start a process; its output goes to the end of its log."""
        self._supervised[spec.name] = self._spawn(spec)

    def has(self, name: str) -> bool:
        """Whether a process of this name was started here."""
        return name in self._supervised

    def wait_ready(self, name: str, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a process of ours is ready for work; raises `ProcessError` if it ends or does not get so far in time."""
        supervised = self._supervised[name]
        deadline = time.monotonic() + seconds
        while not is_ready():
            if supervised.process.poll() is not None:
                raise ProcessError(f"{name} did not start, {supervised.last_words()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{name} is not ready after {seconds:.0f} s, see {supervised.spec.log}")
            time.sleep(LOOK_SECONDS)

    def watch(self) -> None:
        """One look at all: restart what died, shorten long logs. Raises `ProcessError` for one that keeps dying quickly."""
        self._reap()
        for name, supervised in self._supervised.items():
            if supervised.restart_at is None and supervised.process.poll() is not None:
                self._note_death(name, supervised)
            if supervised.restart_at is not None and time.monotonic() >= supervised.restart_at:
                successor = self._spawn(supervised.spec)
                successor.quick_deaths = supervised.quick_deaths
                self._supervised[name] = successor
                self._say(f"{name}: restarted")
            _shorten(supervised.spec.log)

    def stop(self, name: str) -> None:
        """Stop one process, harder and harder. What it leaves behind are `strays` from then on."""
        self.descendants()  # noted now, since without a subreaper nobody knows later where they came from
        supervised = self._supervised.pop(name, None)
        if supervised is None or supervised.process.poll() is not None:
            return
        for stop_signal, seconds in (
            (supervised.spec.stop_signal, supervised.spec.stop_seconds),
            (signal.SIGTERM, TERM_SECONDS),
            (signal.SIGKILL, TERM_SECONDS),
        ):
            supervised.process.send_signal(stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                supervised.process.wait(seconds)
                return
            self._say(f"{name}: still there {seconds:g} s after {stop_signal.name}")

    def end_strays(self, seconds: float = TERM_SECONDS) -> None:
        """Wait until the strays have ended by themselves; after so many seconds SIGTERM them, at last SIGKILL."""
        _, left = psutil.wait_procs(self.strays(), timeout=seconds)
        for stop_signal in (signal.SIGTERM, signal.SIGKILL):
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(stop_signal)
            _, left = psutil.wait_procs(left, timeout=TERM_SECONDS)

    def stop_all(self) -> None:
        """Stop everything, the last started first, and what each leaves behind."""
        for name in reversed(list(self._supervised)):
            self.stop(name)
            self.end_strays()
        self.end_strays(seconds=0.0)

    def strays(self) -> list[psutil.Process]:
        """The living descendants of this process that no supervised process is an ancestor of, nor one itself."""
        kept = [supervised.process.pid for supervised in self._supervised.values()]
        owned = {pid for parent in kept for pid in (parent, *(process.pid for process in _descendants(parent)))}
        return [process for process in self.descendants() if process.pid not in owned]

    def descendants(self) -> list[psutil.Process]:
        """Every living process that stems from this one, however its parents ended, save the spared one and its children."""
        self._reap()
        spared = self._spared()
        kept = {spared} | {process.pid for process in _descendants(spared)} if spared else set()
        self._seen = {process for process in self._seen.union(_descendants(os.getpid())) if _is_alive(process)}
        return [process for process in self._seen if process.pid not in kept]

    def _spawn(self, spec: ProcessSpec) -> _Supervised:
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        _shorten(spec.log)
        with spec.log.open("ab") as log:
            # Noted first: the process moves the place of the file that it shares with us.
            start = log.tell()
            process = subprocess.Popen(  # noqa: S603 - our own programs and arguments
                list(spec.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=dict(spec.environment),
                start_new_session=True,
                preexec_fn=_die_with_parent,  # one system call, bound beforehand
            )
            return _Supervised(spec, process, start)

    def _note_death(self, name: str, supervised: _Supervised) -> None:
        lived = time.monotonic() - supervised.started_at
        supervised.quick_deaths = supervised.quick_deaths + 1 if lived < QUICK_SECONDS else 1
        if supervised.quick_deaths >= QUICK_DEATHS:
            raise ProcessError(f"{name} died {QUICK_DEATHS} times in a row, {supervised.last_words()}")
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (supervised.quick_deaths - 1), LONGEST_PAUSE_SECONDS)
        supervised.restart_at = time.monotonic() + pause
        self._say(f"{name} died ({supervised.last_words()}); restarting it in {pause:g} s")

    def _reap(self) -> None:
        """Bury the orphans that ended in our care; what we started ourselves is buried by its Popen."""
        own = {supervised.process.pid for supervised in self._supervised.values()}
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error, ChildProcessError):
                if child.pid not in own and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)


def _die_with_parent() -> None:
    # Should this process be killed outright, nobody else would stop them.
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return found


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _shorten(log: Path) -> None:
    """Move a long log's text aside. The writer holds the file open for appending, so it is emptied, not renamed."""
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".1.log"))
        os.truncate(log, 0)
