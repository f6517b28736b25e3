"""`metapulse explain`: a signal's way back to the bytes it came from."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.failures import FAILED, CommandError
from metapulse_assets.cli.stored import stored_data
from metapulse_assets.cli.terminal import console, plain, print_json, say

if TYPE_CHECKING:
    import sqlalchemy as sa

    from metapulse_assets.proof.lineage.links import Link

LONGEST_VALUE = 90


def explain(
    signal_id: Annotated[str, typer.Argument(help="As `metapulse signals` shows it; its beginning is enough.")],
    as_json: Annotated[bool, typer.Option("--json", help="The chain as JSON.")] = False,
    recompute: Annotated[bool, typer.Option(help="Also make the signal again from what could be used at its time.")] = True,
) -> None:
    """Show what a signal rests on: hits, analyses, indicators and social metrics, candles and posts, raw payloads, runs.

    Each step is held against the next. Exit codes: 0 the whole chain holds, 1 a link is broken, 2 no such signal, 3 nothing is
    stored yet.
    """
    settings = environment.prepare()
    with stored_data(settings) as connection:
        from metapulse_assets.proof.lineage.whole import explain as explain_signal

        chain = explain_signal(connection, _whole_id(connection, signal_id))
        _note_runs(chain)
        if recompute:
            _note_recomputed(connection.engine, chain)
        problems = chain.problems()
        if as_json:
            print_json({**chain.as_json(), "problems": problems})
        else:
            console().print(_tree(chain))
        for problem in problems:
            say(f"BROKEN {plain(problem, None)}")
        if not problems:
            say(f"the chain holds: {sum(1 for _ in chain.walk())} links")
    if problems:
        raise typer.Exit(FAILED)


def _whole_id(connection: "sa.Connection", given: str) -> str:
    import sqlalchemy as sa

    from metapulse_assets.signals.tables import signals

    found = (
        connection.execute(
            sa.select(signals.c.signal_id).where(signals.c.signal_id.startswith(given, autoescape=True)).limit(2)
        )
        .scalars()
        .all()
    )
    if len(found) != 1:
        raise CommandError(f"no signal {plain(given)!r} is stored" if not found else f"{plain(given)!r} begins several ids", 2)
    whole: str = found[0]
    return whole


def _note_runs(chain: "Link") -> None:
    import dagster as dg

    from metapulse_assets.proof.lineage.runs import note_runs

    with dg.DagsterInstance.get() as instance:
        note_runs(instance, chain)


def _note_recomputed(engine: "sa.Engine", chain: "Link") -> None:
    from metapulse_assets.proof.recomputing import recompute_stored

    again = recompute_stored(engine, chain.key)
    chain.values["made again at its time"] = "equal" if again.equal else "DIFFERENT"
    chain.broken += [
        f"made again at its time, {name} is {made}, not {stored}" for name, (stored, made) in again.differences.items()
    ]


def _tree(link: "Link") -> Any:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(_label(link))
    for name, value in link.values.items():
        tree.add(Text(f"{name}: {_shown(value)}", style="dim"))
    for reason in link.broken:
        tree.add(Text(f"BROKEN: {plain(reason, None)}", style="bold red"))
    for part in link.parts:
        tree.add(_tree(part))
    return tree


def _label(link: "Link") -> Any:
    from rich.text import Text

    return Text(f"{link.what} {plain(link.key, None)}", style="bold" if not link.broken else "bold red")


def _shown(value: Any) -> str:
    from metapulse_assets.platform.display import short

    return plain(value.isoformat() if hasattr(value, "isoformat") else short(value), LONGEST_VALUE)
