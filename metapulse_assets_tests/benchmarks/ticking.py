"""Ticks on a prepared market: each in a process of its own, with the market and the clock moved on in between."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
import sqlalchemy as sa

from metapulse_assets.platform.database import create_engine
from metapulse_assets_tests.benchmarks.memory import Peak, watching
from metapulse_assets_tests.benchmarks.prepared_market import STORED_BARS, prepare
from metapulse_assets_tests.benchmarks.rows import Bench
from metapulse_assets_tests.benchmarks.shared_clock import SharedClock
from metapulse_assets_tests.benchmarks.workplace import SAME_TOKENS, BenchmarkError, StandIn, Workplace, stand_in, workplace

PACKAGE = "metapulse_assets_tests.benchmarks"
INTERVAL = timedelta(minutes=5)
# Seconds after the full five minutes at which a tick begins: the time that a daemon and a launch take.
AFTER_THE_HOUR = timedelta(seconds=3)
STEPS = {
    "discover": "tracked_tokens",
    "candles": "candles",
    "analyses": "technical_analyses",
    "technical": "technical_signals",
    "risk": "risk_assessments",
    "signals": "signals",
}
# The checks that stand between the steps up to the signals; those of the signals come after these are stored.
CHECKED_BEFORE = ("token_metrics", *(table for table in STEPS.values() if table != "signals"))
# A token that has not traded within its past has no state to go on from when it trades again.
MOST_REBUILT_SHARE = 0.01
STAGES = ("discover", "fetch", "store", "candles", "analyses", "technical", "risk", "signals", "checks")


@dataclass(frozen=True)
class MeasuredTick:
    """Seconds of one tick by stage; of the run as a whole; of processor time by who used it; peak of the run's process."""

    stages: Mapping[str, float]
    after_s: float
    dagster_s: float
    python_cpu_s: float
    postgres_cpu_s: float
    sandbox_cpu_s: float
    peak_mb: float
    counts: Mapping[str, int]

    def require_goes_on(self) -> None:
        """Raise BenchmarkError unless this was an incremental tick: new candles, states gone on from, no history fetched."""
        made, asked = self.counts["candles: 5m from snapshots"], self.counts["token_metrics: asked"]
        rebuilt = self.counts["technical_analyses: tokens started from the anchor"]
        fetched = self.counts["candles: history requests"]
        if not made or fetched or rebuilt > asked * MOST_REBUILT_SHARE:
            raise BenchmarkError(
                f"not an incremental tick: {made} candles made, {fetched} history requests,"
                f" {rebuilt} of {asked} tokens started from the anchor"
            )

    @property
    def own_s(self) -> float:
        """From the first question to the vendor to the signals stored, without what Dagster takes between steps."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Ticker:
    """Runs ticks on one database."""

    place: Workplace
    engine: sa.Engine
    clock: SharedClock
    sandbox: StandIn
    command: tuple[str, ...]
    environment: Mapping[str, str]

    def tick(self, moment: datetime, peak: Peak | None = None) -> MeasuredTick:
        """Run one tick at a moment, watching its memory if `peak` is given, which costs some time.

        Raises BenchmarkError with the end of what the tick said if it fails.
        """
        self.clock.set(moment + AFTER_THE_HOUR)
        sandbox_before, postgres_before = _cpu_s(self.sandbox.process), self.place.postgres_cpu_s()
        process = subprocess.Popen(
            self.command, env=dict(self.environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        run = psutil.Process(process.pid)
        ours = {"python": lambda: [run], "postgres": self.place.postgres_processes}
        with watching(peak, ours) if peak is not None else nullcontext():
            output, errors = process.communicate()
        if process.returncode:
            raise BenchmarkError(f"the tick failed with exit code {process.returncode}\n{errors[-3000:]}")
        said = json.loads(output.splitlines()[-1])
        steps, fetch_s = dict(said["steps"]), float(said["fetch_s"])
        stages = {stage: steps.get(step, 0.0) for stage, step in STEPS.items()}
        stages |= {"fetch": fetch_s, "store": steps["token_metrics"] - fetch_s}
        stages["checks"] = sum(steps.get(f"{table}_checks", 0.0) for table in CHECKED_BEFORE)
        return MeasuredTick(
            stages={stage: stages[stage] for stage in STAGES},
            after_s=sum(steps.values()) - sum(stages.values()),
            dagster_s=said["run_s"] - sum(steps.values()),
            python_cpu_s=said["cpu_s"],
            postgres_cpu_s=self.place.postgres_cpu_s() - postgres_before,
            sandbox_cpu_s=_cpu_s(self.sandbox.process) - sandbox_before,
            peak_mb=said["peak_mb"],
            counts=said["counts"],
        )


@contextmanager
def ticking(bench: Bench, tokens: int, first_tick: datetime, stored_bars: Mapping[str, int] = STORED_BARS) -> Iterator[Ticker]:
    """A prepared market of so many tokens with its sandbox, ready for a tick at `first_tick`."""
    with workplace() as place, place.database() as url:
        engine = create_engine(url, place.settings(url))
        bench.say(f"{tokens:,} tokens: making their past")
        prepare(engine, tokens, first_tick, stored_bars)
        clock_file = place.home / "clock"
        clock = SharedClock.create(clock_file, first_tick)
        environment = place.environment(url)
        with stand_in((f"{PACKAGE}.stand_in", str(tokens), str(clock_file)), environment) as sandbox:
            more = {**sandbox.addresses(), **SAME_TOKENS}
            command = (sys.executable, "-m", f"{PACKAGE}.one_tick", str(clock_file))
            yield Ticker(place, engine, clock, sandbox, command, place.environment(url, more))
        engine.dispose()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
