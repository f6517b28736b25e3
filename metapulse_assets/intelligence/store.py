"""Reading and writing questions, answers and analyses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.intelligence.analyses import PROVIDERS, CalibrationKey, Request, StoredAnswer, analyse
from metapulse_assets.intelligence.model_calibration import Calibration
from metapulse_assets.intelligence.tables import ai_analyses, ai_answers, ai_model_calibration, ai_requests
from metapulse_assets.platform.day_partitions import day_bounds, ensure_days, utc_day

ANSWER_DELAY = timedelta(days=1)
"""Longest time between a question and its answer: how far answers are looked for."""


@dataclass(frozen=True)
class Earlier:
    """An earlier usable answer of a provider about the same thing."""

    request_id: str
    asked_model: str
    model: str
    snapshot_hash: str
    prompt_hash: str
    raw: str | None
    parsed: Mapping[str, Any]
    reused_from: str | None


def store_requests(connection: sa.Connection, rows: Sequence[Mapping[str, Any]], now: datetime, run_id: str) -> int:
    """Store questions; one that is stored already stays as it is. Returns how many were new."""
    if not rows:
        return 0
    ensure_days(connection, ai_requests.name, {utc_day(row["as_of"]) for row in rows})
    statement = insert(ai_requests).on_conflict_do_nothing().returning(ai_requests.c.request_id)
    return sum(len(connection.execute(statement, {**row, "recorded_at": now, "run_id": run_id}).all()) for row in rows)


def unanswered(connection: sa.Connection, now: datetime) -> list[tuple[sa.Row[Any], list[str]]]:
    """Questions of the last day that lack a provider's answer, with those providers, in the order they were made."""
    r, a = ai_requests.c, ai_answers.c
    answered = (
        sa.select(a.provider)
        .where(a.request_id == r.request_id, a.recorded_at >= now - ANSWER_DELAY)
        .correlate(ai_requests)
        .scalar_subquery()
    )
    rows = connection.execute(
        sa.select(ai_requests, sa.func.array(answered).label("answered"))
        .where(r.as_of > now - ANSWER_DELAY, r.as_of <= now)
        .order_by(r.as_of, r.place)
    )
    found = [(row, [name for name in PROVIDERS if name not in row.answered]) for row in rows]
    return [(row, missing) for row, missing in found if missing]


def earlier_answer(connection: sa.Connection, provider: str, kind: str, token_id: int | None, now: datetime) -> Earlier | None:
    """A provider's last usable answer to a question of this kind about this token, of the last day."""
    r, a = ai_requests.c, ai_answers.c
    row = connection.execute(
        sa.select(
            *(a.request_id, a.asked_model, a.model, r.snapshot_hash, r.prompt_hash, a.raw, a.parsed, a.reused_from),
        )
        .join_from(ai_answers, ai_requests, sa.and_(a.request_id == r.request_id, a.as_of == r.as_of))
        .where(
            a.recorded_at >= now - ANSWER_DELAY,
            r.as_of >= now - 2 * ANSWER_DELAY,
            a.provider == provider,
            a.status == "ok",
            r.kind == kind,
            r.token_id.is_not_distinct_from(token_id),
        )
        .order_by(r.as_of.desc(), a.recorded_at.desc())
        .limit(1)
    ).one_or_none()
    return Earlier(**row._mapping) if row else None


def store_answer(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Store an answer for good."""
    ensure_days(connection, ai_answers.name, {utc_day(row["recorded_at"])})
    connection.execute(insert(ai_answers).on_conflict_do_nothing(), [dict(row)])


def spent_on(connection: sa.Connection, day: date) -> float:
    """USD that the answers of a UTC day cost."""
    start, end = day_bounds(day)
    cost = ai_answers.c.recorded_at
    total = connection.execute(sa.select(sa.func.sum(ai_answers.c.cost_usd)).where(cost >= start, cost < end)).scalar_one()
    return float(total or 0.0)


def refused_until(connection: sa.Connection, provider: str, now: datetime) -> tuple[datetime, str] | None:
    """Until when a provider asked to be left alone, and in which words; None if it may be asked."""
    a = ai_answers.c
    row = connection.execute(
        sa.select(a.available_until, a.reason)
        .where(a.provider == provider, a.recorded_at >= now - 2 * ANSWER_DELAY, a.available_until > now)
        .order_by(a.available_until.desc())
        .limit(1)
    ).one_or_none()
    return (row.available_until, row.reason) if row else None


def derive(connection: sa.Connection, start: datetime, end: datetime) -> int:
    """Make the analyses of the questions in a half-open span anew from what is stored; returns how many rows that changed.

    A question is analysed when every provider's answer, or the reason for having none, is stored.
    """
    rows = derived_rows(connection, start, end)
    ensure_days(connection, ai_analyses.name, {utc_day(row["as_of"]) for row in rows})
    a = ai_analyses.c
    found = connection.execute(sa.select(ai_analyses).where(a.as_of >= start, a.as_of < end))
    stored = {row.analysis_id: dict(row._mapping) for row in found}
    changed = sum(put(connection, ai_analyses, row) for row in rows if stored.get(row["analysis_id"]) != row)
    superfluous = sa.delete(ai_analyses).where(a.as_of >= start, a.as_of < end)
    if rows:
        superfluous = superfluous.where(a.analysis_id.not_in([row["analysis_id"] for row in rows]))
    return changed + connection.execute(superfluous).rowcount


def derived_rows(connection: sa.Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The rows of `ai_analyses` that the stored questions of a span and their answers give."""
    answers = _answers_by_request(connection, start, end)
    calibrations = _calibrations_by_day(connection, start, end)
    r = ai_requests.c
    names = ("request_id", "as_of", "kind", "token_id", "horizon_seconds", "price_usd", "atr_usd", "snapshot_hash")
    found = connection.execute(
        sa.select(*(r[name] for name in names)).where(r.as_of >= start, r.as_of < end).order_by(r.as_of, r.request_id)
    )
    rows = []
    for row in found:
        given = answers.get(row.request_id, [])
        if {answer.provider for answer in given} >= set(PROVIDERS):
            rows.append(analyse(Request(**row._mapping), given, calibrations.get(utc_day(row.as_of), {})))
    return rows


def _answers_by_request(connection: sa.Connection, start: datetime, end: datetime) -> dict[str, list[StoredAnswer]]:
    a = ai_answers.c
    rows = connection.execute(
        sa.select(a.request_id, a.provider, a.model, a.status, a.reason, a.parsed, a.recorded_at)
        .where(a.recorded_at >= start, a.recorded_at < end + ANSWER_DELAY, a.as_of >= start, a.as_of < end)
        .order_by(a.recorded_at)
    )
    found: dict[str, dict[str, StoredAnswer]] = {}
    for row in rows:
        values = {name: value for name, value in row._mapping.items() if name != "request_id"}
        # Had two runs asked at once, the first to be stored would be the one that was used.
        found.setdefault(row.request_id, {}).setdefault(row.provider, StoredAnswer(**values))
    return {request_id: list(by_provider.values()) for request_id, by_provider in found.items()}


def _calibrations_by_day(
    connection: sa.Connection, start: datetime, end: datetime
) -> dict[date, dict[CalibrationKey, Calibration]]:
    c = ai_model_calibration.c
    rows = connection.execute(sa.select(ai_model_calibration).where(c.day >= utc_day(start), c.day <= utc_day(end)))
    found: dict[date, dict[CalibrationKey, Calibration]] = {}
    for row in rows:
        found.setdefault(row.day, {})[row.provider, row.model, row.horizon_seconds] = Calibration(
            row.slope, row.intercept, row.n, row.hits, row.brier, row.base_brier, row.weight
        )
    return found


def put(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> int:
    """Store a row; one that is equal already stays untouched. Returns how many changed: 0 or 1."""
    statement = insert(table)
    keys = [column.name for column in table.primary_key.columns]
    values = [name for name in row if name not in keys]
    old = sa.tuple_(*(table.c[name] for name in values))
    new = sa.tuple_(*(statement.excluded[name] for name in values))
    changed = connection.execute(
        statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in values}, where=old.is_distinct_from(new)
        ).returning(table.c[keys[0]]),
        dict(row),
    )
    return len(changed.all())
