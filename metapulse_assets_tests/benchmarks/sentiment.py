"""The rows `sentiment.*` and `scam.*`: how well texts are judged that the model has not seen."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metapulse_assets.social.scam import SCAM_CUT, scam_probabilities
from metapulse_assets.social.sentiment import CLASSES, judge_sentiment
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.training.fitting import FOLDS, folds, part
from metapulse_assets_tests.training.scam import fit_scam
from metapulse_assets_tests.training.sentiment import fit_sentiment
from metapulse_assets_tests.training.text_sets import Labelled, scam_set, sentiment_sets

Labels = npt.NDArray[np.intp]

SETS = ("twitter_financial_news", "surge_stock", "fiqa_task1")
VADER_CUT = 0.05

METHOD = """
Macro-F1 over the classes that a set has: three for Twitter Financial News (training split, 9,543 posts and headlines) and
FiQA task 1 (training split, 911; its mean scores become classes at ±0.1), two for Surge stock posts (500), where an answer
"neutral" is counted as wrong. `sentiment.f1.*`: each text judged by a model fitted on the other four fifths of all three
sets. `sentiment.cross.*`: by a model fitted on the two other sets alone; for Twitter Financial News that means two sets that
hold 69 neutral texts between them. The peer is VADER (vaderSentiment) with its standard thresholds ±0.05 on the same texts.
Our cut is 0.25 everywhere. `scam.*`: the model fitted on the training split of Janitr's posts (3,421, labelled scam or
phishing or not) and asked about its validation split (428, 58 of them scams), at probability 0.5; `scam.*.folds` are out of
fold on the training split. The recordings are needed (`METAPULSE_RECORDINGS`); without them there are no rows. n is the
number of texts.
"""

_BETTER = Goal(">", 1.0, "ratio")
TARGETS: Mapping[str, Target] = {
    **{f"sentiment.f1.{name}": Target("macro-F1, out of fold", _BETTER, peer="VADER") for name in SETS},
    **{f"sentiment.cross.{name}": Target("macro-F1, fitted on the other sets", _BETTER, peer="VADER") for name in SETS},
}
SCAM_TARGETS: Mapping[str, Target] = {
    "scam.precision": Target("share of those called scams that are, validation split"),
    "scam.recall": Target("share of the scams that are called so, validation split"),
    "scam.precision.folds": Target("the same out of fold on the training split"),
    "scam.recall.folds": Target("the same out of fold on the training split"),
}


def measure_sentiment(bench: Bench) -> Iterator[Row]:
    """Out of fold and across sets, beside VADER."""
    folder = _recordings(bench)
    if folder is None:
        return
    sets = sentiment_sets(folder)
    if bench.quick:
        sets = {name: _few(labelled) for name, labelled in sets.items()}
    bench.say("sentiment: VADER")
    peers = {name: macro_f1(labelled.labels, vader_labels(labelled.texts)) for name, labelled in sets.items()}
    if bench.wants("sentiment.f1."):
        answers = out_of_fold(sets, bench)
        for name, labelled in sets.items():
            yield _row(f"sentiment.f1.{name}", macro_f1(labelled.labels, answers[name]), labelled, peers[name])
    if bench.wants("sentiment.cross."):
        for name, labelled in sets.items():
            bench.say(f"sentiment: {name} by the others")
            model = fit_sentiment({other: sets[other] for other in sets if other != name})
            found = _numbers(judge_sentiment(labelled.texts, model).label)
            yield _row(f"sentiment.cross.{name}", macro_f1(labelled.labels, found), labelled, peers[name])


def measure_scam(bench: Bench) -> Iterator[Row]:
    """Precision and recall on posts that the model has not seen."""
    folder = _recordings(bench)
    if folder is None:
        return
    train, valid = scam_set(folder, "train"), scam_set(folder, "valid")
    if bench.quick:
        train = _few(train)
    bench.say("scam: fitting")
    found = scam_probabilities(valid.texts, fit_scam(train)) >= SCAM_CUT
    yield from _scam_rows("", valid.labels, found)
    fold, found = folds(len(train.texts)), np.zeros(len(train.texts), np.bool_)
    for number in range(FOLDS):
        inside = fold == number
        found[inside] = scam_probabilities(part(train, inside).texts, fit_scam(part(train, ~inside))) >= SCAM_CUT
    yield from _scam_rows(".folds", train.labels, found)


def out_of_fold(sets: Mapping[str, Labelled], bench: Bench) -> dict[str, Labels]:
    """Each text's label by a model that was fitted without its fold."""
    fold = {name: folds(len(labelled.texts)) for name, labelled in sets.items()}
    answers = {name: np.zeros(len(labelled.texts), np.intp) for name, labelled in sets.items()}
    for number in range(FOLDS):
        bench.say(f"sentiment: fold {number + 1} of {FOLDS}")
        model = fit_sentiment({name: part(labelled, fold[name] != number) for name, labelled in sets.items()})
        for name, labelled in sets.items():
            inside = fold[name] == number
            answers[name][inside] = _numbers(judge_sentiment(part(labelled, inside).texts, model).label)
    return answers


def macro_f1(truth: Labels, found: Labels) -> float:
    """Mean F1 over the classes that occur in the truth."""
    figures = []
    for label in np.unique(truth):
        right = int(((truth == label) & (found == label)).sum())
        wrong = int(((truth == label) != (found == label)).sum())
        figures.append(2 * right / max(2 * right + wrong, 1))
    return float(np.mean(figures))


def vader_labels(texts: tuple[str, ...]) -> Labels:
    """What VADER says at its standard thresholds."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    scores = np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
    return np.where(scores >= VADER_CUT, 2, np.where(scores <= -VADER_CUT, 0, 1))


def _numbers(labels: tuple[str, ...]) -> Labels:
    return np.array([CLASSES.index(label) for label in labels])


def _row(name: str, value: float, labelled: Labelled, peer: float) -> Row:
    return Row(name, value, "macro-F1", len(labelled.texts), peer, value / peer)


def _scam_rows(tail: str, truth: Labels, found: npt.NDArray[np.bool_]) -> Iterator[Row]:
    right = int((found & (truth == 1)).sum())
    yield Row(f"scam.precision{tail}", right / max(int(found.sum()), 1), "share", len(truth))
    yield Row(f"scam.recall{tail}", right / max(int((truth == 1).sum()), 1), "share", len(truth))


def _few(labelled: Labelled) -> Labelled:
    return part(labelled, np.arange(len(labelled.texts)) % 10 == 0)


def _recordings(bench: Bench) -> Path | None:
    folder = os.environ.get("METAPULSE_RECORDINGS")
    if not folder:
        bench.say("sentiment: METAPULSE_RECORDINGS is not set, nothing to judge")
        return None
    return Path(folder)


PART = Part("sentiment", METHOD, TARGETS, measure_sentiment)
SCAM_PART = Part("scam", "As described under sentiment.", SCAM_TARGETS, measure_scam)
