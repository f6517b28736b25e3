"""A small world for the whole pipeline: a sandbox and a platform that share one clock, which the test moves."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.definitions import build_defs
from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running

DERIVED = ("technical_analyses", "technical_signals", "risk_assessments", "signals")
NO_LIMITS = {
    "dexscreener": 1_000_000,
    "dexscreener-profiles": 1_000_000,
    "geckoterminal": 1_000_000,
    "groq": 1_000_000,
    "gemini": 1_000_000,
    **dict.fromkeys(("x-search", "x-counts", "x-users", "x-timeline", "x-posts"), 1_000_000),
    "rugcheck": 1_000_000,
    "goplus": 1_000_000,
}
TICK = timedelta(minutes=5)
START = datetime(2026, 11, 20, 14, 15, 4, tzinfo=UTC)
# Tokens of a simulated market: enough for every kind of pool, and so many that what strikes a third of them strikes some.
MARKET, LARGE_MARKET = 16, 30


@dataclass
class World:
    """Moves time, runs ticks and backfills, and looks into tables."""

    platform: Platform
    sandbox: Sandbox
    time: list[datetime]
    instance: dg.DagsterInstance
    definitions: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        self.definitions = build_defs({"platform": self.platform})

    @property
    def now(self) -> datetime:
        """The time of this world."""
        return self.time[0]

    def move(self, by: timedelta) -> None:
        """Let time go on."""
        self.time[0] += by

    def tick(self, succeeds: bool = True, job_name: str = "market_tick", until: str | None = None) -> dg.ExecuteInProcessResult:
        """Run a job once, for today; `until` an asset: only it and what it follows from."""
        job = self.definitions.resolve_job_def(job_name)
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=f"{self.now:%Y-%m-%d}",
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {}}}},
            asset_selection=None if until is None else self._chain_of(until, job),
        )
        assert result.success is succeeds, [event.message for event in result.all_events if event.is_failure]
        return result

    def _chain_of(self, last: str, job: dg.JobDefinition) -> list[dg.AssetKey]:
        graph = self.definitions.resolve_asset_graph()
        whole = dg.AssetSelection.assets(last).upstream().resolve(graph)
        return [key for key in job.asset_layer.executable_asset_keys if key in whole]

    def ticks(self, count: int) -> None:
        """Run several ticks, five minutes apart."""
        for _ in range(count):
            self.tick()
            self.move(TICK)

    def backfill(
        self, first: date, last: date, succeeds: bool | None = True, job_name: str = "market_tick"
    ) -> dg.ExecuteInProcessResult:
        """Run a job over past days as Dagster's single-run backfill does; `succeeds` None: either way."""
        job = self.definitions.resolve_job_def(job_name)
        tags = {
            "dagster/backfill": "test",
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        }
        result = job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=succeeds is True)
        assert succeeds is None or result.success is succeeds
        return result

    def rows(self, table: str, columns: str = "*") -> list[tuple[str, ...]]:
        """All rows of a table in a fixed order."""
        with self.platform.engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT {columns} FROM {table} AS t ORDER BY t::text"))
            # JSON values have no hash, so a row is compared by its text.
            return [tuple(map(repr, row)) for row in found]

    def count(self, table: str, where: str = "true") -> int:
        """Number of rows."""
        with self.platform.engine.connect() as connection:
            return int(connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one())


@pytest.fixture
def make_world(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., World]]:
    """Builds worlds; the sandbox's tokens, faults and limits can be chosen."""
    closers: list[Any] = []

    def make(start: datetime, settings: dict[str, object] | None = None, **sandbox_options: Any) -> World:
        time = [start]
        options = {"tokens": LARGE_MARKET, "limits": NO_LIMITS, "slow_seconds": 3.0, **sandbox_options}
        context = running(SandboxConfig(wall=lambda: time[0].timestamp(), **options))
        sandbox = context.__enter__()
        closers.append(context)
        instance = dg.DagsterInstance.ephemeral()
        platform = Platform(
            make_settings(
                **{
                    "dexscreener_api_url": sandbox.dexscreener_url,
                    "geckoterminal_api_url": sandbox.geckoterminal_url,
                    "dexscreener_rate_limit": 10_000,
                    "dexscreener_pairs_per_minute": 1_000_000,
                    "dexscreener_profiles_per_minute": 1_000_000,
                    "geckoterminal_rate_limit": 1_000_000,
                    "twitter_api_url": sandbox.x_url,
                    "twitter_rate_limit": 1_000_000,
                    "rugcheck_api_url": sandbox.rugcheck_url,
                    "groq_api_url": sandbox.groq_url,
                    "gemini_api_url": sandbox.gemini_url,
                    "groq_rate_limit": 1_000_000,
                    "gemini_rate_limit": 1_000_000,
                    "goplus_api_url": sandbox.goplus_url,
                    "rugcheck_rate_limit": 1_000_000,
                    "goplus_rate_limit": 1_000_000,
                    **(settings or {}),
                }
            ),
            clock=lambda: time[0],
        )
        return World(platform, sandbox, time, instance)

    yield make
    for context in reversed(closers):
        context.__exit__(None, None, None)


@pytest.fixture
def new_world(make_world: Callable[..., World]) -> World:
    """A world a few seconds past a quarter hour in the afternoon."""
    return make_world(START, tokens=MARKET)


@pytest.fixture
def make_running_world(
    make_world: Callable[..., World], server_home: Path, template_database: str
) -> Iterator[Callable[..., World]]:
    """Builds worlds whose first tick is over; it is run once, and its database cloned for every test that begins there."""
    server = embedded_postgres.locate(server_home)
    clones: list[str] = []

    def make(history: bool = True, settings: dict[str, object] | None = None, **sandbox_options: Any) -> World:
        lived = "metapulse_test_first_tick" + ("" if history else "_without_history")
        without = {} if history else {"history_requests_per_run": 0}
        market = {"tokens": MARKET if history else LARGE_MARKET}
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(78)")
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (lived,)).fetchone():
                draft = f"test_{uuid.uuid4().hex[:12]}"
                connection.execute(f"CREATE DATABASE {draft} TEMPLATE {template_database}")
                first = make_world(START, settings={**without, "database_url": server.url(draft)}, **market)
                first.tick()
                first.platform.engine.dispose()
                connection.execute(f"ALTER DATABASE {draft} RENAME TO {lived}")
            connection.execute("SELECT pg_advisory_unlock(78)")
            clones.append(f"test_{uuid.uuid4().hex[:12]}")
            connection.execute(f"CREATE DATABASE {clones[-1]} TEMPLATE {lived} STRATEGY file_copy")
        own = {**without, **(settings or {}), "database_url": server.url(clones[-1])}
        return make_world(START + TICK, settings=own, **{**market, **sandbox_options})

    yield make
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for name in clones:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def world(make_running_world: Callable[..., World]) -> World:
    """The same world after its first tick, when the second is due."""
    return make_running_world()
