"""The sandbox as a process of its own, for the commands that need its vendors to answer."""

import os
import sys
from typing import TYPE_CHECKING

from metapulse_assets.cli.failures import CommandError
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    from metapulse_assets.platform.processes import ProcessSpec, Supervisor
    from metapulse_assets.platform.settings import Settings

START_SECONDS = 60.0
NAME = "sandbox"


def start_sandbox(settings: "Settings", supervisor: "Supervisor") -> None:
    """Start the stand-ins if the settings point at them and they do not answer yet; to be awaited by `await_sandbox`."""
    from metapulse_assets.sandbox.on_demand import is_answering

    if not settings.needs_sandbox:
        return
    if is_answering(settings):
        check_market(settings)
        say(f"sandbox: already answers at {settings.sandbox_url}")
    else:
        say("sandbox: starting …")
        supervisor.start(sandbox_spec(settings))


def await_sandbox(settings: "Settings", supervisor: "Supervisor") -> None:
    """Wait until a sandbox that was started answers; raises `ProcessError` if it ends instead."""
    from metapulse_assets.sandbox.on_demand import is_answering

    if supervisor.has(NAME):
        supervisor.wait_ready(NAME, lambda: is_answering(settings), START_SECONDS)
        say(f"sandbox: answers at {settings.sandbox_url}")


def sandbox_spec(settings: "Settings") -> "ProcessSpec":
    """How the sandbox of these settings is started."""
    from metapulse_assets.platform.processes import ProcessSpec
    from metapulse_assets.sandbox.on_demand import replay_epoch, sandbox_limits

    command = [sys.executable, "-m", "metapulse_assets.sandbox", "--port", str(settings.sandbox_port)]
    if settings.recordings:
        command += ["--data", str(settings.recordings), "--epoch", replay_epoch(settings.home).isoformat()]
    for name, limit in sandbox_limits(settings).items():
        command += ["--limit", f"{name}={limit}"]
    return ProcessSpec(NAME, command, settings.home / "logs" / "sandbox.log", dict(os.environ), stop_seconds=3.0)


def check_market(settings: "Settings") -> None:
    """Refuse a listening sandbox that shows another market than the settings ask for: its data would be stored as theirs."""
    import httpx2

    shown = httpx2.get(f"{settings.sandbox_url}/sandbox/health", timeout=5.0).json().get("market")
    wanted = "recordings" if settings.recordings else "simulation"
    if shown != wanted:
        raise CommandError(
            f"the sandbox at {settings.sandbox_url} shows a market of kind {shown}, the settings ask for {wanted}: "
            "stop it, choose another METAPULSE_SANDBOX_PORT, or name its folder in METAPULSE_RECORDINGS"
        )
