"""The environment that a command works in: `.env` read, the mode chosen, Dagster told where its home is."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings

ModeName = Literal["sandbox", "live", "replay"]
ModeOption = Annotated[
    ModeName | None,
    typer.Option(
        help="Where data comes from; wins over METAPULSE_MODE. sandbox: no key, no internet. live: the real vendors. "
        "replay: what `metapulse replay` imported."
    ),
]
PATHS = ("DAGSTER_HOME", "METAPULSE_HOME", "METAPULSE_COMPUTE_LOGS", "METAPULSE_RECORDINGS")


def prepare(mode: ModeName | None = None, log_format: str | None = None) -> "Settings":
    """Set what is not set yet in this process's environment, for us, Dagster and children, and read the settings.

    To be called before Dagster is imported. The environment wins over `.env`, options win over both. Raises `SettingsError`.
    """
    from metapulse_assets.platform.settings import SettingsError, get_settings, project_root

    root = project_root()
    _read_env_file(root)
    if mode:
        os.environ["METAPULSE_MODE"] = mode
    if log_format:
        os.environ["METAPULSE_LOG_FORMAT"] = log_format
    settings = get_settings()
    if settings.recordings and not settings.recordings.is_dir():
        raise SettingsError(f"METAPULSE_RECORDINGS: {settings.recordings} is not a folder")
    os.environ["METAPULSE_HOME"] = str(settings.home)
    os.environ["DAGSTER_HOME"] = str(Path(os.environ.get("DAGSTER_HOME") or root).absolute())
    logs = Path(os.environ.get("METAPULSE_COMPUTE_LOGS") or settings.home / "compute_logs").absolute()
    os.environ["METAPULSE_COMPUTE_LOGS"] = str(logs)
    if settings.recordings:
        os.environ["METAPULSE_RECORDINGS"] = str(settings.recordings)
    logs.mkdir(parents=True, exist_ok=True)
    return settings


def require_dagster_home() -> Path:
    """The folder of Dagster's instance; raises `SettingsError` if it holds none."""
    from metapulse_assets.platform.settings import SettingsError

    home = Path(os.environ["DAGSTER_HOME"])
    if not (home / "dagster.yaml").is_file():
        raise SettingsError(f"DAGSTER_HOME: {home} holds no dagster.yaml; `metapulse setup` corrects a moved checkout")
    return home


def describe_mode(settings: "Settings") -> str:
    """What a mode means, in a few words."""
    if settings.mode == "live":
        return "live: the real DexScreener and GeckoTerminal"
    if settings.mode == "replay":
        return f"replay {settings.replay_name}: imported files, nothing is asked of anybody"
    if settings.recordings:
        return f"sandbox: recorded candles replayed from {settings.recordings}, no key, no internet"
    return "sandbox: simulated market, no key, no internet"


def mark_of(settings: "Settings") -> str:
    """What output made in this mode is marked with."""
    if settings.mode == "live":
        return "live"
    if settings.mode == "replay":
        return f"replay {settings.replay_name}, not for trading"
    return f"sandbox: {'recorded' if settings.recordings else 'simulated'}, not for trading"


def _read_env_file(root: Path) -> None:
    from dotenv import dotenv_values

    for name, value in dotenv_values(root / ".env").items():
        if value and not os.environ.get(name):
            # A relative path in the file is meant from the file's folder, wherever the command is given.
            os.environ[name] = str(root / Path(value).expanduser()) if name in PATHS else value
