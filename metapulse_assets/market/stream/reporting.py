"""What Dagster is told of the stream: a runless materialization a table and day, at most once a minute."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from metapulse_assets.market.stream.draining import in_thread
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.platform.redaction import redact

if TYPE_CHECKING:
    import dagster as dg

REPORT_SECONDS = 60.0
Report = Callable[[dict[tuple[str, date], int], Sequence[float], dict[str, int]], None]


async def keep_reporting(status: StreamStatus, report: Report, backlog: Callable[[], int], say: Callable[[str], None]) -> None:
    """Report until cancelled. A report that fails is told of and missed; nobody waits for it."""
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        await report_once(status, report, backlog(), say)


async def report_once(status: StreamStatus, report: Report, backlog_bytes: int, say: Callable[[str], None]) -> None:
    """Report what came since the last time, if anything did."""
    say(status.line(backlog_bytes))
    rows, lags = status.take_unreported()
    if not rows:
        return
    facts = {
        "connections": status.connections,
        "repeated": status.repeated,
        "refused": status.refused,
        "launches of quote tokens": status.quote_mints,
        "failed writes": status.failed_writes,
        "bytes waiting on disk": backlog_bytes,
    }
    try:
        await in_thread(lambda: report(rows, lags, facts))
    except Exception as error:  # the rows are stored; only Dagster's page does not know of them yet
        say(redact(f"Dagster was not told: {type(error).__name__}: {error}"))


def materialise(rows: dict[tuple[str, date], int], lags: Sequence[float], facts: dict[str, int]) -> None:
    """Report to the Dagster instance of DAGSTER_HOME."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        for event in materializations(rows, lags, facts):
            instance.report_runless_asset_event(event)


def materializations(
    rows: dict[tuple[str, date], int], lags: Sequence[float], facts: dict[str, int]
) -> "list[dg.AssetMaterialization]":
    """The events of a report: an asset and day each. Lags are seconds from frame to row."""
    import dagster as dg

    ordered = sorted(lags) or [0.0]
    return [
        dg.AssetMaterialization(
            asset_key=table,
            partition=day.isoformat(),
            metadata={
                "rows": count,
                "lag p50 (s)": ordered[len(ordered) // 2],
                "lag p99 (s)": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)],
                "lag max (s)": ordered[-1],
                **facts,
            },
        )
        for (table, day), count in sorted(rows.items())
    ]
