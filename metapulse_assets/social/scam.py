"""How likely a post is a scam or phishing: known signs, and a small linear model over words."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metapulse_assets.social import scam_signs, text_model
from metapulse_assets.social.text_cleaning import clean_text

CLASSES = ("other", "scam")
MODEL = "scam"
# From here on a post counts as a scam where it must be one or the other.
SCAM_CUT = 0.5


def read_signs(text: str, tokens: Sequence[str]) -> list[float]:
    """The signs of a raw text."""
    return scam_signs.read(clean_text(text).lower(), tokens)


def scam_probabilities(texts: Sequence[str], model: text_model.TextModel | None = None) -> npt.NDArray[np.float64]:
    """The probability that each text is a scam, 0 to 1; each judged by itself alone."""
    return text_model.judge(model or text_model.load(MODEL), texts, read_signs).chances[:, 1]
