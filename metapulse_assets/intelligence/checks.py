"""Whether questions, answers and analyses can be relied upon: ranges, the budget, nothing unanswered, no foreign text."""

from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.intelligence import store
from metapulse_assets.intelligence.analyses import PROVIDERS
from metapulse_assets.intelligence.prompts import render
from metapulse_assets.intelligence.snapshots import foreign_values, snapshot_hash
from metapulse_assets.intelligence.tables import ai_analyses, ai_answers, ai_model_calibration, ai_requests
from metapulse_assets.platform.settings import get_settings
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.signals.technical import RULES

SHOWN = 10
SAMPLE = 200
_TIME_TO_ANSWER = timedelta(minutes=30)


def _prompts_can_be_made_again(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each prompt is what its snapshot gives, and what is not about posts holds numbers and words of our own only."""
    r = ai_requests.c
    rules = frozenset(rule.name for rule in RULES)
    different, foreign, total = [], [], 0
    rows = connection.execute(
        sa.select(r.request_id, r.kind, r.snapshot, r.snapshot_hash, r.question_swapped, r.prompt, r.system, r.prompt_hash)
        .where(r.as_of >= start, r.as_of < end)
        .order_by(r.as_of.desc(), r.place)
        .limit(SAMPLE)
    )
    for row in rows:
        total += 1
        again = render(row.kind, row.snapshot, row.question_swapped)
        stored = (row.prompt, row.system, row.prompt_hash, row.snapshot_hash)
        if stored != (again.text, again.system, again.hash, snapshot_hash(row.kind, row.snapshot)):
            different.append(row.request_id)
        if row.kind != "sentiment":
            foreign += [f"{row.request_id}{place}" for place in foreign_values(row.snapshot, rules)]
    return Finding(
        not different and not foreign,
        {"prompts": total, "not as their snapshot gives": different[:SHOWN], "foreign text at": foreign[:SHOWN]},
    )


def _every_question_answered(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each question has an answer of each provider, or the reason for having none, once its run is over."""
    r, a = ai_requests.c, ai_answers.c
    newest = connection.execute(sa.select(sa.func.max(a.recorded_at))).scalar()
    answered = (
        sa.select(sa.func.count(a.provider.distinct()))
        .where(a.request_id == r.request_id, a.as_of == r.as_of)
        .correlate(ai_requests)
        .scalar_subquery()
    )
    until = end if newest is None else min(end, newest - _TIME_TO_ANSWER)
    total, missing = connection.execute(
        sa.select(sa.func.count(), sa.func.count().filter(answered < len(PROVIDERS))).where(r.as_of >= start, r.as_of < until)
    ).one()
    return Finding(missing == 0, {"questions": total, "without an answer or a reason": missing})


def _budget_kept(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No UTC day cost more than the budget."""
    a = ai_answers.c
    limit = get_settings().ai_budget_usd_per_day
    day = sa.func.date_trunc("day", a.recorded_at, "UTC")
    rows = connection.execute(
        sa.select(day.label("day"), sa.func.sum(a.cost_usd).label("cost"))
        .where(a.recorded_at >= start, a.recorded_at < end)
        .group_by(day)
    ).all()
    over = {f"{row.day:%Y-%m-%d}": round(row.cost, 6) for row in rows if row.cost > limit + 1e-9}
    unknown = connection.execute(
        sa.select(sa.func.count()).where(a.recorded_at >= start, a.recorded_at < end, sa.not_(a.cost_known))
    ).scalar_one()
    cost = round(sum(row.cost for row in rows), 6)
    return Finding(not over, {"cost, USD": cost, "budget a day, USD": limit, "over": over, "answers of unknown price": unknown})


def _come_out_equal(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each analysis made anew from stored rows is equal."""
    a = ai_analyses.c
    stored = {
        row.analysis_id: dict(row._mapping)
        for row in connection.execute(sa.select(ai_analyses).where(a.as_of >= start, a.as_of < end))
    }
    again = {row["analysis_id"]: row for row in store.derived_rows(connection, start, end)}
    # A question whose answers came in since the last run has no analysis yet.
    different = [key for key, row in stored.items() if again.get(key) != row]
    return Finding(not different, {"analyses": len(stored), "came out different": different[:SHOWN]})


def intelligence_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of this domain."""
    return [
        checks_of(
            ai_requests,
            [
                values_check(ai_requests, "as_of"),
                TableCheck(
                    "prompts_can_be_made_again",
                    "Each prompt is what its snapshot gives, and holds nobody else's words unless it is about posts.",
                    _prompts_can_be_made_again,
                ),
            ],
        ),
        checks_of(
            ai_answers,
            [
                values_check(ai_answers, "recorded_at"),
                TableCheck(
                    "every_question_answered",
                    "Each question has an answer of each model, or the reason for having none.",
                    _every_question_answered,
                    blocking=False,
                ),
                TableCheck("budget_kept", "No day cost more than the budget.", _budget_kept, blocking=False),
            ],
        ),
        checks_of(
            ai_analyses,
            [
                values_check(ai_analyses, "as_of"),
                TableCheck("come_out_equal", "Each analysis made anew from stored rows is equal.", _come_out_equal),
            ],
        ),
        checks_of(ai_model_calibration, [values_check(ai_model_calibration, "available_at")]),
    ]
