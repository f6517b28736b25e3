"""``python -m metapulse_assets_tests.benchmarks.one_replay FIRST LAST``: one backfill in a process of its own, as a run is.

Runs the job `replay` over the days and prints, as its last line, what each step took. Dagster's events stay in memory.
"""

import argparse
import json
import time
from datetime import date

import dagster as dg

from metapulse_assets.definitions import build_defs
from metapulse_assets.replay.playing import backfill


def main() -> None:
    """Run one backfill and print its seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=date.fromisoformat)
    parser.add_argument("last", type=date.fromisoformat)
    chosen = parser.parse_args()
    definitions = build_defs()
    with dg.DagsterInstance.ephemeral() as instance:
        started, worked = time.perf_counter(), time.process_time()
        result = backfill(definitions, instance, chosen.first, chosen.last)
        run_s, python_cpu_s = time.perf_counter() - started, time.process_time() - worked
    if not result.success:
        raise SystemExit("the backfill failed")
    steps = {event.step_key: event.step_success_data.duration_ms / 1000 for event in result.get_step_success_events()}
    print(json.dumps({"run_s": run_s, "python_cpu_s": python_cpu_s, "steps": steps}))


if __name__ == "__main__":
    main()
