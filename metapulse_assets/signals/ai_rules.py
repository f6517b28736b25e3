"""Rules that read the analyses by language models.

Belongs here: which analysis is sure enough to be a signal. Does not: asking models, or making one view of several
(`intelligence/`). Target and stop never come from a model: they follow from the average true range as everywhere.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from metapulse_assets.intelligence.kinds import Kind
from metapulse_assets.signals.hits import View

MIN_CONFIDENCE = 0.6
MIN_CONFIDENCE_SINGLE = 0.7
"""Start values that the requirements give; one model alone must be surer."""
MIN_CONFIDENCE_BY_STATUS = {"agreed": MIN_CONFIDENCE, "single_model": MIN_CONFIDENCE_SINGLE}
SIGNAL_KINDS: tuple[Kind, ...] = ("comprehensive", "technical")
"""A view of the market names no token, and sentiment alone is the social rules' matter."""

Analysis = Mapping[str, Any]


def find_ai_hits(analyses: Iterable[Analysis]) -> list[View]:
    """Hits among rows of `ai_analyses`: models that agree, or one alone, with a direction and enough confidence.

    The strength is the probability's distance from even odds; abstentions, disagreements and what is waiting give nothing.
    """
    hits = []
    for row in analyses:
        needed = MIN_CONFIDENCE_BY_STATUS.get(row["status"])
        if needed is None or row["token_id"] is None or row["kind"] not in SIGNAL_KINDS:
            continue
        if row["direction"] not in ("buy", "sell") or (row["confidence"] or 0.0) < needed:
            continue
        hits.append(
            View(
                as_of=row["as_of"],
                token_id=row["token_id"],
                rule=f"{row['kind']}_{row['status']}",
                available_at=row["available_at"],
                direction=row["direction"],
                strength=min(abs(2.0 * row["probability_up"] - 1.0), 1.0),
                confidence=row["confidence"],
                inputs={
                    "analysis_id": row["analysis_id"],
                    "probability_up": row["probability_up"],
                    "disagreement": row["disagreement"],
                    "snapshot_hash": row["snapshot_hash"],
                },
            )
        )
    return hits
