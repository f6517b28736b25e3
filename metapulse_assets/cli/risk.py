"""`metapulse risk`: how likely the pools of a CSV file are to be abandoned or drained; needs no database."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.terminal import say


def risk(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            help="Pools with their liquidity actions (LIQUIDITY_POOL_ADDRESS, MINT, NUM_LIQUIDITY_ADDS, "
            "NUM_LIQUIDITY_REMOVES, FIRST_POOL_ACTIVITY_TIMESTAMP), or launches with their first hour (token_mint, "
            "max_price, posterior_min_price, longest_inactivity). What a file does not have counts as unknown.",
        ),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file, not to standard output.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When the liquidity actions were counted, ISO. Default: the newest time in the file."
        ),
    ] = None,
) -> None:
    """Score the pools of a CSV file; prints CSV: the pool, its score from 0 to 1, its level, and what makes it risky.

    Exit codes: 0 done, 1 a file cannot be read or written (the message names line and column), 2 wrong option.
    """
    from metapulse_assets.risk.pool_csv import PoolFileError, read_pools, scores_csv

    moment = None if as_of is None else _moment(as_of)
    try:
        table = read_pools(file, moment)
        scores = scores_csv(table)
        if table.missing:
            say(f"{file}: no column {', '.join(table.missing)}: counts as unknown of every pool")
        if output is None:
            sys.stdout.write(scores)
        else:
            output.write_text(scores, encoding="utf-8", newline="")
    except BrokenPipeError:
        raise
    except PoolFileError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or output or file}: {error.strerror}") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--as-of: {text!r} is not an ISO time, such as 2024-11-01T12:00", WRONG_USE) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
