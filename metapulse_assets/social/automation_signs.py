"""How much an author looks like a program: repetition, copies, rate, age of the account, followers, shape of the handle.

A guess from what is known when the post could be used, kept as a figure and never as a verdict on a person. All thresholds and
weights are own choices: there is no labelled set to fit them on.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HOUR, DAY = 3_600_000_000, 86_400_000_000
# From here on a post counts as automated where it must be one or the other.
BOT_CUT = 0.5
# Texts with fewer words are alike without anybody copying.
SHORTEST_TEXT = 4
# Weight of each sign at its fullest; they are joined as independent evidence: 1 - product of (1 - weight x sign).
REPEATS, COPIES, RATE, NEW_ACCOUNT, NO_FOLLOWERS, HANDLE, TICKER_LIST = 0.6, 0.6, 0.6, 0.35, 0.2, 0.25, 0.25
# Same text this often in a day by one author, or by this many others, is the sign at its fullest.
FULL_REPEATS, FULL_COPIES = 4, 5
# Posts of a day: from many to more than anybody writes.
BUSY_POSTS, MOST_POSTS = 40, 150
NEW_ACCOUNT_AGE, YOUNG_ACCOUNT_AGE = 3 * DAY, 30 * DAY
FEW_FOLLOWERS = 10
LONG_LIST = 6
_MACHINE_HANDLE = re.compile(r"\d{5,}$|^[A-Za-z]{2,15}\d{4,}$|^[a-z0-9]*\d[a-z]\d[a-z0-9]*\d$|bot\d*$", re.IGNORECASE)
# What a text is compared by leaves out what differs between copies.
_LEFT_OUT = ("<ticker>", "<link>", "<handle>", "<number>", "<money>", "<%>", "<up%>", "<down%>", "<up>", "<down>", "<times>")
_MASK = (1 << 63) - 1


@dataclass(frozen=True)
class Seen:
    """Posts that are known, in any order: author, text, and times in microseconds since 1970."""

    author: Ints
    text: Ints
    observed: Ints
    available: Ints
    long_enough: npt.NDArray[np.bool_]
    is_repost: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Author:
    """What is known of who wrote a post. `age`: of the account at the post, microseconds; null: not known."""

    name: str | None
    age: int | None
    followers: int | None


def text_key(tokens: Sequence[str]) -> int:
    """A number that is the same for texts that differ in tickers, links, handles and figures only; 0 to 2**63 - 1."""
    words = " ".join(token for token in tokens if token not in _LEFT_OUT)
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") & _MASK


def is_long_enough(tokens: Sequence[str]) -> bool:
    """Whether two such texts are hardly alike by chance."""
    return sum(token not in _LEFT_OUT for token in tokens) >= SHORTEST_TEXT


def bot_likeness(seen: Seen, rows: npt.NDArray[np.intp], authors: Sequence[Author], tickers: Sequence[int]) -> Floats:
    """Signs of automation in some of the posts, 0 to 1, by those known when each could be used.

    `rows`: which of the posts; `authors` and `tickers` (how many tickers it names) belong to these.
    """
    by_author, by_text = _groups(seen.author), _groups(seen.text)
    result = np.empty(len(rows))
    for place, row in enumerate(rows.tolist()):
        own = _of_the_day(seen, by_author, int(seen.author[row]), row)
        signs = [(RATE, _share(len(own) - BUSY_POSTS, MOST_POSTS - BUSY_POSTS))]
        if seen.long_enough[row] and not seen.is_repost[row]:
            repeats = int((seen.text[own] == seen.text[row]).sum()) - 1
            alike = _of_the_day(seen, by_text, int(seen.text[row]), row)
            others = np.unique(seen.author[alike[~seen.is_repost[alike]]])
            signs += [(REPEATS, _share(repeats, FULL_REPEATS)), (COPIES, _share(len(others) - 1, FULL_COPIES))]
        author = authors[place]
        if author.age is not None:
            signs.append((NEW_ACCOUNT, 1.0 if author.age < NEW_ACCOUNT_AGE else 0.5 if author.age < YOUNG_ACCOUNT_AGE else 0.0))
        if author.followers is not None:
            signs.append((NO_FOLLOWERS, float(author.followers < FEW_FOLLOWERS)))
        if author.name:
            signs.append((HANDLE, float(bool(_MACHINE_HANDLE.search(author.name)))))
        signs.append((TICKER_LIST, float(tickers[place] >= LONG_LIST)))
        result[place] = 1.0 - float(np.prod([1.0 - weight * sign for weight, sign in signs]))
    return result


def _groups(values: Ints) -> dict[int, npt.NDArray[np.intp]]:
    """The places of each value."""
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.diff(values[order])) + 1
    return {int(values[part[0]]): part for part in np.split(order, ends) if len(part)}


def _of_the_day(seen: Seen, groups: dict[int, npt.NDArray[np.intp]], value: int, row: int) -> npt.NDArray[np.intp]:
    """The posts of a group in the 24 h up to a post, itself included, that were known by then."""
    group = groups[value]
    if len(group) == 1:
        return group
    observed = seen.observed[group]
    known = (observed <= seen.observed[row]) & (observed > seen.observed[row] - DAY)
    return np.asarray(group[known & (seen.available[group] <= seen.available[row])])


def _share(count: int, full: int) -> float:
    return min(max(count / full, 0.0), 1.0)
