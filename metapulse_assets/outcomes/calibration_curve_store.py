"""Keeping `calibration_curves`: what was known of each source at each hour, and what that says of a signal's confidence.

A signal is shown with, and judged by, the curve of the full hour (UTC) at or before its emission. No outcome that became
usable later changes that. Belongs here: storing and looking up. Does not: fitting (`calibration_curves`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.outcomes.calibration import ScoredOutcomes
from metapulse_assets.outcomes.calibration_curves import Curve, Curves, fit_curve, fit_curves, on_curve
from metapulse_assets.outcomes.rows import HORIZONS
from metapulse_assets.outcomes.store import from_micros
from metapulse_assets.outcomes.tables import calibration_curves, signal_outcomes
from metapulse_assets.platform.bulk import to_datetime64
from metapulse_assets.signals.tables import signals

UNCALIBRATED = "uncalibrated"
STILL_EMITTED = timedelta(days=7)
"""A source that emitted a signal this lately may emit one in the present hour, whose curve is then there. Own choice."""
HORIZON_OF_SECONDS: Mapping[int, str] = {span // 1_000_000: name for name, span in HORIZONS.items()}

Key = tuple[str, str, str, datetime]
"""Kind, rule, horizon, full hour."""
_KEY = ("kind", "rule", "horizon", "known_at")
_HOURS = sa.ARRAY(sa.DateTime(timezone=True))


@dataclass(frozen=True)
class Calibrations:
    """Outcomes counted and curve of sources at full hours, over all risk levels; none: uncalibrated at that hour."""

    known: Mapping[Key, tuple[int, Curve]]

    def calibrated_confidence(
        self, kind: str, rule: str, horizon: str, emitted_at: datetime, confidence: float
    ) -> float | None:
        """How often signals of this confidence had been worth following when it was emitted; None: uncalibrated then."""
        found = self.known.get((kind, rule, horizon, full_hour(emitted_at)))
        return None if found is None else on_curve(found[1], confidence)

    def described(self, kind: str, rule: str, horizon: str, emitted_at: datetime) -> str:
        """What a calibrated confidence rests on: its number of outcomes, or `uncalibrated`."""
        found = self.known.get((kind, rule, horizon, full_hour(emitted_at)))
        return UNCALIBRATED if found is None else f"n={found[0]}"


def full_hour(moment: datetime) -> datetime:
    """The full hour at or before a moment, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def read_calibrations(connection: sa.Connection, emitted_at: Sequence[datetime]) -> Calibrations:
    """The curves that signals emitted at these moments are shown with."""
    c = calibration_curves.c
    hours = sorted({full_hour(moment) for moment in emitted_at})
    rows = connection.execute(
        sa.select(c.kind, c.rule, c.horizon, c.known_at, c.n, c.curve).where(c.known_at == sa.any_(sa.literal(hours, _HOURS)))
    )
    return Calibrations({(row.kind, row.rule, row.horizon, row.known_at): (row.n, row.curve) for row in rows})


def update_curves(connection: sa.Connection, outcomes: Mapping[str, ScoredOutcomes], since: datetime, as_of: datetime) -> int:
    """Store the curves of the hours in which signals were emitted since a moment, and of the present one; returns how many.

    A stored one gives way only to one that counts more outcomes, or as many of which others were hits: what is counted for an
    hour may have been stored late, and what it once rested on may have been removed since.
    """
    c = calibration_curves.c
    stored = {
        (row.kind, row.rule, row.horizon, row.known_at): (row.n, row.hits)
        for row in connection.execute(
            sa.select(c.kind, c.rule, c.horizon, c.known_at, c.n, c.hits).where(c.known_at >= full_hour(since))
        )
    }
    rows = []
    for (kind, rule, horizon), hours in _hours_wanted(connection, since, as_of).items():
        if horizon not in outcomes:
            continue
        curves = _fitted(outcomes[horizon], kind, rule, hours)
        for place in range(len(hours)):
            key = kind, rule, horizon, hours[place]
            points = curves.points(place) if _says_more(curves, place, stored.get(key, (0, 0))) else None
            if points is not None:
                rows.append({**dict(zip(_KEY, key, strict=True)), **_counted(curves, place), "curve": points})
    if rows:
        statement = insert(calibration_curves)
        values = {column.name: statement.excluded[column.name] for column in c if not column.primary_key}
        connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=values), rows)
    return len(rows)


def fitted_again(connection: sa.Connection, row: sa.Row[Any]) -> tuple[int, int, Curve | None]:
    """Outcomes, hits and curve of a stored row of `calibration_curves`, made anew from outcomes usable by its hour alone."""
    o, s = signal_outcomes.c, signals.c
    found = connection.execute(
        sa.select(s.confidence, (o.net_return > 0).label("hit"))
        .join(signals, s.signal_id == o.signal_id)
        .where(
            s.kind == row.kind,
            s.rule == row.rule,
            s.emitted_at >= row.first_emitted_at,
            o.horizon == row.horizon,
            o.status != "unresolvable",
            o.available_at <= row.known_at,
        )
    ).all()
    hit = np.array([outcome.hit for outcome in found], np.bool_)
    # What is stored in single precision comes as its shortest decimal here, and must be what it was.
    confidence = np.array([outcome.confidence for outcome in found], np.float32).astype(np.float64)
    return hit.size, int(hit.sum()), fit_curve(confidence, hit)


def _fitted(scored: ScoredOutcomes, kind: str, rule: str, hours: Sequence[datetime]) -> Curves:
    part = scored.take((scored.kind == kind) & (scored.rule == rule))
    known_at = np.array([to_datetime64(hour).astype(np.int64) for hour in hours], np.int64)
    return fit_curves(part.confidence, part.hit, part.emitted_at, part.available_at, known_at)


def _says_more(curves: Curves, place: int, stored: tuple[int, int]) -> bool:
    n, hits = int(curves.n[place]), int(curves.hits[place])
    return n > stored[0] or (n == stored[0] and hits != stored[1])


def _counted(curves: Curves, place: int) -> dict[str, Any]:
    return {
        "n": int(curves.n[place]),
        "hits": int(curves.hits[place]),
        "first_emitted_at": from_micros(int(curves.first[place])),
        "last_available_at": from_micros(int(curves.last[place])),
    }


def _hours_wanted(connection: sa.Connection, since: datetime, as_of: datetime) -> dict[tuple[str, str, str], list[datetime]]:
    """By kind, rule and own horizon the hours in which such signals were emitted, ascending."""
    s = signals.c
    hour = sa.func.date_trunc("hour", s.emitted_at, "UTC", type_=sa.DateTime(timezone=True)).label("hour")
    wanted: dict[tuple[str, str, str], set[datetime]] = {}
    for row in connection.execute(
        sa.select(s.kind, s.rule, s.horizon_seconds, hour).distinct().where(s.emitted_at >= since, s.emitted_at <= as_of)
    ):
        source = row.kind, row.rule, HORIZON_OF_SECONDS.get(row.horizon_seconds, "")
        wanted.setdefault(source, set()).add(row.hour)
    for hours in wanted.values():
        if max(hours) >= as_of - STILL_EMITTED:
            hours.add(full_hour(as_of))
    return {source: sorted(hours) for source, hours in sorted(wanted.items())}
