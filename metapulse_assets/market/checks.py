"""Whether the market's tables are whole: every number in its range, every token accounted for, no candle missing."""

from datetime import datetime, timedelta

import dagster as dg
import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.market.candle_building import CLOSE_GRACE
from metapulse_assets.market.candle_store import made_until_mark
from metapulse_assets.market.tables import candles, token_metrics, tracked_tokens
from metapulse_assets.platform.progress import progress_of
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check

FIVE_MINUTES = timedelta(minutes=5)
# A token is missing when it was not seen for three ticks though it is asked for at each.
UNSEEN_TICKS = 3
LARGEST_UNSEEN_SHARE = 0.2


def _tracked_tokens_within_capacity(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    active = connection.execute(sa.select(sa.func.count()).where(tracked_tokens.c.active)).scalar_one()
    nameless = connection.execute(
        sa.select(sa.func.count()).where(tracked_tokens.c.active, sa.func.cardinality(tracked_tokens.c.sources) == 0)
    ).scalar_one()
    return Finding(active > 0 and nameless == 0, {"active": active, "without a source": nameless})


def _every_token_seen(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    newest = connection.execute(
        sa.select(sa.func.max(token_metrics.c.observed_at)).where(
            token_metrics.c.observed_at >= start, token_metrics.c.observed_at < end
        )
    ).scalar()
    if newest is None:
        return Finding(True, {"snapshots": 0})
    since = max(newest - UNSEEN_TICKS * FIVE_MINUTES, start)
    seen = sa.select(token_metrics.c.token_id).where(
        token_metrics.c.observed_at >= since, token_metrics.c.observed_at <= newest
    )
    tracked = sa.select(sa.func.count()).where(tracked_tokens.c.active, tracked_tokens.c.tracked_since <= newest)
    total = connection.execute(tracked).scalar_one()
    unseen = connection.execute(tracked.where(tracked_tokens.c.token_id.not_in(seen))).scalar_one()
    return Finding(
        unseen <= LARGEST_UNSEEN_SHARE * total,
        {"tracked": total, "not seen for three ticks": unseen},
    )


def _candles_complete(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each closed five minutes whose last snapshot counted a trade has its candle."""
    grace = timedelta(seconds=int(CLOSE_GRACE / np.timedelta64(1, "s")))
    made_until = progress_of(connection, made_until_mark("5m"))
    if made_until is None:
        return Finding(True, {"expected": 0})
    m = token_metrics.c
    slot = sa.func.date_bin(FIVE_MINUTES, m.observed_at - grace, start).label("opened_at")
    last = (
        sa.select(m.token_id, slot, sa.func.greatest(m.buys_m5, m.sells_m5).label("trades"))
        .ext(distinct_on(m.token_id, slot))
        .where(m.observed_at >= start + grace, m.observed_at < min(end, made_until) + grace)
        .order_by(m.token_id, slot, m.observed_at.desc())
        .subquery()
    )
    expected = sa.select(last.c.token_id, last.c.opened_at).where(last.c.trades > 0).subquery()
    present = sa.and_(
        candles.c.timeframe == "5m",
        candles.c.token_id == expected.c.token_id,
        candles.c.opened_at == expected.c.opened_at,
    )
    counts = connection.execute(
        sa.select(
            sa.func.count().label("expected"),
            sa.func.count().filter(candles.c.token_id.is_(None)).label("missing"),
        ).select_from(expected.outerjoin(candles, present))
    ).one()
    return Finding(counts.missing == 0, {"expected": counts.expected, "missing": counts.missing})


def market_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this domain."""
    return [
        checks_of(
            tracked_tokens,
            [
                TableCheck(
                    "not_empty",
                    "Somebody is tracked, and of everybody it is known who named them.",
                    _tracked_tokens_within_capacity,
                )
            ],
            partitioned=False,
        ),
        checks_of(
            token_metrics,
            [
                values_check(token_metrics, "observed_at"),
                TableCheck(
                    "every_token_seen",
                    "Nearly every tracked token was seen within the last three ticks.",
                    _every_token_seen,
                    blocking=False,
                ),
            ],
        ),
        checks_of(
            candles,
            [
                values_check(candles, "opened_at"),
                TableCheck(
                    "complete", "Each closed five minutes in which a trade was counted has its candle.", _candles_complete
                ),
            ],
        ),
    ]
