"""Which side a post takes: a small linear model over words and parts of words, with the lexicon's reading beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.social import lexicon_reading, text_model

CLASSES = ("negative", "neutral", "positive")
MODEL = "sentiment"
# Beyond this score a post takes a side: between the best cut on posts that mostly take none (0.4) and that all do (0.1).
LABEL_CUT = 0.25


@dataclass(frozen=True)
class Sentiments:
    """Texts judged, one entry each. `score` -1 to 1; `strength`: that it takes a side at all, 0 to 1; `coverage` 0 to 1."""

    score: npt.NDArray[np.float64]
    strength: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float64]
    label: tuple[str, ...]


def judge_sentiment(texts: Sequence[str], model: text_model.TextModel | None = None) -> Sentiments:
    """Judge texts of posts; each by itself alone, so that no post sways another's score."""
    judged = text_model.judge(model or text_model.load(MODEL), texts, lambda text, tokens: lexicon_reading.read(tokens))
    negative, neutral, positive = judged.chances.T
    score = positive - negative
    return Sentiments(score, 1.0 - neutral, judged.coverage, tuple(label_of(value) for value in score.tolist()))


def label_of(score: float) -> str:
    """positive, negative or neutral."""
    if score >= LABEL_CUT:
        return "positive"
    return "negative" if score <= -LABEL_CUT else "neutral"
