"""Makes the sentiment model anew: `METAPULSE_RECORDINGS=… python -m metapulse_assets_tests.training.sentiment`.

The same texts give the same file. The benchmark `sentiment` says how good such a model is on texts it has not seen.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metapulse_assets.social import lexicon_reading
from metapulse_assets.social.sentiment import CLASSES, MODEL
from metapulse_assets.social.text_model import TextModel
from metapulse_assets_tests.training.fitting import balanced, fitted, joined, write
from metapulse_assets_tests.training.text_sets import Labelled, sentiment_sets

VERSION = "sentiment-1"
BITS, L2, BALANCE = 15, 1.0, 0.65
# The small sets are posts of the kind that is judged here; they count twice against ten thousand headlines.
IMPORTANCE = {"twitter_financial_news": 1.0, "surge_stock": 2.0, "fiqa_task1": 2.0}


def read_dense(text: str, tokens: Sequence[str]) -> list[float]:
    """The lexicon's reading."""
    return lexicon_reading.read(tokens)


def fit_sentiment(sets: Mapping[str, Labelled], version: str = "trial") -> TextModel:
    """A model fitted on these sets."""
    importance = np.concatenate(
        [IMPORTANCE[name] * balanced(labelled.labels, len(CLASSES), BALANCE) for name, labelled in sets.items()]
    )
    return fitted(joined(sets), importance, CLASSES, BITS, read_dense, L2, version)


def main() -> None:
    """Fit on all training splits and write the package's file."""
    folder = os.environ.get("METAPULSE_RECORDINGS")
    if not folder:
        sys.exit("METAPULSE_RECORDINGS is not set: it names the folder of recorded data")
    path = write(fit_sentiment(sentiment_sets(Path(folder)), VERSION), MODEL)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
