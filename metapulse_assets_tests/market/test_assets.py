"""Each asset run on its own: for today, for a past day, twice, and twice at the same time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.indicators.assets import technical_analyses
from metapulse_assets.market.assets import candles, token_metrics, tracked_tokens
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets_tests.conftest import FixedClock

NO_LIMITS = {"dexscreener": 1_000_000, "dexscreener-profiles": 1_000_000, "geckoterminal": 1_000_000}
FIVE = timedelta(minutes=5)


@pytest.fixture
def still_sandbox(noon: FixedClock) -> Iterator[Sandbox]:
    """A sandbox of a few tokens that goes by the test's clock."""
    with running(SandboxConfig(tokens=14, limits=NO_LIMITS, wall=lambda: noon().timestamp())) as sandbox:
        yield sandbox


@pytest.fixture
def still(make_settings: Callable[..., Settings], still_sandbox: Sandbox, noon: FixedClock) -> Platform:
    """A platform whose time is the test's."""
    settings = make_settings(
        dexscreener_api_url=still_sandbox.dexscreener_url,
        geckoterminal_api_url=still_sandbox.geckoterminal_url,
        dexscreener_rate_limit=10_000,
        dexscreener_pairs_per_minute=1_000_000,
        dexscreener_profiles_per_minute=1_000_000,
        geckoterminal_rate_limit=1_000_000,
        vendor_attempts=1,
        breaker_failures=1_000,
    )
    return Platform(settings, clock=noon)


Facts = dict[str, Any]


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda policy, attempt: 0)


def run(
    platform: Platform, asset: dg.AssetsDefinition, day: date | None = None, backfill: bool = False, **config: object
) -> Facts:
    """Materialise one asset, partitioned ones for a day (today); returns what it says of itself."""
    result = dg.materialize(
        [asset],
        partition_key=(day or platform.now().date()).isoformat() if asset.partitions_def else None,
        resources={"platform": platform},
        run_config={"ops": {asset.op.name: {"config": config}}} if config else None,
        tags={"dagster/backfill": "test"} if backfill else None,
    )
    [materialization] = result.asset_materializations_for_node(asset.op.name)
    return {name: value.value for name, value in materialization.metadata.items()}


def rows(platform: Platform, table: str, where: str = "true") -> list[tuple[str, ...]]:
    with platform.engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {table} AS t WHERE {where} ORDER BY t::text"))
        return [tuple(map(repr, row)) for row in found]


def count(platform: Platform, table: str, where: str = "true") -> int:
    return len(rows(platform, table, where))


def test_tokens_metrics_candles_and_analyses_for_today(still: Platform, noon: FixedClock) -> None:
    facts = run(still, tracked_tokens)
    tracked = count(still, "tracked_tokens", "active")
    assert facts["dagster/row_count"] == facts["admitted"] == tracked > 3
    facts = run(still, token_metrics)
    assert facts["asked"] == facts["stored"] == count(still, "token_metrics") == tracked
    facts = run(still, candles)
    assert facts["dagster/row_count"] == count(still, "candles", f"opened_at >= '{noon().date()}'") > 0
    assert facts["history requests"] == 3 * tracked
    assert count(still, "candles", "available_at < opened_at + interval '5 minutes'") == 0
    facts = run(still, technical_analyses)
    assert facts["dagster/row_count"] == count(still, "technical_analyses", f"opened_at >= '{noon().date()}'") > 0


def test_a_tick_repeated_at_once_doubles_nothing(still: Platform) -> None:
    assets = (tracked_tokens, token_metrics, candles, technical_analyses)
    tables = [asset.op.name for asset in assets]
    for asset in assets:
        run(still, asset)
    before = {table: rows(still, table) for table in tables}
    for asset in assets:
        run(still, asset)
    assert {table: rows(still, table) for table in tables} == before


def test_two_runs_at_the_same_time_add_each_row_once(still: Platform, noon: FixedClock) -> None:
    for asset in (tracked_tokens, token_metrics):
        run(still, asset)
    noon.moment += FIVE
    for asset in (token_metrics, candles, technical_analyses):
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda _, asset=asset: run(still, asset), range(2)))
    tracked = count(still, "tracked_tokens", "active")
    assert count(still, "token_metrics", f"observed_at = '{noon()}'") == tracked
    assert count(still, "technical_analyses", f"opened_at >= '{noon().date()}' AND timeframe = '5m'") == count(
        still, "candles", f"opened_at >= '{noon().date()}' AND timeframe = '5m'"
    )


def test_a_past_days_market_cannot_be_asked_for_again(still: Platform, noon: FixedClock, still_sandbox: Sandbox) -> None:
    for asset in (tracked_tokens, token_metrics):
        run(still, asset)
    before, yesterday = rows(still, "token_metrics"), noon().date()
    noon.moment += timedelta(days=1)
    still_sandbox.clear_requests()
    facts = run(still, token_metrics, day=yesterday)
    assert facts["dagster/row_count"] == len(before)
    assert facts["changed"] == 0
    assert "cannot be asked for again" in str(facts["why"])
    assert rows(still, "token_metrics") == before
    assert still_sandbox.requests() == []


def test_only_the_tokens_asked_for_are_stored(still: Platform) -> None:
    run(still, tracked_tokens)
    with still.engine.connect() as connection:
        one, other, *_ = connection.execute(sa.text("SELECT chain || ':' || address FROM tokens ORDER BY token_id")).scalars()
    facts = run(still, token_metrics, token_addresses=[one, other])
    assert facts["asked"] == facts["stored"] == count(still, "token_metrics") == 2


@pytest.mark.parametrize(
    ("address", "complaint"),
    [("nocolon", "'nocolon' is not of the form chain:address"), ("solana:unknown", "not tracked: solana:unknown")],
)
def test_an_address_that_cannot_be_asked_for_is_named(still: Platform, address: str, complaint: str) -> None:
    run(still, tracked_tokens)
    with pytest.raises(dg.Failure, match=complaint):
        run(still, token_metrics, token_addresses=[address])


def test_with_nobody_tracked_there_is_nothing_to_store_and_no_error(still: Platform) -> None:
    assert run(still, token_metrics)["stored"] == 0
    assert run(still, candles)["dagster/row_count"] == 0
    assert run(still, technical_analyses)["dagster/row_count"] == 0


def test_a_vendor_that_answers_nobody_fails_the_run_and_keeps_the_reasons(still: Platform, still_sandbox: Sandbox) -> None:
    run(still, tracked_tokens)
    still_sandbox.set_faults({"server-error": 1.0})
    with pytest.raises(dg.DagsterError, match=r"none of \d+ tokens was answered; first reason: HTTP 500"):
        run(still, token_metrics)
    assert count(still, "dead_letters", "kind = 'request'") > 0
    assert count(still, "token_metrics") == 0


def test_lists_that_name_nobody_fail_the_run(still: Platform, still_sandbox: Sandbox) -> None:
    still_sandbox.set_faults({"empty": 1.0})
    with pytest.raises(dg.DagsterError, match="no token is tracked: 0 candidates"):
        run(still, tracked_tokens)


def test_a_backfill_fetches_past_days_once_and_derives_from_them(still: Platform, noon: FixedClock) -> None:
    for asset in (tracked_tokens, token_metrics):
        run(still, asset)
    day = noon().date() - timedelta(days=2)
    first = run(still, candles, day=day, backfill=True)
    assert first["dagster/row_count"] == count(still, "candles", f"opened_at::date = '{day}'") > 0
    assert count(still, "candle_requests") == 0, "a past day's answer counted as having asked up to now"
    assert run(still, technical_analyses, day=day, backfill=True)["dagster/row_count"] > 0
    tables = {table: rows(still, table) for table in ("candles", "technical_analyses")}
    assert run(still, candles, day=day, backfill=True)["history candles"] == 0
    run(still, technical_analyses, day=day, backfill=True)
    assert {table: rows(still, table) for table in tables} == tables


def test_a_backfill_of_today_takes_no_candle_that_is_still_running(still: Platform, noon: FixedClock) -> None:
    for asset in (tracked_tokens, token_metrics):
        run(still, asset)
    noon.moment += timedelta(seconds=100)
    run(still, candles, backfill=True)
    assert count(still, "candles", f"opened_at >= '{noon().date()}'") > 0
    for name, interval in (("5m", "5 minutes"), ("1h", "1 hour"), ("1d", "1 day")):
        assert count(still, "candles", f"timeframe = '{name}' AND opened_at + interval '{interval}' > '{noon()}'") == 0


def test_history_waits_where_the_budget_ends(still: Platform) -> None:
    for asset in (tracked_tokens, token_metrics):
        run(still, asset)
    due = 3 * count(still, "tracked_tokens", "active")
    facts = run(still, candles, history_requests=5)
    assert (facts["history requests"], facts["history requests left for later"]) == (5, due - 5)
    facts = run(still, candles, history_requests=0)
    assert (facts["history requests"], facts["history requests left for later"]) == (0, due - 5)


def test_history_counts_as_usable_at_its_close_only_before_anything_was_derived(still: Platform, noon: FixedClock) -> None:
    for asset in (tracked_tokens, token_metrics):
        run(still, asset)
    run(still, candles, history_requests=0)
    run(still, candles)
    traded = "SELECT token_id FROM candles WHERE source = 'snapshots'"
    of_vendor = "timeframe = '5m' AND source = 'vendor history'"
    assert count(still, "candles", f"{of_vendor} AND token_id IN ({traded})") > 0
    assert count(still, "candles", f"{of_vendor} AND token_id IN ({traded}) AND available_at <> '{noon()}'") == 0
    at_close = "available_at = opened_at + interval '5 minutes'"
    assert count(still, "candles", f"{of_vendor} AND token_id NOT IN ({traded}) AND NOT {at_close}") == 0
