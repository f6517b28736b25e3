"""`metapulse setup`: the `.env` of a checkout and the folders it names."""

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from metapulse_assets.cli.terminal import say

RIGHTS = 0o600
# What only a checkout of MetaPulse has side by side.
SIGNS_OF_A_CHECKOUT = ("workspace.yaml", "metapulse_assets")
_LINE = re.compile(r"^\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*?)\s*$")
_HEAD = "# Written by `metapulse setup`. Yours to edit: set-up only adds what is missing. All settings: .env.example\n"


def setup(
    root: Annotated[Path | None, typer.Option(help="The checkout; without it, the one this program belongs to.")] = None,
) -> None:
    """Write .env where it is absent, add to an existing one what is missing, make the folders.

    A line of yours is never changed, save that the three paths of a checkout that was moved or copied are corrected.

    Exit codes: 0 done, 1 .env cannot be written.
    """
    if root is None:
        from metapulse_assets.platform.settings import project_root

        root = project_root()
    for message in set_up(root.resolve()):
        say(message)


def set_up(root: Path) -> list[str]:
    """Do it for a checkout; returns what was done, a line each."""
    file = root / ".env"
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    corrected, messages = _follow_move(before, root)
    after, added = _add_missing(corrected or _HEAD, root)
    if added:
        messages.append(f".env: {'added' if before else 'written with'} {', '.join(added)}")
    if after != before:
        _replace(file, after)
    elif file.stat().st_mode & 0o077:
        file.chmod(RIGHTS)
        messages.append(".env: now readable by its owner only")
    values = _values(after)
    for name in ("METAPULSE_HOME", "METAPULSE_COMPUTE_LOGS"):
        folder = root / Path(values[name]).expanduser()
        if not folder.is_dir():
            folder.mkdir(parents=True)
            messages.append(f"{folder}: made")
    return messages or [".env: nothing to do"]


def wanted_lines(root: Path) -> dict[str, str]:
    """What `.env` must hold for a checkout."""
    home = root / ".metapulse"
    return {
        "METAPULSE_MODE": "sandbox",
        "DAGSTER_HOME": str(root),
        "METAPULSE_HOME": str(home),
        "METAPULSE_COMPUTE_LOGS": str(home / "compute_logs"),
    }


def _values(text: str) -> dict[str, str]:
    found = (_LINE.match(line) for line in text.splitlines())
    return {match["name"]: match["value"].strip("\"'") for match in found if match}


def _add_missing(text: str, root: Path) -> tuple[str, list[str]]:
    present = {name for name, value in _values(text).items() if value}
    missing = {name: value for name, value in wanted_lines(root).items() if name not in present}
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{name}={_quoted(value)}\n" for name, value in missing.items()), list(missing)


def _follow_move(text: str, root: Path) -> tuple[str, list[str]]:
    """Correct the three paths if they point into another place of this checkout: gone from there, or copied from there."""
    old = _values(text).get("DAGSTER_HOME", "")
    if not old or Path(old) == root or not Path(old).is_absolute() or not _was_moved(Path(old)):
        return text, []
    wanted = wanted_lines(root)
    lines, corrected = [], []
    for line in text.splitlines(keepends=True):
        match = _LINE.match(line)
        if match and match["name"] in wanted and _is_inside(match["value"].strip("\"'"), old):
            line = f"{match['name']}={_quoted(wanted[match['name']])}\n"
            corrected.append(match["name"])
        lines.append(line)
    return "".join(lines), [f".env: this checkout was at {old}; corrected {', '.join(corrected)}"]


def _was_moved(old: Path) -> bool:
    return not old.exists() or all((old / sign).exists() for sign in SIGNS_OF_A_CHECKOUT)


def _is_inside(value: str, folder: str) -> bool:
    return Path(value).is_absolute() and Path(value).is_relative_to(folder)


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w@%+=:,./-]*", value) else f"'{value}'"


def _replace(file: Path, text: str) -> None:
    """Write the whole file or nothing, readable by its owner only from the first byte."""
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=".env.")
    with os.fdopen(handle, "w", encoding="utf-8") as output:
        output.write(text)
    os.chmod(draft, RIGHTS)
    Path(draft).replace(file)
