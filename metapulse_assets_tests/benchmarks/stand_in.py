"""``python -m metapulse_assets_tests.benchmarks.stand_in TOKENS CLOCK``: the sandbox as a process on a shared clock."""

import sys
from pathlib import Path

from metapulse_assets.sandbox.server import SandboxConfig, serve
from metapulse_assets_tests.benchmarks.shared_clock import SharedClock

UNLIMITED = 1_000_000_000


def main(tokens: int, clock: Path) -> None:
    """Serve until SIGTERM; says on standard output where."""
    limits = dict.fromkeys(("dexscreener", "dexscreener-profiles", "geckoterminal", "rugcheck", "goplus"), UNLIMITED)
    serve(SandboxConfig(tokens=tokens, limits=limits, wall=SharedClock(clock).seconds))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
