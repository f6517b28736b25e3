"""Checks that follow from a table: each rule finds exactly the rows that break it, in the days of the run."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.asset_policy import table_asset
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, value_rules, values_check

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
TODAY = NOW.date()
prices = sa.Table(
    "prices",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("price", sa.Double, info={"above": 0}),
    sa.Column("share", sa.REAL, info={"min": 0, "max": 1}),
    sa.Column("trades", sa.Integer, info={"min": 0}),
    sa.Column("note", sa.Text),
)
GOOD: dict[str, Any] = {"at": NOW, "price": 1.0, "share": 0.5, "trades": 0}


@pytest.fixture
def platform(engine: sa.Engine) -> Platform:
    """A platform at noon whose database has the table."""
    prices.create(engine)
    platform = Platform(load_settings(), lambda: NOW)
    platform.engine = engine
    return platform


def store(platform: Platform, *rows: dict[str, Any]) -> None:
    """Put in a good row, and rows that differ from it."""
    with platform.engine.begin() as connection:
        for number, row in enumerate(({}, *rows)):
            connection.execute(sa.insert(prices).values(id=number, **{**GOOD, **row}))


def nothing() -> None:
    """The rows are there already."""


SPAN = TableCheck(
    "span",
    "Says which span it was given.",
    lambda _, start, end: Finding(start.year == 2026, {"from": start.isoformat(), "to": end.isoformat()}),
    blocking=False,
)


def checked(
    platform: Platform, first: date = TODAY, last: date = TODAY, partitioned: bool = True
) -> dict[str, dg.AssetCheckEvaluation]:
    """The outcome of each check in a run over these days."""
    asset = table_asset(prices, group="market", partitioned=partitioned)(nothing)
    checks = checks_of(prices, [values_check(prices, "at"), SPAN], partitioned)
    tags = {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}
    if first == last:
        tags = {"dagster/partition": f"{first}"} if partitioned else {}
    defs = dg.Definitions(assets=[asset], asset_checks=[checks], resources={"platform": platform})
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, tags=tags, raise_on_error=False
        )
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("row", "broken"),
    [
        ({}, {}),
        ({"price": None, "share": None, "trades": None}, {}),
        ({"share": 0.0}, {}),
        ({"share": 1.0}, {}),
        ({"price": 0.0}, {"price above 0": 1}),
        ({"price": -1.0}, {"price above 0": 1}),
        ({"price": NAN}, {"price is finite": 1}),
        ({"price": INFINITY}, {"price is finite": 1}),
        ({"price": -INFINITY}, {"price is finite": 1, "price above 0": 1}),
        ({"share": 1.5}, {"share at most 1": 1}),
        ({"share": NAN}, {"share is finite": 1, "share at most 1": 1}),
        ({"share": -0.1, "trades": -1}, {"share at least 0": 1, "trades at least 0": 1}),
    ],
)
def test_each_rule_finds_what_breaks_it(connection: sa.Connection, row: dict[str, Any], broken: dict[str, int]) -> None:
    prices.create(connection)
    connection.execute(sa.insert(prices).values(id=1, **{**GOOD, **row}))
    rules = value_rules(prices)
    assert set(rules) == {
        *("price is finite", "price above 0", "trades at least 0"),
        *("share is finite", "share at least 0", "share at most 1"),
    }
    counts = {
        name: connection.execute(sa.select(sa.func.count()).where(sa.not_(rule)).select_from(prices)).scalar_one()
        for name, rule in rules.items()
    }
    assert {name: count for name, count in counts.items() if count} == broken


def test_checks_count_what_is_broken_in_the_days_of_the_run(platform: Platform) -> None:
    yesterday = {"at": NOW - timedelta(days=1), "price": -1.0}
    store(platform, yesterday, {"trades": -1}, {"trades": -2}, {"at": datetime(2026, 3, 5, tzinfo=UTC), "price": -1.0})
    today = checked(platform)["values"]
    assert not today.passed
    assert today.metadata["rows"].value == 3
    assert today.metadata["rows that break a rule"].value == {"trades at least 0": 2}
    both = checked(platform, first=TODAY - timedelta(days=1))["values"]
    assert both.metadata["rows"].value == 4
    assert both.metadata["rows that break a rule"].value == {"price above 0": 1, "trades at least 0": 2}
    before = checked(platform, TODAY - timedelta(days=2), TODAY - timedelta(days=2))
    assert before["values"].passed
    assert before["span"].metadata["to"].value == "2026-03-03T00:00:00+00:00"


def test_checks_without_partitions_look_at_today(platform: Platform) -> None:
    span = checked(platform, partitioned=False)["span"].metadata
    assert (span["from"].value, span["to"].value) == ("2026-03-04T00:00:00+00:00", "2026-03-05T00:00:00+00:00")


def test_only_a_check_that_blocks_is_an_error(platform: Platform) -> None:
    store(platform, {"trades": -1})
    long_ago = date(2025, 12, 31)
    assert {name: (found.passed, found.severity) for name, found in checked(platform, long_ago, TODAY).items()} == {
        "values": (False, dg.AssetCheckSeverity.ERROR),
        "span": (False, dg.AssetCheckSeverity.WARN),
    }
