"""AI hits: the analysis, the question with the numbers it showed, each model's answer, and the bytes that came."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.intelligence.market_state import metrics_of, reading_of, social_of
from metapulse_assets.intelligence.prompts import render
from metapulse_assets.intelligence.snapshots import shown_market, shown_reading, shown_social, snapshot_hash
from metapulse_assets.intelligence.store import derived_rows
from metapulse_assets.intelligence.tables import ai_analyses, ai_answers, ai_requests
from metapulse_assets.market.tables import token_metrics
from metapulse_assets.proof.lineage.analyses import analysis_link
from metapulse_assets.proof.lineage.hits import stored_hit
from metapulse_assets.proof.lineage.links import Link, differing, missing
from metapulse_assets.proof.lineage.market import snapshot_link
from metapulse_assets.proof.lineage.payloads import payload_link
from metapulse_assets.proof.lineage.rereading import answer_unlike_bytes, answer_unlike_text
from metapulse_assets.proof.lineage.talk import metrics_link, shown_posts_link
from metapulse_assets.social.tables import social_metrics

LONGEST_TEXT = 200


def ai_hit_link(connection: sa.Connection, token_id: int, timeframe: str, rule: str, opened_at: datetime) -> Link:
    """An analysis that was sure enough, and all below it."""
    key = f"{rule} {opened_at.isoformat()}"
    hit = stored_hit(connection, "ai", token_id, timeframe, rule, opened_at)
    if hit is None:
        return missing("AI hit", key)
    return Link(
        "AI hit",
        key,
        {"direction": hit.direction, "strength": hit.strength, "confidence": hit.confidence},
        parts=[_analysis_link(connection, opened_at, hit.inputs)],
    )


def _analysis_link(connection: sa.Connection, as_of: datetime, read: dict[str, Any]) -> Link:
    a = ai_analyses.c
    row = connection.execute(sa.select(ai_analyses).where(a.as_of == as_of, a.analysis_id == read["analysis_id"])).one_or_none()
    if row is None:
        return missing("AI analysis", read["analysis_id"])
    return Link(
        "AI analysis",
        row.analysis_id,
        {
            "kind": row.kind,
            "status": row.status,
            "probability_up": row.probability_up,
            "disagreement": row.disagreement,
            "models": row.models,
            "summary": row.summary,
        },
        broken=[*differing(read, dict(row._mapping)), *_unlike_answers(connection, row)],
        parts=[_request_link(connection, row)],
    )


def _unlike_answers(connection: sa.Connection, analysis: sa.Row[Any]) -> list[str]:
    """Where an analysis is not what its stored answers give."""
    made = derived_rows(connection, analysis.as_of, analysis.as_of + timedelta(microseconds=1))
    again = next((row for row in made if row["analysis_id"] == analysis.analysis_id), None)
    if again is None:
        return ["its question, or an answer to it, is not stored (any more)"]
    return differing(again, dict(analysis._mapping))


def _request_link(connection: sa.Connection, analysis: sa.Row[Any]) -> Link:
    r = ai_requests.c
    row = connection.execute(
        sa.select(ai_requests).where(r.as_of == analysis.as_of, r.request_id == analysis.request_id)
    ).one_or_none()
    if row is None:
        return missing("question", analysis.request_id)
    link = Link(
        "question",
        row.request_id,
        {"trigger": row.trigger, "snapshot": row.snapshot, "prompt_hash": row.prompt_hash, "run_id": row.run_id},
    )
    if snapshot_hash(row.kind, row.snapshot) != row.snapshot_hash or row.snapshot_hash != analysis.snapshot_hash:
        link.broken.append("the snapshot does not match its hash")
    else:
        link.broken += _unlike_snapshot(connection, row)
    link.parts += [_answer_link(connection, answer, row) for answer in _answers(connection, row.request_id)]
    if missed := set(analysis.models) - {part.key.split()[0] for part in link.parts}:
        link.broken.append(f"the answer of {', '.join(sorted(missed))} is not stored (any more)")
    link.parts += _input_links(connection, row)
    return link


def _unlike_snapshot(connection: sa.Connection, request: sa.Row[Any]) -> list[str]:
    """Where a question is not what its snapshot gives, or its snapshot not what the rows show that it names."""
    again = render(request.kind, request.snapshot, request.question_swapped)
    same = (request.prompt, request.system, request.prompt_hash) == (again.text, again.system, again.hash)
    unlike = [] if request.token_id is None else _unlike_shown(connection, request)
    return unlike if same else ["the prompt is not what its snapshot gives", *unlike]


def _answers(connection: sa.Connection, request_id: str) -> list[sa.Row[Any]]:
    a = ai_answers.c
    return list(
        connection.execute(sa.select(ai_answers).where(a.request_id == request_id).order_by(a.provider, a.recorded_at)).all()
    )


def _answer_link(connection: sa.Connection, answer: sa.Row[Any], question: sa.Row[Any]) -> Link:
    raw = answer.raw or ""
    link = Link(
        "answer",
        f"{answer.provider} {answer.model}",
        {
            "status": answer.status,
            "reason": answer.reason,
            "parsed": answer.parsed,
            "raw": raw if len(raw) <= LONGEST_TEXT else raw[: LONGEST_TEXT - 1] + "…",
            "tokens": [answer.tokens_in, answer.tokens_out],
            "latency_ms": answer.latency_ms,
            "cost_usd": answer.cost_usd,
        },
        broken=answer_unlike_text(answer, question),
    )
    if answer.reused_from is not None:
        link.values["repeats the answer to"] = answer.reused_from
        link.parts.append(_origin_link(connection, answer))
    elif answer.payload_id is not None:
        link.broken += answer_unlike_bytes(connection, answer)
        link.parts.append(payload_link(connection, answer.payload_id))
    elif answer.status == "ok":
        link.broken.append("it names no payload")
    return link


def _origin_link(connection: sa.Connection, repeated: sa.Row[Any]) -> Link:
    """The answer that another one repeats, and its bytes."""
    origin = next(
        (answer for answer in _answers(connection, repeated.reused_from) if answer.provider == repeated.provider), None
    )
    if origin is None:
        return missing("answer", f"{repeated.provider} to {repeated.reused_from}")
    link = Link("answer", f"{origin.provider} to {origin.request_id}", {"as_of": origin.as_of, "status": origin.status})
    if origin.raw != repeated.raw:
        link.broken.append("its text is another than what repeats it")
    link.broken += answer_unlike_bytes(connection, origin)
    link.parts.append(payload_link(connection, origin.payload_id))
    return link


def _input_links(connection: sa.Connection, request: sa.Row[Any]) -> list[Link]:
    """The rows that the snapshot was made of: a moment a table, or one a timeframe."""
    links = []
    for table, key in request.inputs.items():
        if table == "technical_analyses":
            links += [
                analysis_link(connection, request.token_id, timeframe, datetime.fromisoformat(opened_at), {})
                for timeframe, opened_at in key.items()
            ]
        elif table == "social_posts":
            links.append(shown_posts_link(connection, request.as_of, key))
        elif table in _LINKS:
            links.append(_LINKS[table](connection, request.token_id, datetime.fromisoformat(key)))
    return links


def _unlike_shown(connection: sa.Connection, request: sa.Row[Any]) -> list[str]:
    """Where a question shows other numbers than the rows that it names; a row that is gone is told of by its own link."""
    snapshot, inputs, problems = request.snapshot, request.inputs, []
    for timeframe, opened_at in inputs.get("technical_analyses", {}).items():
        t = technical_analyses.c
        where = (t.token_id == request.token_id, t.timeframe == timeframe, t.opened_at == datetime.fromisoformat(opened_at))
        row = connection.execute(sa.select(technical_analyses).where(*where)).one_or_none()
        told = snapshot.get("timeframes", {}).get(timeframe)
        if row is not None and told is not None:
            problems += [f"{timeframe}: {problem}" for problem in differing(told, shown_reading(reading_of(row)))]
    for part, table, moment, shown in _SHOWN:
        if part in snapshot and table.name in inputs:
            at = datetime.fromisoformat(inputs[table.name])
            of_it = sa.and_(table.c.token_id == request.token_id, table.c[moment] == at)
            row = connection.execute(sa.select(table).where(of_it)).one_or_none()
            stored = {} if row is None else shown(row)
            told = {name: value for name, value in snapshot[part].items() if name in stored}
            problems += [f"{part}: {problem}" for problem in differing(told, stored)]
    return problems


_SHOWN: tuple[tuple[str, sa.Table, str, Callable[[sa.Row[Any]], Mapping[str, Any]]], ...] = (
    ("market", token_metrics, "observed_at", lambda row: shown_market(metrics_of(row))),
    ("social", social_metrics, "as_of", lambda row: shown_social(social_of(row))),
)
_LINKS: Mapping[str, Callable[[sa.Connection, int, datetime], Link]] = {
    "token_metrics": snapshot_link,
    "social_metrics": lambda connection, token_id, as_of: metrics_link(connection, token_id, as_of, {}),
}
