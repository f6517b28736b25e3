"""`metapulse indicators`: the standard set of indicators for a file of candles; needs no database."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from metapulse_assets.cli.failures import CommandError


def indicators(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.csv", help="Columns timestamp (or date), open, high, low, close and, if known, volume."),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file, not to standard output.")] = None,
) -> None:
    """Compute the indicators of a CSV file of candles; prints CSV with the names that pandas-ta gives them.

    Exit codes: 0 done, 1 a file cannot be read or written (the message names line and column), 2 wrong option.
    """
    from metapulse_assets.indicators.csv_file import indicators_csv, read_candles, write_indicators

    try:
        candles = read_candles(file)
        if output is None:
            sys.stdout.write(indicators_csv(candles))
        else:
            write_indicators(candles, output)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{error.filename or output or file}: {error.strerror}") from None
