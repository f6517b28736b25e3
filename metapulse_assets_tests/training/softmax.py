"""Fitting a linear classifier on bucketed texts and dense features: weighted softmax regression, L2, L-BFGS, numpy only."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Texts:
    """Texts as a model sees them: buckets of all texts, where each text's end lies, and a row of dense features each."""

    buckets: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    dense: Floats

    def take(self, rows: npt.NDArray[Any]) -> "Texts":
        """Some of the texts."""
        starts = np.concatenate(([0], self.ends[:-1]))
        lengths = (self.ends - starts)[rows]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts[rows] - ends + lengths, lengths)
        return Texts(self.buckets[places], ends, self.dense[rows])


@dataclass(frozen=True)
class Weights:
    """A fitted model: classes are columns."""

    buckets: Floats
    dense: Floats
    bias: Floats


def together(first: Texts, second: Texts) -> Texts:
    """Two sets of texts as one."""
    shift = first.ends[-1] if len(first.ends) else 0
    return Texts(
        np.concatenate((first.buckets, second.buckets)),
        np.concatenate((first.ends, second.ends + shift)),
        np.concatenate((first.dense, second.dense)),
    )


def fit(
    texts: Texts,
    labels: npt.NDArray[np.intp],
    importance: Floats,
    n_buckets: int,
    n_classes: int,
    l2_buckets: float = 1.0,
    l2_dense: float = 0.1,
    rounds: int = 60,
) -> Weights:
    """The weights that make the labels likeliest, each text counting by its importance. Deterministic."""
    n_dense = texts.dense.shape[1]
    starts = np.concatenate(([0], texts.ends[:-1])).astype(np.int64)
    lengths = np.maximum(texts.ends - starts, 1)
    per_text = 1.0 / np.sqrt(lengths)
    row_of = np.repeat(np.arange(len(lengths)), texts.ends - starts)
    value = per_text[row_of]
    truth = np.zeros((len(labels), n_classes))
    truth[np.arange(len(labels)), labels] = 1.0
    penalty = np.concatenate(
        (np.full(n_buckets * n_classes, l2_buckets), np.full(n_dense * n_classes, l2_dense), np.zeros(n_classes))
    )

    def split(flat: Floats) -> tuple[Floats, Floats, Floats]:
        at, to = n_buckets * n_classes, (n_buckets + n_dense) * n_classes
        return flat[:at].reshape(n_buckets, n_classes), flat[at:to].reshape(n_dense, n_classes), flat[to:]

    def loss(flat: Floats) -> tuple[float, Floats]:
        by_bucket, by_dense, bias = split(flat)
        logits = texts.dense @ by_dense + bias
        for column in range(n_classes):
            logits[:, column] += np.bincount(row_of, by_bucket[texts.buckets, column] * value, len(labels))
        logits -= logits.max(axis=1, keepdims=True)
        chance = np.exp(logits)
        chance /= chance.sum(axis=1, keepdims=True)
        cost = -float((importance * np.log(np.maximum(chance[np.arange(len(labels)), labels], 1e-12))).sum())
        error = importance[:, None] * (chance - truth)
        slope = np.empty_like(flat)
        of_bucket, of_dense, of_bias = split(slope)
        for column in range(n_classes):
            of_bucket[:, column] = np.bincount(texts.buckets, error[row_of, column] * value, n_buckets)
        of_dense[:] = texts.dense.T @ error
        of_bias[:] = error.sum(axis=0)
        return cost + 0.5 * float((penalty * flat * flat).sum()), slope + penalty * flat

    return Weights(*(part.copy() for part in split(_lbfgs(loss, np.zeros(len(penalty)), rounds))))


def _lbfgs(loss: Any, start: Floats, rounds: int, memory: int = 8) -> Floats:
    """Minimise by L-BFGS with a halving line search."""
    at, (cost, slope) = start, loss(start)
    steps: deque[tuple[Floats, Floats, float]] = deque(maxlen=memory)
    for _ in range(rounds):
        direction = -slope
        kept = []
        for step, change, inverse in reversed(steps):
            share = inverse * float(step @ direction)
            direction -= share * change
            kept.append(share)
        if steps:
            step, change, inverse = steps[-1]
            direction *= float(step @ change) / float(change @ change)
        else:
            direction /= max(float(np.abs(slope).sum()), 1.0)
        for (step, change, inverse), share in zip(steps, reversed(kept), strict=True):
            direction += step * (share - inverse * float(change @ direction))
        downhill, length = float(slope @ direction), 1.0
        for _ in range(25):
            new = at + length * direction
            new_cost, new_slope = loss(new)
            if new_cost <= cost + 1e-4 * length * downhill:
                break
            length /= 2
        else:
            break
        step, change = new - at, new_slope - slope
        if (curvature := float(step @ change)) > 1e-10:
            steps.append((step, change, 1.0 / curvature))
        done = abs(cost - new_cost) <= 1e-7 * max(abs(cost), 1.0)
        at, cost, slope = new, new_cost, new_slope
        if done:
            break
    return at


def chances(texts: Texts, weights: Weights) -> Floats:
    """The probability of each class for each text."""
    starts = np.concatenate(([0], texts.ends[:-1]))
    row_of = np.repeat(np.arange(len(texts.ends)), texts.ends - starts)
    scale = 1.0 / np.sqrt(np.maximum(texts.ends - starts, 1))
    logits = texts.dense @ weights.dense + weights.bias
    for column in range(logits.shape[1]):
        logits[:, column] += scale * np.bincount(row_of, weights.buckets[texts.buckets, column], len(texts.ends))
    logits -= logits.max(axis=1, keepdims=True)
    result = np.exp(logits)
    return np.asarray(result / result.sum(axis=1, keepdims=True))
