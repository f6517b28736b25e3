"""Posts as data: what is shown of them, in which groups, and what a few of them can and cannot do."""

from datetime import timedelta
from statistics import fmean, median

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metapulse_assets.intelligence.post_panel import (
    FEWEST_GROUPS,
    LONGEST_POST,
    MOST_OF_GROUP,
    panel,
    panel_of,
    panel_score,
    plain_post,
    sentiment_snapshot,
)
from metapulse_assets.intelligence.prompts import render
from metapulse_assets.intelligence.snapshots import PostText
from metapulse_assets_tests.intelligence.panels import AS_OF, honest

scores = st.floats(-1, 1)
groups_of_scores = st.lists(st.lists(scores, min_size=1, max_size=4), min_size=FEWEST_GROUPS, max_size=7)
SIDE = 0.2


def texts_of(posts: list[PostText]) -> list[list[str]]:
    return [[post.text for post in group] for group in panel(posts)]


def prompts_of(posts: list[PostText]) -> tuple[str, ...]:
    groups = panel(posts)
    return render("sentiment", sentiment_snapshot(groups), False).parts if groups else ()


def post(author: str, text: str, minutes_ago: float = 1) -> PostText:
    return PostText(AS_OF - timedelta(minutes=minutes_ago), f"{author}-{minutes_ago}", author, text)


def test_a_post_is_shown_plain() -> None:
    assert plain_post("buy\u200b now\n\nat\thttps://evil.example/x?y=1 \u202eok") == "buy now at (link) ok"
    assert plain_post("p\u0430y") == "pay"
    assert len(plain_post("word " * 500)) <= LONGEST_POST
    assert plain_post("\u200b\u2060 \n") == ""


@given(st.text(max_size=400))
def test_no_text_holds_what_parts_prompts_and_lines(text: str) -> None:
    plain = plain_post(text)
    assert len(plain) <= LONGEST_POST
    assert len(plain.splitlines()) <= 1
    assert "\f" not in plain


def test_too_few_groups_are_no_panel() -> None:
    assert panel([]) == []
    assert panel(honest(["up"], 2)) == []
    assert len(panel(honest(["up"], 30))) >= FEWEST_GROUPS


def test_an_author_has_one_vote_with_his_newest_post() -> None:
    posts = honest(["steady"], 20)
    noisy = [post("noisy", f"shout {minute}", minute) for minute in range(50)]
    shown = [text for group in texts_of([*posts, *noisy]) for text in group if text.startswith("shout")]
    assert shown == ["shout 0"]


def test_posts_are_numbered_within_their_group_and_few_are_shown() -> None:
    for group in panel(honest(["x"], 30)):
        assert [shown.number for shown in group] == list(range(1, len(group) + 1))
    assert max(len(group) for group in panel(honest(["x"], 300))) == MOST_OF_GROUP


@given(st.integers(8, 40), st.text("abcdefgh", min_size=1, max_size=8), st.integers(0, 90))
def test_one_more_author_changes_no_group_but_his_own(count: int, name: str, minutes: int) -> None:
    posts = honest(["gm"], count)
    before, after = prompts_of(posts), prompts_of([*posts, post(f"new-{name}", "I am new", minutes)])
    assume(before and after)
    # Not only the groups: what the model is shown of them, to the letter.
    assert len(set(before) - set(after)) <= 1
    assert len(set(after) - set(before)) <= 1


def test_a_stored_panel_is_the_panel() -> None:
    groups = panel(honest(["a", "b"], 20))
    assert panel_of(sentiment_snapshot(groups)) == groups


@given(groups_of_scores)
def test_a_score_lies_between_nothing_and_the_median(groups: list[list[float]]) -> None:
    score, middle = panel_score(groups), median(map(fmean, groups))
    assert min(0, middle) - 1e-12 <= score <= max(0, middle) + 1e-12


@given(groups_of_scores)
def test_the_order_of_groups_does_not_matter_and_opposites_are_opposite(groups: list[list[float]]) -> None:
    assert panel_score(groups) == panel_score(groups[::-1])
    assert panel_score([[-score for score in group] for group in groups]) == pytest.approx(-panel_score(groups))


@given(groups_of_scores, st.data())
def test_a_surer_post_never_turns_the_panel_the_other_way(groups: list[list[float]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(groups) - 1))
    raised = [[min(score + 0.5, 1.0) for score in group] if at == place else group for at, group in enumerate(groups)]
    assert panel_score(raised) >= panel_score(groups) - 1e-12


@given(groups_of_scores, st.data(), st.lists(st.floats(-50, 50), min_size=1, max_size=4))
def test_who_sways_one_group_gives_no_side_that_the_others_median_lacks(
    groups: list[list[float]], data: st.DataObject, wild: list[float]
) -> None:
    place = data.draw(st.integers(0, len(groups) - 1))
    swayed = panel_score([wild if at == place else group for at, group in enumerate(groups)])
    clean = median(map(fmean, groups))
    if swayed > SIDE:
        assert clean > SIDE
    if swayed < -SIDE:
        assert clean < -SIDE
    # And a group that he added, where there was none.
    added = panel_score([*groups, wild])
    assert not (added > SIDE and clean <= SIDE)
    assert not (added < -SIDE and clean >= -SIDE)


@given(st.lists(st.lists(st.floats(SIDE + 0.01, 1), min_size=1, max_size=4), min_size=FEWEST_GROUPS, max_size=7), st.data())
def test_groups_of_one_mind_are_not_swayed_by_one(groups: list[list[float]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(groups) - 1))
    assert panel_score([[-1.0] if at == place else group for at, group in enumerate(groups)]) > SIDE
    assert panel_score([*groups, [-1.0]]) > SIDE


def test_where_it_breaks() -> None:
    minds = [[0.8]] * 5
    swayed = [panel_score([[-1.0]] * count + minds[count:]) for count in range(6)]
    # One changes nothing, two and three silence the panel, from four of five on it says what they want.
    assert swayed[:4] == [0.8, 0.8, 0.0, 0.0]
    assert all(score < -SIDE for score in swayed[4:])


def test_no_scores_are_an_error() -> None:
    for wrong in ([], [[0.1], []]):
        with pytest.raises(ValueError, match="a panel needs groups"):
            panel_score(wrong)
