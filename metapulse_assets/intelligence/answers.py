"""What a model's text must be to count: typed, complete, within range. Else the model abstains, and the reason is said."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metapulse_assets.intelligence.ensemble import sigmoid
from metapulse_assets.intelligence.kinds import Kind
from metapulse_assets.intelligence.post_panel import SCORE_TO_LOGIT, panel_of, panel_score

LONGEST_SUMMARY, LONGEST_POINT, MOST_POINTS = 600, 240, 6
"""What is kept of the words; longer ones are cut, as they decide nothing."""

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
"""Some servers leave a model's thoughts before its answer."""
_STRICT = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)
Level = Literal["low", "medium", "high"]
Answer = TypeVar("Answer", bound=BaseModel)
Unit = Annotated[float, Field(ge=0, le=1)]


class InvalidAnswerError(ValueError):
    """A text that is no answer to the question; the message says what is wrong with it, without repeating it."""


class PriceOpinion(BaseModel):
    """What a model says of a snapshot. `probability` is of what was asked: of the complement where that was."""

    model_config = _STRICT
    probability: Unit
    confidence: Level | Unit
    risk_level: Level
    summary: str
    key_points: list[str]


class PostScore(BaseModel):
    """One post's score."""

    model_config = _STRICT
    id: int
    score: Annotated[float, Field(ge=-1, le=1)]


class PostScores(BaseModel):
    """What a model says of one group of posts."""

    model_config = _STRICT
    scores: list[PostScore]


def parse(kind: Kind, snapshot: Mapping[str, Any], swapped: bool, texts: Sequence[str]) -> dict[str, Any]:
    """The typed answer of a model's texts, one a part of the prompt, as it is stored. Raises `InvalidAnswerError`.

    Every answer has `probability_up` and `words`; of an opinion also what it says, of posts the scores and the panel's.
    """
    if kind == "sentiment":
        return _parse_scores(snapshot, texts)
    opinion = _read(PriceOpinion, texts[0])
    return {
        "probability": opinion.probability,
        "probability_up": 1 - opinion.probability if swapped else opinion.probability,
        "confidence": opinion.confidence,
        "risk_level": opinion.risk_level,
        "summary": _plain(opinion.summary, LONGEST_SUMMARY),
        "key_points": [_plain(point, LONGEST_POINT) for point in opinion.key_points[:MOST_POINTS]],
    }


def _parse_scores(snapshot: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    groups = panel_of(snapshot)
    if len(texts) != len(groups):
        raise InvalidAnswerError(f"{len(texts)} answers to {len(groups)} groups of posts")
    scored: list[list[float]] = []
    for place, (group, text) in enumerate(zip(groups, texts, strict=True)):
        found = [(score.id, score.score) for score in _read(PostScores, text).scores]
        by_id = dict(found)
        if len(by_id) != len(found) or set(by_id) != {post.number for post in group}:
            raise InvalidAnswerError(f"group {place}: the ids are not each of the posts' once")
        scored.append([by_id[post.number] for post in group])
    mean = panel_score(scored)
    posts = sum(map(len, scored))
    return {
        "scores": scored,
        "panel_score": mean,
        "probability_up": sigmoid(SCORE_TO_LOGIT * mean),
        "confidence": "low",
        "risk_level": None,
        # Never a model's words about posts: they could be the posts' own.
        "summary": f"{posts} posts in {len(groups)} groups, cautious median of the groups' scores {mean:+.2f}",
        "key_points": [],
    }


def _read(model: type[Answer], text: str) -> Answer:
    text = _THOUGHTS.sub("", text)
    fenced = _FENCE.match(text)
    try:
        body = json.loads(fenced[1] if fenced else text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidAnswerError("JSON nested too deeply") from None
    except ValueError as error:
        raise InvalidAnswerError(f"no JSON: {getattr(error, 'msg', error)}") from None
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, problem["loc"])) or "answer"
        raise InvalidAnswerError(f"field {place[:80]}: {problem['msg']}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _plain(text: str, most: int) -> str:
    """Words for people, on one line, without characters that are not seen."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    line = " ".join(line.split())
    return line if len(line) <= most else line[: most - 1] + "…"
