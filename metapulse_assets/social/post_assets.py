"""The asset of posts: read, call, write, say what came of it. How a pass goes is in `collecting`."""

import asyncio
from collections import Counter
from datetime import date, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.platform.asset_policy import days_of_run, table_asset
from metapulse_assets.platform.day_partitions import day_bounds, utc_day
from metapulse_assets.platform.dead_letters import store_dead_letters
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import get_settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.sandbox.on_demand import sandbox_if_needed
from metapulse_assets.social import pass_store
from metapulse_assets.social.budget import usd_per_day
from metapulse_assets.social.collecting import Collected, collect
from metapulse_assets.social.post_tables import social_posts as table
from metapulse_assets.vendors.x import VENDOR

GROUP = "social"
SHOWN_ROWS = 15
SWITCHED_OFF = "switched off: TWITTER_BEARER_TOKEN is not set"
REPLAYED = "A replay works on imported files alone and asks nobody."
LEFT_ALONE = (
    "What X showed on a past day cannot be asked for again: it searches seven days back, and every read is paid for. "
    "The stored posts are what was read then, so they are left as they are."
)


@table_asset(
    table,
    group=GROUP,
    deps=["tracked_tokens", "token_metrics"],
    kinds={"x"},
    pool="x",
    asks_vendor=True,
    tick=timedelta(milliseconds=get_settings().social_data_interval),
)
def social_posts(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Read what was posted about the tracked tokens since the last pass, as far as the day's money goes."""
    days = days_of_run(context)
    if utc_day(platform.now()) not in days:
        return _result(platform, days, {"changed": 0, "why": LEFT_ALONE})
    settings = platform.settings
    if settings.mode is Mode.REPLAY:
        return _result(platform, days, {"changed": 0, "why": REPLAYED})
    token = settings.key_of(settings.twitter_bearer_token)
    with platform.engine.begin() as connection:
        pass_id = pass_store.begin_pass(connection, platform.now(), usd_per_day(settings))
    if token is None:
        with platform.engine.begin() as connection:
            pass_store.finish_pass(connection, pass_id, platform.now(), "switched_off", SWITCHED_OFF)
        return _result(platform, days, {"status": SWITCHED_OFF})
    collected, requests = _collect(platform, token, pass_id)
    with platform.engine.begin() as connection:
        now = platform.now()
        store_dead_letters(connection, collected.refused, now, context.run.run_id)
        pass_store.finish_pass(connection, pass_id, now, collected.status, collected.reason, requests, collected.paused_until)
        budget = pass_store.budget_of(connection, usd_per_day(settings), now)
    context.log.info(
        f"{collected.status}: {collected.read} posts read, {collected.new} new, {requests} requests, "
        f"{collected.cost_usd:.3f} USD" + (f"; {collected.reason}" if collected.reason else "")
    )
    return _result(
        platform,
        days,
        {
            "status": collected.status + (f": {collected.reason}" if collected.reason else ""),
            "questions": collected.questions,
            "requests": requests,
            "posts read": collected.read,
            "posts new": collected.new,
            "reactions counted again": collected.revised,
            "hourly counts": collected.counts,
            "dead letters": len(collected.refused),
            "cost of this pass USD": round(collected.cost_usd, 4),
            "spent today USD": round(budget.spent_usd, 4),
            "budget a day USD": budget.usd_per_day,
            "left for later": dg.MetadataValue.md(_lines([*collected.left, *collected.odd])),
            "reasons": dg.MetadataValue.md(_refusal_table(collected)),
        },
    )


def _collect(platform: Platform, token: str, pass_id: int) -> tuple[Collected, int]:
    """Run the pass, unless X has said that it sells no more for now; a pass that breaks off is closed as such."""
    settings = platform.settings
    with platform.engine.connect() as connection:
        pause = pass_store.pause_in_force(connection, platform.now())
    if pause is not None:
        return Collected(status="failed", reason=f"not asked before {pause[0]:%Y-%m-%d %H:%M} UTC: {pause[1]}"), 0
    try:
        with sandbox_if_needed(settings, settings.twitter_url):
            return asyncio.run(collect(platform.engine, settings, platform.clock, token, pass_id))
    except BaseException as error:
        with platform.engine.begin() as connection:
            reason = f"broke off: {type(error).__name__}"
            pass_store.finish_pass(connection, pass_id, platform.now(), "failed", reason)
        raise


def _result(platform: Platform, days: list[date], metadata: dict[str, object]) -> dg.MaterializeResult[None]:
    start, end = day_bounds(days[0], days[-1])
    with platform.engine.connect() as connection:
        within = (table.c.observed_at >= start, table.c.observed_at < end)
        rows = connection.execute(sa.select(sa.func.count()).where(*within)).scalar_one()
        newest = _newest_table(connection, start, end)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows, **metadata, "newest posts": dg.MetadataValue.md(newest)}  # type: ignore[dict-item]
    )


def _newest_table(connection: sa.Connection, start: datetime, end: datetime) -> str:
    found = connection.execute(
        sa.select(table.c.observed_at, table.c.author_name, table.c.kind, table.c.cashtags, table.c.text)
        .where(table.c.observed_at >= start, table.c.observed_at < end, table.c.platform == VENDOR)
        .order_by(table.c.observed_at.desc())
        .limit(SHOWN_ROWS)
    )
    rows = [(row.observed_at, row.author_name, row.kind, " ".join(row.cashtags), row.text) for row in found]
    return markdown_table(("posted", "author", "kind", "cashtags", "text"), rows) if rows else "none"


def _refusal_table(collected: Collected) -> str:
    counts = Counter((letter.kind, letter.reason) for letter in collected.refused)
    rows = [(kind, reason, count) for (kind, reason), count in counts.most_common(SHOWN_ROWS)]
    return markdown_table(("kind", "reason", "times"), rows) if rows else "none refused"


def _lines(entries: list[str]) -> str:
    return markdown_table(("what",), [(entry,) for entry in entries[:SHOWN_ROWS]]) if entries else "nothing"
