"""What a source of posts answers, for explicit times: the contract between X's stand-in and where its posts come from.

X's shapes and its search do not belong here. A post's reactions grow with its age and depend on the time asked for alone.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

# X's ids begin with milliseconds since this moment.
SNOWFLAKE_EPOCH_MS: Final = 1_288_834_974_657
_SHIFT: Final = 22
LOW_BITS: Final = (1 << _SHIFT) - 1
# Reactions come within hours: after this long 63 % of them are there.
_REACTION_SECONDS: Final = 3 * 3600.0
_HANDLE: Final = re.compile(r"[A-Za-z0-9_]{1,15}")


def post_id_at(seconds: float, low: int = 0) -> int:
    """The id of a post made at this time (UTC epoch seconds); ``low`` tells posts of one millisecond apart."""
    return ((round(seconds * 1000) - SNOWFLAKE_EPOCH_MS) << _SHIFT) | (low & LOW_BITS)


def seconds_of_id(post_id: int) -> float:
    """The reverse of :func:`post_id_at`, to the millisecond."""
    return ((post_id >> _SHIFT) + SNOWFLAKE_EPOCH_MS) / 1000


@dataclass(frozen=True, slots=True)
class Author:
    """An account. ``created_at`` is in UTC epoch seconds; ``followers`` is below 0 where they are not known."""

    id: str
    username: str
    name: str
    created_at: float
    followers: int
    following: int = 0
    posts: int = 0


@dataclass(frozen=True, slots=True)
class Reactions:
    """Counts of a post in the end."""

    likes: int = 0
    replies: int = 0
    reposts: int = 0
    quotes: int = 0
    impressions: int = 0


@dataclass(frozen=True, slots=True)
class SandboxPost:
    """A post. ``at`` is in UTC epoch seconds; ``references`` are (type in X's words, id)."""

    id: int
    at: float
    author: Author
    text: str
    reactions: Reactions
    lang: str = "en"
    references: tuple[tuple[str, int], ...] = ()

    def reactions_at(self, t: float) -> Reactions:
        """The counts at ``t``."""
        share = 1.0 - math.exp(-max(t - self.at, 0.0) / _REACTION_SECONDS)
        whole = self.reactions
        return Reactions(
            int(whole.likes * share),
            int(whole.replies * share),
            int(whole.reposts * share),
            int(whole.quotes * share),
            int(whole.impressions * share),
        )


class PostSource(Protocol):
    """Where posts come from. Answers depend on the times given and on nothing else."""

    def newest_first(self, start: float, end: float) -> Iterator[SandboxPost]:
        """Posts with ``start <= at < end``, newest first, made as they are asked for."""

    def author_named(self, username: str, t: float) -> Author | None:
        """The account of this name, whatever its case."""

    def author_with_id(self, author_id: str, t: float) -> Author | None:
        """The account with this id."""
