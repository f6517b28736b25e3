"""`metapulse stream`: launches, migrations and trades as they happen, in the foreground."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.embedded_server import database_server
from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    from metapulse_assets.market.stream.process import StopSwitch
    from metapulse_assets.market.stream.reporting import Report
    from metapulse_assets.platform.settings import Settings


def stream(
    mode: environment.ModeOption = None,
    report: Annotated[bool, typer.Option(help="Tell Dagster once a minute what was written.")] = True,
) -> None:
    """Listen to PumpPortal and store launches, migrations and (with a key) trades of tracked tokens, until Ctrl-C or SIGTERM.

    While the database is away, frames are kept on disk and written when it is back, also by a later start. Starts the embedded
    PostgreSQL and the sandbox where the settings need them and they are down.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 another one runs or something could not be started, 2 wrong option or setting.
    """
    settings = environment.prepare(mode)
    if settings.mode == "replay":
        raise CommandError("a replay works on imported files and asks nobody: there is nothing to listen to", WRONG_USE)
    from metapulse_assets.market.stream.process import StopSwitch, run_stream
    from metapulse_assets.market.stream.spool import SpoolError
    from metapulse_assets.platform.runtime import Platform
    from metapulse_assets.sandbox.on_demand import sandbox_if_needed

    switch = StopSwitch()
    with _stopped_by_signals(switch), database_server(settings):
        if switch.is_on:
            return
        _prepare_database(settings)
        with sandbox_if_needed(settings, settings.pumpportal_url):
            say(f"stream: mode {environment.mark_of(settings)}")
            try:
                status = asyncio.run(run_stream(Platform(settings), switch, say, _report_to_dagster() if report else None))
            except SpoolError as error:
                raise CommandError(str(error)) from None
        say(f"stream: stopped; {status.line(0)}")


@contextmanager
def _stopped_by_signals(switch: "StopSwitch") -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP (unless `nohup` had it ignored) end the stream, however often they come."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: switch.stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _prepare_database(settings: "Settings") -> None:
    """Have the database created, migrated and of this mode; one that is merely away is waited for while frames gather."""
    import psycopg

    from metapulse_assets.platform.database import ensure_ready, libpq_url
    from metapulse_assets.platform.redaction import redact_url

    url = libpq_url(settings)
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            say(f"database: {redact_url(url)} cannot be reached; frames are kept on disk until it can")
            return
    ensure_ready(settings)


def _report_to_dagster() -> "Report | None":
    from metapulse_assets.platform.settings import SettingsError

    try:
        environment.require_dagster_home()
    except SettingsError as error:
        say(f"stream: Dagster is not told of what is written: {error}")
        return None
    # Loaded before anything is listened to: it takes seconds, in which frames would wait.
    import dagster  # noqa: F401

    from metapulse_assets.market.stream.reporting import materialise

    return materialise
