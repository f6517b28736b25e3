"""`metapulse doctor`: what is right and what is wrong with this installation, each with its cure."""

from dataclasses import asdict
from typing import Annotated

import typer

from metapulse_assets.cli.failures import FAILED
from metapulse_assets.cli.terminal import console, plain, print_json, table

SIGNS = {"ok": "✓", "wrong": "✗", "note": "–"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array on standard output, and nothing else there.")] = False,
) -> None:
    """Check settings, database, Dagster, vendors, keys, port and disk. ✓ is right, ✗ is wrong, – is worth knowing.

    Starts the embedded PostgreSQL for the checks if it has data and is down, and stops it again. Shows no password and no key.

    Exit codes: 0 nothing is ✗, 1 something is.
    """
    from metapulse_assets.cli.health_checks import all_checks

    checks = all_checks()
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [(SIGNS[check.state], check.name, plain(check.finding, None), plain(check.cure, None)) for check in checks]
        console().print(table("MetaPulse", ("", "check", "finding", "cure"), rows, wraps=("finding", "cure")))
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(FAILED)
