"""The whole of MetaPulse as Dagster sees it: the domains' definitions merged, nothing computed."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from metapulse_assets.automation import jobs_and_schedules
from metapulse_assets.indicators import assets as indicator_assets
from metapulse_assets.indicators import warm_up_assets
from metapulse_assets.indicators.checks import indicator_checks
from metapulse_assets.intelligence import assets as intelligence_assets
from metapulse_assets.intelligence.checks import intelligence_checks
from metapulse_assets.market import assets as market_assets
from metapulse_assets.market.checks import market_checks
from metapulse_assets.market.stream_assets import stream_specs
from metapulse_assets.market.stream_checks import stream_checks
from metapulse_assets.operations import assets as operations_assets
from metapulse_assets.operations.automation import operations_sensors
from metapulse_assets.operations.checks import operations_checks
from metapulse_assets.outcomes import assets as outcome_assets
from metapulse_assets.outcomes.checks import outcome_checks
from metapulse_assets.platform.console_log import console_logger
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import get_settings
from metapulse_assets.proof.checks import proof_checks
from metapulse_assets.risk import assets as risk_assets
from metapulse_assets.risk.checks import risk_checks
from metapulse_assets.signals import assets as signal_assets
from metapulse_assets.signals.checks import signal_checks
from metapulse_assets.social import assets as social_assets
from metapulse_assets.social import post_assets
from metapulse_assets.social.checks import social_checks
from metapulse_assets.social.post_checks import post_checks

DOMAINS = (
    *(market_assets, indicator_assets, warm_up_assets, post_assets, social_assets, intelligence_assets),
    *(risk_assets, signal_assets, outcome_assets, operations_assets),
)


def all_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of all domains, in the order of the data."""
    return [
        *(*market_checks(), *stream_checks(), *indicator_checks(), *post_checks(), *social_checks(), *intelligence_checks()),
        *(*risk_checks(), *signal_checks(), *outcome_checks(), *proof_checks(), *operations_checks()),
    ]


def build_defs(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions; `resources` take the place of those of the same name, as tests do with `platform`."""
    settings = get_settings()
    jobs, schedules = jobs_and_schedules(settings)
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules(DOMAINS), *stream_specs()],
        asset_checks=all_checks(),
        jobs=jobs,
        schedules=schedules,
        sensors=operations_sensors(settings),
        resources={"platform": Platform(settings), **(resources or {})},
        executor=dg.in_process_executor,
        loggers={"console": console_logger},
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_defs()
