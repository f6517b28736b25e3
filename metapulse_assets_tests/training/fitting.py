"""From labelled texts to a model of the package, and models fitted on parts for judging the rest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import metapulse_assets.social
from metapulse_assets.social.text_features import Buckets, flat, tokens_of
from metapulse_assets.social.text_model import DenseReader, TextModel, decode, encode, vocabulary_of
from metapulse_assets_tests.training.softmax import Floats, Texts, fit
from metapulse_assets_tests.training.text_sets import Labelled

FOLDS = 5
SEED = 20260304
MODELS = Path(metapulse_assets.social.__file__).parent / "models"
# A word that was seen less often is not called known.
LEAST_SEEN = 2


def seen(texts: Sequence[str], bits: int, read_dense: DenseReader) -> Texts:
    """Texts as the model sees them."""
    tokens = [tokens_of(text) for text in texts]
    hashing = Buckets(bits)
    buckets, ends = flat(hashing.of_tokens(words) for words in tokens)
    return Texts(buckets, ends, np.array([read_dense(text, words) for text, words in zip(texts, tokens, strict=True)]))


def balanced(labels: npt.NDArray[np.intp], n_classes: int, power: float) -> Floats:
    """How much each text counts, so that rare classes are not drowned: inverse frequency to a power."""
    counts = np.bincount(labels, minlength=n_classes)
    share = (counts.sum() / n_classes / np.maximum(counts, 1)) ** power
    return np.asarray(share[labels])


def fitted(
    labelled: Labelled,
    importance: Floats,
    classes: tuple[str, ...],
    bits: int,
    read_dense: DenseReader,
    l2: float,
    version: str = "trial",
) -> TextModel:
    """A model as it would be shipped: fitted, written to its file's form, and read back."""
    weights = fit(seen(labelled.texts, bits, read_dense), labelled.labels, importance, 1 << bits, len(classes), l2_buckets=l2)
    words = Counter(word for text in labelled.texts for word in set(tokens_of(text)))
    vocabulary = vocabulary_of(word for word, times in words.items() if times >= LEAST_SEEN)
    model = TextModel(version, classes, weights.buckets.astype(np.float32), weights.dense, weights.bias, vocabulary)
    return decode(encode(model))


def folds(count: int) -> npt.NDArray[np.intp]:
    """The fold of each of so many texts, always the same."""
    return np.asarray(np.random.default_rng(SEED).permutation(count) % FOLDS)


def joined(sets: Mapping[str, Labelled]) -> Labelled:
    """Several sets as one."""
    return Labelled(
        tuple(text for one in sets.values() for text in one.texts), np.concatenate([one.labels for one in sets.values()])
    )


def part(labelled: Labelled, rows: npt.NDArray[np.bool_]) -> Labelled:
    """Some of a set."""
    return Labelled(tuple(text for text, wanted in zip(labelled.texts, rows, strict=True) if wanted), labelled.labels[rows])


def write(model: TextModel, name: str) -> Path:
    """Put a model's file into the package."""
    MODELS.mkdir(exist_ok=True)
    path = MODELS / f"{name}.json"
    path.write_text(encode(model) + "\n")
    return path
