"""Who may import whom: the table of docs/architecture.md, held against the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import metapulse_assets

ROOT = Path(metapulse_assets.__file__).parent
PACKAGE = metapulse_assets.__name__
DOMAINS = {"market", "indicators", "social", "intelligence", "risk", "signals", "outcomes"}
# What a room may import of others; a domain, besides, what is in `WHAT_DOMAINS_SHARE` of every other domain.
MAY_IMPORT: dict[str, set[str]] = {
    "platform": set(),
    "vendors": {"platform"},
    "sandbox": {"platform"},
    **{domain: {"platform", "vendors", "sandbox", *DOMAINS} for domain in DOMAINS},
    "proof": {"platform", "vendors", *DOMAINS},
    "operations": {"platform", *DOMAINS},
    "replay": {"platform", "vendors", "sandbox", *DOMAINS},
    "service": {"platform", "vendors", "operations", *DOMAINS},
}
# Where Dagster's decorators are: nobody but `definitions` and `automation` needs them.
ASSEMBLED = ("assets", "checks", "automation")
ASSEMBLING = {*DOMAINS, "proof", "operations"}
# A stand-in is started by whoever calls a vendor in a sandbox; a replay reads what it reads of recordings.
OF_SANDBOX = {"on_demand", "market", "recorded"}


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """The modules of our own that a file imports, as parts below the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                yield tuple(f"{node.module}.{alias.name}".split(".")[1:])
        elif isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")[1:]) for alias in node.names if alias.name.startswith(f"{PACKAGE}."))


ROOMS = sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").exists() and path.name != "cli")


def test_every_room_has_its_line() -> None:
    assert set(ROOMS) == set(MAY_IMPORT)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_it_may(room: str) -> None:
    wrong = []
    for path in sorted((ROOT / room).rglob("*.py")):
        if path.parent.name in ("migrations", "versions"):
            # The migrations' environment knows every table.
            continue
        for other, *rest in imports(path):
            if other in (room, "__version__"):
                continue
            is_assembled = other in ASSEMBLING and bool(rest) and rest[0].split("_")[-1] in ASSEMBLED
            is_backstage = other == "sandbox" and bool(rest) and rest[0] not in OF_SANDBOX
            if other not in MAY_IMPORT[room] or is_assembled or is_backstage:
                wrong.append(f"{path.relative_to(ROOT)} imports {'.'.join((other, *rest))}")
    assert wrong == []
