"""When things run: the jobs over the domains' assets, and their schedules. Cadences come from the settings."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from metapulse_assets.platform.intervals import cron_for_interval
from metapulse_assets.platform.job_runs import tick_schedule
from metapulse_assets.platform.settings import Settings

# A tick must be over before the next but one is due; a hung one is ended by run monitoring.
TICK_TAGS = {"dagster/max_runtime": "540", "dagster/priority": "10"}
MARKET = dg.AssetSelection.groups("market", "indicators")
SIGNALS = dg.AssetSelection.groups("signals")


def jobs_and_schedules(settings: Settings) -> tuple[list[UnresolvedAssetJobDefinition], list[dg.ScheduleDefinition]]:
    """One job a tick. Where signals have a cadence of their own they get a job of their own, else the tick holds them."""
    market_cron = cron_for_interval(settings.token_data_interval)
    signal_cron = cron_for_interval(settings.signal_generation_interval)
    running = settings.enable_scheduled_jobs
    if market_cron == signal_cron:
        tick = _job("market_tick", MARKET | SIGNALS, "Fetch the market and carry everything on to signals.")
        return [tick], [tick_schedule(tick, market_cron, "A tick of the market, from snapshots to signals.", running)]
    market = _job("market_tick", MARKET, "Fetch the market and carry candles and indicators on.")
    signals = _job("signals_tick", SIGNALS, "Carry the signals on.")
    return [market, signals], [
        tick_schedule(market, market_cron, "A tick of the market, from snapshots to indicators.", running),
        tick_schedule(signals, signal_cron, "A tick of the signals.", running),
    ]


def _job(name: str, selection: dg.AssetSelection, description: str) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=selection,
        description=description,
        # Ten small steps take under a second in one process, and half a minute in a process each.
        executor_def=dg.in_process_executor,
        tags=TICK_TAGS,
        # Without this Dagster's own console format takes the place of ours.
        config={"loggers": {"console": {"config": {}}}},
    )
