"""The assets of risk: what security scanners say of tokens that are due, and each token's risk as its snapshots show it."""

import asyncio
from collections import Counter
from datetime import date, datetime

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from metapulse_assets.platform.asset_policy import days_of_run, days_to_recompute, is_tick, span_of_run, table_asset
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.platform.dead_letters import store_dead_letters
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.raw_payloads import store_payloads
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.risk import assessing, security_store, tables
from metapulse_assets.risk.security_reports import Budget, DueToken, Scanned, scan
from metapulse_assets.sandbox.on_demand import sandbox_if_needed
from metapulse_assets.vendors.goplus import GoPlus
from metapulse_assets.vendors.rugcheck import RugCheck

GROUP = "risk"
COUNTED = ("rugged", "honeypot", "mint_authority", "freeze_authority", "owner_can_change", "trusted")
PAST = (
    "What a scanner said on a past day cannot be asked for again. The stored reports are what was known then, so they are "
    "left as they are."
)


@table_asset(
    tables.token_security,
    group=GROUP,
    deps=["tracked_tokens", "technical_signals"],
    kinds={"rugcheck", "goplus"},
    pool="security",
    asks_vendor=True,
)
def token_security(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Ask scanners about tokens that are due, as many as a minute's limit allows. One that is down costs only its answers."""
    days = days_of_run(context)
    if not is_tick(context, platform):
        with platform.engine.connect() as connection:
            return dg.MaterializeResult(metadata={"dagster/row_count": _count(connection, days), "changed": 0, "why": PAST})
    with platform.engine.connect() as connection:
        due = security_store.due_tokens(connection, platform.now())
    scanned = _ask(platform, due)
    with platform.engine.begin() as connection:
        now = platform.now()
        payload_ids = store_payloads(connection, scanned.payloads)
        store_dead_letters(connection, scanned.refused, now, context.run.run_id)
        stored = security_store.store_scanned(connection, scanned, payload_ids, now)
        rows = _count(connection, days)
        known = _known(connection, now - assessing.REPORT_MAX_AGE)
    outcomes = Counter(scanned.outcomes.values())
    if scanned.refused:
        context.log.warning(f"{len(scanned.refused)} refusals, the first: {scanned.refused[0].reason}")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "stored in this run": stored,
            "due": len(due),
            "asked": len(scanned.outcomes),
            "left for later": len(due) - len(scanned.outcomes),
            "dead letters": len(scanned.refused),
            "outcomes": dg.MetadataValue.md(
                markdown_table(("scanner", "outcome", "tokens"), [(*key, count) for key, count in sorted(outcomes.items())])
            ),
            "calls": dg.MetadataValue.md(markdown_table(("scanner", "calls"), sorted(scanned.calls.items()))),
            "newest reports": dg.MetadataValue.md(markdown_table(("fact", "yes", "no", "unknown"), known)),
        }
    )


@table_asset(tables.risk_assessments, group=GROUP, deps=["token_metrics", "token_security"], kinds={"numpy"})
def risk_assessments(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Assess each token's risk from its snapshots; a row only where it changed."""
    stored = 0
    with platform.engine.begin() as connection:
        if is_tick(context, platform):
            stored += assessing.assess_new(connection, platform.now())
        for day in days_to_recompute(context, platform):
            stored += assessing.assess_again(connection, day)
        start, end = span_of_run(context)
        table = tables.risk_assessments
        newest = connection.execute(
            sa.select(table.c.level, table.c.hard_fail)
            .ext(distinct_on(table.c.token_id))
            .where(table.c.observed_at >= start, table.c.observed_at < end)
            .order_by(table.c.token_id, table.c.observed_at.desc())
        ).all()
        rows = connection.execute(
            sa.select(sa.func.count()).where(table.c.observed_at >= start, table.c.observed_at < end)
        ).scalar_one()
    levels = Counter((row.level, row.hard_fail) for row in newest)
    shown = [(level, fail, count) for (level, fail), count in levels.most_common()]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "stored in this run": stored,
            "tokens by newest level": dg.MetadataValue.md(markdown_table(("level", "hard fail", "tokens"), shown)),
        }
    )


def _ask(platform: Platform, due: list[DueToken]) -> Scanned:
    settings = platform.settings
    if not due:
        return Scanned()

    async def ask() -> Scanned:
        async with (
            RugCheck(settings, platform.engine, platform.clock) as rugcheck,
            GoPlus(settings, platform.engine, platform.clock) as goplus,
        ):
            return await scan(rugcheck, goplus, due, Budget(settings.rugcheck_rate_limit, settings.goplus_rate_limit))

    with sandbox_if_needed(settings, settings.rugcheck_url, settings.goplus_url):
        return asyncio.run(ask())


def _count(connection: sa.Connection, days: list[date]) -> int:
    start, end = day_bounds(days[0], days[-1])
    when = tables.token_security.c.observed_at
    return connection.execute(sa.select(sa.func.count()).where(when >= start, when < end)).scalar_one()


def _known(connection: sa.Connection, since: datetime) -> list[tuple[str, int, int, int]]:
    """For each yes-or-no fact, how many tokens' newest reports since then say yes, no, and nothing."""
    table = tables.token_security
    newest = (
        sa.select(*(table.c[name] for name in COUNTED))
        .ext(distinct_on(table.c.token_id))
        .where(table.c.observed_at >= since)
        .order_by(table.c.token_id, table.c.observed_at.desc())
    )
    rows = connection.execute(newest).all()
    counts = {name: Counter(getattr(row, name) for row in rows) for name in COUNTED}
    return [(name, count[True], count[False], count[None]) for name, count in counts.items()]
