"""Keeping `risk_assessments` in step with the snapshots: the first of a day, then a row whenever a token's risk changes.

A snapshot is assessed with the scanner's report that was known when it was recorded, never with a later one.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.market.tables import pools, token_metrics
from metapulse_assets.platform.bulk import Array, Columns, driver, from_datetime64, read_columns
from metapulse_assets.platform.day_partitions import day_bounds, day_start, days_of, ensure_days, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.risk.history import RiskHistory, changed_rows, newest_available
from metapulse_assets.risk.scoring import (
    SECURITY_COLUMNS,
    SECURITY_FLAGS,
    RiskTable,
    assess,
    concatenate,
    stored_assessments,
)
from metapulse_assets.risk.tables import risk_assessments, token_security
from metapulse_assets.vendors.dexscreener import BONDING_CURVE_DEXES

MARK = "risk_assessments"
# A report older than this says nothing any more. Own choice: a week of a scanner that does not answer, or of a token that it
# was not asked about, while contracts and holders may have changed.
REPORT_MAX_AGE = timedelta(days=7)
COLUMNS = ("observed_at", "token_id", "available_at", "level", "score", "known_share", "hard_fail", "factors")


def assess_new(connection: sa.Connection, as_of: datetime) -> int:
    """Assess the snapshots seen since the last call; returns how many rows that added."""
    done = progress_of(connection, MARK)
    start = done or day_start(utc_day(as_of))
    before = _newest_since(connection, day_start(utc_day(start)))
    stored = _assess(connection, start, as_of + timedelta(microseconds=1), before, exclusive=done is not None)
    set_progress(connection, MARK, as_of)
    return stored


def assess_again(connection: sa.Connection, day: date) -> int:
    """Assess all snapshots of a day in place of what is stored; returns how many rows there are."""
    start, end = day_bounds(day)
    connection.execute(
        sa.delete(risk_assessments).where(risk_assessments.c.observed_at >= start, risk_assessments.c.observed_at < end)
    )
    return _assess(connection, start, end, RiskHistory.empty(), exclusive=False)


def read_risk(connection: sa.Connection, start: datetime, end: datetime) -> RiskHistory:
    """The assessments made from snapshots of [start, end)."""
    table = risk_assessments
    rows = connection.execute(sa.select(table).where(table.c.observed_at >= start, table.c.observed_at < end)).all()
    return _history(rows)


def _assess(connection: sa.Connection, start: datetime, end: datetime, before: RiskHistory, exclusive: bool) -> int:
    snapshots = _read_snapshots(connection, start, end, exclusive)
    if not len(snapshots["token_id"]):
        return 0
    assessed = assess(snapshots | _facts_known(connection, snapshots))
    seconds = snapshots["observed_at"].astype(np.int64) / 1e6
    if len(before):
        token_id = np.concatenate((before.token_id, snapshots["token_id"]))
        observed = np.concatenate((before.observed_at, seconds))
        table = concatenate([before.assessment, assessed])
        order = np.lexsort((observed, token_id))
        is_new = order >= len(before)
        kept = order[changed_rows(token_id[order], observed[order], table.take(order)) & is_new] - len(before)
    else:
        kept = np.flatnonzero(changed_rows(snapshots["token_id"], seconds, assessed))
    _store(connection, snapshots, assessed, kept)
    return len(kept)


def _read_snapshots(connection: sa.Connection, start: datetime, end: datetime, exclusive: bool) -> Columns:
    m = token_metrics.c
    created = sa.func.extract("epoch", pools.c.created_at)
    statement = (
        sa.select(
            *(m.token_id, m.observed_at, m.recorded_at, m.liquidity_usd, m.fdv_usd, m.market_cap_usd),
            *(m.volume_h24_usd, m.buys_h24, m.sells_h24, m.price_change_h24_pct),
            sa.cast(sa.func.extract("epoch", m.observed_at) - created, sa.Double).label("pool_age_seconds"),
            pools.c.dex.in_(sorted(BONDING_CURVE_DEXES)).label("on_bonding_curve"),
        )
        .join(pools, pools.c.pool_id == m.pool_id)
        .where(m.observed_at > start if exclusive else m.observed_at >= start, m.observed_at < end)
    )
    rows = read_columns(connection, statement)
    order = np.lexsort((rows["observed_at"], rows["token_id"]))
    sorted_rows = {name: values[order] for name, values in rows.items()}
    for name in ("buys_h24", "sells_h24"):
        counts = sorted_rows[name].astype(np.float64)
        sorted_rows[name] = np.where(counts < 0, np.nan, counts)
    sorted_rows["pool_age_seconds"] = np.maximum(sorted_rows["pool_age_seconds"], 0.0)
    return sorted_rows


def _facts_known(connection: sa.Connection, snapshots: Columns) -> Columns:
    """What a scanner had said of each snapshot's token by the time that the snapshot was recorded; NaN: nothing."""
    t = token_security.c
    recorded = snapshots["recorded_at"].astype(np.int64) / 1e6
    first, last = from_datetime64(snapshots["recorded_at"].min()), from_datetime64(snapshots["recorded_at"].max())
    reports = read_columns(
        connection,
        sa.select(
            *(t.token_id, t.observed_at, t.available_at),
            *(_number(t[name], name) for name in SECURITY_COLUMNS),
        ).where(t.observed_at >= first - REPORT_MAX_AGE, t.observed_at <= last, t.available_at <= last),
    )
    if not len(reports["token_id"]):
        return {}
    rows = newest_available(
        snapshots["token_id"],
        recorded,
        reports["token_id"],
        observed_at=reports["observed_at"].astype(np.int64) / 1e6,
        available_at=reports["available_at"].astype(np.int64) / 1e6,
        max_age_seconds=REPORT_MAX_AGE.total_seconds(),
    )
    return {name: np.where(rows >= 0, reports[name][rows].astype(np.float64), np.nan) for name in SECURITY_COLUMNS}


def _number(column: sa.Column[Any], name: str) -> sa.ColumnElement[Any]:
    """A yes-or-no column as 1 and 0: an array of booleans has no value for null."""
    return sa.cast(sa.cast(column, sa.Integer), sa.Double).label(name) if name in SECURITY_FLAGS else column


def _store(connection: sa.Connection, snapshots: Columns, assessed: RiskTable, kept: Array) -> None:
    rows = assessed.take(kept)
    ensure_days(connection, risk_assessments.name, days_of(snapshots["observed_at"][kept]))
    with driver(connection).cursor().copy(f"COPY risk_assessments ({', '.join(COLUMNS)}) FROM STDIN") as copy:
        for position, row, factors in zip(kept.tolist(), range(len(kept)), rows.factors(), strict=True):
            score = float(rows.score[row])
            copy.write_row(
                (
                    from_datetime64(snapshots["observed_at"][position]),
                    int(snapshots["token_id"][position]),
                    from_datetime64(snapshots["recorded_at"][position]),
                    str(rows.level[row]),
                    None if np.isnan(score) else score,
                    float(rows.known_share[row]),
                    rows.hard_fail[row],
                    Jsonb(factors),
                )
            )


def _newest_since(connection: sa.Connection, moment: datetime) -> RiskHistory:
    table = risk_assessments
    rows = connection.execute(
        sa.select(table)
        .ext(distinct_on(table.c.token_id))
        .where(table.c.observed_at >= moment)
        .order_by(table.c.token_id, table.c.observed_at.desc())
    ).all()
    return _history(rows)


def _history(stored: Sequence[sa.Row[Any]]) -> RiskHistory:
    if not stored:
        return RiskHistory.empty()
    return RiskHistory(
        token_id=np.array([row.token_id for row in stored], np.int64),
        observed_at=np.array([row.observed_at.timestamp() for row in stored]),
        available_at=np.array([row.available_at.timestamp() for row in stored]),
        assessment=stored_assessments(
            [row.level for row in stored],
            [row.score for row in stored],
            [row.known_share for row in stored],
            [row.hard_fail for row in stored],
            [row.factors for row in stored],
        ),
    )
