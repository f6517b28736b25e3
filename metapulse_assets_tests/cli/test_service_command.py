"""`metapulse service` and `metapulse token`: what they say, and what they refuse."""

import json
import socket
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.service import serving
from metapulse_assets_tests.cli.conftest import Command


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ones in the place of the usual ones."""
    return {name: free_port() for name in ("PORT", "METRICS_PORT", "HEALTH_PORT")}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been served."""
    found: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda app, sockets: found.append((app, [s.getsockname()[1] for s in sockets])))
    return found


def test_it_says_what_it_is_and_shows_no_secret(
    command: Command, database_url: str, ports: dict[str, str], served: list[Any]
) -> None:
    secret = database_url.replace("postgres@", "postgres:planted-pw@")
    more = free_port()
    shown = command("service", DATABASE_URL=secret, **ports, METAPULSE_SERVICE_MORE_PORTS=more)
    assert shown.exit_code == 0, shown.stderr
    assert [str(port) for port in served[0][1]] == [*ports.values(), more]
    assert "mode sandbox" in shown.stderr
    assert f"{ports['HEALTH_PORT']} (HEALTH_PORT), {more} (METAPULSE_SERVICE_MORE_PORTS)" in shown.stderr
    assert "tokens: not required" in shown.stderr
    assert f"http://127.0.0.1:{ports['PORT']}/docs" in shown.stderr
    assert "database: postgresql://postgres:***@" in shown.stderr
    assert "planted" not in shown.output
    assert "tokens: required" in command("service", DATABASE_URL=secret, **ports, METAPULSE_ENV="production").stderr


def test_it_starts_while_the_database_is_away(command: Command, ports: dict[str, str], served: list[Any]) -> None:
    shown = command("service", DATABASE_URL="postgresql://u:planted-pw@127.0.0.1:1/d", **ports)
    assert (shown.exit_code, len(served)) == (0, 1), shown.stderr
    assert "cannot be reached yet" in shown.stderr
    assert "planted" not in shown.output


def test_what_cannot_be_served_is_said_by_name(
    command: Command, database_url: str, ports: dict[str, str], served: list[Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        shown = command("service", DATABASE_URL=database_url, **{**ports, "METRICS_PORT": port})
        assert (shown.exit_code, served) == (1, [])
        assert f"port {port} (METRICS_PORT) is taken" in shown.stderr
        shown = command("service", "--port", port, DATABASE_URL=database_url, **ports)
        assert (shown.exit_code, served) == (1, [])
        assert f"port {port} (--port) is taken" in shown.stderr
    other_mode = command("service", DATABASE_URL=database_url, METAPULSE_MODE="live", **ports)
    assert other_mode.exit_code == 1, other_mode.stderr
    assert "was filled in mode sandbox" in other_mode.stderr
    wrong = command(
        "service", DATABASE_URL=database_url, **ports, METAPULSE_MODE="sandbox", METAPULSE_SERVICE_MORE_PORTS="5000,abc"
    )
    assert wrong.exit_code == 2
    assert "METAPULSE_SERVICE_MORE_PORTS" in wrong.stderr


def test_a_token_is_shown_once_and_can_be_revoked(command: Command, engine: sa.Engine, database_url: str) -> None:
    made = command("token", "create", "alice", "--scopes", "jobs:read, signals:read", "--days", "2", DATABASE_URL=database_url)
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("mp_")
    assert len(secret) >= 43
    assert "alice" in made.stderr
    assert secret not in made.stderr
    listed = command("token", "list", "--json", DATABASE_URL=database_url)
    (token,) = json.loads(listed.stdout)
    assert (token["name"], token["scopes"], token["holds"]) == ("alice", ["jobs:read", "signals:read"], True)
    assert secret[3:] not in command("token", "list", DATABASE_URL=database_url).stdout + listed.stdout
    assert command("token", "revoke", "1", DATABASE_URL=database_url).stdout == "token 1: revoked\n"
    assert command("token", "revoke", "1", DATABASE_URL=database_url).stdout == "token 1: was revoked before\n"
    assert json.loads(command("token", "list", "--json", DATABASE_URL=database_url).stdout)[0]["holds"] is False
    for number in ("99", "99999999999999999999"):
        unknown = command("token", "revoke", number, DATABASE_URL=database_url)
        assert (unknown.exit_code, f"there is no token {number}" in unknown.stderr) == (1, True)
    for arguments in (("--scopes", "everything"), ("--scopes", ""), ("--scopes", "jobs:read", "--days", "0")):
        wrong = command("token", "create", "bob", *arguments, DATABASE_URL=database_url)
        assert wrong.exit_code == 2, wrong.output
