"""The labelled texts that the models are fitted on and held against, read from the folder of recordings.

Only their training splits. Texts whose licence forbids it (Financial PhraseBank: non-commercial) are not among them.
"""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

# FiQA gives scores, not classes: nearer to 0 than this is neutral. Own choice.
FIQA_CUT = 0.1


@dataclass(frozen=True)
class Labelled:
    """Texts and the number of each one's class."""

    texts: tuple[str, ...]
    labels: npt.NDArray[np.intp]


def sentiment_sets(folder: Path) -> dict[str, Labelled]:
    """Texts with 0 negative, 1 neutral, 2 positive, by set: twitter_financial_news, surge_stock (no neutral), fiqa_task1."""
    with (folder / "texts_twitter_financial_news/sent_train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    news = Labelled(tuple(row["text"] for row in rows), np.array([{"0": 0, "1": 2, "2": 1}[row["label"]] for row in rows]))
    with (folder / "texts_surge_stock/sentiment.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stock = Labelled(
        tuple(row["Tweet Text"] for row in rows), np.array([{"Negative": 0, "Positive": 2}[row["Sentiment"]] for row in rows])
    )
    entries = [
        entry
        for name in ("headline", "post")
        for entry in json.loads((folder / f"texts_fiqa_task1/task1_{name}_ABSA_train.json").read_text()).values()
    ]
    scores = [fmean(float(target["sentiment_score"]) for target in entry["info"]) for entry in entries]
    fiqa = Labelled(
        tuple(entry["sentence"] for entry in entries),
        np.array([1 if abs(score) < FIQA_CUT else 1 + int(np.sign(score)) for score in scores]),
    )
    return {"twitter_financial_news": news, "surge_stock": stock, "fiqa_task1": fiqa}


def scam_set(folder: Path, split: str) -> Labelled:
    """Posts with 1 for those labelled scam or phishing; `split` is train or valid."""
    with gzip.open(folder / f"texts_janitr_scam_posts/split_{split}.jsonl.gz", "rt") as file:
        entries = [json.loads(line) for line in file]
    wanted = {"scam", "phishing"}
    return Labelled(
        tuple(entry["text"] for entry in entries), np.array([int(bool(wanted & set(entry["raw_labels"]))) for entry in entries])
    )
