"""The commands' surface: help, exit codes, messages; what needs neither database nor other processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from metapulse_assets import __version__
from metapulse_assets.cli import app
from metapulse_assets_tests.cli.conftest import Command

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
GROUPS = ("db", "queue", "dlq", "token")
LEAVES: list[tuple[str, ...]] = [(name,) for name in COMMANDS if name not in GROUPS]
LEAVES += [(group, name) for group in GROUPS for name in COMMANDS[group].commands]
CANDLES = "timestamp,open,high,low,close,volume\n" + "".join(
    f"2024-01-{day:02},{day},{day + 1},{day - 0.5},{day + 0.5},100\n" for day in range(1, 31)
)


@pytest.mark.parametrize("names", LEAVES, ids=" ".join)
def test_each_command_says_what_it_does_and_its_exit_codes(command: Command, names: tuple[str, ...]) -> None:
    result = command(*names, "--help")

    assert result.exit_code == 0
    assert "Exit codes: 0" in " ".join(result.stdout.split())


def test_every_command_that_was_promised_is_there() -> None:
    assert {" ".join(names) for names in LEAVES} == {
        *("run", "up", "signals", "explain", "tokens", "indicators", "risk", "replay", "stream", "doctor", "sandbox", "setup"),
        *("worker", "tail", "queue stats", "queue pause", "queue resume", "dlq list", "dlq retry", "dlq drop"),
        *("service", "token create", "token list", "token revoke"),
        *("db start", "db stop", "db upgrade", "db url", "db reset"),
    }


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from metapulse_assets.cli import app; "
        "print([m for m in ('dagster', 'sqlalchemy', 'psycopg', 'numpy', 'pydantic', 'httpx2', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_version(command: Command) -> None:
    result = command("--version")

    assert (result.exit_code, result.stdout.strip()) == (0, f"metapulse {__version__}")


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("run",), {"PORT": "x"}, "PORT: "),
        (("run", "--mode", "demo"), {}, "demo"),
        (("run",), {"DAGSTER_HOME": "/no/such/folder"}, "DAGSTER_HOME: /no/such/folder"),
        (("up",), {"METAPULSE_RECORDINGS": "/no/such/folder"}, "METAPULSE_RECORDINGS"),
        (("signals", "--since", "yesterday"), {}, "'yesterday'"),
        (("signals", "--limit", "0"), {}, "--limit"),
        (("db", "reset"), {}, "--yes"),
        (("sandbox", "--fault", "earthquake=0.1"), {}, "'earthquake' is unknown; known are rate-limit"),
        (("sandbox", "--fault", "slow"), {}, "NAME=RATE"),
        (("sandbox", "--limit", "nobody=3"), {}, "'nobody' is unknown; known are dexscreener"),
        (("sandbox", "--data", "/no/such/folder"), {}, "/no/such/folder"),
        (("sandbox", "--epoch", "soon"), {}, "soon"),
        (("nonsense",), {}, "nonsense"),
    ],
)
def test_wrong_use_is_exit_code_2_with_the_name_at_fault(
    command: Command, arguments: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    result = command(*arguments, **environment)

    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_setting_names_all_of_them_and_no_secret(command: Command) -> None:
    result = command("signals", PORT="x", TOKEN_DATA_INTERVAL="7", GROQ_API_KEY="very-secret")

    lines = result.stderr.splitlines()
    assert {line.split(":")[0] for line in lines[1:]} == {"PORT", "TOKEN_DATA_INTERVAL"}
    assert "very-secret" not in result.output


def test_nothing_stored_is_exit_code_3_and_starts_no_server(command: Command, root: Path) -> None:
    for arguments in (("signals", "--json"), ("tokens", "--json")):
        result = command(*arguments)

        assert (result.exit_code, result.stdout) == (3, "")
        assert "make run" in result.stderr
    assert not (root / "home" / "postgres").exists()


@pytest.mark.parametrize("action", ["start", "stop", "reset"])
def test_a_server_of_the_users_own_is_left_alone(command: Command, action: str) -> None:
    result = command("db", action, *(["--yes"] if action == "reset" else []), DATABASE_URL="postgresql://h/x")

    assert result.exit_code == 1
    assert "DATABASE_URL names a server of yours" in result.stderr


def test_an_unreachable_database_is_exit_code_1_without_password(command: Command) -> None:
    for arguments in (("signals",), ("db", "upgrade"), ("db", "url")):
        result = command(*arguments, DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/x")

        assert result.exit_code == 1
        assert "127.0.0.1" in result.stderr
        assert "hidden" not in result.output


def test_a_failure_nobody_foresaw_is_a_line_and_with_debug_a_traceback(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero in postgresql://u:hidden@h/x")

    monkeypatch.setattr("metapulse_assets.cli.signals.stored_data", broken)
    result = command("signals")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "ZeroDivisionError: division by zero in postgresql://u:***@h/x"

    debug = command("signals", LOG_LEVEL="debug")
    assert debug.exit_code == 1
    assert "Traceback" in debug.stderr
    assert "postgresql://u:***@h/x" in debug.stderr
    assert "hidden" not in debug.output


def test_indicators_of_a_file(command: Command, tmp_path: Path) -> None:
    file, output = tmp_path / "candles.csv", tmp_path / "out.csv"
    file.write_text(CANDLES)

    shown = command("indicators", str(file))
    written = command("indicators", str(file), "-o", str(output))

    assert (shown.exit_code, written.exit_code) == (0, 0)
    assert written.stdout == ""
    assert output.read_text() == shown.stdout
    header, *rows = shown.stdout.splitlines()
    assert header.startswith("timestamp,RSI_14,")
    assert len(rows) == 30


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("timestamp,open,high,low,close\n2024-01-01,1,2,0.5,x\n", "line 2, column close: 'x' is not a number"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_exit_code_1(command: Command, tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "candles.csv"
    if content is not None:
        file.write_text(content)

    result = command("indicators", str(file))

    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr


def test_progress_is_json_where_that_is_asked_for(command: Command) -> None:
    result = command("signals", METAPULSE_LOG_FORMAT="json")

    assert result.exit_code == 3
    assert "nothing is stored yet" in json.loads(result.stderr)["message"]
