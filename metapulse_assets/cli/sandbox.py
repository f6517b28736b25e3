"""`metapulse sandbox`: the stand-ins for the vendors, in the foreground."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.failures import FAILED, WRONG_USE, CommandError

Value = TypeVar("Value")


def sandbox(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Replay the recordings in this folder [METAPULSE_RECORDINGS].")
    ] = None,
    epoch: Annotated[
        str | None, typer.Option(metavar="DATE", help="With recordings: the UTC date that stands for their last full day.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Seconds of the market per second.")] = 1.0,
    tokens: Annotated[int | None, typer.Option(help="Tokens of the simulated market.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulation and of the faults.")] = None,
    port: Annotated[int | None, typer.Option(help="Where to listen [METAPULSE_SANDBOX_PORT].")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME=RATE", help="A fault and how often, 0 to 1; repeatable.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="Requests a minute of a limit class; repeatable.")
    ] = None,
    latency: Annotated[float, typer.Option(metavar="S", help="Seconds added to every answer.")] = 0.0,
) -> None:
    """Stand in for the vendors until Ctrl-C, on this machine only: a simulated market, or recordings replayed.

    An unknown --fault or --limit is answered with the list of the known ones.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 the port is taken, 2 wrong option, recording or setting.
    """
    settings = environment.prepare()
    from metapulse_assets.sandbox.faults import parse_fault
    from metapulse_assets.sandbox.limits import parse_limit
    from metapulse_assets.sandbox.on_demand import replay_epoch, sandbox_limits
    from metapulse_assets.sandbox.server import SandboxConfig, serve

    defaults = SandboxConfig()
    folder = data or settings.recordings
    day = _checked(date.fromisoformat, epoch) if epoch else replay_epoch(settings.home) if folder else None
    config = SandboxConfig(
        port=settings.sandbox_port if port is None else port,
        data=folder,
        epoch=day,
        speed=speed,
        tokens=defaults.tokens if tokens is None else tokens,
        seed=defaults.seed if seed is None else seed,
        faults=dict(_checked(parse_fault, text) for text in fault or ()),
        limits={**sandbox_limits(settings), **dict(_checked(parse_limit, text) for text in limit or ())},
        latency_seconds=latency,
    )
    try:
        serve(config)
    except ValueError as error:
        raise CommandError(f"sandbox: {error}", WRONG_USE) from None
    except OSError as error:
        raise CommandError(str(error.strerror or error), FAILED) from None


def _checked(parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise CommandError(str(error), WRONG_USE) from None
