"""The proof that nothing looked ahead: a sample of signals made again on data cut at their time must come out equal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of
from metapulse_assets.proof.recomputing import Recomputed, recompute_signal
from metapulse_assets.proof.time_cut import time_machine
from metapulse_assets.signals.tables import SOURCES, signals

MOST_PER_KIND = 10
"""A backfill looks at one signal of each kind a day, up to so many."""
MOST_OF_A_DAY = 2
"""A run of a single day, as a tick is, looks at so many in all: the next one will look at others."""
SHOWN = 20


def sample_signals(connection: sa.Connection, start: datetime, end: datetime, per_kind: int) -> Sequence[sa.Row[Any]]:
    """Up to so many signals of each kind, of those opened in [start, end), by chance.

    The chance depends on what is stored, so that the same database gives the same sample, and each tick another one.
    """
    s = signals.c
    within = sa.and_(s.opened_at >= start, s.opened_at < end)
    salt = sa.select(sa.func.coalesce(sa.func.max(s.recorded_at).cast(sa.Text), "")).where(within).scalar_subquery()
    rows: list[sa.Row[Any]] = []
    for kind in SOURCES:
        rows += connection.execute(
            sa.select(signals).where(within, s.kind == kind).order_by(sa.func.md5(s.signal_id + salt)).limit(per_kind)
        ).all()
    # Kinds mixed, so that whoever takes only the first few sees another kind each time.
    return sorted(rows, key=lambda row: row.signal_id[::-1])


def recompute_sample(connection: sa.Connection, start: datetime, end: datetime) -> list[Recomputed]:
    """Make a sample of the signals of a span again, each on data cut at its time."""
    days = max((end - start).days, 1)
    sample = sample_signals(connection, start, end, min(days, MOST_PER_KIND))
    if days == 1:
        sample = sample[:MOST_OF_A_DAY]
    with time_machine(connection.engine) as machine:
        return [recompute_signal(machine, dict(row._mapping)) for row in sample]


def _no_look_ahead(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    made = recompute_sample(connection, start, end)
    rows = [
        (again.signal_id, name, stored, recomputed)
        for again in made
        for name, (stored, recomputed) in again.differences.items()
    ]
    facts: dict[str, Any] = {"signals made again": len(made), "different": sum(not again.equal for again in made)}
    if rows:
        facts["differences"] = dg.MetadataValue.md(markdown_table(("signal", "value", "stored", "made again"), rows[:SHOWN]))
    return Finding(not rows, facts)


def proof_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this room."""
    return [
        checks_of(
            signals,
            [
                TableCheck(
                    "no_look_ahead",
                    "Signals made again from what could be used at their time come out equal.",
                    _no_look_ahead,
                )
            ],
            step="proof",
        )
    ]
