"""`signals`, `tokens` and `doctor` on a database with rows."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from metapulse_assets_tests.cli.conftest import Command

PROMISED = {
    *("chain", "token", "symbol", "kind", "direction", "strength", "confidence", "risk", "reasons", "observed_at"),
    *("emitted_at", "expires_at", "run_id", "mode"),
}


def ids(text: str) -> list[str]:
    return [signal["signal_id"] for signal in json.loads(text)]


def test_signals_as_json(command: Command, filled: str) -> None:
    result = command("signals", "--json", DATABASE_URL=filled)

    assert result.exit_code == 0
    (signal,) = json.loads(result.stdout)
    assert set(signal) >= PROMISED
    assert (signal["signal_id"], signal["token"], signal["mode"]) == ("open", "address1", "sandbox")
    assert datetime.fromisoformat(signal["expires_at"]) > datetime.now(UTC)
    assert signal["reasons"][0]["text"] == "RSI is 20."


def test_signals_can_be_narrowed_and_widened(command: Command, filled: str) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()

    assert ids(command("signals", "--json", "--all", DATABASE_URL=filled).stdout) == ["open", "expired"]
    assert ids(command("signals", "--json", "--all", "--limit", "1").stdout) == ["open"]
    assert ids(command("signals", "--json", "--all", "--since", yesterday).stdout) == ["open"]
    assert ids(command("signals", "--json", "--since", "2999-01-01").stdout) == []


def test_signals_as_a_table_say_their_mode(command: Command, filled: str) -> None:
    result = command("signals", DATABASE_URL=filled)

    assert result.stdout.startswith("Open signals (sandbox: simulated, not for trading)")
    assert "rsi_oversold 5m" in result.stdout


def test_tokens_with_their_newest_figures(command: Command, filled: str) -> None:
    result = command("tokens", "--json", DATABASE_URL=filled)

    first, second = json.loads(result.stdout)
    assert (first["symbol"], first["price_usd"], first["risk"], first["liquidity_usd"]) == ("AAA", 2.5, "medium", 7000.0)
    assert first["sources"] == ["boosts"]
    assert (second["price_usd"], second["risk"]) == (None, None)
    assert [token["active"] for token in json.loads(command("tokens", "--json", "--all").stdout)] == [True, True, False]


def test_a_name_from_outside_cannot_steer_the_terminal(command: Command, filled: str) -> None:
    for arguments in (("tokens",), ("tokens", "--json")):
        result = command(*arguments, DATABASE_URL=filled)

        assert result.exit_code == 0
        assert "\x1b" not in result.stdout


def test_an_older_schema_is_named_with_its_cure(command: Command, filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")

    result = command("signals", DATABASE_URL=filled)

    assert result.exit_code == 1
    assert "metapulse db upgrade" in result.stderr


def test_a_migrated_database_without_tokens_was_never_filled(command: Command, database_url: str) -> None:
    assert command("signals", "--json", DATABASE_URL=database_url).exit_code == 3


def test_upgrade_and_url(command: Command, database_url: str) -> None:
    assert "already" in command("db", "upgrade", DATABASE_URL=database_url).stderr

    with psycopg.connect(command("db", "url").stdout.strip()) as connection:
        assert connection.execute("SELECT count(*) FROM signals").fetchone() == (0,)


class TestDoctor:
    """Each fault is named; nothing secret is shown."""

    @pytest.fixture(autouse=True)
    def _port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("metapulse_assets.cli.ports.all_ports", lambda settings: [])

    def checks(self, command: Command, **environment: str) -> dict[str, tuple[str, str]]:
        result = command("doctor", "--json", **environment)
        found = {check["name"]: (check["state"], check["finding"]) for check in json.loads(result.stdout)}
        assert result.exit_code == int(any(state == "wrong" for state, _ in found.values()))
        return found

    @pytest.fixture
    def instance(self, root: Path) -> Path:
        """A checkout that holds Dagster's configuration."""
        (root / "dagster.yaml").touch()
        return root

    def test_all_is_well(self, command: Command, filled: str, instance: Path) -> None:
        found = self.checks(command, DATABASE_URL=filled, METAPULSE_SANDBOX_PORT="1")

        assert not [name for name, (state, _) in found.items() if state == "wrong"]
        assert found["schema"][0] == found["database's mode"][0] == found["dead letters"][0] == "ok"
        assert found["sandbox"] == ("note", "does not run; runs start it when they need it")
        assert "only live mode uses it" in found["GROQ_API_KEY"][1]
        assert found["Dagster's storage"][0] == "note"

    def test_nothing_set_up_yet_is_not_wrong(self, command: Command, instance: Path) -> None:
        assert self.checks(command)["database"][0] == "note"

    def test_a_missing_instance(self, command: Command) -> None:
        assert self.checks(command)["DAGSTER_HOME"][0] == "wrong"

    def test_wrong_settings_are_each_a_line(self, command: Command) -> None:
        result = command("doctor", "--json", PORT="x", TOKEN_DATA_INTERVAL="7")

        assert result.exit_code == 1
        assert [check["finding"].split(":")[0] for check in json.loads(result.stdout)] == ["TOKEN_DATA_INTERVAL", "PORT"]

    def test_a_url_that_is_none(self, command: Command, instance: Path) -> None:
        state, finding = self.checks(command, DATABASE_URL="mysql://me:hidden@h/x")["database URL"]

        assert state == "wrong"
        assert "hidden" not in finding

    def test_a_server_that_is_not_there(self, command: Command, instance: Path) -> None:
        state, finding = self.checks(command, DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/x")["database"]

        assert state == "wrong"
        assert "hidden" not in finding

    def test_a_database_of_another_mode(self, command: Command, filled: str, instance: Path) -> None:
        with psycopg.connect(filled) as connection:
            connection.execute("UPDATE database_identity SET mode = 'live'")

        state, finding = self.checks(command, DATABASE_URL=filled)["database's mode"]
        assert (state, finding) == ("wrong", "live, but METAPULSE_MODE is sandbox")

    def test_vendors_breakers_and_dead_letters(self, command: Command, filled: str, instance: Path) -> None:
        with psycopg.connect(filled) as connection:
            connection.execute(
                "INSERT INTO circuit_breakers VALUES ('dexscreener', 'open', 5, extract(epoch FROM now()), 'HTTP 500')"
            )
            for item in range(3):
                connection.execute(
                    "INSERT INTO dead_letters (first_at, last_at, source, kind, item_key, reason, payload, payload_sha256)"
                    " VALUES (now(), now(), 'dexscreener', 'item', %s, %s, '{}', '')",
                    (str(item), f"item {item}: priceUsd: Field required"),
                )

        nobody = "http://127.0.0.1:1"
        found = self.checks(command, DATABASE_URL=filled, DEXSCREENER_API_URL=nobody, GECKOTERMINAL_API_URL=nobody)

        assert found["dexscreener: breaker"] == ("note", "open; last error: HTTP 500")
        assert found["dexscreener"][0] == found["geckoterminal"][0] == "wrong"
        assert found["dead letters"] == ("note", "3 times in the last day: dexscreener: priceUsd: Field required")

    def test_a_table_for_people(self, command: Command, instance: Path) -> None:
        result = command("doctor")

        assert "✓ settings" in result.stdout
