"""A backfill over a span of past days, in one run, and whether a second one leaves every table as it was."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    import dagster as dg

JOB = "replay"
COMPARED = (
    *("candles", "technical_analyses", "technical_signals", "mentions", "post_sentiments", "social_metrics"),
    *("trending_topics", "social_signals", "ai_analyses", "ai_signals", "combined_signals", "risk_assessments"),
    *("signals", "signal_outcomes", "calibration_curves"),
)
"""The tables of the pipeline that follow from stored rows."""


def backfill(
    definitions: "dg.Definitions", instance: "dg.DagsterInstance", first: date, last: date
) -> "dg.ExecuteInProcessResult":
    """Run the replay's job once over all days of a span, as Dagster's single-run backfill does."""
    job = definitions.resolve_job_def(JOB)
    return job.execute_in_process(
        instance=instance,
        tags={
            "dagster/backfill": f"replay-{first:%Y%m%d}-{last:%Y%m%d}",
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        },
        run_config={
            "ops": {
                "signal_calibration": {"config": {"force": True, "period_days": (datetime.now(UTC).date() - first).days + 1}}
            },
            "loggers": {"console": {"config": {}}},
        },
        raise_on_error=False,
    )


def digests(connection: sa.Connection, tables: Sequence[str] = COMPARED) -> Mapping[str, tuple[int, str]]:
    """Number of rows and a hash of them all in a fixed order, by table; every column takes part."""
    found = {}
    for table in tables:
        rows = connection.execution_options(stream_results=True).execute(
            sa.text(f'SELECT t::text AS row FROM "{table}" AS t ORDER BY t::text COLLATE "C"')  # noqa: S608 - names of ours
        )
        digest, count = hashlib.sha256(), 0
        for row in rows:
            digest.update(row.row.encode())
            count += 1
        found[table] = count, digest.hexdigest()[:16]
    return found
