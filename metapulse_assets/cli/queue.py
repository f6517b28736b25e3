"""`metapulse queue …`: what is in the work queue; pausing and resuming it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.stored import existing_database
from metapulse_assets.cli.terminal import console, print_json, table

if TYPE_CHECKING:
    import sqlalchemy as sa

    from metapulse_assets.platform.settings import Settings

queue = typer.Typer(no_args_is_help=True, help="The work queue: its statistics; pausing and resuming.")
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
QueueArgument = Annotated[str | None, typer.Argument(metavar="QUEUE", help="Which queue. Without it: --all.")]
HEADERS = ("queue", "Waiting", "Active", "Completed", "Failed", "Delayed", "Paused", "")


@contextmanager
def queue_database(settings: "Settings") -> Iterator["sa.Connection"]:
    """A transaction on a database that has a queue; raises as `existing_database` does."""
    with existing_database(settings) as engine, engine.begin() as connection:
        yield connection


@queue.command()
def stats(as_json: JsonOption = False) -> None:
    """Count the jobs of every queue by state.

    Completed are those that the clean-up has left; failed are the dead letters that nobody put in again.

    Exit codes: 0 shown, 1 the database is down or failed, 2 wrong option or setting, 3 there is no database yet.
    """
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue.registry import load_handlers
    from metapulse_assets.platform.work_queue.statistics import count_jobs

    with queue_database(settings) as connection:
        counts = count_jobs(connection, load_handlers(settings.job_modules))
    if as_json:
        print_json([each.as_json() for each in counts])
    elif not counts:
        print("no queue is registered, and none has jobs")
    else:
        rows = [
            (
                *(each.queue, each.waiting, each.active, each.completed, each.failed, each.delayed, each.paused),
                "paused" if each.is_paused else "",
            )
            for each in counts
        ]
        title = f"Work queue ({environment.mark_of(settings)})"
        console().print(table(title, HEADERS, rows, HEADERS[1:7], wraps=("queue",)))


@queue.command()
def pause(name: QueueArgument = None, every: Annotated[bool, typer.Option("--all", help="Every queue.")] = False) -> None:
    """Let workers begin no more jobs of a queue, or of any; those that run go on.

    Exit codes: 0 paused (also if it was), 1 failed, 2 wrong use, 3 there is no database yet.
    """
    chosen = _chosen(name, every)
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue import pausing

    _check_known(settings, chosen)
    with queue_database(settings) as connection:
        fresh = pausing.pause(connection, chosen)
    print(f"{_shown(chosen)} {'is paused' if fresh else 'was paused already'}")


@queue.command()
def resume(name: QueueArgument = None, every: Annotated[bool, typer.Option("--all", help="Every queue.")] = False) -> None:
    """Let workers begin jobs again; --all lifts every pause.

    Exit codes: 0 resumed (also if it was not paused), 1 failed, 2 wrong use, 3 there is no database yet.
    """
    chosen = _chosen(name, every)
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue import pausing

    _check_known(settings, chosen)
    with queue_database(settings) as connection:
        lifted = pausing.resume(connection, chosen)
        still = pausing.ALL in pausing.paused(connection)
    print(f"{_shown(chosen)} {'is resumed' if lifted else 'was not paused'}")
    if still:
        print("every queue is still paused: metapulse queue resume --all")


def _chosen(name: str | None, every: bool) -> str:
    from metapulse_assets.platform.work_queue.pausing import ALL

    if (name is None) != every:
        raise CommandError("name one queue, or say --all", WRONG_USE)
    return ALL if name is None else name


def _check_known(settings: "Settings", name: str) -> None:
    from metapulse_assets.platform.work_queue.pausing import ALL
    from metapulse_assets.platform.work_queue.registry import UnknownJobType, find_handler, load_handlers

    if name == ALL:
        return
    load_handlers(settings.job_modules)
    try:
        find_handler(name)
    except UnknownJobType as error:
        raise CommandError(str(error), WRONG_USE) from None


def _shown(name: str) -> str:
    from metapulse_assets.platform.work_queue.pausing import ALL

    return "every queue" if name == ALL else f"queue {name}"
