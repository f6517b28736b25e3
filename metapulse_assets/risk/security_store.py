"""Reading and writing what security scanners say: which tokens are due, new rows only where something changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.risk.security import FACTS, TokenFacts
from metapulse_assets.risk.security_reports import SCANNED_CHAINS, DueToken, Scanned, TokenReport
from metapulse_assets.risk.tables import security_requests, token_security
from metapulse_assets.signals.tables import technical_signals

# Own choices, all of them: contracts change rarely, and the vendors' free limits allow a look a day at some thousand tokens.
ASK_AGAIN_AFTER = timedelta(days=1)
"""A report, or not being known, holds for so long."""
ASK_AGAIN_AFTER_HIT = timedelta(hours=1)
"""... and for so long if a rule has just fired on the token: somebody may act on it."""
ASK_AGAIN_AFTER_FAILURE = timedelta(minutes=15)
FRESH_HIT = timedelta(hours=1)
STORE_AGAIN_AFTER = timedelta(days=1)
"""An unchanged report is stored again after this, so that it does not look outdated."""
SHARE_DIGITS = 6
# A hit's candle lies at most this long before it: the longest candle is a day.
LONGEST_HIT_AGE = FRESH_HIT + timedelta(days=2)


def due_tokens(connection: sa.Connection, now: datetime) -> list[DueToken]:
    """Tracked tokens to ask about: those with fresh hits first, then those never asked about, then the longest ago.

    A token on a chain that no scanner knows is never due.
    """
    hits = (
        sa.select(technical_signals.c.token_id)
        .where(
            technical_signals.c.opened_at >= now - LONGEST_HIT_AGE,
            technical_signals.c.available_at > now - FRESH_HIT,
            technical_signals.c.available_at <= now,
        )
        .distinct()
        .subquery()
    )
    asked = security_requests.c
    is_hit = hits.c.token_id.is_not(None)
    wait = sa.case((asked.outcome == "failed", ASK_AGAIN_AFTER_FAILURE), (is_hit, ASK_AGAIN_AFTER_HIT), else_=ASK_AGAIN_AFTER)
    rows = connection.execute(
        sa.select(tokens.c.token_id, tokens.c.chain, tokens.c.address)
        .join(tracked_tokens, tracked_tokens.c.token_id == tokens.c.token_id)
        .outerjoin(security_requests, asked.token_id == tokens.c.token_id)
        .outerjoin(hits, hits.c.token_id == tokens.c.token_id)
        .where(
            tracked_tokens.c.active,
            tokens.c.chain.in_(sorted(SCANNED_CHAINS)),
            sa.or_(asked.asked_at.is_(None), asked.asked_at <= now - wait),
        )
        .order_by(is_hit.desc(), asked.asked_at.asc().nulls_first(), tokens.c.token_id)
    )
    return [DueToken(row.token_id, row.chain, row.address) for row in rows]


def store_scanned(connection: sa.Connection, scanned: Scanned, payload_ids: Mapping[bytes, int], now: datetime) -> int:
    """Store the reports that say something new and note who was asked about; returns how many rows of facts that added."""
    changed = _changed(connection, scanned.reports)
    if changed:
        ensure_days(connection, token_security.name, {utc_day(report.payload.received_at) for report in changed})
        rows = [
            {
                "observed_at": report.payload.received_at,
                "token_id": report.token_id,
                "recorded_at": now,
                "available_at": now,
                "payload_id": payload_ids[report.payload.sha256],
                "vendor": report.vendor,
                **facts_as_row(report.facts),
            }
            for report in changed
        ]
        connection.execute(insert(token_security).on_conflict_do_nothing(), rows)
    if scanned.outcomes:
        statement = insert(security_requests)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["token_id"],
                set_={name: statement.excluded[name] for name in ("asked_at", "vendor", "outcome")},
            ),
            [
                {"token_id": token_id, "asked_at": now, "vendor": vendor, "outcome": outcome}
                for token_id, (vendor, outcome) in sorted(scanned.outcomes.items())
            ],
        )
    return len(changed)


def facts_as_row(facts: TokenFacts) -> dict[str, bool | float | None]:
    """The facts by column; shares to a millionth, so that the last digits of a sum are no change."""
    values = {name: getattr(facts, name) for name in FACTS}
    return {name: round(value, SHARE_DIGITS) if isinstance(value, float) else value for name, value in values.items()}


def _changed(connection: sa.Connection, reports: Sequence[TokenReport]) -> list[TokenReport]:
    if not reports:
        return []
    # What is older is stored again anyway, so that only the newest partitions need to be looked at.
    since = min(report.payload.received_at for report in reports) - STORE_AGAIN_AFTER
    newest = _newest(connection, [report.token_id for report in reports], since)
    return [report for report in reports if _says_something_new(report, newest.get(report.token_id))]


def _says_something_new(report: TokenReport, stored: sa.Row[Any] | None) -> bool:
    if stored is None or report.payload.received_at - stored.observed_at >= STORE_AGAIN_AFTER:
        return True
    told = {"vendor": report.vendor, **facts_as_row(report.facts)}
    return any(getattr(stored, name) != value for name, value in told.items())


def _newest(connection: sa.Connection, token_ids: Sequence[int], since: datetime) -> dict[int, sa.Row[Any]]:
    table = token_security
    rows = connection.execute(
        sa.select(table)
        .ext(distinct_on(table.c.token_id))
        .where(table.c.observed_at >= since, table.c.token_id.in_(list(token_ids)))
        .order_by(table.c.token_id, table.c.observed_at.desc())
    )
    return {row.token_id: row for row in rows}
