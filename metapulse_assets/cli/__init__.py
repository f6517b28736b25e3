"""The command line: `metapulse …`. One module a command or group of commands; here is only their list."""

from typing import Annotated

import typer

from metapulse_assets.cli import (
    database,
    dlq,
    doctor,
    explain,
    indicators,
    queue,
    replay,
    risk,
    run,
    sandbox,
    service,
    setup,
    signals,
    stream,
    tail,
    token,
    tokens,
    up,
    worker,
)
from metapulse_assets.cli.failures import CommandGroup

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="MetaPulse: crypto market data turned into trading signals.",
)
for command in (
    *(run.run, up.up, signals.signals, explain.explain, tokens.tokens, indicators.indicators, replay.replay, risk.risk),
    *(stream.stream, worker.worker, service.service, tail.tail, doctor.doctor, sandbox.sandbox, setup.setup),
):
    app.command()(command)
app.add_typer(database.db, name="db")
app.add_typer(queue.queue, name="queue")
app.add_typer(dlq.dlq, name="dlq")
app.add_typer(token.token, name="token")


def _print_version(wanted: bool) -> None:
    if wanted:
        from metapulse_assets import __version__

        print(f"metapulse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What precedes a command."""


def main() -> None:
    """The entry point."""
    app()
