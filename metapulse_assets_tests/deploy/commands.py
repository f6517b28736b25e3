"""Whether a command line could be given as it is written: its program is installed, its subcommands and options are known."""

import importlib
import shlex
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import click
import typer

from metapulse_assets.cli import app
from metapulse_assets.platform.settings import project_root

# Where a console script's own function is not the click command.
_BEHIND = {
    "dagster-webserver": ("dagster_webserver.cli", "dagster_webserver"),
    "dagster-daemon": ("dagster._daemon.cli", "cli"),
}
_SHELL = {"sh", "cd", "cp", "cat", "psql", "docker", "openssl", "curl", "git", "make", "pg_isready", "postgres", "export"}


def trouble_with(line: Sequence[str], depth: int = 0) -> str | None:
    """What is wrong with a command line, as it is split into words; None if nothing is."""
    program, *arguments = line
    if program == "sh" and arguments[:1] == ["-c"]:
        found = [trouble_with(shlex.split(part), depth + 1) for part in arguments[1].split("&&")]
        return next((trouble for trouble in found if trouble), None)
    if program == "python":
        return _trouble_with_python(arguments)
    if program in _SHELL:
        return None
    command = command_of(program)
    return f"{program}: no such program" if command is None else _trouble_with_arguments(command, program, arguments)


def command_of(program: str) -> Any:
    """The click command behind a console script of ours or of Dagster's; None if there is none."""
    if program == "metapulse":
        return typer.main.get_command(app)
    if not any(script.name == program for script in entry_points(group="console_scripts")):
        return None
    if program in _BEHIND:
        module, name = _BEHIND[program]
        return getattr(importlib.import_module(module), name)
    if program == "dagster":
        return importlib.import_module("dagster._cli").create_dagster_cli()
    return None


def _trouble_with_python(arguments: Sequence[str]) -> str | None:
    if arguments[:1] == ["-m"]:
        return None if importlib.util.find_spec(arguments[1]) else f"{arguments[1]}: no such module"
    return None if (project_root() / arguments[0]).is_file() else f"{arguments[0]}: no such file"


def _trouble_with_arguments(command: Any, name: str, arguments: Sequence[str]) -> str | None:
    rest = list(arguments)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            return None if not rest else _unknown_option(command, name, rest)
        word = rest.pop(0)
        command = command.get_command(click.Context(click.Command(name)), word)
        name = f"{name} {word}"
        if command is None:
            return f"{name}: no such command"
    return _unknown_option(command, name, rest)


def _unknown_option(command: Any, name: str, arguments: Sequence[str]) -> str | None:
    known = {"--help", "--version"} | {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    wrong = [word for word in arguments if word.startswith("-") and word.split("=")[0] not in known]
    return f"{name}: no such option {', '.join(wrong)}" if wrong else None
