"""Posts as data for a model: which of them are shown, made plain, in which groups, and what their scores come to together.

A post may try to give the model orders. It can reach the few posts of its own group only, each author has one vote, and what
counts is the median of the groups, read as if the most extreme of them had been swayed.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median
from typing import Any

from metapulse_assets.intelligence.snapshots import PostText
from metapulse_assets.social.text_cleaning import clean_text

GROUPS = 7
"""Groups that authors fall into by a hash of their id, each asked of apart. Own choice: few authors seldom fill fewer."""
FEWEST_GROUPS = 5
"""Groups with a post that a panel needs: with these, all of one side, one swayed group changes nothing."""
MOST_OF_GROUP = 4
"""Authors of a group whose newest post is shown: whoever posts crowds out only his own group. Own choice."""
LONGEST_POST = 280
"""Characters of a post that are shown: the length of a plain post on X."""
SCORE_TO_LOGIT = 1.0
"""Logit of the probability that a score of 1 stands for, before calibration. Own choice: moods alone predict little."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True)
class PanelPost:
    """A post as it is shown: its number in its group, and its text made plain."""

    number: int
    text: str


def panel(posts: Sequence[PostText]) -> list[list[PanelPost]]:
    """The groups of posts that are asked of, each by itself: one post an author, the newest; empty if the groups are too few.

    An author's group follows from his id alone, so that a further author changes no group but his own.
    """
    newest: dict[str, PostText] = {}
    for post in sorted(posts, key=_time):
        if plain_post(post.text):
            newest[post.author_id] = post
    groups: list[list[PostText]] = [[] for _ in range(GROUPS)]
    for post in newest.values():
        digest = hashlib.sha256(post.author_id.encode("utf-8", "replace")).digest()
        groups[int.from_bytes(digest[:8], "big") % GROUPS].append(post)
    shown = [sorted(group, key=_time)[-MOST_OF_GROUP:] for group in groups if group]
    if len(shown) < FEWEST_GROUPS:
        return []
    return [[PanelPost(number, plain_post(post.text)) for number, post in enumerate(group, 1)] for group in shown]


def _time(post: PostText) -> tuple[datetime, str]:
    return post.observed_at, post.post_id


def plain_post(text: str) -> str:
    """A post's text without hidden characters, look-alikes, line breaks and links, cut to a length."""
    plain = _LINK.sub("(link)", clean_text(text))
    # What is left of a line's length after that is spaces; form feeds part the prompts of a panel.
    return " ".join(plain.split())[:LONGEST_POST].strip()


def sentiment_snapshot(groups: Sequence[Sequence[PanelPost]]) -> dict[str, Any]:
    """The panel as it is stored with its question."""
    return {"groups": [[{"id": post.number, "text": post.text} for post in group] for group in groups]}


def panel_of(snapshot: Mapping[str, Any]) -> list[list[PanelPost]]:
    """The panel of a stored question."""
    return [[PanelPost(post["id"], post["text"]) for post in group] for group in snapshot["groups"]]


def panel_score(groups: Sequence[Sequence[float]]) -> float:
    """What the scores (-1 to 1) of the groups' posts come to. Raises ValueError for no groups, or one without scores.

    Of all medians of the groups' means that come about when one group says anything else, the one nearest to 0. So a side is
    taken only if it would be taken whatever one group said, and whoever sways one group gives the panel no side that the median
    of the groups without him did not have.
    """
    if not groups or any(not group for group in groups):
        raise ValueError("groups: a panel needs groups, and each of them scores")
    means = sorted(fmean(min(max(score, -1.0), 1.0) for score in group) for group in groups)
    low, high = median([-1.0, *means[:-1]]), median([*means[1:], 1.0])
    return max(low, 0.0) + min(high, 0.0)
