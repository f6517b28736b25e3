"""The project's definitions with one difference: jobs run each step in a process of its own. A peer for the launch rows."""

import dagster as dg

from metapulse_assets.automation import jobs_and_schedules
from metapulse_assets.definitions import build_defs
from metapulse_assets.platform.job_runs import tick_schedule
from metapulse_assets.platform.settings import get_settings


@dg.definitions
def defs() -> dg.Definitions:
    """What a code server loads in place of `metapulse_assets.definitions`."""
    whole = build_defs()
    jobs, schedules = jobs_and_schedules(get_settings())
    rebuilt = {
        job.name: dg.define_asset_job(
            job.name,
            selection=job.selection,
            executor_def=dg.multiprocess_executor,
            tags=job.tags,
            config={"loggers": {"console": {"config": {}}}},
        )
        for job in jobs
    }
    return dg.Definitions(
        assets=whole.assets,
        asset_checks=whole.asset_checks,
        jobs=list(rebuilt.values()),
        schedules=[
            tick_schedule(rebuilt[schedule.job_name], str(schedule.cron_schedule), schedule.description or "", True)
            for schedule in schedules
        ],
        resources=whole.resources,
        executor=dg.multiprocess_executor,
        loggers=whole.loggers,
    )
