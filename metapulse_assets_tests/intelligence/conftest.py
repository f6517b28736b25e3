"""A small market, stand-ins for both models on real sockets, and a way to run the assets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.intelligence import assets
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets_tests.intelligence.stored_market import add_token
from metapulse_assets_tests.platform.conftest import connection, shared_engine

__all__ = ["connection", "desk", "make_desk", "shared_engine", "standins"]

START = datetime(2026, 11, 20, 14, 15, 4, tzinfo=UTC)
OURS = [assets.ai_requests, assets.ai_answers, assets.ai_model_calibration, assets.ai_analyses]


@pytest.fixture(scope="package")
def standins() -> Iterator[Sandbox]:
    """A sandbox that all tests of this folder share."""
    with running(SandboxConfig(limits={"groq": 1_000_000, "gemini": 1_000_000})) as sandbox:
        yield sandbox


@dataclass
class Desk:
    """A platform whose clock the test moves, and what its assets said last."""

    platform: Platform
    time: list[datetime]

    def tick(self, **settings: Any) -> dict[str, dict[str, Any]]:
        """Run the assets for today; returns each one's metadata as plain values."""
        return self.run({}, self.time[0].date(), **settings)

    def backfill(self, day: date) -> dict[str, dict[str, Any]]:
        """Run them for a past day as Dagster's backfill does."""
        return self.run({"dagster/backfill": "test"}, day)

    def run(
        self, tags: dict[str, str], day: date, only: Sequence[dg.AssetsDefinition] = OURS, **settings: Any
    ) -> dict[str, dict[str, Any]]:
        """Run assets, all of ours or some, for one day."""
        platform = self.platform
        if settings:
            changed = platform.settings.model_copy(update=settings)
            platform = Platform(changed, clock=platform.clock)
            platform.__dict__["engine"] = self.platform.engine
        result = dg.materialize(
            only, partition_key=day.isoformat(), tags=tags, resources={"platform": platform}, raise_on_error=True
        )
        return {
            event.asset_key.to_user_string(): {
                name: getattr(value, "value", None)
                for name, value in event.step_materialization_data.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }

    def move(self, **by: float) -> None:
        """Let time go on."""
        self.time[0] += timedelta(**by)

    def rows(self, table: str, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
        """Rows of a table in a fixed order."""
        with self.platform.engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT {columns} FROM {table} AS t WHERE {where} ORDER BY t::text"))
            return [dict(row._mapping) for row in found]


@pytest.fixture
def make_desk(make_settings: Callable[..., Settings], standins: Sandbox, engine: sa.Engine) -> Callable[..., Desk]:
    """Builds desks; settings can be chosen."""

    def make(start: datetime = START, **settings: Any) -> Desk:
        time = [start]
        platform = Platform(
            make_settings(
                **{
                    "groq_api_url": standins.groq_url,
                    "gemini_api_url": standins.gemini_url,
                    "groq_rate_limit": 1_000_000,
                    "gemini_rate_limit": 1_000_000,
                    "vendor_attempts": 1,
                    **settings,
                }
            ),
            clock=lambda: time[0],
        )
        platform.__dict__["engine"] = engine
        return Desk(platform, time)

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """A desk with one token in an up-trend, one in a down-trend and one to which nothing happens."""
    desk = make_desk()
    with desk.platform.engine.begin() as connection:
        for token_id, trend in ((1, "up"), (2, "down"), (3, "sideways")):
            add_token(connection, token_id, START, trend)
    return desk
