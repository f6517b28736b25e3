"""How two models' probabilities become one opinion. Pure functions of numbers.

Means of calibrated logits, shrunk by disagreement. Sources, on arXiv: what language models say of their confidence is too high
(2306.13063); means over models forecast about as well as crowds (2402.19379); shrinking logits helps (2604.18576).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["buy", "sell", "neutral"]
OpinionStatus = Literal["agreed", "disagreement", "single_model"]

MOST_EXTREME_LOGIT = 4.0
"""Nobody knows a token's price to better than 98 %: what is said beyond is read as this. Own choice."""
DIRECTION_LOGIT = math.log(0.55 / 0.45)
"""Distance of an opinion from the base rate at which it takes a side: 5 % at a base rate of a half. Own choice."""
SINGLE_MODEL_SHRINKAGE = 0.5
"""Share of a lone model's distance from the base rate that is believed. Own choice: as if another had said nothing."""
STRONG_LOGIT = math.log(0.70 / 0.30)
"""Distance from the base rate at which an opinion is called strong. Own choice."""


@dataclass(frozen=True)
class Member:
    """One model's calibrated probability (0 to 1) and its weight (above 0)."""

    probability: float
    weight: float = 1.0


@dataclass(frozen=True)
class Opinion:
    """What the models say together. `disagreement`: 0 (one voice) to 1, None for a single model."""

    status: OpinionStatus
    probability: float
    direction: Direction
    disagreement: float | None

    @property
    def confidence(self) -> float:
        """Probability of what the direction says; for neutral, of the likelier side."""
        if self.direction == "buy":
            return self.probability
        return 1 - self.probability if self.direction == "sell" else max(self.probability, 1 - self.probability)

    def recommendation(self, base_rate: float = 0.5) -> str:
        """The opinion in the words of the technical readings."""
        if self.direction == "neutral":
            return "hold"
        strong = abs(logit(self.probability) - logit(base_rate)) >= STRONG_LOGIT
        return f"strong_{self.direction}" if strong else self.direction


def combine(members: Sequence[Member], base_rate: float = 0.5) -> Opinion | None:
    """One opinion of at most two; None of none. Raises ValueError for more, and for weights that are not above 0.

    With l the distances of the members' logits from the base rate's, m their weighted mean and d the difference of the two: the
    result is m / (1 + d), but never weaker than the weaker of two that lie on one side, for else a member could weaken the
    result by becoming surer of it. Sides that contradict each other give neutral and `disagreement`.
    """
    if len(members) > 2:
        raise ValueError(f"members: {len(members)} where at most two are combined")
    if not members:
        return None
    if any(not member.weight > 0 for member in members):
        raise ValueError("members: a weight is not above 0")
    base = logit(base_rate)
    distances = [logit(member.probability) - base for member in members]
    if len(members) == 1:
        result = SINGLE_MODEL_SHRINKAGE * distances[0]
        return Opinion("single_model", sigmoid(base + result), direction_of(result), None)
    total = sum(member.weight for member in members)
    mean = sum(member.weight * distance for member, distance in zip(members, distances, strict=True)) / total
    apart = abs(distances[0] - distances[1])
    result = mean / (1 + apart)
    low, high = min(distances), max(distances)
    if low > 0:
        result = max(result, low)
    elif high < 0:
        result = min(result, high)
    contradict = {direction_of(distance) for distance in distances} == {"buy", "sell"}
    return Opinion(
        status="disagreement" if contradict else "agreed",
        probability=sigmoid(base + result),
        direction="neutral" if contradict else direction_of(result),
        disagreement=apart / (1 + apart),
    )


def direction_of(distance: float) -> Direction:
    """The side that a distance from the base rate's logit takes."""
    if distance >= DIRECTION_LOGIT:
        return "buy"
    return "sell" if distance <= -DIRECTION_LOGIT else "neutral"


def logit(probability: float) -> float:
    """Logit of a probability, held within `MOST_EXTREME_LOGIT`. Raises ValueError outside of 0 to 1."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability: {probability} is not from 0 to 1")
    if probability in (0, 1):
        return math.copysign(MOST_EXTREME_LOGIT, probability - 0.5)
    return min(max(math.log(probability / (1 - probability)), -MOST_EXTREME_LOGIT), MOST_EXTREME_LOGIT)


def sigmoid(value: float) -> float:
    """The probability of a logit."""
    return 1 / (1 + math.exp(-value))
