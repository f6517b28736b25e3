"""``python -m metapulse_assets_tests.benchmarks.one_tick CLOCK``: one market tick in a process of its own, as a run is.

Runs the job `market_tick` as it stands and prints, as its last line, what each step took. Dagster's events stay in memory.
"""

import argparse
import cProfile
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg

from metapulse_assets.definitions import build_defs
from metapulse_assets.market.collection import collect
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import get_settings
from metapulse_assets.proof.checks import recompute_sample
from metapulse_assets_tests.benchmarks.shared_clock import SharedClock


@dataclass(frozen=True)
class Tick:
    """What one tick took: seconds by step, seconds of the vendor round, of the whole run, of our processor; row counts."""

    steps: dict[str, float]
    fetch_s: float
    run_s: float
    cpu_s: float
    peak_mb: float
    counts: dict[str, int]


def run_tick(clock: SharedClock) -> Tick:
    """Run the job once at the clock's time. Raises what the failed step raised."""
    definitions = build_defs({"platform": Platform(get_settings(), clock)})
    job = definitions.resolve_job_def("market_tick")
    with dg.DagsterInstance.ephemeral() as instance, _timed_collection() as fetches, _unjudged_proof():
        cpu, started = time.process_time(), time.perf_counter()
        result = job.execute_in_process(instance=instance, partition_key=f"{clock():%Y-%m-%d}", raise_on_error=True)
        run_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    steps = {event.step_key or "": _seconds(event) for event in result.get_step_success_events()}
    if "signals" not in steps:
        raise RuntimeError(f"the tick ended without signals, after {', '.join(steps) or 'no step'}")
    return Tick(steps, sum(fetches), run_s, cpu_s, _peak_mb(), _counts(result))


@contextmanager
def _timed_collection() -> Iterator[list[float]]:
    """Times the round of questions inside `token_metrics`, which asks and stores in one step."""
    seconds: list[float] = []

    async def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return await collect(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - started)

    with mock.patch("metapulse_assets.market.assets.collect", timed):
        yield seconds


@contextmanager
def _unjudged_proof() -> Iterator[None]:
    """Signals are made again as always, but what comes out is not judged: the prepared market has states without a past."""

    def unjudged(*arguments: Any) -> list[Any]:
        recompute_sample(*arguments)
        return []

    with mock.patch("metapulse_assets.proof.checks.recompute_sample", unjudged):
        yield


def _peak_mb() -> float:
    """The most memory that this process has had in use; `ru_maxrss` would include that of the process it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _seconds(event: dg.DagsterEvent) -> float:
    return float(event.step_success_data.duration_ms) / 1000


def _counts(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in result.get_asset_materialization_events():
        for name, value in event.materialization.metadata.items():
            if isinstance(value, dg.IntMetadataValue) and value.value is not None and event.asset_key is not None:
                found[f"{event.asset_key.to_user_string()}: {name}"] = value.value
    return found


def main() -> None:
    """Run one tick and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clock", type=Path)
    parser.add_argument("--profile", type=Path, help="write the tick's cProfile here, which slows it down")
    chosen = parser.parse_args()
    profile = cProfile.Profile()
    if chosen.profile:
        profile.enable()
    tick = run_tick(SharedClock(chosen.clock))
    if chosen.profile:
        profile.disable()
        profile.dump_stats(chosen.profile)
    print(json.dumps(asdict(tick)))


if __name__ == "__main__":
    main()
