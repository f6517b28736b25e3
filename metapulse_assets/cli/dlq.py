"""`metapulse dlq …`: the dead letters of the work queue, shown, put in again, dropped."""

from typing import Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.queue import JsonOption, queue_database
from metapulse_assets.cli.terminal import console, print_json, table

dlq = typer.Typer(no_args_is_help=True, help="Dead letters: jobs whose attempts are used up.")
QueueOption = Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only those of this queue.")]
IdArgument = Annotated[int | None, typer.Argument(metavar="ID", help="Number of the dead letter, as `dlq list` shows it.")]
HEADERS = ("id", "job type", "failed at", "attempts", "error", "retried as")


@dlq.command("list")
def list_(
    queue: QueueOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")] = 100,
    every: Annotated[bool, typer.Option("--all", help="Those that were put in again too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first.

    Exit codes: 0 listed (also if there is none), 1 failed, 2 wrong option or setting, 3 there is no database yet.
    """
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue import failed_jobs

    with queue_database(settings) as connection:
        found = failed_jobs.list_failed(connection, queue, limit, every)
    if as_json:
        print_json([vars(one) for one in found])
    elif not found:
        print("no dead letters")
    else:
        rows = [
            (one.id, one.job_type, one.failed_at, one.attempts or "", one.error_message, one.retried_as or "") for one in found
        ]
        console().print(table("Dead letters", HEADERS, rows, ("id", "attempts", "retried as"), wraps=("error", "failed at")))


@dlq.command()
def retry(
    dead_letter: IdArgument = None,
    every: Annotated[bool, typer.Option("--all", help="Every one that was not put in again yet.")] = False,
    queue: QueueOption = None,
) -> None:
    """Put a dead letter's job in again, with all its attempts, and mark it.

    Exit codes: 0 done, 1 there is none of this number or it was put in again before, 2 wrong use, 3 there is no database yet.
    """
    _check(dead_letter, every, queue)
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue import failed_jobs, registry

    registry.load_handlers(settings.job_modules)
    try:
        with queue_database(settings) as connection:
            jobs = (
                failed_jobs.retry_all(connection, queue)
                if dead_letter is None
                else [failed_jobs.retry(connection, dead_letter)]
            )
    except (failed_jobs.FailedJobError, registry.UnknownJobType) as error:
        raise CommandError(str(error)) from None
    print(f"put in again: {len(jobs)}" + (f", as job {jobs[0]}" if dead_letter is not None else ""))


@dlq.command()
def drop(
    dead_letter: IdArgument = None,
    every: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
    queue: QueueOption = None,
) -> None:
    """Delete a dead letter for good.

    Exit codes: 0 done, 1 there is none of this number, 2 wrong use, 3 there is no database yet.
    """
    _check(dead_letter, every, queue)
    settings = environment.prepare()
    from metapulse_assets.platform.work_queue import failed_jobs

    try:
        with queue_database(settings) as connection:
            if dead_letter is None:
                dropped = failed_jobs.drop_all(connection, queue)
            else:
                failed_jobs.drop(connection, dead_letter)
                dropped = 1
    except failed_jobs.FailedJobError as error:
        raise CommandError(str(error)) from None
    print(f"dropped: {dropped}")


def _check(dead_letter: int | None, every: bool, queue: str | None) -> None:
    if (dead_letter is None) != every or (dead_letter is not None and queue is not None):
        raise CommandError("give one ID, or --all (with --queue: all of a queue)", WRONG_USE)
