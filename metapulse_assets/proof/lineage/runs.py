"""Which Dagster run stored a row: the first materialization of its asset that was noted after the row was recorded."""

from datetime import datetime
from typing import TYPE_CHECKING

from metapulse_assets.proof.lineage.links import Link

if TYPE_CHECKING:
    import dagster as dg

ASSET_OF = {
    "candle": "candles",
    "snapshot": "token_metrics",
    "technical analysis": "technical_analyses",
    "technical hit": "technical_signals",
    "social hit": "social_signals",
    "social metrics": "social_metrics",
    "posts": "social_posts",
    "AI hit": "ai_signals",
    "AI analysis": "ai_analyses",
    "agreement": "combined_signals",
    "risk assessment": "risk_assessments",
    "security report": "token_security",
    "signal": "signals",
}
"""The asset that stores what a link is about."""


def note_runs(instance: "dg.DagsterInstance", chain: Link) -> None:
    """Add `run` to each link of the chain whose asset was materialised after the moment that the link names.

    A link that names no moment of its own was stored no later than the signal.
    """
    known: dict[tuple[str, datetime], str | None] = {}
    recorded: datetime = chain.values["recorded_at"]
    for link in chain.walk():
        asset = ASSET_OF.get(link.what)
        if asset is None:
            continue
        moment = link.values.get("recorded_at") or link.values.get("available_at")
        if not isinstance(moment, datetime) or moment > recorded:
            moment = recorded
        if (asset, moment) not in known:
            known[asset, moment] = run_that_stored(instance, asset, moment)
        run = chain.values["run_id"] if link.what == "signal" else known[asset, moment]
        if run is not None:
            link.values["run"] = run


def run_that_stored(instance: "dg.DagsterInstance", asset: str, recorded_at: datetime) -> str | None:
    """Id of the run whose materialization of the asset was the first at or after a moment; None: none is noted."""
    import dagster as dg

    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), after_timestamp=recorded_at.timestamp()), limit=1, ascending=True
    )
    return found.records[0].run_id if found.records else None
