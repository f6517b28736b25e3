"""Keeping `ai_model_calibration`: what became of the models' answers about tokens, judged as the signals' outcomes are."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.intelligence.kinds import HORIZON_NAMES, HORIZON_SECONDS
from metapulse_assets.intelligence.model_calibration import fit
from metapulse_assets.intelligence.store import put
from metapulse_assets.intelligence.tables import ai_answers, ai_model_calibration, ai_requests
from metapulse_assets.outcomes import resolving
from metapulse_assets.outcomes.rows import JudgedSignals
from metapulse_assets.outcomes.store import from_micros, read_prices
from metapulse_assets.platform.day_partitions import day_start, utc_day

WINDOW = timedelta(days=30)
"""Answers that a calibration rests on: a model's version and the market's ways change. Own choice."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def calibrate_missing(connection: sa.Connection, day: date) -> int:
    """Store the calibrations of a day unless there are some; returns how many rows were stored."""
    known = connection.execute(sa.select(sa.exists().where(ai_model_calibration.c.day == day))).scalar_one()
    return 0 if known else calibrate_again(connection, day)


def calibrate_again(connection: sa.Connection, day: date) -> int:
    """Make the calibrations of a day anew, of what could be known at its start; returns how many rows that changed."""
    return sum(put(connection, ai_model_calibration, row) for row in calibration_rows(connection, day))


def calibration_rows(connection: sa.Connection, day: date) -> list[dict[str, Any]]:
    """The rows of a day: a fit for each model and horizon that was asked about tokens in the time before."""
    known_at = day_start(day)
    rows = []
    for horizon_seconds in sorted({HORIZON_SECONDS[kind] for kind in HORIZON_SECONDS if kind != "market_overview"}):
        by_model: dict[tuple[str, str], list[tuple[float, bool, datetime]]] = {}
        for answer, hit, usable in _judged(connection, horizon_seconds, known_at):
            entry = by_model.setdefault((answer.provider, answer.model), [])
            if hit is not None:
                entry.append((float(answer.parsed["probability_up"]), hit, usable))
        for (provider, model), outcomes_known in sorted(by_model.items()):
            found = fit(np.array([p for p, _, _ in outcomes_known]), np.array([hit for _, hit, _ in outcomes_known], np.bool_))
            rows.append(
                {
                    "day": day,
                    "provider": provider,
                    "model": model,
                    "horizon_seconds": horizon_seconds,
                    "slope": found.slope,
                    "intercept": found.intercept,
                    "n": found.n,
                    "hits": found.hits,
                    "brier": found.brier,
                    "base_brier": found.base_brier,
                    "weight": found.weight,
                    "fitted_through": max((usable for _, _, usable in outcomes_known), default=None),
                    "available_at": known_at,
                }
            )
    return rows


def _judged(
    connection: sa.Connection, horizon_seconds: int, known_at: datetime
) -> Iterator[tuple[sa.Row[Any], bool | None, datetime]]:
    """Answers with whether a purchase at the first price after each gained more than it cost; None: not known by then.

    A repeated answer is no second piece of evidence. The market as a whole has no price that could be bought.
    """
    r, a = ai_requests.c, ai_answers.c
    found = connection.execute(
        sa.select(*(a.provider, a.model, a.parsed, a.recorded_at, r.token_id))
        .join_from(ai_answers, ai_requests, sa.and_(a.request_id == r.request_id, a.as_of == r.as_of))
        .where(
            a.recorded_at >= known_at - WINDOW,
            a.recorded_at < known_at,
            r.as_of >= known_at - WINDOW - timedelta(days=1),
            a.status == "ok",
            a.reused_from.is_(None),
            r.horizon_seconds == horizon_seconds,
            r.token_id.is_not(None),
        )
        .order_by(a.recorded_at, a.request_id, a.provider)
    ).all()
    by_day: dict[date, list[Any]] = {}
    for row in found:
        by_day.setdefault(utc_day(row.recorded_at), []).append(row)
    for rows in by_day.values():
        yield from _judged_rows(connection, rows, HORIZON_NAMES[horizon_seconds], known_at)


def _judged_rows(
    connection: sa.Connection, rows: Sequence[sa.Row[Any]], horizon: str, known_at: datetime
) -> Iterator[tuple[sa.Row[Any], bool | None, datetime]]:
    nothing = np.full(len(rows), np.nan)
    purchases = JudgedSignals(
        token_id=np.array([row.token_id for row in rows], np.int64),
        moment=np.array([_micros(row.recorded_at) for row in rows], np.int64),
        sign=np.ones(len(rows)),
        target_usd=nothing,
        stop_usd=nothing,
    )
    prices = read_prices(connection, purchases, horizon, known_at)
    judged = resolving.judge(purchases, horizon, prices, _micros(known_at))
    by_row = dict(zip(judged.row.tolist(), range(len(judged)), strict=True))
    for place, row in enumerate(rows):
        at = by_row.get(place)
        if at is None or judged.status[at] == "unresolvable":
            yield row, None, known_at
        else:
            yield row, bool(judged.net_return[at] > 0), from_micros(int(judged.available_at[at]))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
