"""The documents as text: code blocks, links, what is named in them."""

import re
from pathlib import Path

from metapulse_assets.platform.settings import project_root

ROOT = project_root()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"\A# (?:\w+/)*[\w.]+\.py$", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return [text for kind, text in _BLOCK.findall(page.read_text()) if kind == language]


def examples(page: Path) -> dict[str, str]:
    """Python blocks whose first line names their file: path and text."""
    found = {}
    for text in blocks(page, "python"):
        place = _PLACE.match(text)
        if place:
            found[place[0].removeprefix("# ")] = text
    return found


def without_blocks(page: Path) -> str:
    """The prose of a page."""
    return _BLOCK.sub("", page.read_text())
