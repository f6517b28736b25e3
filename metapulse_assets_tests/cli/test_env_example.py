"""`.env.example` names every setting, and nothing else."""

import re
from pathlib import Path

from metapulse_assets.platform.settings import Settings, variables_of

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
# Dagster's own, which its configuration reads from the environment.
DAGSTERS = {"DAGSTER_HOME", "METAPULSE_COMPUTE_LOGS"}


def test_every_setting_is_there() -> None:
    shown = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE))

    assert shown == {variables_of(name)[0] for name in Settings.model_fields} | DAGSTERS


def test_the_defaults_shown_are_the_defaults() -> None:
    shown = dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.+)$", EXAMPLE.read_text(), re.MULTILINE))
    defaults = Settings.model_construct()
    for name in Settings.model_fields:
        text = shown.get(variables_of(name)[0])
        if text is None or text.startswith("/path/to"):
            continue
        default = getattr(defaults, name)
        if isinstance(default, bool):
            assert text == str(default).lower(), name
        elif isinstance(default, int | float):
            assert float(text) == default, name
        elif isinstance(default, tuple):
            assert tuple(text.split(",")) == default, name
        else:
            assert text == str(default), name
