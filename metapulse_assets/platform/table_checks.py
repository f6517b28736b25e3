"""Checks of tables: those that follow from a table's own columns, and the frame for those of meaning.

A column says what its numbers may be by `info={"min": 0}`, `{"above": 0}`, `{"max": 1}`. All checks of a table run in one step,
on the partitions of their run, or on today where there are none.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.platform.asset_policy import daily_partitions
from metapulse_assets.platform.day_partitions import day_bounds, utc_day
from metapulse_assets.platform.runtime import Platform


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    passed: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class TableCheck:
    """One check of a table; `look` gets a connection and the half-open span of time to look at.

    `blocking`: what depends on the table is not made anew while the check fails.
    """

    name: str
    description: str
    look: Callable[[sa.Connection, datetime, datetime], Finding]
    blocking: bool = True


def checks_of(
    table: sa.Table, checks: Sequence[TableCheck], partitioned: bool = True, step: str = "checks"
) -> dg.AssetChecksDefinition:
    """The checks on the asset of a table; `step` names what they are, where a table has them from several rooms."""
    by_name = {check.name: check for check in checks}
    partitions = daily_partitions() if partitioned else None
    # Checks of partitions are in "preview" in Dagster 1.13; the pinned version is the one this was tried on.
    with warnings.catch_warnings(action="ignore", category=dg.PreviewWarning):
        specs = [
            dg.AssetCheckSpec(
                name=check.name,
                asset=table.name,
                description=check.description,
                blocking=check.blocking,
                partitions_def=partitions,
            )
            for check in checks
        ]

    @dg.multi_asset_check(name=f"{table.name}_{step}", specs=specs)
    def check_table(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        start, end = _span(context, platform)
        with platform.engine.connect() as connection:
            for spec in specs:
                check = by_name[spec.name]
                finding = check.look(connection, start, end)
                yield dg.AssetCheckResult(
                    asset_key=spec.asset_key,
                    check_name=spec.name,
                    passed=finding.passed,
                    severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
                    metadata=finding.facts,
                )

    return check_table


def values_check(table: sa.Table, time_column: str) -> TableCheck:
    """That every number of a table lies where its column says it may, and is a number at all."""
    rules = value_rules(table)

    def look(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
        when = table.c[time_column]
        counts = connection.execute(
            sa.select(
                sa.func.count().label("rows"),
                *(sa.func.count().filter(sa.not_(rule)).label(name) for name, rule in rules.items()),
            ).where(when >= start, when < end)
        ).one()
        broken = {name: getattr(counts, name) for name in rules if getattr(counts, name)}
        return Finding(not broken, {"rows": counts.rows, "rules": len(rules), "rows that break a rule": broken})

    return TableCheck("values", f"Every number of {table.name} lies where it may.", look)


def value_rules(table: sa.Table) -> dict[str, sa.ColumnElement[bool]]:
    """The rules of a table's columns by name; null passes where the column may be null."""
    return {
        f"{column.name} {kind}": sa.or_(column.is_(None), rule)
        for column in table.columns
        for kind, rule in _rules_of(column).items()
    }


def _rules_of(column: sa.Column[Any]) -> dict[str, sa.ColumnElement[bool]]:
    rules: dict[str, sa.ColumnElement[bool]] = {}
    if isinstance(column.type, sa.Float):
        odd: list[sa.ColumnElement[Any]] = [sa.literal_column(f"'{name}'") for name in ("NaN", "Infinity", "-Infinity")]
        rules["is finite"] = column.not_in(odd)
    if "min" in column.info:
        rules[f"at least {column.info['min']:g}"] = column >= column.info["min"]
    if "above" in column.info:
        rules[f"above {column.info['above']:g}"] = column > column.info["above"]
    if "max" in column.info:
        rules[f"at most {column.info['max']:g}"] = column <= column.info["max"]
    return rules


def _span(context: dg.AssetCheckExecutionContext, platform: Platform) -> tuple[datetime, datetime]:
    run = context.op_execution_context
    keys = run.partition_keys if run.has_partition_key or run.has_partition_key_range else []
    days = [date.fromisoformat(key) for key in keys] or [utc_day(platform.now())]
    return day_bounds(min(days), max(days))
