"""`metapulse run`: everything once, from nothing to signals."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.embedded_server import database_server, server_pid
from metapulse_assets.cli.failures import FAILED
from metapulse_assets.cli.interruption import stop_requests
from metapulse_assets.cli.sandbox_process import await_sandbox, start_sandbox
from metapulse_assets.cli.signals import draw_charts, print_signals, say_stored
from metapulse_assets.cli.stored import count_stored, stored_data
from metapulse_assets.cli.terminal import say, speaks_json
from metapulse_assets.cli.tick import FailedStep, materialise_now

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings

SHOWN_SIGNALS = 25
LogFormatOption = Annotated[
    Literal["text", "json"] | None,
    typer.Option(help="Progress on standard error: short lines, or a JSON object a line. Wins over METAPULSE_LOG_FORMAT."),
]


def run(mode: environment.ModeOption = None, log_format: LogFormatOption = None) -> None:
    """Fetch the market, compute everything up to signals, show them, and stop again what was started for it.

    Starts the embedded PostgreSQL and the sandbox where the settings need them and they are down.

    Exit codes: 0 done, 1 a step failed or something could not be started, 2 wrong option or setting, 130 stopped by Ctrl-C.
    """
    settings = environment.prepare(mode, log_format)
    home = environment.require_dagster_home()
    announce(settings)
    from metapulse_assets.platform.processes import Supervisor

    with stop_requests() as request, Supervisor(home, say, lambda: server_pid(settings)) as supervisor:
        # The sandbox gets ready while PostgreSQL starts.
        start_sandbox(settings, supervisor)
        with database_server(settings):
            prepare_database(settings)
            await_sandbox(settings, supervisor)
            failed = materialise_now()
            request.check()
            report(settings, failed)
    if failed:
        raise typer.Exit(FAILED)
    say("what one rests on, down to the bytes: `metapulse explain ID`; more in Dagster's pages: `make up`")


def announce(settings: "Settings") -> None:
    """The first line: which mode, and what that means."""
    from metapulse_assets import __version__

    say(f"MetaPulse {__version__}, mode {environment.describe_mode(settings)}")


def prepare_database(settings: "Settings") -> None:
    """Have the database created, migrated and of this mode."""
    from metapulse_assets.platform.database import ensure_ready, libpq_url
    from metapulse_assets.platform.redaction import redact_url

    ensure_ready(settings)
    where = redact_url(libpq_url(settings)) if settings.database_url else f"embedded, {settings.database_label}"
    say(f"database: ready ({where})")


def report(settings: "Settings", failed: list[FailedStep]) -> None:
    """What came of a tick: failures, open signals, how much is stored, where the pictures are."""
    for failure in failed:
        say(f"FAILED {failure.step}: {failure.reason}")
    if failed:
        return
    with stored_data(settings) as connection:
        from metapulse_assets.signals.listing import list_signals

        found = list_signals(connection, open_at=datetime.now(UTC))
        if speaks_json():
            say(f"{len(found)} open signals")
        else:
            print_signals(found, f"Open signals ({environment.mark_of(settings)})", SHOWN_SIGNALS)
        say_stored(count_stored(connection))
        for path in draw_charts(connection, settings, found):
            say(f"chart: {path}")
