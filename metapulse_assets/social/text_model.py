"""The small linear models: reading their files, and judging texts with them, many at once.

A model is a weight a bucket and class, a weight a dense feature and class, and a bias a class. How they were fitted is in
`metapulse_assets_tests/training`.
"""

import base64
import functools
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from metapulse_assets.social.text_features import Buckets, flat, tokens_of

Floats = npt.NDArray[np.float64]
DenseReader = Callable[[str, Sequence[str]], list[float]]
# Texts looked at together: enough for numpy, few enough for the cache.
AT_ONCE = 4_000
_LARGEST_BYTE = 127
VOCABULARY_BITS = 18


@dataclass(frozen=True)
class TextModel:
    """A fitted model. `buckets`: buckets x classes; `dense`: features x classes; `vocabulary`: as `vocabulary_of`."""

    version: str
    classes: tuple[str, ...]
    buckets: npt.NDArray[np.float32]
    dense: Floats
    bias: Floats
    vocabulary: npt.NDArray[np.bool_]

    @property
    def bits(self) -> int:
        """2**bits buckets."""
        return len(self.buckets).bit_length() - 1


@dataclass(frozen=True)
class Judged:
    """Probabilities of the classes, texts x classes; and the share of each text's words that were in the fitted texts."""

    chances: Floats
    coverage: Floats


def judge(model: TextModel, texts: Sequence[str], read_dense: DenseReader) -> Judged:
    """Judge texts; `read_dense` gives the dense features of a text and its tokens."""
    hashing = _hashing(model.bits)
    chances = np.empty((len(texts), len(model.classes)))
    coverage = np.empty(len(texts))
    for start in range(0, len(texts), AT_ONCE):
        part = texts[start : start + AT_ONCE]
        tokens = [tokens_of(text) for text in part]
        buckets, ends = flat(hashing.of_tokens(words) for words in tokens)
        dense = np.array([read_dense(text, words) for text, words in zip(part, tokens, strict=True)], np.float64)
        chances[start : start + len(part)] = _chances(model, buckets, ends, dense)
        coverage[start : start + len(part)] = [_known_share(model.vocabulary, words) for words in tokens]
    return Judged(chances, coverage)


def _chances(model: TextModel, buckets: npt.NDArray[np.int32], ends: npt.NDArray[np.int64], dense: Floats) -> Floats:
    starts = np.concatenate(([0], ends[:-1]))
    lengths = ends - starts
    row_of = np.repeat(np.arange(len(ends)), lengths)
    scale = 1.0 / np.sqrt(np.maximum(lengths, 1))
    # A product of matrices may sum in another order for another number of texts; this sums each text by itself.
    logits = (dense[:, :, None] * model.dense[None, :, :]).sum(axis=1) + model.bias
    for column in range(len(model.classes)):
        logits[:, column] += scale * np.bincount(row_of, model.buckets[buckets, column], len(ends))
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def vocabulary_of(words: Iterable[str]) -> npt.NDArray[np.bool_]:
    """A set of words as bits: which of `VOCABULARY_BITS` numbers their hashes are."""
    known = np.zeros(1 << VOCABULARY_BITS, np.bool_)
    known[[_word_number(word) for word in words]] = True
    return known


def _word_number(word: str) -> int:
    return zlib.crc32(word.encode()) & ((1 << VOCABULARY_BITS) - 1)


def _known_share(known: npt.NDArray[np.bool_], tokens: Sequence[str]) -> float:
    words = [token for token in tokens if token[0] not in "<!?#"]
    return float(known[[_word_number(word) for word in words]].mean()) if words else 0.0


@functools.lru_cache(maxsize=8)
def _hashing(bits: int) -> Buckets:
    return Buckets(bits)


def encode(model: TextModel) -> str:
    """The model as the JSON of its file; bucket weights as bytes, a scale a class."""
    scale = np.maximum(np.abs(model.buckets).max(axis=0), 1e-9) / _LARGEST_BYTE
    whole = np.rint(model.buckets / scale).astype(np.int8)
    return json.dumps(
        {
            "version": model.version,
            "classes": list(model.classes),
            "scale": [float(f"{value:.6g}") for value in scale],
            "dense": [[round(float(value), 5) for value in row] for row in model.dense],
            "bias": [round(float(value), 5) for value in model.bias],
            "buckets": _packed(whole.tobytes()),
            "vocabulary": _packed(np.packbits(model.vocabulary).tobytes()),
        },
        indent=1,
    )


def decode(text: str) -> TextModel:
    """The model of a file's JSON. Raises ValueError naming what does not fit."""
    content = json.loads(text)
    classes = tuple(content["classes"])
    whole = np.frombuffer(_unpacked(content["buckets"]), np.int8).reshape(-1, len(classes))
    dense = np.array(content["dense"], np.float64).reshape(-1, len(classes))
    if len(whole) & (len(whole) - 1):
        raise ValueError(f"buckets: {len(whole)} is no power of two")
    return TextModel(
        version=content["version"],
        classes=classes,
        buckets=(whole * np.array(content["scale"])).astype(np.float32),
        dense=dense,
        bias=np.array(content["bias"]),
        vocabulary=np.unpackbits(np.frombuffer(_unpacked(content["vocabulary"]), np.uint8)).astype(np.bool_),
    )


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _unpacked(content: str) -> bytes:
    return zlib.decompress(base64.b64decode(content))


@functools.lru_cache(maxsize=4)
def load(name: str) -> TextModel:
    """One of the models that come with the package: sentiment or scam."""
    return decode((files("metapulse_assets.social") / "models" / f"{name}.json").read_text())
