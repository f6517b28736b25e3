"""Whether the tables of posts are whole: values, the day's money, cursors that lose nothing, and how the last pass ended."""

from datetime import datetime
from itertools import pairwise

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.social.post_store import load_cursors
from metapulse_assets.social.post_tables import collection_passes, post_engagement, social_posts
from metapulse_assets.social.query_cursors import Cursor
from metapulse_assets.vendors.x import VENDOR
from metapulse_assets.vendors.x_posts import FUTURE_TOLERANCE

_ROUNDING_USD = 1e-6


def _no_post_from_the_future(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Clocks differ; a post that was stored long before it was written was not read right."""
    p = social_posts.c
    within = (p.observed_at >= start, p.observed_at < end)
    rows = connection.execute(sa.select(sa.func.count()).where(*within)).scalar_one()
    early = connection.execute(
        sa.select(sa.func.count()).where(*within, p.recorded_at < p.observed_at - FUTURE_TOLERANCE)
    ).scalar_one()
    usable_early = connection.execute(sa.select(sa.func.count()).where(*within, p.available_at > p.recorded_at)).scalar_one()
    return Finding(
        early == 0 and usable_early == 0,
        {"posts": rows, "stored before they were written": early, "usable only after they were stored": usable_early},
    )


def _engagement_values(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    return values_check(post_engagement, "recorded_at").look(connection, start, end)


def _budget_kept(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    c = collection_passes.c
    day = sa.func.date_trunc("day", c.started_at, "UTC")
    days = connection.execute(
        sa.select(sa.func.sum(c.cost_usd).label("spent"), sa.func.max(c.budget_usd).label("budget"))
        .where(c.platform == VENDOR, c.started_at >= start, c.started_at < end)
        .group_by(day)
    ).all()
    over = [row for row in days if row.spent > row.budget + _ROUNDING_USD]
    most = max((row.spent for row in days), default=0.0)
    return Finding(not over, {"days": len(days), "over their budget": len(over), "most spent on a day USD": round(most, 4)})


def cursor_faults(cursor: Cursor) -> list[str]:
    """What is wrong with a cursor; nothing, if no post can have been lost."""
    faults = []
    bounds = [(int(gap.above), int(gap.below)) for gap in cursor.gaps]
    if any(above >= below for above, below in bounds):
        faults.append("a gap ends before it begins")
    if any(newer_above < older_below for (newer_above, _), (_, older_below) in pairwise(bounds)):
        faults.append("gaps overlap or are out of order")
    if bounds and (cursor.newest_id is None or max(below for _, below in bounds) > int(cursor.newest_id)):
        faults.append("a gap lies above the newest post")
    return faults


def _cursors_sane(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    cursors = load_cursors(connection)
    faults = {cursor.key: found for cursor in cursors if (found := cursor_faults(cursor))}
    return Finding(
        not faults, {"questions": len(cursors), "gaps": sum(len(cursor.gaps) for cursor in cursors), "faults": faults}
    )


def _last_pass(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    c = collection_passes.c
    row = connection.execute(
        sa.select(c.status, c.reason, c.finished_at)
        .where(c.platform == VENDOR, c.finished_at.is_not(None), c.finished_at < end)
        .order_by(c.finished_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return Finding(True, {"status": "no pass yet"})
    return Finding(row.status != "failed", {"status": row.status, "reason": row.reason or "", "finished": str(row.finished_at)})


def post_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of posts and of collecting them."""
    return [
        checks_of(
            social_posts,
            [
                TableCheck(
                    "times", "No post was stored before it was written, or used before it was stored.", _no_post_from_the_future
                ),
                TableCheck("engagement_values", "Every number of post_engagement lies where it may.", _engagement_values),
                TableCheck("budget_kept", "No UTC day cost more than its budget.", _budget_kept, blocking=False),
                TableCheck("cursors_sane", "Each question knows what it has not read yet.", _cursors_sane, blocking=False),
                TableCheck("last_pass", "The last pass of collecting did not fail.", _last_pass, blocking=False),
            ],
        )
    ]
