"""Rounds of reading posts, and what they cost: opening and closing a pass, charging it for what was not paid for before."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.platform.day_partitions import day_bounds, utc_day
from metapulse_assets.social.budget import Budget, cost_usd
from metapulse_assets.social.post_tables import billed_reads, collection_passes
from metapulse_assets.vendors.x import VENDOR
from metapulse_assets.vendors.x_posts import Author

# What was paid for is forgotten after the day it counts for, with a day to spare.
_BILLED_KEPT = timedelta(days=2)


def begin_pass(connection: sa.Connection, now: datetime, usd_per_day: float) -> int:
    """Open a pass and return its id; one that was left open by a process that ended is closed."""
    connection.execute(
        sa.update(collection_passes)
        .where(collection_passes.c.platform == VENDOR, collection_passes.c.status == "running")
        .values(status="failed", reason="the process ended before the pass was over", finished_at=now)
    )
    connection.execute(sa.delete(billed_reads).where(billed_reads.c.day < utc_day(now - _BILLED_KEPT)))
    statement = insert(collection_passes).values(platform=VENDOR, started_at=now, status="running", budget_usd=usd_per_day)
    return int(connection.execute(statement.returning(collection_passes.c.pass_id)).scalar_one())


def finish_pass(
    connection: sa.Connection,
    pass_id: int,
    now: datetime,
    status: str,
    reason: str | None,
    requests: int = 0,
    paused_until: datetime | None = None,
) -> None:
    """Close a pass: everything that it stored was stored before."""
    connection.execute(
        sa.update(collection_passes)
        .where(collection_passes.c.pass_id == pass_id)
        .values(finished_at=now, status=status, reason=reason, requests=requests, paused_until=paused_until)
    )


def pause_in_force(connection: sa.Connection, now: datetime) -> tuple[datetime, str] | None:
    """Until when X is not to be asked, and why; None if it may be."""
    row = connection.execute(
        sa.select(collection_passes.c.paused_until, collection_passes.c.reason)
        .where(collection_passes.c.platform == VENDOR, collection_passes.c.paused_until > now)
        .order_by(collection_passes.c.paused_until.desc())
        .limit(1)
    ).one_or_none()
    return (row.paused_until, row.reason or "") if row else None


def budget_of(connection: sa.Connection, usd_per_day: float, now: datetime) -> Budget:
    """The money of this UTC day, less what its passes spent."""
    start, end = day_bounds(utc_day(now))
    spent = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(collection_passes.c.cost_usd), 0.0)).where(
            collection_passes.c.platform == VENDOR,
            collection_passes.c.started_at >= start,
            collection_passes.c.started_at < end,
        )
    ).scalar_one()
    return Budget(usd_per_day, float(spent))


def bill(
    connection: sa.Connection,
    pass_id: int,
    now: datetime,
    posts: Collection[str] = (),
    authors: Mapping[str, Author] | Collection[str] = (),
) -> float:
    """Charge the pass for what was not paid for on this UTC day; returns how much."""
    cost = cost_usd(
        posts=_newly_billed(connection, now, "post", posts), authors=_newly_billed(connection, now, "user", authors)
    )
    charge(connection, pass_id, cost)
    return cost


def count_posts(connection: sa.Connection, pass_id: int, read: int, new: int) -> None:
    """Add to what a pass read."""
    connection.execute(
        sa.update(collection_passes)
        .where(collection_passes.c.pass_id == pass_id)
        .values(posts_read=collection_passes.c.posts_read + read, posts_new=collection_passes.c.posts_new + new)
    )


def charge(connection: sa.Connection, pass_id: int, usd: float) -> None:
    """Add to what a pass cost."""
    connection.execute(
        sa.update(collection_passes)
        .where(collection_passes.c.pass_id == pass_id)
        .values(cost_usd=collection_passes.c.cost_usd + usd)
    )


def _newly_billed(connection: sa.Connection, now: datetime, resource: str, ids: Collection[str]) -> int:
    if not ids:
        return 0
    rows = [
        {"day": utc_day(now), "platform": VENDOR, "resource": resource, "resource_id": resource_id}
        for resource_id in sorted(set(ids))
    ]
    statement = insert(billed_reads).values(rows).on_conflict_do_nothing().returning(billed_reads.c.resource_id)
    return len(connection.execute(statement).all())
