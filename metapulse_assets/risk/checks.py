"""Whether risk can be relied upon: what the scanners said in its ranges, nobody waiting for days, everybody assessed."""

from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.market.tables import token_metrics, tokens, tracked_tokens
from metapulse_assets.platform.progress import progress_of
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.risk.security_reports import SCANNED_CHAINS
from metapulse_assets.risk.tables import risk_assessments, security_requests, token_security

LONGEST_WAIT = timedelta(days=2)
"""A token that is tracked for longer and was not answered for so long is missed. Own choice: twice the time between asking."""
LARGEST_MISSED_SHARE = 0.2


def _nobody_waits(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Nearly every tracked token of a scanned chain was answered within two days of the newest answer."""
    asked = security_requests.c
    newest = connection.execute(sa.select(sa.func.max(asked.asked_at))).scalar()
    if newest is None:
        return Finding(True, {"tokens": 0})
    tracked = (
        sa.select(
            sa.func.count().label("tokens"),
            sa.func.count()
            .filter(sa.or_(asked.asked_at.is_(None), asked.asked_at < newest - LONGEST_WAIT, asked.outcome == "failed"))
            .label("missed"),
        )
        .select_from(tracked_tokens.join(tokens, tokens.c.token_id == tracked_tokens.c.token_id))
        .outerjoin(security_requests, asked.token_id == tracked_tokens.c.token_id)
        .where(
            tracked_tokens.c.active,
            tracked_tokens.c.tracked_since < newest - LONGEST_WAIT,
            tokens.c.chain.in_(sorted(SCANNED_CHAINS)),
        )
    )
    counts = connection.execute(tracked).one()
    return Finding(
        counts.missed <= LARGEST_MISSED_SHARE * counts.tokens,
        {"tokens": counts.tokens, "without an answer for two days": counts.missed},
    )


def _never_before_the_answer(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No report could be used before it was here."""
    t = token_security.c
    in_span = sa.and_(t.observed_at >= start, t.observed_at < end)
    counts = connection.execute(
        sa.select(
            sa.func.count().label("rows"),
            sa.func.count().filter(sa.or_(t.available_at < t.recorded_at, t.available_at < t.observed_at)).label("early"),
        ).where(in_span)
    ).one()
    return Finding(counts.early == 0, {"rows": counts.rows, "usable before they were here": counts.early})


def _everybody_assessed(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each token with a snapshot in a day has an assessment of that day."""
    m, r = token_metrics.c, risk_assessments.c
    done = progress_of(connection, "risk_assessments")
    if done is None:
        return Finding(True, {"tokens": 0})
    seen = (
        sa.select(m.token_id, sa.func.date_trunc("day", m.observed_at, "UTC").label("day"))
        .distinct()
        .where(m.observed_at >= start, m.observed_at < min(end, done))
        .subquery()
    )
    assessed = sa.exists().where(
        r.token_id == seen.c.token_id, r.observed_at >= seen.c.day, r.observed_at < seen.c.day + timedelta(days=1)
    )
    total = connection.execute(sa.select(sa.func.count()).select_from(seen)).scalar_one()
    missing = connection.execute(sa.select(sa.func.count()).select_from(seen).where(sa.not_(assessed))).scalar_one()
    return Finding(missing == 0, {"tokens": total, "not assessed": missing})


def risk_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this domain."""
    return [
        checks_of(
            token_security,
            [
                values_check(token_security, "observed_at"),
                TableCheck("never_before_the_answer", "No report could be used before it was here.", _never_before_the_answer),
                TableCheck(
                    "nobody_waits",
                    "Nearly every tracked token of a scanned chain was answered within two days.",
                    _nobody_waits,
                    blocking=False,
                ),
            ],
        ),
        checks_of(
            risk_assessments,
            [
                values_check(risk_assessments, "observed_at"),
                TableCheck("everybody_assessed", "Each token seen in a day is assessed that day.", _everybody_assessed),
            ],
        ),
    ]
