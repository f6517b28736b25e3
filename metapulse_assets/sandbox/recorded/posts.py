"""Recorded posts, moved in time as recorded candles are: by whole days, so that the epoch date stands for their last full day.

One folder of gzipped lines of JSON, a file a coin and window; a post that lies under two coins is one post. Recorded are what a
post said, who wrote it and how it was received in the end; how the reactions grew before is made up by the age of the post.
"""

import gzip
import html
import json
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from metapulse_assets.sandbox.posts import LOW_BITS, Author, Reactions, SandboxPost, post_id_at, seconds_of_id

FOLDER: Final = "tweets_cryptop12"
_DAY: Final = 86400
# The recorder wrote India's time.
_IST: Final = timezone(timedelta(hours=5, minutes=30))
# A recording that ends in the last hour of a day covers that day.
_NEARLY: Final = 3600
_IMPRESSIONS_PER_REACTION: Final = 40


class RecordedPosts:
    """The posts below a folder of recordings (see ``PostSource`` for the methods); none if there are none."""

    def __init__(self, data: Path, epoch: date) -> None:
        """Raise ValueError naming the file and line that cannot be read."""
        recorded: dict[int, dict[str, Any]] = {}
        for path in sorted((data / FOLDER).glob("*.ndjson.gz")):
            for line in _lines(path):
                recorded.setdefault(line["id"], line)
        last = max((line["at"] for line in recorded.values()), default=0.0)
        last_full_day = int(last + _NEARLY) // _DAY - 1
        shift = ((epoch - date(1970, 1, 1)).days - last_full_day) * _DAY
        authors = {line["username"]: _author(line, shift) for line in recorded.values()}
        self._posts = sorted(
            (_post(line, authors[line["username"]], shift) for line in recorded.values()), key=lambda post: post.id
        )
        self._times = [post.at for post in self._posts]
        self._by_name = {author.username.lower(): author for author in authors.values()}
        self._by_id = {author.id: author for author in authors.values()}

    def newest_first(self, start: float, end: float) -> Iterator[SandboxPost]:
        """Posts with ``start <= at < end``, newest first."""
        low, high = bisect_left(self._times, start), bisect_left(self._times, end)
        return (self._posts[place] for place in range(high - 1, low - 1, -1))

    def author_named(self, username: str, t: float) -> Author | None:
        """The account of this name."""
        return self._by_name.get(username.lower())

    def author_with_id(self, author_id: str, t: float) -> Author | None:
        """The account with this id."""
        return self._by_id.get(author_id)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    yield _read(json.loads(text))
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}: line {number}: {error!r}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error}") from None


def _read(raw: dict[str, Any]) -> dict[str, Any]:
    post_id = int(raw["id_str"])
    written = datetime.strptime(raw["created_at"], "%Y-%m-%d %H:%M:%S IST").replace(tzinfo=_IST).astimezone(UTC).timestamp()
    # The id tells the millisecond; of posts from before such ids the second is known.
    exact = seconds_of_id(post_id)
    return {
        "id": post_id,
        "at": exact if abs(exact - written) <= 1.5 else written,
        "username": str(raw["username"]),
        # The recorder kept X's escapes; the stand-in writes its own.
        "text": html.unescape(str(raw["tweet"])),
        "followers": int(raw["Follower_count"]),
        "reactions": Reactions(
            likes=int(raw["likes_count"]),
            replies=int(raw["replies_count"]),
            reposts=int(raw["retweets_count"]),
            impressions=_IMPRESSIONS_PER_REACTION * (int(raw["likes_count"]) + int(raw["retweets_count"])),
        ),
    }


def _author(line: dict[str, Any], shift: int) -> Author:
    """The account as its newest line shows it; recordings do not say when it was opened, so it is a year before its post."""
    low = int.from_bytes(line["username"].encode()[-6:], "big")
    opened = line["at"] + shift - 365 * _DAY
    return Author(str(post_id_at(opened, low)), line["username"][:15], line["username"], opened, line["followers"])


def _post(line: dict[str, Any], author: Author, shift: int) -> SandboxPost:
    at = line["at"] + shift
    return SandboxPost(post_id_at(at, line["id"] & LOW_BITS), round(at, 3), author, line["text"], line["reactions"])
