"""Who stops the embedded server: the last command to leave, and only if a command started it."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from metapulse_assets.cli import embedded_server
from metapulse_assets.cli.embedded_server import database_server, keep_running, stop_now
from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.settings import Settings, load_settings


class Server:
    """Stands in for PostgreSQL: it runs or not, and remembers what was done to it."""

    def __init__(self) -> None:
        self.running = False
        self.history: list[str] = []

    def is_running(self, home: Path) -> bool:
        return self.running

    def ensure_running(self, home: Path) -> bool:
        started = not self.running
        self.running = True
        self.history += ["start"] if started else []
        return started

    def stop(self, home: Path) -> bool:
        was_running, self.running = self.running, False
        self.history.append("stop")
        return was_running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """What `embedded_postgres` is replaced by."""
    server = Server()
    for name in ("is_running", "ensure_running", "stop"):
        monkeypatch.setattr(embedded_postgres, name, getattr(server, name))
    return server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that use the embedded server of a home of their own."""
    return load_settings(home=tmp_path / "home", database_url=None)


def test_a_command_starts_and_stops_it(server: Server, settings: Settings) -> None:
    with database_server(settings):
        assert server.running
    assert server.history == ["start", "stop"]


def test_it_is_stopped_when_the_command_fails(server: Server, settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), database_server(settings):
        raise ZeroDivisionError
    assert not server.running


def test_the_last_to_leave_stops_it_whoever_started_it(server: Server, settings: Settings) -> None:
    first, second = database_server(settings), database_server(settings)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert server.running
    second.__exit__(None, None, None)
    assert server.history == ["start", "stop"]


def test_one_that_ran_already_is_left_running(server: Server, settings: Settings) -> None:
    server.running = True
    with database_server(settings):
        pass
    assert server.history == []


def test_one_started_to_stay_stays(server: Server, settings: Settings) -> None:
    assert keep_running(settings)
    with database_server(settings):
        assert not keep_running(settings)
    assert server.running
    assert stop_now(settings)
    assert not server.running


def test_started_to_stay_while_a_command_uses_it(server: Server, settings: Settings) -> None:
    with database_server(settings):
        keep_running(settings)
    assert server.running


def test_one_whose_starter_was_killed_is_stopped_by_the_next(server: Server, settings: Settings) -> None:
    killed = database_server(settings)
    killed.__enter__()
    # What a kill leaves behind: the note, and no lock.
    note = embedded_server._note(settings.home)
    assert note.exists()
    killed.__exit__(None, None, None)
    server.running = True
    note.touch()

    with database_server(settings):
        pass
    assert not server.running


def test_it_cannot_be_stopped_under_a_command(server: Server, settings: Settings) -> None:
    with database_server(settings), pytest.raises(BlockingIOError):
        stop_now(settings)
    assert server.history == ["start", "stop"]


def test_nothing_is_started_where_there_is_a_server_of_the_users_own(server: Server, tmp_path: Path) -> None:
    with database_server(load_settings(home=tmp_path, database_url="postgresql://h/x")):
        pass
    assert server.history == []


def test_many_at_once_start_it_once_and_stop_it_once(server: Server, settings: Settings) -> None:
    barrier = threading.Barrier(8)
    errors: list[BaseException] = []

    def use(work: Callable[[], object]) -> None:
        try:
            with database_server(settings, quiet=True):
                barrier.wait(10)
                work()
                barrier.wait(10)
        except BaseException as error:
            errors.append(error)

    def see() -> None:
        assert server.running

    threads = [threading.Thread(target=use, args=(see,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert not server.running
