"""What Dagster knows of the stream, and what discovery takes from it."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.market.discovery import merge_candidates
from metapulse_assets.market.stream.followed import MIGRATED_WITHIN, recent_migrations
from metapulse_assets.market.stream.reporting import materializations, report_once
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.market.stream.writing import Written
from metapulse_assets.market.stream_assets import stream_specs
from metapulse_assets.market.stream_checks import stream_checks
from metapulse_assets.market.stream_tables import STREAM_TABLES, token_migrations
from metapulse_assets.market.tracking import find_candidates
from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.vendors.dexscreener import DexScreener
from metapulse_assets.vendors.geckoterminal import GeckoTerminal
from metapulse_assets_tests.market.stream_frames import mint, signature
from metapulse_assets_tests.scratch import rolled_back

NOW = datetime(2026, 3, 5, 0, 30, tzinfo=UTC)
TODAY = date(2026, 3, 5)


def test_the_tables_are_external_assets_with_lineage_and_policy() -> None:
    resources = {"platform": Platform(load_settings())}
    graph = dg.Definitions(assets=stream_specs(), asset_checks=stream_checks(), resources=resources).resolve_asset_graph()
    assert {key.to_user_string() for key in graph.external_asset_keys} == {table.name for table in STREAM_TABLES}
    for node in graph.asset_nodes:
        assert node.kinds == {"pumpportal", "postgres"}
        assert node.owners
        assert node.description
        assert node.freshness_policy is not None
        assert node.is_partitioned
        assert {key.name for key in node.check_keys} == {"values", "every_event_once", "rows_come_soon"}
        columns = node.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns)


def test_a_report_is_an_event_a_table_and_day_that_the_graph_knows() -> None:
    rows = {("token_launches", TODAY): 7, ("token_launches", TODAY - timedelta(days=1)): 1, ("token_trades", TODAY): 3}
    with dg.DagsterInstance.ephemeral() as instance:
        for event in materializations(rows, [0.1] * 98 + [0.3, 5.0], {"connections": 2}):
            instance.report_runless_asset_event(event)
        spec = next(spec for spec in stream_specs() if spec.key == dg.AssetKey("token_launches"))
        assert spec.partitions_def is not None
        known = instance.get_materialized_partitions(spec.key)
        record = instance.get_latest_materialization_event(dg.AssetKey("token_trades"))
    assert known == {"2026-03-04", "2026-03-05"}
    assert spec.partitions_def.has_partition_key("2026-03-05")
    assert record is not None
    assert record.asset_materialization is not None
    facts = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    assert facts == {"rows": 3, "lag p50 (s)": 0.1, "lag p99 (s)": 5.0, "lag max (s)": 5.0, "connections": 2}


def test_rows_are_reported_once_and_a_report_that_fails_stops_nothing() -> None:
    status, reports, said = StreamStatus(), list[dict[tuple[str, date], int]](), list[str]()
    for _ in range(2):
        status.add(Written(frames=2, rows={("token_trades", TODAY): 2}, lags=[0.1, 0.2]))

    async def report() -> None:
        await report_once(status, lambda rows, lags, facts: reports.append(rows), 0, said.append)

    asyncio.run(report())
    asyncio.run(report())
    assert reports == [{("token_trades", TODAY): 4}]
    status.add(Written(frames=1, rows={("token_trades", TODAY): 1}))
    asyncio.run(report_once(status, lambda *_: 1 / 0, 0, said.append))  # type: ignore[arg-type]
    assert "Dagster was not told: ZeroDivisionError" in said[-1]


def add_migration(
    connection: sa.Connection, number: int, mint_number: int, at: datetime, available_at: datetime | None = None
) -> None:
    ensure_days(connection, token_migrations.name, {at.date()})
    heard = {"received_on": at.date(), "received_at": at, "recorded_at": available_at or at, "available_at": available_at or at}
    row = {**heard, "payload_id": 1, "signature": signature(number), "mint": mint(mint_number), "pool": "pump-amm"}
    connection.execute(sa.insert(token_migrations), [row])


def test_who_migrated_of_late_is_named_the_newest_first_over_midnight_and_nobody_early(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        add_migration(connection, 1, 1, NOW - MIGRATED_WITHIN)
        add_migration(connection, 2, 2, NOW - MIGRATED_WITHIN + timedelta(seconds=1))
        add_migration(connection, 3, 3, NOW - timedelta(minutes=1))
        add_migration(connection, 4, 3, NOW - timedelta(minutes=50))
        add_migration(connection, 5, 5, NOW - timedelta(minutes=2), available_at=NOW + timedelta(seconds=1))
        assert recent_migrations(connection, NOW) == [mint(3), mint(2)]


def test_who_migrated_is_a_candidate_of_the_source_launches(platform: Platform) -> None:
    settings = platform.settings

    async def ask() -> dict[tuple[str, str], set[str]]:
        async with (
            DexScreener(settings, platform.engine, platform.clock) as dexscreener,
            GeckoTerminal(settings, platform.engine, platform.clock) as geckoterminal,
        ):
            found = await find_candidates(dexscreener, geckoterminal, settings, set(), [mint(1), mint(2)])
            return found.candidates

    candidates = asyncio.run(ask())
    named = {key for key, sources in candidates.items() if "launches" in sources}
    assert named == {("solana", mint(1)), ("solana", mint(2))}
    assert len(candidates) > 2
    assert merge_candidates([("launches", "solana", mint(1))], ["base"]) == {}


@pytest.mark.parametrize("connected", [True, False])
def test_the_status_is_a_line(connected: bool) -> None:
    status = StreamStatus(connected=connected, frames=1_234)
    assert status.line(0).startswith("connected: 1,234 frames" if connected else "not connected: 1,234 frames")
    assert "2.0 MB wait on disk" in status.line(2_000_000)
