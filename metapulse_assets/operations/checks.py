"""Whether operations do what they are for: nothing past its time, statistics that are recent, health and alarms in order."""

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.operations import tables
from metapulse_assets.operations.health import newest_health
from metapulse_assets.operations.queue_measuring import MANY_DEAD_LETTERS, newest_queues
from metapulse_assets.operations.retention import overdue
from metapulse_assets.operations.retention_rules import rules
from metapulse_assets.platform.settings import get_settings
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.platform.vendor_settings import Mode

Look = Callable[[sa.Connection, datetime, datetime], Finding]
OLDEST_STATISTICS = timedelta(days=2)


def _nothing_overdue(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Nothing that was past its time a day ago is still there."""
    settings = get_settings()
    if settings.mode is Mode.REPLAY:
        return Finding(True, {"why": "a replay keeps everything"})
    found = rules(settings)
    late = overdue(connection, found, start)
    return Finding(not late, {"rules": len(found), "past their time": late})


def _statistics_are_recent(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Tables partitioned by day, which autovacuum leaves alone, have statistics of the last two days."""
    rows = connection.execute(
        sa.text(
            "SELECT s.relname, s.last_analyze FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid"
            " WHERE c.relkind = 'p' AND c.relhassubclass AND s.schemaname = current_schema() ORDER BY s.relname"
        )
    ).all()
    now: datetime = connection.execute(sa.text("SELECT now()")).scalar_one()
    old = [row.relname for row in rows if row.last_analyze is None or now - row.last_analyze > OLDEST_STATISTICS]
    return Finding(not old, {"tables": len(rows), "without recent statistics": old})


def _memory_within_limit(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """The process takes no more memory than METAPULSE_MEMORY_LIMIT_MB."""
    _, rows = newest_health(connection, end)
    memory = [row for row in rows if (row.service, row.metric) == ("process", "memory")]
    return Finding(
        all(row.status == "ok" for row in memory),
        {"bytes": memory[0].value if memory else None, "why": (memory[0].reason if memory else None) or "within its limit"},
    )


def _nothing_fails(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No measurement of the newest minute fails."""
    minute, rows = newest_health(connection, end)
    failing = {f"{row.service} {row.metric}": row.reason for row in rows if row.status == "fail"}
    return Finding(not failing, {"measured at": str(minute), "measurements": len(rows), "failing": failing})


def _runs_end(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No run of the history has been under way for more than a day."""
    j = tables.job_logs.c
    old = connection.execute(
        sa.select(j.job, j.job_id).where(j.ended_at.is_(None), j.created_at < start - timedelta(days=1)).limit(20)
    ).all()
    return Finding(not old, {"still under way": [f"{row.job} {row.job_id}" for row in old]})


def _queues_get_on(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No job has been due for more than a minute while nothing of its queue runs and it is not paused."""
    rows = newest_queues(connection, end)
    return Finding(
        not any(row.is_stuck for row in rows),
        {"queues": len(rows), "stuck for seconds": {row.queue: row.oldest_waiting_seconds for row in rows if row.is_stuck}},
    )


def _few_dead_letters(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No queue has many dead letters that nobody has put in again."""
    rows = newest_queues(connection, end)
    return Finding(
        all(row.dead_letters < MANY_DEAD_LETTERS for row in rows),
        {"dead letters": {row.queue: row.dead_letters for row in rows if row.dead_letters}, "many": MANY_DEAD_LETTERS},
    )


def _told_in_time(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Alarms are ended after they began, and no key has two open ones."""
    a = tables.alarms.c
    backwards = connection.execute(
        sa.select(sa.func.count()).where(sa.or_(a.resolved_at < a.first_seen, a.last_seen < a.first_seen))
    ).scalar_one()
    doubled = (
        connection.execute(sa.select(a.key).where(a.resolved_at.is_(None)).group_by(a.key).having(sa.func.count() > 1))
        .scalars()
        .all()
    )
    return Finding(backwards == 0 and not doubled, {"ended before they began": backwards, "open twice": list(doubled)})


def operations_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of operations. None blocks: nothing is made from these tables."""

    def checks(table: sa.Table, time_column: str, *others: TableCheck) -> dg.AssetChecksDefinition:
        return checks_of(table, [values_check(table, time_column), *others], partitioned=False)

    def warns(name: str, description: str, look: Look) -> TableCheck:
        return TableCheck(name, description, look, blocking=False)

    return [
        checks(
            tables.retention,
            "ran_at",
            warns("nothing_overdue", "Nothing that was past its time a day ago is still there.", _nothing_overdue),
        ),
        checks(
            tables.database_optimisation,
            "ran_at",
            warns("statistics_are_recent", "Partitioned tables have statistics of the last two days.", _statistics_are_recent),
        ),
        checks(tables.job_logs, "created_at", warns("runs_end", "No run has been under way for more than a day.", _runs_end)),
        checks(
            tables.queue_stats,
            "measured_at",
            warns("queues_get_on", "No due job waits for more than a minute while nothing of its queue runs.", _queues_get_on),
            warns("few_dead_letters", f"No queue has {MANY_DEAD_LETTERS} or more dead letters.", _few_dead_letters),
        ),
        checks(
            tables.health_metrics,
            "measured_at",
            warns("memory_within_limit", "The process takes no more memory than its limit.", _memory_within_limit),
            warns("nothing_fails", "No measurement of the newest minute fails.", _nothing_fails),
        ),
        checks(
            tables.alarms,
            "last_seen",
            warns("each_once", "No key has two open alarms, and none ended before it began.", _told_in_time),
        ),
    ]
