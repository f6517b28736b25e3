"""The assets of the language models: questions, answers, how each model is read, and the analyses. Ticks ask; the past is only
made anew from what is stored, which costs nothing."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any, cast

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.intelligence import calibration_store, market_state, store, tables
from metapulse_assets.intelligence.analyses import PROVIDERS
from metapulse_assets.intelligence.asking import Answered, Asked, Asker, Outlook, with_place
from metapulse_assets.intelligence.budget import Budget
from metapulse_assets.intelligence.requests import plan
from metapulse_assets.market.token_store import active_tokens
from metapulse_assets.platform.asset_policy import days_of_run, days_to_recompute, is_tick, span_of_run, table_asset
from metapulse_assets.platform.day_partitions import day_bounds, utc_day
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.raw_payloads import store_payloads
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings, get_settings
from metapulse_assets.sandbox.on_demand import sandbox_if_needed
from metapulse_assets.vendors import gemini, groq
from metapulse_assets.vendors.gemini import Gemini
from metapulse_assets.vendors.groq import Groq

GROUP = "intelligence"
MARK = "ai_requests"
SHOWN_ROWS = 25
TICK = timedelta(milliseconds=get_settings().ai_analysis_interval)
# A question is answered within a day, if only by the reason why it was never asked: a tick looks at all of that time again.
LOOK_BACK = 2 * store.ANSWER_DELAY
_LONGEST_GAP = timedelta(hours=1)
"""Rules that fired before a longer pause are no news. Own choice."""


@table_asset(
    tables.ai_requests,
    group=GROUP,
    deps=["technical_analyses", "technical_signals", "social_metrics", "token_metrics", "risk_assessments"],
    tick=TICK,
)
def ai_requests(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Choose the tokens to which something happened, and write down what is asked about them. Past days stay as they are."""
    rows: list[dict[str, Any]] = []
    seen = 0
    if is_tick(context, platform):
        with platform.engine.begin() as connection:
            now = platform.now()
            since = max(progress_of(connection, MARK) or now - TICK, now - _LONGEST_GAP)
            tokens = [token.token_id for token in active_tokens(connection, now)]
            states = market_state.read_states(connection, tokens, now, since)
            seen = len(states)
            rows = plan(
                states,
                now,
                platform.settings.ai_tokens_per_run,
                lambda token_id: market_state.read_posts(connection, token_id, now),
            )
            store.store_requests(connection, rows, now, context.run.run_id)
            set_progress(connection, MARK, now)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": _count(platform, context, tables.ai_requests, "as_of"),
            "asked in this run": len(rows),
            "tokens looked at": seen,
            "most tokens a run": platform.settings.ai_tokens_per_run,
            "questions": dg.MetadataValue.md(
                markdown_table(
                    ("kind", "token", "trigger", "horizon s"),
                    [(row["kind"], row["token_id"], ", ".join(row["trigger"]), row["horizon_seconds"]) for row in rows],
                )
            ),
            **_only_ticks_ask(context, platform),
        }
    )


@table_asset(
    tables.ai_answers,
    group=GROUP,
    deps=["ai_requests"],
    kinds={"groq", "gemini"},
    pool="language_models",
    asks_vendor=True,
    tick=TICK,
)
def ai_answers(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Ask both models what has not been answered; each answer is stored as soon as it is there. Past days stay as they are."""
    answered = 0
    if is_tick(context, platform):
        with platform.engine.connect() as connection:
            waiting = store.unanswered(connection, platform.now())
        if waiting:
            with sandbox_if_needed(platform.settings, platform.settings.groq_url, platform.settings.gemini_url):
                answered = asyncio.run(_ask(platform, waiting))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": _count(platform, context, tables.ai_answers, "recorded_at"),
            "stored in this run": answered,
            **_costs(platform, context),
            **_only_ticks_ask(context, platform),
        }
    )


@table_asset(
    tables.ai_model_calibration, group=GROUP, deps=["ai_answers", "candles", "token_metrics"], kinds={"numpy"}, tick=TICK
)
def ai_model_calibration(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Fit how each model's probabilities are read, of what was known at the start of each day."""
    changed = 0
    with platform.engine.begin() as connection:
        if is_tick(context, platform):
            changed += calibration_store.calibrate_missing(connection, utc_day(platform.now()))
        for day in days_to_recompute(context, platform):
            changed += calibration_store.calibrate_again(connection, day)
        c = tables.ai_model_calibration.c
        shown = connection.execute(
            sa.select(c.day, c.provider, c.model, c.horizon_seconds, c.n, c.hits, c.slope, c.intercept, c.brier, c.base_brier)
            .where(c.day.in_(days_of_run(context)))
            .order_by(c.day.desc(), c.horizon_seconds, c.provider, c.model)
        ).all()
    headers = ("day", "provider", "model", "horizon s", "n", "hits", "slope", "intercept", "Brier", "Brier of the base rate")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(shown),
            "changed in this run": changed,
            "calibrations": dg.MetadataValue.md(markdown_table(headers, shown[:SHOWN_ROWS])),
        }
    )


@table_asset(tables.ai_analyses, group=GROUP, deps=["ai_answers", "ai_model_calibration"], tick=TICK)
def ai_analyses(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Say what the models together say: lately asked questions at a tick, whole days again in a backfill."""
    changed = 0
    with platform.engine.begin() as connection:
        if is_tick(context, platform):
            now = platform.now()
            changed += store.derive(connection, now - LOOK_BACK, now + timedelta(microseconds=1))
        for day in days_to_recompute(context, platform):
            changed += store.derive(connection, *day_bounds(day))
        start, end = span_of_run(context)
        a = tables.ai_analyses.c
        within = (a.as_of >= start, a.as_of < end)
        by_status = connection.execute(
            sa.select(a.kind, a.status, sa.func.count().label("analyses"))
            .where(*within)
            .group_by(a.kind, a.status)
            .order_by(a.kind, a.status)
        ).all()
        newest = connection.execute(
            sa.select(a.as_of, a.kind, a.token_id, a.status, a.direction, a.probability_up, a.disagreement, a.reason)
            .where(*within)
            .order_by(a.as_of.desc(), a.kind, a.token_id)
            .limit(SHOWN_ROWS)
        ).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(row.analyses for row in by_status),
            "changed in this run": changed,
            "mode": platform.settings.mode.value,
            "by status": dg.MetadataValue.md(markdown_table(("kind", "status", "analyses"), by_status)),
            "newest": dg.MetadataValue.md(
                markdown_table(
                    ("as of", "kind", "token", "status", "direction", "probability up", "disagreement", "reason"), newest
                )
            ),
            **_costs(platform, context),
        }
    )


async def _ask(platform: Platform, waiting: Sequence[tuple[sa.Row[Any], list[str]]]) -> int:
    settings, engine, clock = platform.settings, platform.engine, platform.clock
    stored = 0

    def earlier(provider: str, asked: Asked) -> store.Earlier | None:
        with engine.connect() as connection:
            return store.earlier_answer(connection, provider, asked.kind, asked.token_id, clock())

    def keep(answered: Answered) -> None:
        nonlocal stored
        with engine.begin() as connection:
            ids = store_payloads(connection, answered.payloads)
            payload_id = ids[answered.payloads[-1].sha256] if answered.payloads else None
            store.store_answer(connection, with_place(answered, clock(), payload_id))
        stored += 1

    with engine.connect() as connection:
        budget = Budget(settings.ai_budget_usd_per_day, store.spent_on(connection, utc_day(clock())))
        refused = {provider: store.refused_until(connection, provider, clock()) for provider in PROVIDERS}
    async with AsyncExitStack() as open_models:
        outlooks = {}
        for provider, off in off_reasons(settings).items():
            model = None
            if off is None:
                client = Groq if provider == groq.VENDOR else Gemini
                model = await open_models.enter_async_context(cast(Any, client)(settings, engine, clock))
            asked_model = settings.groq_model if provider == groq.VENDOR else settings.gemini_model
            outlooks[provider] = Outlook(provider, asked_model, model, off, refused[provider])
        jobs = [(_asked(row), outlooks[provider]) for row, missing in waiting for provider in missing]
        await Asker(budget, earlier, keep, clock).ask_all(jobs)
    return stored


def off_reasons(settings: Settings) -> dict[str, str | None]:
    """Why each provider cannot be asked; None for one that can."""
    return {groq.VENDOR: groq.off_reason(settings), gemini.VENDOR: gemini.off_reason(settings)}


def _asked(row: sa.Row[Any]) -> Asked:
    names = ("request_id", "as_of", "kind", "token_id", "snapshot", "snapshot_hash", "prompt_hash", "question_swapped")
    return Asked(**{name: row._mapping[name] for name in names})


def _costs(platform: Platform, context: dg.AssetExecutionContext) -> dict[str, Any]:
    """Money of today beside the budget, and what each model did in the days of the run."""
    start, end = span_of_run(context)
    a = tables.ai_answers.c
    with platform.engine.connect() as connection:
        spent = store.spent_on(connection, utc_day(platform.now()))
        rows = connection.execute(
            sa.select(
                *(a.provider, a.model, a.status, sa.func.count().label("answers"), sa.func.count(a.reused_from)),
                *(sa.func.sum(a.tokens_in), sa.func.sum(a.tokens_out), sa.func.sum(a.cost_usd)),
                sa.func.percentile_cont(0.5).within_group(a.latency_ms),
                sa.func.bool_and(a.cost_known),
            )
            .where(a.recorded_at >= start, a.recorded_at < end)
            .group_by(a.provider, a.model, a.status)
            .order_by(a.provider, a.model, a.status)
        ).all()
    headers = (
        *("provider", "model", "status", "answers", "reused", "tokens in", "tokens out", "cost USD"),
        *("median ms", "price known"),
    )
    reasons = [row._asdict() for row in _reasons(platform, start, end)]
    off = {name: reason for name, reason in off_reasons(platform.settings).items() if reason}
    return {
        "cost today, USD": round(spent, 6),
        "budget a day, USD": platform.settings.ai_budget_usd_per_day,
        "models": dg.MetadataValue.md(markdown_table(headers, rows)),
        **({"reasons": dg.MetadataValue.json(reasons)} if reasons else {}),
        **({"switched off": ", ".join(f"{name}: {reason}" for name, reason in off.items())} if off else {}),
    }


def _reasons(platform: Platform, start: datetime, end: datetime) -> Sequence[sa.Row[Any]]:
    """Why there were no answers, in full, the most frequent first."""
    a = tables.ai_answers.c
    with platform.engine.connect() as connection:
        return connection.execute(
            sa.select(*(a.provider, a.status, a.reason, sa.func.count().label("answers")))
            .where(a.recorded_at >= start, a.recorded_at < end, a.reason.is_not(None))
            .group_by(a.provider, a.status, a.reason)
            .order_by(sa.desc("answers"), a.provider, a.status, a.reason)
            .limit(SHOWN_ROWS)
        ).all()


def _only_ticks_ask(context: dg.AssetExecutionContext, platform: Platform) -> dict[str, str]:
    if is_tick(context, platform):
        return {}
    return {
        "why": "Only ticks ask: a model asked today about a past day knows what came after. "
        "The stored questions and answers are left as they are."
    }


def _count(platform: Platform, context: dg.AssetExecutionContext, table: sa.Table, time_column: str) -> int:
    start, end = span_of_run(context)
    when = table.c[time_column]
    with platform.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).where(when >= start, when < end)).scalar_one()
