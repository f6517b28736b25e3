"""AI hits: the analysis, the question with the numbers it showed, each model's answer, and the bytes that came."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.intelligence.snapshots import snapshot_hash
from metapulse_assets.intelligence.tables import ai_analyses, ai_answers, ai_requests
from metapulse_assets.proof.lineage.analyses import analysis_link
from metapulse_assets.proof.lineage.hits import stored_hit
from metapulse_assets.proof.lineage.links import Link, differing, missing
from metapulse_assets.proof.lineage.market import snapshot_link
from metapulse_assets.proof.lineage.payloads import payload_link
from metapulse_assets.proof.lineage.talk import metrics_link

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
        broken=differing(read, dict(row._mapping)),
        parts=[_request_link(connection, row)],
    )


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
    link.parts += [_answer_link(connection, answer) for answer in _answers(connection, row.request_id)]
    if not link.parts:
        link.broken.append("no answer is stored (any more)")
    link.parts += _input_links(connection, row)
    return link


def _answers(connection: sa.Connection, request_id: str) -> list[sa.Row[Any]]:
    a = ai_answers.c
    return list(
        connection.execute(sa.select(ai_answers).where(a.request_id == request_id).order_by(a.provider, a.recorded_at)).all()
    )


def _answer_link(connection: sa.Connection, answer: sa.Row[Any]) -> Link:
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
    )
    if answer.reused_from is not None:
        link.values["repeats the answer to"] = answer.reused_from
    elif answer.payload_id is not None:
        link.parts.append(payload_link(connection, answer.payload_id))
    elif answer.status == "ok":
        link.broken.append("it names no payload")
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
        elif table in _LINKS:
            links.append(_LINKS[table](connection, request.token_id, datetime.fromisoformat(key)))
    return links


_LINKS: Mapping[str, Callable[[sa.Connection, int, datetime], Link]] = {
    "token_metrics": snapshot_link,
    "social_metrics": lambda connection, token_id, as_of: metrics_link(connection, token_id, as_of, {}),
}
