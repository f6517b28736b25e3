"""``python -m metapulse_assets.sandbox``: serve the sandbox as a process of its own."""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

from metapulse_assets.sandbox.faults import ITEM_FAULTS, REQUEST_FAULTS, parse_fault
from metapulse_assets.sandbox.limits import parse_limit
from metapulse_assets.sandbox.server import SandboxConfig, serve
from metapulse_assets.sandbox.vendors import VENDORS

Value = TypeVar("Value")


def parse_arguments(arguments: Sequence[str]) -> SandboxConfig:
    """Return the configuration that these command line arguments ask for; exits with a message if they are wrong."""
    defaults = SandboxConfig()
    parser = argparse.ArgumentParser(
        prog="python -m metapulse_assets.sandbox",
        description="Stand in for the outside vendors over HTTP on loopback: a simulated market, or recordings.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default=defaults.host, help="address to listen on (default %(default)s)")
    add("--port", type=int, default=defaults.port, help="port to listen on; 0 takes any free one (default %(default)s)")
    add("--data", type=Path, metavar="DIR", help="replay the recordings in this folder instead of simulating a market")
    add(
        "--epoch",
        type=_checked(date.fromisoformat),
        metavar="YYYY-MM-DD",
        help="with --data: the UTC date that stands for the last full recorded day (default today)",
    )
    add("--speed", type=float, default=defaults.speed, help="seconds of the market per second (default %(default)s)")
    add("--tokens", type=int, default=defaults.tokens, help="tokens of the simulated market (default %(default)s)")
    add("--seed", type=int, default=defaults.seed, help="seed of the simulation and of the faults (default %(default)s)")
    add(
        "--fault",
        type=_checked(parse_fault),
        action="append",
        default=[],
        metavar="NAME=RATE",
        help="let a fault strike at this rate, 0 to 1; may be repeated",
    )
    add(
        "--limit",
        type=_checked(parse_limit),
        action="append",
        default=[],
        metavar="NAME=N",
        help="requests per minute of a limit class; may be repeated",
    )
    add("--latency", type=float, default=defaults.latency_seconds, help="seconds added to every answer (default %(default)s)")
    add("--slow-seconds", type=float, default=defaults.slow_seconds, help="delay of the fault slow (default %(default)s)")
    chosen = parser.parse_args(arguments)
    return SandboxConfig(
        host=chosen.host,
        port=chosen.port,
        data=chosen.data,
        epoch=chosen.epoch,
        speed=chosen.speed,
        tokens=chosen.tokens,
        seed=chosen.seed,
        faults=dict(chosen.fault),
        limits=dict(chosen.limit),
        latency_seconds=chosen.latency,
        slow_seconds=chosen.slow_seconds,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; a wrong setting or recording is one line on standard error and exit code 2."""
    config = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        serve(config)
    except (ValueError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    return 0


def _checked(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    def checked(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _epilog() -> str:
    lines = ["limit classes:"]
    lines += [f"  {name}={limit} per minute" for vendor in VENDORS for name, limit in vendor.limits.items()]
    lines.append("\nfaults of a request:")
    lines += [f"  {name:24}{text}" for name, text in REQUEST_FAULTS.items()]
    lines.append("\nfaults of an item:")
    lines += [f"  {name:24}{text}" for name, text in ITEM_FAULTS.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
