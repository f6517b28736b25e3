"""When sources of different kinds agree on a token: the combined signal.

Belongs here: what counts as agreement. Does not: what each source found, or which hits are emitted (`selection`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from statistics import fmean
from typing import Any

from metapulse_assets.signals.hits import View

WINDOW = timedelta(hours=2)
"""Hits of the last two hours speak together, as long as one of them is not repeated (`selection.DUPLICATE_SECONDS`)."""
MIN_KINDS = 2
"""Indicators of one kind repeat each other; only another kind of source is a second opinion. Own choice."""
RULE = "sources_agree"


@dataclass(frozen=True)
class SourceHit:
    """A row of one of the tables of hits, with the kind of its source."""

    kind: str
    token_id: int
    rule: str
    timeframe: str
    direction: str
    strength: float
    confidence: float
    opened_at: datetime
    available_at: datetime

    @property
    def weight(self) -> float:
        """Strength times confidence, above 0 for a buy, below for a sell."""
        return (1.0 if self.direction == "buy" else -1.0) * self.strength * self.confidence


@dataclass(frozen=True)
class _Agreement:
    direction: str
    best: Mapping[str, SourceHit]


def find_agreements(hits: Iterable[SourceHit], start: datetime, end: datetime) -> list[View]:
    """Moments in [start, end) at which sources begin to agree on a token.

    A moment is one at which a hit became usable. Each kind of source has one voice, the sign of the sum of its hits'
    weights within `WINDOW`; at least `MIN_KINDS` kinds must say the same and none the opposite. An agreement of the same
    kinds in the same direction is said once, until it ends or the kinds change. Give the hits from `2 * WINDOW` before
    `start` on; later or unrelated ones change nothing.
    """
    found = []
    by_token = sorted(hits, key=lambda hit: (hit.token_id, hit.available_at, hit.kind, hit.rule, hit.timeframe, hit.opened_at))
    for _, group in groupby(by_token, key=lambda hit: hit.token_id):
        found += _of_token(list(group), start, end)
    return sorted(found, key=lambda view: (view.as_of, view.token_id))


def _of_token(hits: Sequence[SourceHit], start: datetime, end: datetime) -> list[View]:
    found: list[View] = []
    before: tuple[datetime, _Agreement | None] | None = None
    for moment, _ in groupby(hits, key=lambda hit: hit.available_at):
        if moment >= end:
            break
        agreement = _agreement([hit for hit in hits if moment - WINDOW < hit.available_at <= moment])
        known = before[1] if before is not None and moment - before[0] < WINDOW else None
        if agreement is not None and moment >= start and not _same(agreement, known):
            found.append(_view(moment, agreement))
        before = moment, agreement
    return found


def _agreement(hits: Sequence[SourceHit]) -> _Agreement | None:
    best: dict[str, SourceHit] = {}
    directions = set()
    for kind in sorted({hit.kind for hit in hits}):
        own = [hit for hit in hits if hit.kind == kind]
        total = sum(hit.weight for hit in own)
        if total == 0:
            continue
        direction = "buy" if total > 0 else "sell"
        directions.add(direction)
        best[kind] = max(
            (hit for hit in own if hit.direction == direction), key=lambda hit: (abs(hit.weight), hit.available_at)
        )
    if len(best) < MIN_KINDS or len(directions) != 1:
        return None
    return _Agreement(directions.pop(), best)


def _same(agreement: _Agreement, known: _Agreement | None) -> bool:
    return known is not None and known.direction == agreement.direction and known.best.keys() == agreement.best.keys()


def _view(moment: datetime, agreement: _Agreement) -> View:
    best = agreement.best
    sources: dict[str, Any] = {
        kind: {
            "rule": hit.rule,
            "timeframe": hit.timeframe,
            "opened_at": hit.opened_at.isoformat(),
            "strength": hit.strength,
            "confidence": hit.confidence,
        }
        for kind, hit in best.items()
    }
    return View(
        as_of=moment,
        token_id=next(iter(best.values())).token_id,
        rule=RULE,
        available_at=moment,
        direction=agreement.direction,
        strength=fmean(hit.strength for hit in best.values()),
        confidence=fmean(hit.confidence for hit in best.values()),
        inputs={"sources": sources},
    )
