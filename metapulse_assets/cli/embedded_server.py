"""The embedded PostgreSQL while commands need it: started by the first, stopped by the last one to leave.

Every command that uses it holds a shared lock; who can turn that into an exclusive one is the last. A note beside the lock
says that a command started the server for itself, so that one started to stay (`metapulse db start`) is left running, and one
whose starter was killed is stopped by the next command.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings


@contextmanager
def database_server(settings: "Settings", quiet: bool = False) -> Iterator[None]:
    """Have the server run while the block lasts; does nothing where DATABASE_URL names another one."""
    if settings.database_url:
        yield
        return
    from metapulse_assets.platform import embedded_postgres

    with _users_file(settings.home) as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        if not embedded_postgres.is_running(settings.home):
            _note(settings.home).touch()
            if not quiet:
                say("PostgreSQL (embedded): starting …")
        try:
            embedded_postgres.ensure_running(settings.home)
            yield
        finally:
            if _is_last(users) and _note(settings.home).exists():
                if not quiet:
                    say("PostgreSQL (embedded): stopping …")
                embedded_postgres.stop(settings.home)
                _note(settings.home).unlink(missing_ok=True)


def keep_running(settings: "Settings") -> bool:
    """Start the server; it stays until `stop_now`. True if this call started it."""
    from metapulse_assets.platform import embedded_postgres

    _note(settings.home).unlink(missing_ok=True)
    return embedded_postgres.ensure_running(settings.home)


def stop_now(settings: "Settings") -> bool:
    """Stop the server unless a command uses it; True if it was running. Raises `BlockingIOError` if one does."""
    from metapulse_assets.platform import embedded_postgres

    with alone(settings):
        was_running = embedded_postgres.stop(settings.home)
        _note(settings.home).unlink(missing_ok=True)
        return was_running


@contextmanager
def alone(settings: "Settings") -> Iterator[None]:
    """No other command uses the server while the block lasts; raises `BlockingIOError` if one does."""
    with _users_file(settings.home) as users:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def is_initialised(settings: "Settings") -> bool:
    """Whether this home has a server with data, running or not."""
    from metapulse_assets.platform import embedded_postgres

    return (embedded_postgres.locate(settings.home).data / "PG_VERSION").exists()


def server_pid(settings: "Settings") -> int | None:
    """Process id of the server, None if it does not run or is not ours."""
    from metapulse_assets.platform import embedded_postgres

    if settings.database_url:
        return None
    with suppress(OSError, ValueError, IndexError):
        return int((embedded_postgres.locate(settings.home).data / "postmaster.pid").read_text().splitlines()[0])
    return None


def _users_file(home: Path) -> TextIO:
    home.mkdir(parents=True, exist_ok=True)
    return (home / "postgres.users").open("w")


def _note(home: Path) -> Path:
    return home / "postgres.on_demand"


def _is_last(users: TextIO) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
