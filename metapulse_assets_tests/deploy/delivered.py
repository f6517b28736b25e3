"""The files of deploy/ as data: the Dockerfile's instructions, Compose's services with their variables filled in."""

import importlib.util
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from metapulse_assets.platform.settings import Settings, project_root, variables_of

yaml: Any = importlib.import_module("yaml")
ROOT = project_root()
DEPLOY = ROOT / "deploy"
SETTINGS = {name for field in Settings.model_fields for name in variables_of(field)}
# Read by Dagster itself, or by dagster.yaml and deploy/workspace.yaml.
DAGSTERS = {"DAGSTER_HOME", "METAPULSE_COMPUTE_LOGS", "DAGSTER_GRPC_HOST", "DAGSTER_GRPC_PORT"}
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])((?:[^{}]|\$\{[^{}]*\})*))?\}")


def module_of(file: Path) -> ModuleType:
    """A program of deploy/, which is no package of ours, as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, continued lines joined."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest) for word, rest in found]


def last_stage() -> list[tuple[str, str]]:
    """The instructions that make the image itself."""
    found = instructions()
    start = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def argument_list(text: str) -> list[str]:
    """The words of a CMD, in either of its forms."""
    return list(json.loads(text)) if text.startswith("[") else shlex.split(text)


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?message}` as Compose fills them in; KeyError where it would refuse."""

    def value(match: "re.Match[str]") -> str:
        name, kind, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == ":?":
            raise KeyError(f"{name} {rest}")
        return interpolated(rest or "", variables)

    return _VARIABLE.sub(value, text)


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Compose's file with its variables filled in, as far as they stand in values."""

    def filled(node: Any) -> Any:
        if isinstance(node, str):
            return interpolated(node, variables)
        if isinstance(node, list):
            return [filled(item) for item in node]
        return {key: filled(value) for key, value in node.items()} if isinstance(node, dict) else node

    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return {key: filled(value) for key, value in found.items()}
