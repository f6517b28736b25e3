"""What a person sees when a command fails: one or two lines and an exit code; with LOG_LEVEL=debug a traceback, masked."""

import os
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from metapulse_assets.cli.terminal import say

FAILED, WRONG_USE, NEVER_FILLED, INTERRUPTED = 1, 2, 3, 130


class CommandError(Exception):
    """A command cannot do its work; the message says why and what to do."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        """`exit_code`: what the command's help promises for this case."""
        super().__init__(message)
        self.exit_code = exit_code


class CommandGroup(TyperGroup):
    """The commands, with every failure of theirs explained."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an exception becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("stopped")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            # Typer's own exceptions are wrong usage and wanted exits, which it explains by itself; so is a closed pipe.
            if type(error).__module__.startswith("typer") or isinstance(error, BrokenPipeError):
                raise
            from metapulse_assets.platform.json_logs import known_secrets
            from metapulse_assets.platform.redaction import redact

            message, exit_code = explain(error)
            if os.environ.get("LOG_LEVEL", "").lower() == "debug":
                # Not Python's own, which would show what an error holds.
                say(redact("".join(traceback.format_exception(error)), known_secrets()))
            say(message)
            raise typer.Exit(exit_code) from None


def explain(error: Exception) -> tuple[str, int]:
    """The message and the exit code for an exception that ended a command."""
    from metapulse_assets.platform.json_logs import known_secrets
    from metapulse_assets.platform.redaction import redact
    from metapulse_assets.platform.settings import SettingsError

    if isinstance(error, SettingsError):
        return f"wrong settings (environment or .env):\n{error}", WRONG_USE
    if isinstance(error, CommandError):
        return str(error), error.exit_code
    if _is_expected(error):
        return redact(str(error), known_secrets()), FAILED
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"{redact(what, known_secrets())}\n(LOG_LEVEL=debug shows where)", FAILED


def _is_expected(error: Exception) -> bool:
    """Whether the message was written for people."""
    from metapulse_assets.indicators.csv_file import CandleFileError
    from metapulse_assets.platform.database import DatabaseError
    from metapulse_assets.platform.embedded_postgres import EmbeddedPostgresError
    from metapulse_assets.platform.processes import ProcessError

    return isinstance(error, DatabaseError | EmbeddedPostgresError | CandleFileError | ProcessError)
