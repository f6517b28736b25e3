"""What the models together say: one analysis of a stored question, its stored answers and the calibrations of its day. Pure.

Nothing else goes in, so that an analysis of a past day comes out the same whenever it is made, without asking anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from metapulse_assets.intelligence.ensemble import Direction, Member, Opinion, combine
from metapulse_assets.intelligence.model_calibration import IDENTITY, Calibration, base_rate
from metapulse_assets.signals.emission import STOP_ATR, TARGET_ATR

PROVIDERS = ("groq", "gemini")
WAITING = {"budget", "rate_limited"}
"""What stands in the way of an answer and passes by itself."""
_GRAVITY = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True)
class Request:
    """A stored question, as far as an analysis needs it. `atr_usd`: average true range, None: not known."""

    request_id: str
    as_of: datetime
    kind: str
    token_id: int | None
    horizon_seconds: int
    price_usd: float | None
    atr_usd: float | None
    snapshot_hash: str


@dataclass(frozen=True)
class StoredAnswer:
    """A stored answer."""

    provider: str
    model: str
    status: str
    reason: str | None
    parsed: Mapping[str, Any] | None
    recorded_at: datetime


CalibrationKey = tuple[str, str, int]
"""Provider, model, horizon in seconds."""


def analyse(
    request: Request, answers: Sequence[StoredAnswer], calibrations: Mapping[CalibrationKey, Calibration]
) -> dict[str, Any]:
    """A row of `ai_analyses`. `answers`: one a provider; raises ValueError for none or two of one provider."""
    ordered = sorted(answers, key=lambda answer: PROVIDERS.index(answer.provider))
    if not ordered or len({answer.provider for answer in ordered}) != len(ordered):
        raise ValueError(f"answers: of {request.request_id} there must be one a provider, and at least one")
    used = [(answer, _calibration(request, answer, calibrations)) for answer in ordered if answer.parsed is not None]
    rate = base_rate([calibration for _, calibration in used])
    members = [Member(c.apply(_probability(answer)), c.weight) for answer, c in used]
    opinion = combine(members, rate)
    total = sum(member.weight for member in members) or 1.0
    models: dict[str, Any] = {
        answer.provider: {"model": answer.model, "status": answer.status, "reason": answer.reason} for answer in ordered
    }
    for (answer, _), member in zip(used, members, strict=True):
        models[answer.provider] |= {
            "probability": _probability(answer),
            "calibrated": round(member.probability, 6),
            "weight": round(member.weight / total, 6),
            "confidence": answer.parsed["confidence"] if answer.parsed else None,
        }
    status = opinion.status if opinion else _silence(ordered)
    return {
        "as_of": request.as_of,
        "analysis_id": request.request_id,
        "available_at": max(answer.recorded_at for answer, _ in used) if used else max(a.recorded_at for a in ordered),
        "request_id": request.request_id,
        "kind": request.kind,
        "token_id": request.token_id,
        "status": status,
        **_view(request, opinion, rate),
        "horizon_seconds": request.horizon_seconds,
        "risk_level": _gravest([answer for answer, _ in used]),
        "price_usd": request.price_usd,
        "summary": _parsed(used[0][0])["summary"] if used else None,
        "key_points": [
            {"provider": answer.provider, "text": point} for answer, _ in used for point in _parsed(answer)["key_points"]
        ],
        "reason": _reason(status, ordered),
        "models": models,
        "snapshot_hash": request.snapshot_hash,
    }


def _view(request: Request, opinion: Opinion | None, rate: float) -> dict[str, Any]:
    names = ("direction", "probability_up", "confidence", "disagreement", "recommendation", "target_usd", "stop_usd")
    if opinion is None:
        return dict.fromkeys(names)
    target, stop = _target_and_stop(request, opinion.direction)
    return {
        "direction": opinion.direction,
        "probability_up": _real(opinion.probability),
        "confidence": _real(opinion.confidence),
        "disagreement": None if opinion.disagreement is None else _real(opinion.disagreement),
        "recommendation": opinion.recommendation(rate),
        "target_usd": target,
        "stop_usd": stop,
    }


def _target_and_stop(request: Request, direction: Direction) -> tuple[float | None, float | None]:
    """As the technical signals have them: so many average true ranges from the price."""
    price, atr = request.price_usd, request.atr_usd
    if price is None or atr is None or direction == "neutral":
        return None, None
    sign = 1 if direction == "buy" else -1
    target, stop = price + sign * TARGET_ATR * atr, price - sign * STOP_ATR * atr
    # A range so wide, or so narrow, gives no price to aim at.
    apart = target != price != stop
    return (target, stop) if apart and target > 0 and stop > 0 else (None, None)


def _silence(answers: Sequence[StoredAnswer]) -> str:
    return "waiting" if any(answer.status in WAITING for answer in answers) else "abstained"


def _reason(status: str, answers: Sequence[StoredAnswer]) -> str | None:
    if status == "agreed":
        return None
    if status == "disagreement":
        return "the models take opposite sides"
    return "; ".join(f"{answer.provider} {answer.status}: {answer.reason}" for answer in answers if answer.reason)


def _gravest(answers: Sequence[StoredAnswer]) -> str | None:
    named = [level for answer in answers if (level := _parsed(answer)["risk_level"])]
    return max(named, key=_GRAVITY.__getitem__, default=None)


def _calibration(request: Request, answer: StoredAnswer, calibrations: Mapping[CalibrationKey, Calibration]) -> Calibration:
    # The market has no price of its own that an answer could be judged by.
    if request.token_id is None:
        return IDENTITY
    return calibrations.get((answer.provider, answer.model, request.horizon_seconds), IDENTITY)


def _probability(answer: StoredAnswer) -> float:
    return float(_parsed(answer)["probability_up"])


def _parsed(answer: StoredAnswer) -> Mapping[str, Any]:
    if answer.parsed is None:
        raise ValueError(f"{answer.provider}: an answer without content is not used")
    return answer.parsed


def _real(value: float) -> float:
    """As a column of single precision gives it back, so that a row made anew is equal."""
    return float(str(np.float32(value)))
