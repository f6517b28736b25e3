"""`metapulse tail`: what happens to a queue's jobs, as it happens."""

import json
import time
from typing import Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.queue import queue_database
from metapulse_assets.cli.terminal import plain

LOOK_SECONDS = 0.2


def tail(
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="Whose jobs.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="Begin with so many of the latest lines.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """Show when jobs begin to wait, begin, complete, fail, are tried again or are canceled, a line each.

    Exit codes: 0 shown, 1 the database is down or failed, 2 unknown queue, 3 there is no database yet, 130 ended by Ctrl-C.
    """
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue.lifecycle import Follower
    from metapulse_assets.platform.work_queue.registry import UnknownJobType, find_handler, load_handlers

    load_handlers(settings.job_modules)
    try:
        find_handler(queue)
    except UnknownJobType as error:
        raise CommandError(str(error), WRONG_USE) from None
    follower = Follower(queue, lines)
    with queue_database(settings) as connection:
        while True:
            # A transaction for each look: `now()` must go on, and nothing old must be held.
            with connection.engine.begin() as look:
                happened = follower.read(look)
            for line in happened:
                print(json.dumps(line.as_json()) if as_json else plain(line.text(), None), flush=True)
            if not follow:
                return
            time.sleep(LOOK_SECONDS)
