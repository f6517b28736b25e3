"""When sources agree: two kinds, one direction, none against; each agreement once; nothing later changes it."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.signals.combining import WINDOW, SourceHit, find_agreements
from metapulse_assets.signals.view_reasons import VIEW_SENTENCES

START = datetime(2026, 3, 4, 10, tzinfo=UTC)
FAR = START + timedelta(days=3)
MINUTE = timedelta(minutes=1)


def hit(minute: float, kind: str = "technical", direction: str = "buy", **change: Any) -> SourceHit:
    at = START + minute * MINUTE
    values: dict[str, Any] = {
        "kind": kind,
        "token_id": 1,
        "rule": f"{kind}_rule",
        "timeframe": "5m" if kind == "technical" else "24h",
        "direction": direction,
        "strength": 0.5,
        "confidence": 0.6,
        "opened_at": at,
        "available_at": at,
        **change,
    }
    return SourceHit(**values)


def moments(*hits: SourceHit) -> list[tuple[float, str]]:
    return [((view.as_of - START) / MINUTE, view.direction) for view in find_agreements(hits, START, FAR)]


def test_two_kinds_that_agree_within_two_hours() -> None:
    assert moments(hit(0), hit(60, "social")) == [(60, "buy")]
    assert moments(hit(0, direction="sell"), hit(60, "ai", "sell")) == [(60, "sell")]


def test_one_kind_is_no_second_opinion() -> None:
    assert moments(hit(0), hit(5, rule="other"), hit(10, rule="third")) == []


def test_hits_too_far_apart_do_not_speak_together() -> None:
    assert moments(hit(0), hit(WINDOW / MINUTE, "social")) == []


def test_a_kind_that_says_the_opposite_forbids_it() -> None:
    assert moments(hit(0), hit(1, "social", "sell"), hit(2, "ai")) == []
    assert moments(hit(0), hit(1, "social"), hit(2, "ai", "sell"), hit(3, "ai", "buy", confidence=1.0)) == [
        (1, "buy"),
        (3, "buy"),
    ]


def test_hits_of_one_kind_have_one_voice_by_weight() -> None:
    louder = hit(1, direction="sell", rule="other", strength=1.0)
    assert moments(hit(0), louder, hit(2, "social", "sell")) == [(2, "sell")]


def test_an_agreement_is_said_once_until_the_kinds_change() -> None:
    assert moments(hit(0), hit(1, "social"), hit(2, rule="other"), hit(3, "ai")) == [(1, "buy"), (3, "buy")]


def test_tokens_do_not_hear_each_other() -> None:
    assert moments(hit(0), hit(1, "social", token_id=2)) == []


def test_what_an_agreement_says() -> None:
    [view] = find_agreements([hit(0, strength=0.4), hit(1, "social", strength=0.8, confidence=1.0)], START, FAR)
    assert (view.strength, view.confidence) == (0.6000000000000001, 0.8)
    assert list(view.inputs["sources"]) == ["social", "technical"]
    assert "technical (technical_rule 5m)" in VIEW_SENTENCES[view.rule](view.inputs)


hits = st.lists(
    st.builds(
        hit,
        st.integers(0, 600),
        st.sampled_from(["technical", "social", "ai"]),
        st.sampled_from(["buy", "sell"]),
        token_id=st.integers(1, 2),
        rule=st.sampled_from(["one", "two"]),
        strength=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    ),
    max_size=25,
)


@given(hits, st.integers(0, 600))
def test_nothing_later_changes_an_agreement(found: list[SourceHit], cut: int) -> None:
    end = START + cut * MINUTE
    known = [one for one in found if one.available_at < end]
    assert find_agreements(known, START, end) == find_agreements(found, START, end)
    assert find_agreements(known, START, end) == [view for view in find_agreements(found, START, FAR) if view.as_of < end]


@given(hits, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(found: list[SourceHit], luck: random.Random) -> None:
    shuffled = list(found)
    luck.shuffle(shuffled)
    assert find_agreements(shuffled, START, FAR) == find_agreements(found, START, FAR)


@given(hits, st.integers(0, 600))
def test_a_span_needs_only_the_hits_from_two_windows_before_it(found: list[SourceHit], cut: int) -> None:
    start = START + cut * MINUTE
    needed = [one for one in found if one.available_at >= start - 2 * WINDOW]
    assert find_agreements(needed, start, FAR) == find_agreements(found, start, FAR)


@given(hits)
def test_tokens_of_which_only_candles_speak_are_not_needed(found: list[SourceHit]) -> None:
    spoken_of = {one.token_id for one in found if one.kind != "technical"}
    assert find_agreements([one for one in found if one.token_id in spoken_of], START, FAR) == find_agreements(
        found, START, FAR
    )
