"""When things run: the jobs over the domains' assets, and their schedules. Cadences come from the settings."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from metapulse_assets.operations.automation import operations_jobs_and_schedules
from metapulse_assets.platform.intervals import cron_for_interval
from metapulse_assets.platform.job_runs import tick_schedule
from metapulse_assets.platform.settings import Settings

# A tick must be over before the next but one is due; a hung one is ended by run monitoring.
TICK_TAGS = {"dagster/max_runtime": "540", "dagster/priority": "10"}
REPORT_TAGS = {"dagster/max_runtime": "540", "dagster/priority": "-10"}
REPORTS = dg.AssetSelection.assets("warm_up_report")
MARKET = dg.AssetSelection.groups("market", "indicators") - REPORTS
SOCIAL = dg.AssetSelection.groups("social")
INTELLIGENCE = dg.AssetSelection.groups("intelligence")
SIGNALS = dg.AssetSelection.groups("risk", "signals", "outcomes")
# What asks somebody outside. A past day cannot be asked for again, and a replay asks nobody.
OPERATIONS = dg.AssetSelection.groups("operations")
ASKING = dg.AssetSelection.assets(
    "tracked_tokens", "token_metrics", "token_security", "social_posts", "ai_requests", "ai_answers"
)
REPORTS_CRON = "20 0 * * *"

Jobs = list[UnresolvedAssetJobDefinition]
Schedules = list[dg.ScheduleDefinition]


def jobs_and_schedules(settings: Settings) -> tuple[Jobs, Schedules]:
    """One job a cadence, one over everything (for a first run and for backfills), and one for replays."""
    running = settings.enable_scheduled_jobs
    jobs, schedules = _market_and_signals(settings)
    social = _job("social_tick", SOCIAL, "Read posts, and carry mentions, sentiment and social metrics on.")
    intelligence = _job("ai_tick", INTELLIGENCE, "Ask the language models where something happened.")
    reports = _job("daily_reports", REPORTS, "Measure what is worth measuring once a day.", REPORT_TAGS)
    pipeline = dg.AssetSelection.all().materializable() - OPERATIONS
    everything = _job("everything", pipeline, "The whole pipeline, for today or over past days.", REPORT_TAGS)
    replay = _job("replay", pipeline - ASKING, "Past days from stored rows alone; asks nobody.", REPORT_TAGS)
    social_cron, ai_cron = cron_for_interval(settings.social_data_interval), cron_for_interval(settings.ai_analysis_interval)
    schedules += [
        tick_schedule(social, social_cron, "A tick of the social data.", running),
        tick_schedule(intelligence, ai_cron, "A tick of the language models.", running),
        tick_schedule(reports, REPORTS_CRON, "The reports of the day.", running, partitioned=False),
    ]
    clean_up_jobs, clean_up_schedules = operations_jobs_and_schedules(settings)
    jobs += [social, intelligence, reports, everything, replay]
    return [*jobs, *clean_up_jobs], [*schedules, *clean_up_schedules]


def _market_and_signals(settings: Settings) -> tuple[Jobs, Schedules]:
    """Where signals have a cadence of their own their job has a schedule, else the market's tick holds them, too."""
    market_cron = cron_for_interval(settings.token_data_interval)
    signal_cron = cron_for_interval(settings.signal_generation_interval)
    running = settings.enable_scheduled_jobs
    signals = _job("signals_tick", SIGNALS, "Carry the signals on, from what is stored.")
    if market_cron == signal_cron:
        tick = _job("market_tick", MARKET | SIGNALS, "Fetch the market and carry everything on to signals.")
        return [tick, signals], [tick_schedule(tick, market_cron, "A tick of the market, from snapshots to signals.", running)]
    market = _job("market_tick", MARKET, "Fetch the market and carry candles and indicators on.")
    return [market, signals], [
        tick_schedule(market, market_cron, "A tick of the market, from snapshots to indicators.", running),
        tick_schedule(signals, signal_cron, "A tick of the signals.", running),
    ]


def _job(
    name: str, selection: dg.AssetSelection, description: str, tags: dict[str, str] = TICK_TAGS
) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=selection,
        description=description,
        # Ten small steps take under a second in one process, and half a minute in a process each.
        executor_def=dg.in_process_executor,
        tags=tags,
        # Without this Dagster's own console format takes the place of ours.
        config={"loggers": {"console": {"config": {}}}},
    )
