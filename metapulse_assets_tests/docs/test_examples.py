"""The examples of docs/architecture.md, run against the platform as they stand there.

They are written into a folder that is joined to the package for the test's time, so that their imports are the real ones.
"""

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from metapulse_assets.indicators import columns, kernel, windows
from metapulse_assets.indicators.kernel import compute
from metapulse_assets.platform.database import metadata
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import CallPolicy
from metapulse_assets.platform.work_queue import registry
from metapulse_assets_tests.docs.pages import ROOT, examples
from metapulse_assets_tests.indicators.series import rough
from metapulse_assets_tests.market.stored import add_tokens
from metapulse_assets_tests.platform.queue_running import attempts, fetch, put, state, work
from metapulse_assets_tests.platform.stub_vendor import Reply, serving

EXAMPLES = examples(ROOT / "docs" / "architecture.md")
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports a module of the examples by its place below `metapulse_assets`; afterwards no trace of them is left."""
    for place, text in EXAMPLES.items():
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "turnover" / "__init__.py").touch()
    tables, handlers, modules = set(metadata.tables), registry.handlers(), set(sys.modules)
    for below in ("", "vendors", "indicators"):
        package = importlib.import_module(f"metapulse_assets.{below}".rstrip("."))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / below)])
    importlib.invalidate_caches()
    yield lambda name: importlib.import_module(f"metapulse_assets.{name}")
    for name in set(metadata.tables) - tables:
        metadata.remove(metadata.tables[name])
    for name in set(registry.handlers()) - set(handlers):
        del registry._handlers[name]
    ours = {place.removesuffix(".py").replace("/", ".") for place in EXAMPLES} | {"turnover"}
    for name in (set(sys.modules) - modules) & {f"metapulse_assets.{each}" for each in ours}:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if hasattr(sys.modules.get(parent), child):
            delattr(sys.modules[parent], child)


@pytest.fixture
def stored(load: Load, make_settings: Callable[..., Settings], tmp_path: Path) -> Platform:
    """A database with the example's table, made by its own revision, and snapshots of two days."""
    platform = Platform(make_settings(), clock=lambda: NOON)
    spec = importlib.util.spec_from_file_location("revision", tmp_path / "platform/migrations/versions/9999_turnover.py")
    assert spec is not None
    assert spec.loader is not None
    revision = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(revision)
    with platform.engine.begin() as connection:
        with Operations.context(MigrationContext.configure(connection)):
            revision.upgrade()
        tokens = add_tokens(connection, 2, NOON - timedelta(days=3))
        for moment in (NOON - timedelta(days=1), NOON - timedelta(hours=1)):
            _see(connection, tokens[0], moment, volume=300.0, liquidity=100.0)
            _see(connection, tokens[1], moment, volume=300.0, liquidity=None)
    return platform


def _see(connection: sa.Connection, token_id: int, moment: datetime, volume: float, liquidity: float | None) -> None:
    from metapulse_assets.market.tables import token_metrics
    from metapulse_assets.platform.day_partitions import ensure_days, utc_day

    ensure_days(connection, token_metrics.name, [utc_day(moment)])
    figures = {"price_usd": 1.0, "volume_h24_usd": volume, "liquidity_usd": liquidity, "token_id": token_id, "pool_id": 1}
    times = {"observed_at": moment, "recorded_at": moment + timedelta(seconds=1)}
    connection.execute(sa.insert(token_metrics), [{**figures, **times}])


def turnovers(platform: Platform) -> list[tuple[object, ...]]:
    return fetch(platform.engine, "SELECT observed_at, available_at, turnover_h24 FROM token_turnover ORDER BY 1, token_id")


def test_the_page_has_its_examples() -> None:
    furniture = {f"turnover/{name}.py" for name in ("tables", "computing", "store", "assets", "checks", "jobs")}
    others = {"platform/migrations/versions/9999_turnover.py", "vendors/fear_greed.py", "indicators/channel.py"}
    assert set(EXAMPLES) == furniture | others
    assert not (ROOT / "metapulse_assets" / "turnover").exists()


def test_a_domain(load: Load, stored: Platform) -> None:
    load("turnover.tables")
    with stored.engine.connect() as connection:

        def ours(part: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
            return kind != "table" or name == "token_turnover"

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": ours})
        assert compare_metadata(context, metadata) == []
    [asset] = dg.load_assets_from_modules([load("turnover.assets")])
    assert isinstance(asset, dg.AssetsDefinition)
    checks = load("turnover.checks").turnover_checks()
    [spec] = asset.specs
    assert (spec.group_name, list(spec.owners)) == ("turnover", ["team:turnover"])

    for day, expected in ((NOON.date(), 1), (NOON.date() - timedelta(days=1), 1), (NOON.date(), 0)):
        done = dg.materialize(
            [asset, *checks],
            partition_key=day.isoformat(),
            instance=dg.DagsterInstance.ephemeral(),
            resources={"platform": stored},
        )
        assert done.success
        [event] = done.asset_materializations_for_node("token_turnover")
        assert event.metadata["dagster/row_count"].value == expected
        assert [check.passed for check in done.get_asset_check_evaluations()] == [True]
    assert turnovers(stored) == [
        (moment, moment + timedelta(seconds=1), 3.0) for moment in (NOON - timedelta(days=1), NOON - timedelta(hours=1))
    ]


def test_a_job(load: Load, stored: Platform) -> None:
    # As a worker does: it finds the `jobs.py` of every domain by itself.
    assert registry.load_handlers()["turnover-day"].policy.concurrency == 2
    done = put(stored.engine, "turnover-day", {"day": NOON.date().isoformat()})
    hopeless = put(stored.engine, "turnover-day", {"day": "yesterday"})

    work(stored.settings, "turnover-day")

    assert (state(stored.engine, done), state(stored.engine, hopeless)) == ("completed", "failed")
    assert [row[2] for row in turnovers(stored)] == [3.0]
    assert len(attempts(stored.engine, hopeless)) == 1
    errors = fetch(stored.engine, "SELECT error_message FROM failed_jobs")
    assert len(errors) == 1
    assert "day: 'yesterday' is not a day such as 2026-11-22" in errors[0][0]


def test_a_vendor(load: Load, engine: sa.Engine) -> None:
    module = load("vendors.fear_greed")
    good, bad = '{"value": "40", "timestamp": "1772582400"}', '{"value": "101", "timestamp": "1772496000"}'
    replies = (Reply(503), Reply(body=f'{{"data": [{good}, {bad}]}}'.encode()))

    async def ask(url: str) -> Any:
        async with module.FearGreed(url, 100, engine, CallPolicy(backoff_seconds=0.01)) as client:
            return await client.moods(2)

    with serving(*replies) as vendor:
        batch = asyncio.run(ask(vendor.url))

    assert [arrival.path for arrival in vendor.arrivals] == ["/fng/?limit=2"] * 2
    assert [(mood.value, mood.day) for mood, _ in batch.items] == [(40, datetime(2026, 3, 4, tzinfo=UTC))]
    [refused] = batch.refused
    assert (refused.item_key, refused.reason) == ("1772496000", "value: Input should be less than or equal to 100")


def test_an_indicator(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = load("indicators.channel")
    fill_ranges = windows._fill_ranges

    def with_channel(high: np.ndarray, low: np.ndarray, close: np.ndarray, n_bars: int, target: dict[str, np.ndarray]) -> None:
        fill_ranges(high, low, close, n_bars, target)
        channel.fill_channel(high, n_bars, target)

    # What the page tells people to write into these two.
    monkeypatch.setattr(windows, "_fill_ranges", with_channel)
    monkeypatch.setattr(kernel, "COLUMNS", (*columns.COLUMNS, channel.UPPER))
    bars = rough(5, [120, 90])
    values, _ = compute(bars)

    found = values["channel_upper_20"]
    usable = values.bar_count > 0
    for token in range(2):
        highs = bars.high[usable[:, token], token]
        counts = values.bar_count[usable[:, token], token]
        expected = [max(highs[place - 19 : place + 1]) if count >= 20 else np.nan for place, count in enumerate(counts)]
        np.testing.assert_array_equal(found[usable[:, token], token], expected)
    assert np.isfinite(found).any()
