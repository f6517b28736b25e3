"""Candles, snapshots and risk: from what an analysis used down to the vendors' answers."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.indicators.chain import anchor_of
from metapulse_assets.market.candle_building import CLOSE_GRACE
from metapulse_assets.market.stream_tables import token_trades
from metapulse_assets.market.tables import candles, token_metrics, tokens
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.market.trade_candle_store import SOURCE as TRADES
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets.proof.lineage.links import Link, differing, missing
from metapulse_assets.proof.lineage.payloads import payload_link, payload_links, stored_payloads_link
from metapulse_assets.proof.lineage.rereading import candle_unlike_bytes, security_unlike_bytes, snapshot_unlike_bytes
from metapulse_assets.risk.assessing import REPORT_MAX_AGE
from metapulse_assets.risk.scoring import SECURITY_COLUMNS
from metapulse_assets.risk.tables import risk_assessments, token_security
from metapulse_assets.vendors.pumpportal import CHAIN

_SAID_BY_SCANNERS = ("authorities", "tax", "top10_holders", "lp_locked", "vendor_score")
"""Factors of a risk that only a scanner's report can tell."""
FIGURES = ("open", "high", "low", "close", "volume_usd")


def candle_chain_link(
    connection: sa.Connection, token_id: int, timeframe: str, opened_at: datetime, available_at: datetime
) -> Link:
    """All candles that an analysis of one candle rests on: how many, from where, and their payloads."""
    start = anchor_of(timeframe, utc_day(opened_at))
    c = candles.c
    within = (
        *(c.token_id == token_id, c.timeframe == timeframe, c.opened_at >= start, c.opened_at <= opened_at),
        c.available_at <= available_at,
    )
    rows = connection.execute(
        sa.select(c.source, sa.func.count().label("candles"), sa.func.min(c.opened_at).label("first"))
        .where(*within)
        .group_by(c.source)
        .order_by(c.source)
    ).all()
    link = Link(
        "candles",
        f"{timeframe}, {sum(row.candles for row in rows)} up to {opened_at.isoformat()}",
        {f"from {row.source}": row.candles for row in rows} | {"first": min((row.first for row in rows), default=None)},
    )
    if not rows:
        link.broken.append("none is stored (any more)")
        return link
    link.parts.append(candle_link(connection, token_id, timeframe, opened_at))
    ids = connection.execute(sa.select(c.payload_id).distinct().where(*within, c.payload_id.is_not(None))).scalars()
    link.parts += payload_links(connection, ids)
    if timeframe == "5m" and any(row.source == "snapshots" for row in rows):
        link.parts += _snapshot_payloads(connection, token_id, start, opened_at, available_at)
    if timeframe == "5m" and any(row.source == TRADES for row in rows):
        link.parts.append(stored_payloads_link(connection, "of trades", _trade_payloads(token_id, start, opened_at)))
    return link


def candle_link(connection: sa.Connection, token_id: int, timeframe: str, opened_at: datetime) -> Link:
    """One candle, and what it was made of: a vendor's answer, snapshots, or finer candles."""
    c = candles.c
    row = connection.execute(
        sa.select(candles).where(c.token_id == token_id, c.timeframe == timeframe, c.opened_at == opened_at)
    ).one_or_none()
    key = f"{timeframe} {opened_at.isoformat()}"
    if row is None:
        return missing("candle", key)
    values = {name: getattr(row, name) for name in (*FIGURES, "source", "available_at", "recorded_at")}
    link = Link("candle", key, values)
    if row.payload_id is not None:
        link.broken += candle_unlike_bytes(connection, row)
        link.parts.append(payload_link(connection, row.payload_id))
    elif row.source == TRADES:
        link.parts += payload_links(connection, connection.execute(_trade_payloads(token_id, opened_at, opened_at)).scalars())
        if not link.parts:
            link.broken.append("the trades it was made of are not stored (any more)")
    elif row.source == "snapshots":
        link.parts += _snapshots_of(connection, token_id, opened_at)
        if not link.parts:
            link.broken.append("the snapshots it was made of are not stored (any more)")
    else:
        _add_finer(connection, link, row)
    return link


def snapshot_link(connection: sa.Connection, token_id: int, observed_at: datetime) -> Link:
    """A snapshot of a token, and the answer it was read from."""
    m = token_metrics.c
    row = connection.execute(sa.select(token_metrics).where(m.token_id == token_id, m.observed_at == observed_at)).one_or_none()
    if row is None:
        return missing("snapshot", observed_at.isoformat())
    names = ("price_usd", "liquidity_usd", "volume_h24_usd", "buys_h24", "sells_h24", "price_change_h24_pct", "recorded_at")
    return Link(
        "snapshot",
        observed_at.isoformat(),
        {name: getattr(row, name) for name in names},
        broken=snapshot_unlike_bytes(connection, row),
        parts=[payload_link(connection, row.payload_id)],
    )


def risk_link(connection: sa.Connection, token_id: int, level: str, reason: Mapping[str, Any]) -> Link | None:
    """The risk that a signal names (its level, the inputs of its reason), and what it was judged by; None: it was unknown."""
    if "risk_observed_at" not in reason:
        return None
    observed_at = datetime.fromisoformat(reason["risk_observed_at"])
    r = risk_assessments.c
    row = connection.execute(
        sa.select(risk_assessments).where(r.token_id == token_id, r.observed_at == observed_at)
    ).one_or_none()
    if row is None:
        return missing("risk assessment", observed_at.isoformat())
    told = {"level": level} | {name: reason[name] for name in ("score", "known_share", "hard_fail") if name in reason}
    report = _report_link(connection, token_id, row.available_at)
    if report is None and any(row.factors.get(name) is not None for name in _SAID_BY_SCANNERS):
        report = missing("security report", f"before {row.available_at.isoformat()}")
    return Link(
        "risk assessment",
        observed_at.isoformat(),
        {"level": row.level, "score": row.score, "known_share": row.known_share, "hard_fail": row.hard_fail} | row.factors,
        broken=differing(told, dict(row._mapping)),
        parts=[snapshot_link(connection, token_id, observed_at), *([report] if report else [])],
    )


def _report_link(connection: sa.Connection, token_id: int, known_at: datetime) -> Link | None:
    """What a scanner had said of the token's contract by a moment, and its answer; None: nothing."""
    t = token_security.c
    row = connection.execute(
        sa.select(token_security)
        .where(t.token_id == token_id, t.available_at <= known_at, t.observed_at >= known_at - REPORT_MAX_AGE)
        .order_by(t.observed_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Link(
        "security report",
        f"{row.vendor} {row.observed_at.isoformat()}",
        {name: getattr(row, name) for name in ("recorded_at", *SECURITY_COLUMNS)},
        broken=security_unlike_bytes(connection, row),
        parts=[payload_link(connection, row.payload_id)],
    )


def _snapshots_of(connection: sa.Connection, token_id: int, opened_at: datetime) -> list[Link]:
    grace = timedelta(seconds=int(CLOSE_GRACE / np.timedelta64(1, "s")))
    m = token_metrics.c
    moments = connection.execute(
        sa.select(m.observed_at)
        .where(
            m.token_id == token_id,
            m.observed_at >= opened_at + grace,
            m.observed_at < opened_at + TIMEFRAMES["5m"].interval + grace,
        )
        .order_by(m.observed_at)
    ).scalars()
    return [snapshot_link(connection, token_id, moment) for moment in moments.all()]


def _trade_payloads(token_id: int, first: datetime, last: datetime) -> sa.Select[int]:
    """Asks for the payloads of a token's trades from one 5-minute candle to another, priced or not."""
    t = token_trades.c
    return (
        sa.select(t.payload_id)
        .distinct()
        .join_from(token_trades, tokens, sa.and_(tokens.c.chain == CHAIN, tokens.c.address == t.mint))
        .where(
            tokens.c.token_id == token_id,
            t.received_on >= utc_day(first),
            t.received_at >= first,
            t.received_at < last + TIMEFRAMES["5m"].interval,
        )
    )


def _snapshot_payloads(
    connection: sa.Connection, token_id: int, start: datetime, opened_at: datetime, available_at: datetime
) -> list[Link]:
    m = token_metrics.c
    ids = connection.execute(
        sa.select(m.payload_id)
        .distinct()
        .where(
            m.token_id == token_id,
            m.observed_at >= start,
            m.observed_at < opened_at + 2 * TIMEFRAMES["5m"].interval,
            m.recorded_at <= available_at,
        )
    ).scalars()
    return payload_links(connection, ids)


def _add_finer(connection: sa.Connection, link: Link, row: sa.Row[Any]) -> None:
    timeframe = TIMEFRAMES[row.timeframe]
    c = candles.c
    finer = connection.execute(
        sa.select(c.opened_at, c.close)
        .where(
            c.token_id == row.token_id,
            c.timeframe == timeframe.finer,
            c.opened_at >= row.opened_at,
            c.opened_at < row.opened_at + timeframe.interval,
        )
        .order_by(c.opened_at)
    ).all()
    if not finer or timeframe.finer is None:
        link.broken.append("the finer candles it was made of are not stored (any more)")
        return
    link.values["finer candles"] = len(finer)
    link.parts.append(candle_link(connection, row.token_id, timeframe.finer, finer[-1].opened_at))
