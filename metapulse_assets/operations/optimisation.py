"""VACUUM and ANALYZE for the tables that need it: what autovacuum never does (parents of partitions) or has not done yet."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.operations.tables import database_optimisation

DEAD_SHARE, CHANGED_SHARE = 0.1, 0.1
"""Of a table's rows: half of autovacuum's own 0.2 for dead rows, and its own 0.1 for changed ones."""
FEWEST_ROWS = 1_000
"""Fewer dead or changed rows are not worth a pass. Own choice."""
LOCK_TIMEOUT = "1s"
ONLY_SINCE_VERSION = 18
"""From PostgreSQL 18 on, ANALYZE ONLY reads a parent without making each partition's statistics anew."""


@dataclass(frozen=True)
class Need:
    """A table that is to be vacuumed or analysed, and why."""

    name: str
    is_parent: bool
    action: str
    reason: str
    dead_rows: int
    changed_rows: int


def needs(connection: sa.Connection, everything: bool = False) -> list[Need]:
    """Which tables need what; `everything`: all are vacuumed and analysed."""
    rows = connection.execute(
        sa.text(
            "SELECT s.relname AS name, c.relkind = 'p' AS is_parent, s.n_live_tup AS live, s.n_dead_tup AS dead,"
            " s.n_mod_since_analyze AS changed, greatest(s.last_analyze, s.last_autoanalyze) AS analysed_at, now() AS now"
            " FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid"
            # A parent without a partition has no rows to make statistics of.
            " WHERE s.schemaname = current_schema() AND (c.relkind <> 'p' OR c.relhassubclass) ORDER BY s.relname"
        )
    ).all()
    found = (_need(row, everything) for row in rows)
    return [need for need in found if need is not None]


def _need(row: sa.Row[Any], everything: bool) -> Need | None:
    live, dead, changed = row.live or 0, row.dead or 0, row.changed or 0
    action, reason = "", ""
    if row.is_parent:
        if everything or row.analysed_at is None or (row.now - row.analysed_at).days >= 1:
            action, reason = "analyze", "autovacuum never makes statistics of a table that is partitioned"
    elif everything or (dead >= FEWEST_ROWS and dead > DEAD_SHARE * live):
        action, reason = "vacuum", f"{dead:,} dead rows beside {live:,}" if not everything else "asked for"
    elif changed >= FEWEST_ROWS and changed > CHANGED_SHARE * live:
        action, reason = "analyze", f"{changed:,} of {live:,} rows changed since its statistics were made"
    elif row.analysed_at is None and live:
        action, reason = "analyze", "it has no statistics yet"
    return Need(row.name, row.is_parent, action, reason, dead, changed) if action else None


def optimise(engine: sa.Engine, ran_at: datetime, everything: bool = False) -> list[dict[str, object]]:
    """Vacuum and analyse what needs it, outside a transaction, and store what was done; a table in use is skipped."""
    rows = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        version = connection.execute(sa.text("SELECT current_setting('server_version_num')::int")).scalar_one()
        only = "ONLY " if version // 10_000 >= ONLY_SINCE_VERSION else ""
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        try:
            for need in needs(connection, everything):
                begun = time.monotonic()
                done = _do(connection, need, only)
                rows.append(
                    {
                        "ran_at": ran_at,
                        "name": need.name,
                        "action": need.action if done else "skipped",
                        "reason": need.reason,
                        "dead_rows": need.dead_rows,
                        "changed_rows": need.changed_rows,
                        "seconds": time.monotonic() - begun,
                    }
                )
        finally:
            # The connection goes back to the pool.
            connection.execute(sa.text("RESET lock_timeout"))
    if rows:
        with engine.begin() as connection:
            connection.execute(sa.insert(database_optimisation), rows)
    return rows


def _do(connection: sa.Connection, need: Need, only: str) -> bool:
    if need.action == "vacuum":
        statement = f'VACUUM (ANALYZE) "{need.name}"'
    else:
        statement = f'ANALYZE {only if need.is_parent else ""}"{need.name}"'
    try:
        connection.execute(sa.text(statement))
    except sa.exc.DBAPIError as error:
        # 55P03: held by somebody; 42P01: dropped in the meantime, as old days are.
        if getattr(error.orig, "sqlstate", None) in ("55P03", "42P01"):
            return False
        raise
    return True
