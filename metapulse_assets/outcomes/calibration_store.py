"""Keeping `signal_calibration`: reading what it is made from, storing it, and looking a source's confidence up in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.tables import candles
from metapulse_assets.outcomes.base_rates import TokenMarket, count_moments
from metapulse_assets.outcomes.calibration import ALL, Curve, ScoredOutcomes, calibrate, on_curve, sources
from metapulse_assets.outcomes.resolving import FALLBACKS, FRESH
from metapulse_assets.outcomes.rows import HORIZONS, INTERVALS, CandleRows
from metapulse_assets.outcomes.store import from_micros, integer_times
from metapulse_assets.outcomes.tables import signal_calibration, signal_outcomes
from metapulse_assets.platform.bulk import read_columns
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.signals.tables import signals

MARK = "signal_calibration"
EVERY = timedelta(hours=1)
PERIOD = timedelta(days=30)
"""Signals older than this say little about what a source is worth now. Own choice."""
UNCALIBRATED = "uncalibrated"
HORIZON_OF_SECONDS: Mapping[int, str] = {span // 1_000_000: name for name, span in HORIZONS.items()}


@dataclass(frozen=True)
class Calibrations:
    """Outcomes counted and curve of each source, by (kind, rule, horizon), over all risk levels."""

    known: Mapping[tuple[str, str, str], tuple[int, Curve | None]]

    def calibrated_confidence(self, kind: str, rule: str, horizon: str, confidence: float) -> float | None:
        """How often signals of this confidence were worth following; None: uncalibrated."""
        curve = self.known.get((kind, rule, horizon), (0, None))[1]
        return None if curve is None else on_curve(curve, confidence)

    def described(self, kind: str, rule: str, horizon: str) -> str:
        """What a calibrated confidence rests on: its number of outcomes, or `uncalibrated`."""
        n, curve = self.known.get((kind, rule, horizon), (0, None))
        return UNCALIBRATED if curve is None else f"n={n}"


def read_calibrations(connection: sa.Connection) -> Calibrations:
    """The calibration as stored."""
    table = signal_calibration.c
    rows = connection.execute(
        sa.select(table.kind, table.rule, table.horizon, table.n, table.curve).where(table.risk == ALL, table.rule != ALL)
    )
    return Calibrations({(row.kind, row.rule, row.horizon): (row.n, row.curve) for row in rows})


def computed_lately(connection: sa.Connection, as_of: datetime) -> datetime | None:
    """When the calibration was computed, if that is less than EVERY ago."""
    done = progress_of(connection, MARK)
    return done if done is not None and timedelta(0) <= as_of - done < EVERY else None


def recalibrate(connection: sa.Connection, as_of: datetime, period: timedelta = PERIOD) -> int:
    """Compute the calibration anew from the outcomes of the last `period` and put it in place of the old; returns its rows."""
    rows = [row for horizon in HORIZONS for row in _calibrate_horizon(connection, horizon, as_of, as_of - period)]
    connection.execute(sa.delete(signal_calibration))
    if rows:
        connection.execute(sa.insert(signal_calibration), rows)
    set_progress(connection, MARK, as_of)
    return len(rows)


def _calibrate_horizon(connection: sa.Connection, horizon: str, as_of: datetime, since: datetime) -> list[dict[str, Any]]:
    found = _read_outcomes(connection, horizon, as_of, since)
    left_out = _count_unresolvable(connection, horizon, as_of, since)
    if found is None:
        return []
    outcomes, market = found
    period = int(outcomes.entry_at.min()), int(outcomes.entry_at.max())
    moments = count_moments(_read_candles(connection, horizon, period, as_of), horizon, period, market)
    rows = []
    for (kind, rule, risk), of_source in sources(outcomes):
        numbers = calibrate(of_source, moments, f"{kind}|{rule}|{horizon}|{risk}")
        rows.append(
            {
                "kind": kind,
                "rule": rule,
                "horizon": horizon,
                "risk": risk,
                "computed_at": as_of,
                "period_start": from_micros(period[0]),
                "period_end": from_micros(period[1]),
                "unresolvable": sum(
                    count
                    for (its_kind, its_rule, its_risk), count in left_out.items()
                    if its_kind == kind and rule in (ALL, its_rule) and risk in (ALL, its_risk)
                ),
                **{name: _or_none(value) for name, value in numbers.items()},
            }
        )
    return rows


def _read_outcomes(
    connection: sa.Connection, horizon: str, as_of: datetime, since: datetime
) -> tuple[ScoredOutcomes, TokenMarket] | None:
    o, s = signal_outcomes.c, signals.c
    names = ("kind", "rule", "risk", "direction", "strength", "confidence")
    columns = ("token_id", "entry_at", "exit_at", "market_return", "net_return", "cost_share", "status")
    found = connection.execute(
        sa.select(*(s[name] for name in names), *(o[name] for name in columns))
        .join(signals, s.signal_id == o.signal_id)
        .where(
            o.horizon == horizon,
            o.status != "unresolvable",
            o.opened_at >= since,
            o.available_at <= as_of,
            o.recorded_at <= as_of,
        )
        # In a fixed order, so that sums come out the same to the last bit.
        .order_by(o.signal_id)
    ).all()
    if not found:
        return None
    value = {name: [getattr(row, name) for row in found] for name in (*names, *columns)}
    token_id, kept = np.array(value["token_id"], np.int64), 1 - np.array(value["cost_share"], np.float64)
    vanished = np.array([status == "vanished" for status in value["status"]], np.bool_)
    left = np.array([moment.replace(tzinfo=None) for moment in value["exit_at"]], "datetime64[us]").astype(np.int64)
    outcomes = ScoredOutcomes(
        kind=np.array(value["kind"]),
        rule=np.array(value["rule"]),
        risk=np.array(value["risk"]),
        token_id=token_id,
        sign=np.array([1.0 if direction == "buy" else -1.0 for direction in value["direction"]]),
        strength=np.array(value["strength"], np.float64),
        confidence=np.array(value["confidence"], np.float64),
        market_return=np.array(value["market_return"], np.float64),
        net_return=np.array(value["net_return"], np.float64),
        entry_at=np.array([m.replace(tzinfo=None) for m in value["entry_at"]], "datetime64[us]").astype(np.int64),
        vanished=vanished,
    )
    market = TokenMarket(
        kept={token: float(np.median(kept[token_id == token])) for token in np.unique(token_id).tolist()},
        usual_kept=float(np.median(kept)),
        vanished_at={
            token: int(left[vanished & (token_id == token)].max()) for token in np.unique(token_id[vanished]).tolist()
        },
    )
    return outcomes, market


def _count_unresolvable(
    connection: sa.Connection, horizon: str, as_of: datetime, since: datetime
) -> dict[tuple[str, str, str], int]:
    o, s = signal_outcomes.c, signals.c
    rows = connection.execute(
        sa.select(s.kind, s.rule, s.risk, sa.func.count().label("times"))
        .join(signals, s.signal_id == o.signal_id)
        .where(o.horizon == horizon, o.status == "unresolvable", o.opened_at >= since, o.recorded_at <= as_of)
        .group_by(s.kind, s.rule, s.risk)
    )
    return {(row.kind, row.rule, row.risk): row.times for row in rows}


def _read_candles(connection: sa.Connection, horizon: str, period: tuple[int, int], as_of: datetime) -> CandleRows:
    """Candles whose starts are the moments of the base rate: five minutes for the horizon of five minutes, else hours."""
    timeframe = "5m" if HORIZONS[horizon] < INTERVALS[FALLBACKS[0]] else FALLBACKS[0]
    table = candles.c
    rows = read_columns(
        connection,
        sa.select(*(table[name] for name in ("token_id", "opened_at", "available_at", "open", "high", "low", "close"))).where(
            table.timeframe == timeframe,
            table.opened_at >= from_micros(period[0]),
            table.opened_at <= from_micros(period[1] + HORIZONS[horizon] + FRESH),
            table.available_at <= as_of,
        ),
    )
    return CandleRows(interval=INTERVALS[timeframe], **integer_times(rows))


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
