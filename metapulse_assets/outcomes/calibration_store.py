"""Keeping `signal_calibration`: reading what it is made from, computing it once an hour, storing it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.tables import candles
from metapulse_assets.outcomes.base_rates import TokenMarket, count_moments
from metapulse_assets.outcomes.calibration import ALL, ScoredOutcomes, Source, calibrate
from metapulse_assets.outcomes.calibration_curve_store import full_hour, update_curves
from metapulse_assets.outcomes.resolving import FALLBACKS, FRESH
from metapulse_assets.outcomes.rows import HORIZONS, INTERVALS, CandleRows, FloatArray, IntArray
from metapulse_assets.outcomes.store import from_micros, integer_times
from metapulse_assets.outcomes.tables import signal_calibration, signal_outcomes
from metapulse_assets.platform.bulk import read_columns
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.signals.tables import signals

MARK = "signal_calibration"
PERIOD = timedelta(days=30)
"""Signals older than this say little about what a source is worth now. Own choice."""


@dataclass(frozen=True)
class _Read:
    """Outcomes of one horizon as they are stored, in order of their signals' emission."""

    scored: ScoredOutcomes
    left_at: IntArray
    kept: FloatArray

    @property
    def period(self) -> tuple[int, int]:
        """First and last entry."""
        return int(self.scored.entry_at.min()), int(self.scored.entry_at.max())

    def market(self) -> TokenMarket:
        """What they tell of each token's costs (the median) and end (the last of those at which its pool vanished)."""
        tokens, first, count = np.unique(np.sort(self.scored.token_id), return_index=True, return_counts=True)
        kept = self.kept[np.lexsort((self.kept, self.scored.token_id))]
        medians = (kept[first + (count - 1) // 2] + kept[first + count // 2]) / 2
        gone = np.flatnonzero(self.scored.vanished)
        gone = gone[np.argsort(self.left_at[gone], kind="stable")]
        return TokenMarket(
            kept=dict(zip(tokens.tolist(), medians.tolist(), strict=True)),
            usual_kept=float(np.median(self.kept)),
            # In order of time: of equal tokens the last one stays.
            vanished_at=dict(zip(self.scored.token_id[gone].tolist(), self.left_at[gone].tolist(), strict=True)),
        )


def computed_lately(connection: sa.Connection, as_of: datetime) -> datetime | None:
    """When the calibration was computed, if that is within the same hour (UTC)."""
    done = progress_of(connection, MARK)
    return done if done is not None and full_hour(as_of) <= done <= as_of else None


def recalibrate(connection: sa.Connection, as_of: datetime, period: timedelta = PERIOD) -> int:
    """Compute the calibration anew from the outcomes of signals of the last `period` and put it in place of the old.

    The curves of the hours in which signals were emitted are brought up to date with it. Returns the rows of the calibration.
    """
    since = as_of - period
    names = _names(connection, since)
    read = {horizon: _read_outcomes(connection, horizon, as_of, since, names) for horizon in HORIZONS} if names else {}
    found = {horizon: outcomes for horizon, outcomes in read.items() if outcomes is not None}
    rows = list(_rows(connection, found, as_of, since))
    connection.execute(sa.delete(signal_calibration))
    if rows:
        connection.execute(sa.insert(signal_calibration), rows)
    update_curves(connection, {horizon: outcomes.scored for horizon, outcomes in found.items()}, since, as_of)
    set_progress(connection, MARK, as_of)
    return len(rows)


def _rows(
    connection: sa.Connection, found: Mapping[str, "_Read"], as_of: datetime, since: datetime
) -> Iterator[dict[str, Any]]:
    hours = _candles_of(connection, {horizon: found[horizon] for horizon in found if not _is_short(horizon)}, as_of)
    left_out = _count_unresolvable(connection, as_of, since)
    for horizon, outcomes in found.items():
        period = outcomes.period
        known = _candles_of(connection, {horizon: outcomes}, as_of) if _is_short(horizon) else hours
        moments = count_moments(known, horizon, period, outcomes.market())
        for (kind, rule, risk), numbers in calibrate(outcomes.scored, horizon, moments):
            yield {
                "kind": kind,
                "rule": rule,
                "horizon": horizon,
                "risk": risk,
                "computed_at": as_of,
                "period_start": from_micros(period[0]),
                "period_end": from_micros(period[1]),
                "unresolvable": sum(
                    count
                    for (its_kind, its_rule, its_risk), count in left_out.get(horizon, {}).items()
                    if its_kind == kind and rule in (ALL, its_rule) and risk in (ALL, its_risk)
                ),
                **{name: _or_none(value) for name, value in numbers.items()},
            }


def _names(connection: sa.Connection, since: datetime) -> list[Source]:
    s = signals.c
    found = connection.execute(sa.select(s.kind, s.rule, s.risk).distinct().where(s.emitted_at >= since))
    return sorted((row.kind, row.rule, row.risk) for row in found)


def _read_outcomes(
    connection: sa.Connection, horizon: str, as_of: datetime, since: datetime, names: Sequence[Source]
) -> "_Read | None":
    o, s = signal_outcomes.c, signals.c
    # Names cross as numbers: an object a row would take longer than all that is computed of them.
    numbered = sa.values(
        sa.column("code", sa.Integer),
        sa.column("kind", sa.Text),
        sa.column("rule", sa.Text),
        sa.column("risk", sa.Text),
        name="numbered",
    ).data([(number, *name) for number, name in enumerate(names)])
    n = numbered.c
    rows = integer_times(
        read_columns(
            connection,
            sa.select(
                *(o.token_id, o.entry_at, o.exit_at, o.available_at, o.market_return, o.net_return, o.cost_share),
                *(n.code, s.strength, s.confidence, s.emitted_at),
                (s.direction == "buy").label("buy"),
                (o.status == "vanished").label("vanished"),
                sa.func.hashtextextended(o.signal_id, 0, type_=sa.BigInteger).label("hash"),
            )
            .join(signals, s.signal_id == o.signal_id)
            # Every signal has its number; an inner join would have the planner expect few, and look each outcome up.
            .outerjoin(numbered, sa.and_(n.kind == s.kind, n.rule == s.rule, n.risk == s.risk))
            .where(
                o.horizon == horizon,
                o.status != "unresolvable",
                s.emitted_at >= since,
                o.available_at <= as_of,
                o.recorded_at <= as_of,
            ),
        )
    )
    if not rows["token_id"].size:
        return None
    # In a fixed order, so that sums come out the same to the last bit.
    order = np.lexsort((rows["hash"], rows["emitted_at"]))
    rows = {name: values[order] for name, values in rows.items()}
    kind, rule, risk = (np.array(part)[rows["code"]] for part in zip(*names, strict=True))
    scored = ScoredOutcomes(
        kind=kind,
        rule=rule,
        risk=risk,
        token_id=rows["token_id"],
        sign=np.where(rows["buy"], 1.0, -1.0),
        strength=rows["strength"].astype(np.float64),
        confidence=rows["confidence"].astype(np.float64),
        emitted_at=rows["emitted_at"],
        entry_at=rows["entry_at"],
        available_at=rows["available_at"],
        market_return=rows["market_return"],
        net_return=rows["net_return"],
        vanished=rows["vanished"],
    )
    return _Read(scored, rows["exit_at"], 1 - rows["cost_share"])


def _count_unresolvable(connection: sa.Connection, as_of: datetime, since: datetime) -> dict[str, dict[Source, int]]:
    o, s = signal_outcomes.c, signals.c
    rows = connection.execute(
        sa.select(o.horizon, s.kind, s.rule, s.risk, sa.func.count().label("times"))
        .join(signals, s.signal_id == o.signal_id)
        .where(o.status == "unresolvable", s.emitted_at >= since, o.recorded_at <= as_of)
        .group_by(o.horizon, s.kind, s.rule, s.risk)
    )
    counts: dict[str, dict[Source, int]] = {}
    for row in rows:
        counts.setdefault(row.horizon, {})[row.kind, row.rule, row.risk] = row.times
    return counts


def _is_short(horizon: str) -> bool:
    return HORIZONS[horizon] < INTERVALS[FALLBACKS[0]]


def _candles_of(connection: sa.Connection, found: Mapping[str, "_Read"], as_of: datetime) -> CandleRows:
    """Candles whose starts are the moments of the base rate: five minutes for the horizon of five minutes, else hours."""
    timeframe = "5m" if any(map(_is_short, found)) else FALLBACKS[0]
    table = candles.c
    first = min((outcomes.period[0] for outcomes in found.values()), default=0)
    last = max((outcomes.period[1] + HORIZONS[horizon] + FRESH for horizon, outcomes in found.items()), default=0)
    rows = integer_times(
        read_columns(
            connection,
            sa.select(table.token_id, table.opened_at, table.open, table.close).where(
                table.timeframe == timeframe,
                table.opened_at >= from_micros(first),
                table.opened_at <= from_micros(last),
                table.available_at <= as_of,
            ),
        )
    )
    # Moments are counted by starts, opens and closes alone: what they reached between is not read.
    unread = {"available_at": rows["opened_at"], "high": rows["close"], "low": rows["close"]}
    return CandleRows(interval=INTERVALS[timeframe], **rows, **unread)


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
