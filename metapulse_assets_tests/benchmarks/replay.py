"""The rows `replay.*`: how fast past days are made anew, from stored candles to signals and outcomes."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from metapulse_assets.platform.database import create_engine
from metapulse_assets_tests.benchmarks.prepared_market import prepare_past
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.workplace import BenchmarkError, workplace

NAME = "replay.days_per_s"
TOKENS, DAYS, RUNS = 1_000, 3, 3
QUICK_TOKENS, QUICK_DAYS, QUICK_RUNS = 20, 1, 1
UNTIL = datetime(2026, 3, 4, tzinfo=UTC)
# What a day's indicators look back at: 3 days of five minutes, 34 of hours.
WARM_UP_DAYS = {"5m": 3, "1h": 34}
BARS_A_DAY = {"5m": 288, "1h": 24}
SHOWN_STEPS = 10
STEP = "replay.step_s."

METHOD = """
A database with candles alone (5 minutes and hours, with the days before that the indicators need), then the job `replay` over
the last days as one run in a process of its own: indicators, rules, risk, signals, the proof, outcomes, calibration, and every
check. The first backfill writes every row; the second finds them all equal, and is told of apart. Days of all tokens a second.
The steps of the first, checks included, are split; what Dagster does between them is a row of its own. Processor seconds are
those of the run's process, and of all of PostgreSQL's.
"""

TARGETS: Mapping[str, Target] = {
    NAME: Target("days of 1,000 tokens made from candles to outcomes, per second", Goal("≥", 1), split=(STEP,)),
    "replay.again_days_per_s": Target("the same once more, where every row is there already"),
    "replay.python_cpu_s": Target("of the first backfill"),
    "replay.postgres_cpu_s": Target("of the first backfill"),
    f"{STEP}other_steps": Target("all steps that are not named"),
    f"{STEP}between_steps": Target("the run's beginning and end, and Dagster between the steps"),
}


def measure(bench: Bench) -> Iterator[Row]:
    """One database a first backfill, so that it finds nothing."""
    tokens, days, runs = (QUICK_TOKENS, QUICK_DAYS, QUICK_RUNS) if bench.quick else (TOKENS, DAYS, RUNS)
    first: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    with workplace() as place:
        for number in range(runs):
            with place.database() as url:
                bench.say(f"filling database {number + 1} of {runs}")
                engine = create_engine(url, place.settings(url))
                bars = {name: BARS_A_DAY[name] * (WARM_UP_DAYS[name] + days) for name in BARS_A_DAY}
                prepare_past(engine, tokens, UNTIL, bars)
                engine.dispose()
                span = UNTIL.date() - timedelta(days=days), UNTIL.date() - timedelta(days=1)
                command = [sys.executable, "-m", f"{__package__}.one_replay", *(day.isoformat() for day in span)]
                for runs_of in (first, again):
                    bench.say(f"backfill {number + 1} of {runs}")
                    before = place.postgres_cpu_s()
                    run = _run(command, place.environment(url))
                    runs_of.append({**run, "postgres_cpu_s": place.postgres_cpu_s() - before})
    yield Row(NAME, days / statistics.median(run["run_s"] for run in first), "days/s", runs)
    yield Row("replay.again_days_per_s", days / statistics.median(run["run_s"] for run in again), "days/s", runs)
    for cpu in ("python_cpu_s", "postgres_cpu_s"):
        yield Row(f"replay.{cpu}", statistics.median(run[cpu] for run in first), "s", runs)
    yield from _step_rows(first)


def _step_rows(runs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """The longest steps, and the rest: medians of each, so that their sum is about a run's seconds."""
    steps = {name: statistics.median(run["steps"][name] for run in runs) for name in runs[0]["steps"]}
    by_length = sorted(steps.items(), key=lambda item: -item[1])
    shown = dict(by_length[:SHOWN_STEPS])
    shown["other_steps"] = sum(seconds for _, seconds in by_length[SHOWN_STEPS:])
    shown["between_steps"] = statistics.median(run["run_s"] - sum(run["steps"].values()) for run in runs)
    for name, seconds in shown.items():
        yield Row(f"{STEP}{name}", seconds, "s", len(runs))


def _run(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed:\n{done.stderr[-3_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PART = Part("replay", METHOD, TARGETS, measure)
