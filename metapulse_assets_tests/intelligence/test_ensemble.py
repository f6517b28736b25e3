"""The laws of combining two opinions."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metapulse_assets.intelligence.ensemble import (
    MOST_EXTREME_LOGIT,
    SINGLE_MODEL_SHRINKAGE,
    Member,
    Opinion,
    combine,
    direction_of,
    logit,
    sigmoid,
)

probabilities = st.floats(0, 1)
weights = st.floats(0.05, 20)
members = st.builds(Member, probabilities, weights)
rates = st.floats(0.05, 0.95)
TINY = 1e-9


def combined(*given_members: Member, rate: float = 0.5) -> Opinion:
    opinion = combine(given_members, rate)
    assert opinion is not None
    return opinion


@given(members, members, rates)
def test_the_order_of_the_models_does_not_matter(one: Member, other: Member, rate: float) -> None:
    first, second = combined(one, other, rate=rate), combined(other, one, rate=rate)
    assert first.probability == pytest.approx(second.probability, abs=TINY)
    assert (first.status, first.direction, first.disagreement) == (second.status, second.direction, second.disagreement)


@given(members, members)
def test_the_complement_is_answered_by_the_complement(one: Member, other: Member) -> None:
    swapped = combined(*(Member(1 - member.probability, member.weight) for member in (one, other)))
    straight = combined(one, other)
    assert swapped.probability == pytest.approx(1 - straight.probability, abs=1e-7)
    assert swapped.status == straight.status
    opposite = {"buy": "sell", "sell": "buy", "neutral": "neutral"}
    edge = min(abs(abs(logit(straight.probability)) - abs(logit(0.55))), abs(logit(0.5)) + 1)
    assume(edge > 1e-6)
    assert swapped.direction == opposite[straight.direction]


@given(probabilities, probabilities, members, weights, rates)
def test_a_surer_model_never_makes_the_whole_less_sure(
    low: float, high: float, other: Member, weight: float, rate: float
) -> None:
    low, high = min(low, high), max(low, high)
    less, more = combined(Member(low, weight), other, rate=rate), combined(Member(high, weight), other, rate=rate)
    assert more.probability >= less.probability - TINY


@given(st.lists(members, min_size=1, max_size=2), rates)
def test_nobody_is_outdone(given_members: list[Member], rate: float) -> None:
    opinion = combined(*given_members, rate=rate)
    said = [sigmoid(logit(member.probability)) for member in given_members]
    assert min([*said, rate]) - TINY <= opinion.probability <= max([*said, rate]) + TINY
    assert 0 <= opinion.confidence <= 1


@given(members, members)
def test_the_further_apart_the_closer_to_the_base_rate(one: Member, other: Member) -> None:
    opinion = combined(one, other)
    apart = abs(logit(one.probability) - logit(other.probability))
    assert opinion.disagreement == pytest.approx(apart / (1 + apart))
    same_weight = one.weight * logit(one.probability) + other.weight * logit(other.probability)
    mean = same_weight / (one.weight + other.weight)
    assert abs(logit(opinion.probability)) <= abs(mean) + 1e-6


def test_opposite_sides_are_neutral_and_said_to_be_a_disagreement() -> None:
    opinion = combined(Member(0.8), Member(0.3))
    assert (opinion.status, opinion.direction) == ("disagreement", "neutral")
    assert combined(Member(0.8), Member(0.5)).status == "agreed"


def test_one_model_alone_is_believed_by_half() -> None:
    opinion = combined(Member(0.8))
    assert (opinion.status, opinion.disagreement) == ("single_model", None)
    assert logit(opinion.probability) == pytest.approx(SINGLE_MODEL_SHRINKAGE * logit(0.8))
    assert opinion.probability < combined(Member(0.8), Member(0.8)).probability


def test_equal_opinions_are_the_opinion() -> None:
    assert combined(Member(0.7), Member(0.7, 3)).probability == pytest.approx(0.7)


def test_a_worked_example() -> None:
    # Logits 1 and 0: mean 0.5, apart 1, halved.
    assert combined(Member(sigmoid(1)), Member(0.5)).probability == pytest.approx(sigmoid(0.25))
    # With three times the weight on the first: mean 0.75.
    assert combined(Member(sigmoid(1), 3), Member(0.5, 1)).probability == pytest.approx(sigmoid(0.375))
    # Against a base rate with logit -1 both distances are larger by one: 2 and 1, mean 1.5, halved, but not below the weaker.
    assert combined(Member(sigmoid(1)), Member(0.5), rate=sigmoid(-1)).probability == pytest.approx(sigmoid(0))


def test_sides_begin_at_five_percent() -> None:
    assert [direction_of(logit(p)) for p in (0.551, 0.549, 0.451, 0.449)] == ["buy", "neutral", "neutral", "sell"]
    assert combined(Member(0.551), Member(0.551)).recommendation() == "buy"
    assert combined(Member(0.75), Member(0.75)).recommendation() == "strong_buy"
    assert combined(Member(0.25), Member(0.25)).recommendation() == "strong_sell"
    assert combined(Member(0.5), Member(0.5)).recommendation() == "hold"


def test_confidence_is_the_probability_of_the_side_taken() -> None:
    assert combined(Member(0.2), Member(0.2)).confidence == pytest.approx(0.8)
    assert combined(Member(0.8), Member(0.8)).confidence == pytest.approx(0.8)


def test_certainty_is_read_as_the_most_extreme_that_is_believed() -> None:
    assert (logit(0), logit(1)) == (-MOST_EXTREME_LOGIT, MOST_EXTREME_LOGIT)
    values = [logit(p) for p in (0, 1e-9, 0.1, 0.5, 0.9, 1 - 1e-9, 1)]
    assert all(low <= high for low, high in itertools.pairwise(values))


def test_what_cannot_be_combined_is_refused() -> None:
    assert combine([]) is None
    with pytest.raises(ValueError, match="3 where at most two"):
        combine([Member(0.5)] * 3)
    with pytest.raises(ValueError, match="weight is not above 0"):
        combine([Member(0.5, 0)])
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="is not from 0 to 1"):
            combine([Member(wrong)])
