"""The rows `tick.*`: how long a market tick takes, how it grows with the tokens, what it stores, how much memory it needs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from metapulse_assets.platform.day_partitions import day_start, utc_day
from metapulse_assets_tests.benchmarks import launching
from metapulse_assets_tests.benchmarks.memory import MEBIBYTE, Peak
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.benchmarks.table_sizes import bytes_of_growing, fill_day
from metapulse_assets_tests.benchmarks.ticking import INTERVAL, STAGES, MeasuredTick, Ticker, ticking

SIZES = (1_000, 10_000, 45_000)
QUICK_SIZES = (30,)
WARM_TICKS, QUICK_WARM_TICKS = 2, 1
FEW_TICKS, QUICK_TICKS = 3, 1
# At the smallest size a whole hour is measured: once an hour candles are rolled up, and what is stored is counted over it.
TICKS_AN_HOUR = 12
BYTES = "tick.bytes_per_token"

METHOD = """
A tick is the job `market_tick`, run by `execute_in_process` in a fresh process, as the default launcher gives each run one, on
an embedded PostgreSQL of its own with the project's options, asking the sandbox (a process of its own on loopback, no latency
added, no rate limit) through the real client. Sandbox and pipeline share one clock that is moved on five minutes from tick to
tick, so each tick closes one 5-minute candle for each token that traded.
The past is made, not fetched: 820 five-minute bars of the simulation itself and 820 hourly bars of a random walk give each
token's indicators their states; the last 24 and 12 bars are stored. The first two ticks are not counted; n says how many were.
`own_s` is the sum of the stages, from discovery to the signals stored, with the checks that stand in between. Dagster's events
stay in memory here, and `dagster_s` is what it takes besides. Ticks on the full hour (`hour_s`) roll candles up and are not in
the median. `evening_s`: a tick at 23:15 when the day's partitions hold what 276 ticks before it left. `midnight_s`: the tick
at 00:05, which makes the indicators' states anew from the 5-minute candles of three days.
Memory is the proportional set size of the run's process and of all of PostgreSQL's, every 50 ms in the tick on the full hour.
The check that makes a sample of the signals again runs as always, but is not judged: the prepared market has states without a
past to make them from.
Stored bytes are the growth of tables, TOAST and indexes over the twelve ticks of an hour, without a VACUUM. Not counted are
caches of constant size (`indicator_states`, `indicator_chains`, `progress_marks`, `rate_limits`, `circuit_breakers`), tables
with one row a token (`tokens`, `pools`, `tracked_tokens`, `candle_requests`), and the one daily candle a day.
"""

STAGE_MEANINGS = {
    "discover": "asking the vendors' lists, holding every tracked token against the bar",
    "fetch": "the vendor round: questions, answers, validation; the sandbox works beside it",
    "store": "reading whom to ask; storing answers, pools and snapshots",
    "candles": "5-minute candles from snapshots, roll-ups",
    "analyses": "indicators and readings of the closed candles",
    "technical": "technical rules",
    "risk": "risk assessments",
    "signals": "choosing and storing signals, and drawing the chart for Dagster's page",
    "checks": "the blocking checks between the steps",
}


def _targets_of(size: int, goal: Goal | None = None) -> dict[str, Target]:
    name = f"tick.{size}"
    return {
        f"{name}.own_s": Target("one tick, from the first question to the signals stored", goal, split=_stages_of(name)),
        **{f"{name}.{stage}_s": Target(meaning) for stage, meaning in STAGE_MEANINGS.items()},
        f"{name}.after_s": Target("steps after the signals are stored: their checks and whatever follows from them"),
        f"{name}.dagster_s": Target("what Dagster takes besides the steps"),
        f"{name}.hour_s": Target("`own_s` of the tick on the full hour"),
        f"{name}.python_cpu_s": Target("processor time of the run's process, its start not counted"),
        f"{name}.postgres_cpu_s": Target("processor time of PostgreSQL"),
        f"{name}.sandbox_cpu_s": Target("processor time of the stand-in for the vendor, which is not ours"),
        f"tick.us_per_token.{size}": Target("`own_s` a token"),
    }


def _stages_of(name: str) -> tuple[str, ...]:
    return tuple(f"{name}.{stage}_s" for stage in STAGES)


TARGETS: Mapping[str, Target] = {
    **_targets_of(1_000, Goal("≤", 1.5)),
    "tick.1000.evening_s": Target("`own_s` late in the day", split=("tick.1000.evening.",)),
    "tick.1000.midnight_s": Target("`own_s` of the tick that closes a day's first candles", split=("tick.1000.midnight.",)),
    "tick.1000.midnight_mb": Target("most memory of the run's process in that tick"),
    BYTES: Target("stored by a tick for each token, indexes included", Goal("≤", 400), split=(f"{BYTES}.",)),
    f"{BYTES}.raw_payloads": Target("the vendor's answers as they came, compressed; kept a few days; in the total"),
    **_targets_of(10_000),
    **_targets_of(45_000, Goal("≤", 20)),
    "tick.45000.peak_mb": Target(
        "most memory of all processes of ours together",
        Goal("≤", 1_000),
        split=("tick.45000.peak_python_mb", "tick.45000.peak_postgres_mb"),
    ),
    "tick.45000.peak_python_mb": Target("the run's process at that moment"),
    "tick.45000.peak_postgres_mb": Target("PostgreSQL at that moment, its 128 MB of shared buffers included"),
    "tick.45000.sandbox_mb": Target("the stand-in, which is not ours and not in the peak"),
    **launching.TARGETS,
}


def measure(bench: Bench) -> Iterator[Row]:
    """All rows of this part that are wanted."""
    sizes = QUICK_SIZES if bench.quick else SIZES
    for size in sizes:
        smallest, largest = size == sizes[0], size == sizes[-1]
        if any(bench.wants(name) for name in (f"tick.{size}.own_s", f"tick.{size}.peak_mb")) or (
            smallest and bench.wants(BYTES)
        ):
            yield from _size(bench, size, smallest, largest)
    for name, moment in (("evening", _evening), ("midnight", _midnight)):
        if bench.wants(f"tick.{sizes[0]}.{name}_s"):
            yield from moment(bench, sizes[0])
    # In a quick run only when asked for by name: the schedule's moment may be a minute away.
    if bench.wants("tick.launch_to_signals") and (bench.only or not bench.quick):
        yield from launching.measure(bench)


def _yesterday(hour: int, minute: int) -> datetime:
    """A moment whose partition exists whatever the time is now."""
    return day_start(utc_day(datetime.now(UTC) - timedelta(days=1))) + timedelta(hours=hour, minutes=minute)


def _size(bench: Bench, size: int, counts_bytes: bool, watches_memory: bool) -> Iterator[Row]:
    """Ticks within an hour and one on the hour."""
    name = f"tick.{size}"
    warm, few = (QUICK_WARM_TICKS, QUICK_TICKS) if bench.quick else (WARM_TICKS, FEW_TICKS)
    before_hour = TICKS_AN_HOUR - 1 if counts_bytes and not bench.quick else few
    hour = _yesterday(13, 0)
    peak = Peak() if watches_memory else None
    first = hour - (before_hour + warm) * INTERVAL
    with ticking(bench, size, first) as ticker:
        _run(bench, ticker, first, warm, 0)
        sizes = bytes_of_growing(ticker.engine)
        plain = _run(bench, ticker, hour - before_hour * INTERVAL, 0, before_hour)
        bench.say(f"the tick on the hour{', watching its memory' if watches_memory else ''}")
        on_the_hour = ticker.tick(hour, peak)
        grown = {table: after - sizes[table] for table, after in bytes_of_growing(ticker.engine).items()}
        sandbox_mb = ticker.sandbox.process.memory_info().rss / MEBIBYTE
    own = median(tick.own_s for tick in plain)
    yield Row(f"{name}.own_s", own, "s", len(plain))
    yield from _stage_rows(name, plain)
    for what in ("after_s", "dagster_s", "python_cpu_s", "postgres_cpu_s", "sandbox_cpu_s"):
        yield Row(f"{name}.{what}", median(getattr(tick, what) for tick in plain), "s", len(plain))
    if peak is None:
        yield Row(f"{name}.hour_s", on_the_hour.own_s, "s", 1)
    yield Row(f"tick.us_per_token.{size}", own / size * 1e6, "µs", len(plain))
    if counts_bytes:
        yield from _byte_rows(grown, size, len(plain) + 1)
    if peak is not None:
        yield Row(f"{name}.peak_mb", peak.total, "MB", 1)
        for who in ("python", "postgres"):
            yield Row(f"{name}.peak_{who}_mb", peak.together[who], "MB", 1)
        yield Row(f"{name}.sandbox_mb", sandbox_mb, "MB", 1)


def _run(bench: Bench, ticker: Ticker, first: datetime, warm: int, count: int, goes_on: bool = True) -> list[MeasuredTick]:
    """Some ticks from a moment on, five minutes apart; those that are measured. `goes_on`: each is to be incremental."""
    ticks = []
    for place in range(warm + count):
        moment = first + place * INTERVAL
        bench.say(f"{'warming up' if place < warm else f'tick {place - warm + 1} of {count}'}: {moment:%H:%M}")
        tick = ticker.tick(moment)
        if goes_on:
            tick.require_goes_on()
        ticks.append(tick)
    return ticks[warm:]


def _stage_rows(name: str, ticks: Sequence[MeasuredTick]) -> Iterator[Row]:
    for stage in STAGES:
        yield Row(f"{name}.{stage}_s", median(tick.stages[stage] for tick in ticks), "s", len(ticks))


def _byte_rows(grown: Mapping[str, int], size: int, ticks: int) -> Iterator[Row]:
    yield Row(BYTES, sum(grown.values()) / size / ticks, "bytes", ticks)
    for table, bytes_ in sorted(grown.items(), key=lambda item: -item[1]):
        if bytes_:
            yield Row(f"{BYTES}.{table}", bytes_ / size / ticks, "bytes", ticks)


def _evening(bench: Bench, size: int) -> Iterator[Row]:
    """Ticks when the day's partitions are nearly full."""
    first = _yesterday(23, 5)
    with ticking(bench, size, first, {"5m": 288, "1h": 24}) as ticker:
        _run(bench, ticker, first, 1, 0)
        bench.say("filling the day")
        fill_day(ticker.engine, first)
        ticks = _run(bench, ticker, first + INTERVAL, 1, FEW_TICKS)
    yield Row(f"tick.{size}.evening_s", median(tick.own_s for tick in ticks), "s", len(ticks))
    yield from _stage_rows(f"tick.{size}.evening", ticks)


def _midnight(bench: Bench, size: int) -> Iterator[Row]:
    """The tick that closes a day's first candles, with as many candles before it as the indicators' chains begin from."""
    # The tick at midnight ends the day before; the one after it closes the day's first candles.
    first = _yesterday(0, 5) - WARM_TICKS * INTERVAL
    with ticking(bench, size, first, {"5m": 4 * 288, "1h": 35 * 24}) as ticker:
        [tick] = _run(bench, ticker, first, WARM_TICKS, 1, goes_on=False)
    yield Row(f"tick.{size}.midnight_s", tick.own_s, "s", 1)
    yield Row(f"tick.{size}.midnight_mb", tick.peak_mb, "MB", 1)
    yield from _stage_rows(f"tick.{size}.midnight", [tick])


PART = Part("tick", METHOD, TARGETS, measure)
