"""The rows `tick.launch_to_signals*`: from the schedule's moment to signals that anybody can read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Row, Target
from metapulse_assets_tests.benchmarks.scheduled import ScheduledRun, scheduled
from metapulse_assets_tests.benchmarks.ticking import INTERVAL

NAME = "tick.launch_to_signals"
TOKENS, QUICK_TOKENS = 1_000, 20
# Five minutes in a row hold exactly one that closes a candle.
TICKS, QUICK_TICKS = 5, 1
IN_PROCESS, MULTIPROCESS = "metapulse_assets.definitions", "metapulse_assets_tests.benchmarks.multiprocess_definitions"

TARGETS: Mapping[str, Target] = {
    f"{NAME}_s": Target(
        "from the schedule's moment to the commit of the signals' progress mark: 1,000 tokens, daemon, default launcher; a "
        "tick every minute, of which one in five closes candles; the first after the start is not counted",
        Goal("≤", 6.0),
        peer="multiprocess executor",
        split=tuple(f"{NAME}.{part}_s" for part in ("evaluated", "launched", "worked")),
    ),
    f"{NAME}.evaluated_s": Target("the schedule's moment to the run's row: the daemon wakes and evaluates the schedule"),
    f"{NAME}.launched_s": Target("from there to the run's start: queue, a new process, its imports"),
    f"{NAME}.worked_s": Target("from there to the signals"),
    f"{NAME}.closing_s": Target("all of it, in the tick that closed candles"),
    f"{NAME}.events_kb": Target("Dagster's events of such a tick as text, the chart in them"),
}


@dataclass(frozen=True)
class Launch:
    """One scheduled tick: its run, and when its signals were there (epoch seconds)."""

    run: ScheduledRun
    visible: float

    @property
    def took(self) -> float:
        """Seconds from the schedule's moment to the signals."""
        return self.visible - self.run.scheduled


def measure(bench: Bench) -> Iterator[Row]:
    """The time with the project's executor, its parts, and the time with a process a step."""
    ours, kilobytes = _launches(bench, IN_PROCESS)
    theirs, _ = _launches(bench, MULTIPROCESS)
    value, peer = median(launch.took for launch in ours), median(launch.took for launch in theirs)
    yield Row(f"{NAME}_s", value, "s", len(ours), peer, value / peer)
    for part, seconds in {
        "evaluated": [launch.run.created - launch.run.scheduled for launch in ours],
        "launched": [launch.run.started - launch.run.created for launch in ours],
        "worked": [launch.visible - launch.run.started for launch in ours],
        "closing": [launch.took for launch in ours if launch.run.scheduled % INTERVAL.total_seconds() == 0],
    }.items():
        if seconds:
            yield Row(f"{NAME}.{part}_s", median(seconds), "s", len(seconds))
    yield Row(f"{NAME}.events_kb", kilobytes, "kB", len(ours))


def _launches(bench: Bench, module: str) -> tuple[list[Launch], float]:
    """Some scheduled ticks, and the mean size of the events that Dagster keeps of one."""
    tokens, ticks = (QUICK_TOKENS, QUICK_TICKS) if bench.quick else (TOKENS, TICKS)
    with scheduled(bench, tokens, module) as daemon:
        # The first tick compiles modules and opens what later ones find open.
        seen = daemon.signals_seen(bench, ticks + 1)[1:]
        runs, kilobytes = daemon.runs(), daemon.event_kilobytes()
    newest = [max((run for run in runs if run.created <= moment), key=lambda run: run.created) for moment in seen]
    return [Launch(run, moment) for run, moment in zip(newest, seen, strict=True)], kilobytes
