"""The embedded server: starts once however many ask, survives a crash without losing a row, and belongs to one home."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.embedded_postgres import LONGEST_SOCKET_PATH, SOCKET_NAME, EmbeddedPostgresError

START = "import sys\nfrom pathlib import Path\nfrom metapulse_assets.platform import embedded_postgres as e\n"


def in_process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """A Python process of its own that has `e`, the module."""
    command = [sys.executable, "-c", START + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> str:
    """What it printed; it must have ended well."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home without a server; whatever was started in it is stopped and removed."""
    folder = tmp_path / "home"
    yield folder
    if folder.exists():
        embedded_postgres.stop(folder)
        embedded_postgres.remove(folder)


def postmaster(home: Path) -> int:
    """Number of the server's process."""
    return int((embedded_postgres.locate(home).data / "postmaster.pid").read_text().split()[0])


@pytest.mark.slow
def test_starts_stops_and_starts_again_with_its_data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a developer's shell may hold for another server.
    monkeypatch.setenv("PGPORT", "5999")
    assert not embedded_postgres.is_running(home)
    assert embedded_postgres.ensure_running(home)
    assert not embedded_postgres.ensure_running(home)
    url = embedded_postgres.locate(home).url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        shown = connection.execute(
            "SELECT current_setting('TimeZone'), current_setting('listen_addresses'), version()"
        ).fetchone()
        assert shown is not None
        assert shown[:2] == ("UTC", "")
    with pytest.raises(EmbeddedPostgresError, match="still runs"):
        embedded_postgres.remove(home)
    folder = embedded_postgres.locate(home).socket_folder
    assert folder.stat().st_mode & 0o077 == 0, "nobody else may reach the socket"
    assert embedded_postgres.stop(home)
    assert not embedded_postgres.stop(home)
    assert not embedded_postgres.is_running(home)
    assert embedded_postgres.ensure_running(home)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    embedded_postgres.stop(home)
    embedded_postgres.remove(home)
    assert not embedded_postgres.locate(home).data.exists()


@pytest.mark.slow
def test_a_crash_loses_no_row_that_was_acknowledged(home: Path) -> None:
    code = "print(e.ensure_running(Path(sys.argv[1])))"
    racing = [in_process(code, str(home)) for _ in range(2)]
    assert sorted(finished(process) for process in racing) == ["False", "True"], "one of the two starts it"
    url = embedded_postgres.locate(home).url()
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE written (n integer PRIMARY KEY)")
            while True:
                connection.execute("INSERT INTO written VALUES (%s)", (len(acknowledged),))
                acknowledged.append(len(acknowledged))
                if len(acknowledged) == 50:
                    enough.set()

    def write_until_the_crash() -> None:
        with pytest.raises(psycopg.OperationalError):
            write()

    writer = threading.Thread(target=write_until_the_crash)
    writer.start()
    assert enough.wait(60)
    killed = postmaster(home)
    os.kill(killed, signal.SIGKILL)
    assert embedded_postgres.ensure_running(home)
    writer.join(60)
    assert not writer.is_alive()
    assert postmaster(home) != killed
    with psycopg.connect(url) as connection:
        stored = {row[0] for row in connection.execute("SELECT n FROM written")}
    assert set(acknowledged) <= stored
    # Crashed and not started again: there is nothing to stop, and it can be removed.
    os.kill(postmaster(home), signal.SIGKILL)
    while embedded_postgres.is_running(home):
        time.sleep(0.01)
    assert not embedded_postgres.stop(home)
    embedded_postgres.remove(home)


@pytest.mark.slow
def test_a_half_made_server_and_a_stale_number_do_not_keep_it_from_starting(home: Path) -> None:
    server = embedded_postgres.locate(home)
    server.data.with_name(f"{server.data.name}.draft").mkdir(parents=True)
    (server.data.with_name(f"{server.data.name}.draft") / "PG_VERSION").write_text("18\n")
    assert embedded_postgres.ensure_running(home)
    embedded_postgres.stop(home)
    # After a restart of the machine the number may be anybody's; here it is this process's.
    (server.data / "postmaster.pid").write_text(f"{os.getppid()}\n{server.data}\n")
    shutil.chown(server.data / "postmaster.pid", server.user) if server.user else None
    assert not embedded_postgres.stop(home)
    assert embedded_postgres.ensure_running(home)
    taken: list[psycopg.Connection[tuple[object, ...]]] = []

    def take_all() -> None:
        while True:
            taken.append(psycopg.connect(server.url()))

    try:
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            take_all()
        assert embedded_postgres.is_running(home), "a server whose places are all taken runs"
    finally:
        for connection in taken:
            connection.close()


def test_a_new_home_at_an_old_path_inherits_nothing(home: Path) -> None:
    first = embedded_postgres.locate(home)
    assert embedded_postgres.locate(home) == first
    shutil.rmtree(home)
    assert embedded_postgres._home_identity(home) != first.data.parent.name.removeprefix("metapulse-")
    if os.geteuid() == 0:
        assert embedded_postgres.locate(home).data != first.data


def test_processes_that_meet_in_a_new_home_agree_whose_it_is(home: Path) -> None:
    found = set()
    together = threading.Barrier(8)

    def look() -> None:
        together.wait()
        found.add(embedded_postgres._home_identity(home))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [path.name for path in home.iterdir()] == ["identity"]


@pytest.mark.parametrize("name", ["h" * 120, "é" * 60, "a,b"], ids=["long", "long in bytes", "comma"])
def test_a_home_whose_path_cannot_hold_a_socket_has_it_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    server = embedded_postgres.locate(tmp_path / name)
    assert server.data == (tmp_path / name).resolve() / "postgres"
    assert server.socket_folder != server.data
    assert len(os.fsencode(server.socket_folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH
    assert "," not in str(server.socket_folder)
    near = embedded_postgres.locate(Path("/tmp") / tmp_path.name)  # noqa: S108 - a short path
    assert near.socket_folder == near.data
    shutil.rmtree(Path("/tmp") / tmp_path.name)  # noqa: S108


AS_NOBODY = """
import fcntl, os, pwd, psycopg, psycopg_binary
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
home = Path(sys.argv[1])
print(e.ensure_running(home), e.ensure_running(home))
server = e.locate(home)
with psycopg.connect(server.url()) as connection:
    print(connection.execute("SELECT 1").fetchone(), server.data.is_relative_to(home.resolve()))
print(e.stop(home), e.stop(home))
e.remove(home)
print(server.data.exists(), server.socket_folder.exists())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["long" + "g" * 110, "it's 100% {odd} & more"], ids=["long", "odd"])
def test_works_for_an_ordinary_user_in_any_folder(name: str) -> None:
    """As root another branch is taken everywhere else in this file."""
    base = Path("/tmp") / f"metapulse-{os.getpid()}"  # noqa: S108 - another user must be able to reach it
    home = base / name
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(base, "nobody")
        shutil.chown(home, "nobody")
    try:
        assert finished(in_process(AS_NOBODY, str(home))) == "True False\n(1,) True\nTrue False\nFalse False"
    finally:
        shutil.rmtree(base)
