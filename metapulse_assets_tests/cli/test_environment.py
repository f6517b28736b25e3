"""What a command sees: the environment first, then .env, and paths that mean the same for every process."""

import os
from pathlib import Path

import pytest

from metapulse_assets.cli import environment
from metapulse_assets.platform.settings import SettingsError, get_settings
from metapulse_assets_tests.cli.conftest import Command


@pytest.fixture(autouse=True)
def _isolated(command: Command) -> None:
    for name in ("METAPULSE_HOME", "METAPULSE_MODE", "DAGSTER_HOME", "METAPULSE_COMPUTE_LOGS"):
        os.environ.pop(name, None)
    get_settings.cache_clear()


def test_nothing_needs_to_be_exported(root: Path) -> None:
    settings = environment.prepare()

    assert settings.home == root / ".metapulse"
    assert os.environ["DAGSTER_HOME"] == str(root)
    assert os.environ["METAPULSE_HOME"] == str(root / ".metapulse")
    assert Path(os.environ["METAPULSE_COMPUTE_LOGS"]).is_dir()


def test_env_file_is_read_and_the_environment_wins(root: Path) -> None:
    (root / ".env").write_text("METAPULSE_SANDBOX_PORT=1234\nMETAPULSE_WEBSERVER_PORT=1235\nGROQ_API_KEY=\n")
    os.environ["METAPULSE_WEBSERVER_PORT"] = "4321"

    settings = environment.prepare()

    assert (settings.sandbox_port, settings.webserver_port) == (1234, 4321)
    assert settings.groq_api_key is None


def test_the_option_wins_over_everything(root: Path) -> None:
    (root / ".env").write_text("METAPULSE_MODE=sandbox\n")
    os.environ["METAPULSE_MODE"] = "sandbox"

    assert environment.prepare("live").mode == "live"
    assert os.environ["METAPULSE_MODE"] == "live"


def test_a_relative_path_means_the_place_it_was_written_in(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (root / ".env").write_text("METAPULSE_HOME=own\n")
    monkeypatch.chdir(tmp_path)
    os.environ["METAPULSE_RECORDINGS"] = "data"

    settings = environment.prepare()

    assert settings.home == root / "own"
    assert os.environ["METAPULSE_RECORDINGS"] == str(tmp_path / "data")
    assert environment.describe_mode(settings).startswith("sandbox: recorded candles")
    assert environment.mark_of(settings) == "sandbox: recorded, not for trading"


def test_recordings_that_are_not_there_are_refused() -> None:
    os.environ["METAPULSE_RECORDINGS"] = "/no/such/folder"

    with pytest.raises(SettingsError, match="METAPULSE_RECORDINGS: /no/such/folder"):
        environment.prepare()


def test_dagster_home_must_hold_an_instance(root: Path) -> None:
    environment.prepare()
    with pytest.raises(SettingsError, match="DAGSTER_HOME"):
        environment.require_dagster_home()

    (root / "dagster.yaml").touch()
    assert environment.require_dagster_home() == root
