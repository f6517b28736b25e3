"""The market's assets: read, call, write, say what came of it. What is computed lies in this folder's plain modules."""

import asyncio
from collections import Counter
from datetime import date

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from metapulse_assets.market import candle_store, history, tables, token_store, trade_candle_store
from metapulse_assets.market.collection import Collected, collect
from metapulse_assets.market.discovery import TokenKey
from metapulse_assets.market.snapshots import Snapshot, metric_columns
from metapulse_assets.market.stream.followed import recent_migrations
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.market.tracking import Discovered, decide, find_candidates
from metapulse_assets.platform.asset_policy import days_of_run, days_to_recompute, is_tick, table_asset
from metapulse_assets.platform.bulk import write_columns
from metapulse_assets.platform.day_partitions import day_bounds, ensure_days, utc_day
from metapulse_assets.platform.dead_letters import store_dead_letters
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.raw_payloads import store_payloads
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.sandbox.on_demand import sandbox_if_needed
from metapulse_assets.vendors.dexscreener import DexScreener
from metapulse_assets.vendors.geckoterminal import GeckoTerminal

GROUP = "market"
SHOWN_ROWS = 15


class TokenMetricsConfig(dg.Config):
    """Which tokens a run asks for."""

    token_addresses: list[str] = Field(
        default=[], description="Ask only for these tracked tokens, each as chain:address. Empty: all of them."
    )

    def keys(self) -> list[TokenKey] | None:
        """The tokens as (chain, address), None for all."""
        if not self.token_addresses:
            return None
        parts = [entry.partition(":") for entry in self.token_addresses]
        wrong = [entry for entry, (_, colon, _) in zip(self.token_addresses, parts, strict=True) if not colon]
        if wrong:
            raise dg.Failure(f"token_addresses: {wrong[0]!r} is not of the form chain:address", allow_retries=False)
        return [(chain, address) for chain, _, address in parts]


@table_asset(
    tables.tracked_tokens,
    group=GROUP,
    deps=["token_migrations"],
    kinds={"dexscreener", "geckoterminal"},
    pool="dexscreener",
    asks_vendor=True,
    partitioned=False,
)
def tracked_tokens(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Ask the vendors' lists who is of interest, and decide whom the next tick asks for."""
    settings = platform.settings
    with platform.engine.connect() as connection:
        known = {token.key for token in token_store.active_tokens(connection, platform.now())}
        migrated = recent_migrations(connection, platform.now())

    async def ask() -> Discovered:
        async with (
            DexScreener(settings, platform.engine, platform.clock) as dexscreener,
            GeckoTerminal(settings, platform.engine, platform.clock) as geckoterminal,
        ):
            return await find_candidates(dexscreener, geckoterminal, settings, known, migrated)

    with sandbox_if_needed(settings, settings.dexscreener_url, settings.geckoterminal_url):
        found = asyncio.run(ask())
    now = platform.now()
    with platform.engine.begin() as connection:
        store_payloads(connection, found.payloads)
        store_dead_letters(connection, found.refused, now, context.run.run_id)
        decide(connection, found, settings, now)
        tracked = connection.execute(sa.select(sa.func.count()).where(tables.tracked_tokens.c.active)).scalar_one()
    if not tracked:
        raise dg.Failure(
            f"no token is tracked: {len(found.candidates)} candidates, {len(found.refused)} refusals (see dead_letters)"
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": tracked,
            "candidates": len(found.candidates),
            "admitted": found.admitted,
            "let go": len(found.let_go),
            "dead letters": len(found.refused),
            "verdicts": dg.MetadataValue.md(_verdict_table(found)),
        }
    )


@table_asset(
    tables.token_metrics, group=GROUP, deps=["tracked_tokens"], kinds={"dexscreener"}, pool="dexscreener", asks_vendor=True
)
def token_metrics(
    context: dg.AssetExecutionContext, config: TokenMetricsConfig, platform: dg.ResourceParam[Platform]
) -> dg.MaterializeResult[None]:
    """Ask for each tracked token's pool now. A past day's market cannot be asked for again: its rows are left alone."""
    today = utc_day(platform.now())
    past = [day for day in days_of_run(context) if day < today]
    if today not in days_of_run(context):
        return _kept(platform, past)
    wanted = config.keys()
    with platform.engine.connect() as connection:
        tracked = token_store.active_tokens(connection, platform.now(), wanted)
    if wanted is not None and (unknown := token_store.keys_without(tracked, wanted)):
        raise dg.Failure(f"token_addresses: not tracked: {', '.join(map(':'.join, unknown))}", allow_retries=False)

    async def ask() -> Collected:
        async with DexScreener(platform.settings, platform.engine, platform.clock) as dexscreener:
            return await collect(dexscreener, tracked)

    with sandbox_if_needed(platform.settings, platform.settings.dexscreener_url):
        collected = asyncio.run(ask())
    stored = _store_collected(platform, collected, tracked, context.run.run_id)
    unanswered = collected.without_answer(tracked)
    context.log.info(
        f"{stored} of {collected.asked} tokens stored, {len(collected.refused)} refused, {collected.requests} requests"
    )
    if tracked and not collected.chosen:
        raise dg.Failure(
            f"none of {collected.asked} tokens was answered; first reason: "
            + (collected.refused[0].reason if collected.refused else "the vendor answered for none")
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": stored,
            "asked": collected.asked,
            "stored": stored,
            "without a usable answer": len(unanswered),
            "dead letters": len(collected.refused),
            "requests": collected.requests,
            "reasons": dg.MetadataValue.md(_refusal_table(collected)),
            "largest by volume": dg.MetadataValue.md(_metrics_table(collected)),
        }
    )


class CandlesConfig(dg.Config):
    """How much a run may ask for."""

    history_requests: int | None = Field(
        default=None, description="Requests for candle history this run may make. Empty: as the settings say."
    )


@table_asset(
    tables.candles,
    group=GROUP,
    deps=["token_metrics", "token_trades", "token_launches"],
    kinds={"geckoterminal"},
    pool="geckoterminal",
    asks_vendor=True,
)
def candles(
    context: dg.AssetExecutionContext, config: CandlesConfig, platform: dg.ResourceParam[Platform]
) -> dg.MaterializeResult[None]:
    """Make candles of trades and snapshots, roll them up, and ask a vendor for the history of tokens that have none."""
    budget = platform.settings.history_budget if config.history_requests is None else config.history_requests
    with platform.engine.begin() as connection:
        now = platform.now()
        tokens = token_store.active_tokens(connection, now)
        if is_tick(context, platform):
            requests, later = history.plan_requests(connection, tokens, now, budget)
        else:
            requests, later = history.plan_past_days(connection, tokens, days_to_recompute(context, platform), now, budget)

    def report(done: int, total: int) -> None:
        if done == total or done % max(total // 10, 1) == 0:
            context.log.info(f"candle history: {done} of {total} requests")

    async def ask() -> history.Imported:
        async with GeckoTerminal(platform.settings, platform.engine, platform.clock) as geckoterminal:
            return await history.fetch_and_store(platform.engine, geckoterminal, requests, platform.now, report)

    imported = history.Imported()
    if requests:
        with sandbox_if_needed(platform.settings, platform.settings.geckoterminal_url):
            imported = asyncio.run(ask())
    counts: dict[str, int] = {}
    with platform.engine.begin() as connection:
        now = platform.now()
        store_dead_letters(connection, imported.refused, now, context.run.run_id)
        if is_tick(context, platform):
            # Before the snapshots: who is there first stays, and trades say more.
            counts["5m from trades"] = trade_candle_store.build_from_trades(connection, now)
            counts["5m from snapshots"] = candle_store.build_from_snapshots(connection, now)
            for name in ("1h", "1d"):
                counts[f"{name} rolled up"] = candle_store.roll_up_closed(connection, TIMEFRAMES[name], now)
        for day in days_to_recompute(context, platform):
            for name in ("1h", "1d"):
                rolled = candle_store.roll_up_again(connection, TIMEFRAMES[name], day, now)
                counts[f"{name} rolled up"] = counts.get(f"{name} rolled up", 0) + rolled
        rows = _count_of_days(connection, tables.candles, "opened_at", days_of_run(context))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "history requests": imported.requests,
            "history candles": imported.candles,
            "history requests left for later": later + imported.left_for_later,
            "dead letters": len(imported.refused),
            **counts,
        }
    )


def _store_collected(platform: Platform, collected: Collected, tracked: list[TrackedToken], run_id: str) -> int:
    ids = {token.key: token.token_id for token in tracked}
    with platform.engine.begin() as connection:
        now = platform.now()
        payload_ids = store_payloads(connection, collected.payloads)
        store_dead_letters(connection, collected.refused, now, run_id)
        pairs = [(ids[key], pair) for key, (pair, _) in collected.chosen.items()]
        pool_ids = token_store.upsert_pools(connection, pairs, now)
        snapshots = [
            Snapshot(ids[key], pool_ids[token_store.pool_key(pair)], payload_ids[payload.sha256], payload.received_at, pair)
            for key, (pair, payload) in collected.chosen.items()
        ]
        ensure_days(connection, tables.token_metrics.name, {utc_day(s.observed_at) for s in snapshots})
        return write_columns(connection, tables.token_metrics, metric_columns(snapshots, now), conflict="keep")


def _kept(platform: Platform, days: list[date]) -> dg.MaterializeResult[None]:
    with platform.engine.connect() as connection:
        rows = _count_of_days(connection, tables.token_metrics, "observed_at", days)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "changed": 0,
            "why": "The market of a past day cannot be asked for again. The stored snapshots are what was seen then, "
            "so they are left as they are.",
        }
    )


def _count_of_days(connection: sa.Connection, table: sa.Table, time_column: str, days: list[date]) -> int:
    start, end = day_bounds(days[0], days[-1])
    when = table.c[time_column]
    return connection.execute(sa.select(sa.func.count()).where(when >= start, when < end)).scalar_one()


def _verdict_table(found: Discovered) -> str:
    rows = [
        (key[0], found.pools[key].base.symbol if key in found.pools else None, "yes" if v.passes else "no", v.reason)
        for key, v in sorted(found.verdicts.items(), key=lambda item: not item[1].passes)
    ]
    return markdown_table(("chain", "symbol", "admitted", "reason"), rows[: 2 * SHOWN_ROWS])


def _refusal_table(collected: Collected) -> str:
    counts = Counter((letter.kind, letter.reason.split(": ", 1)[-1]) for letter in collected.refused)
    rows = [(kind, reason, count) for (kind, reason), count in counts.most_common(SHOWN_ROWS)]
    return markdown_table(("kind", "reason", "times"), rows) if rows else "none refused"


def _metrics_table(collected: Collected) -> str:
    pairs = sorted((pair for pair, _ in collected.chosen.values()), key=lambda pair: -(pair.volume.h24 or 0.0))
    rows = [
        (p.chain, p.base.symbol, p.dex, p.price_usd, p.volume.h24, p.liquidity_usd, p.price_change.h24)
        for p in pairs[:SHOWN_ROWS]
    ]
    return markdown_table(("chain", "symbol", "dex", "price USD", "volume 24 h", "liquidity", "change 24 h %"), rows)
