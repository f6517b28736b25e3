"""Recorded posts as stored history: JSON lines of id, user name, time, text.

A post could have been read when it was written. The counts of likes and reposts in such files are those of the day they were
scraped, long after: to use them at the time of the post would be to look ahead, so they are left out.
"""

import gzip
import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.replay.stored_files import store_file
from metapulse_assets.social.post_tables import social_posts
from metapulse_assets.vendors.answers import PlainText

PLATFORM = "x"
# The zone abbreviations that such files use.
ZONES = {"UTC": UTC, "GMT": UTC, "IST": timezone(timedelta(hours=5, minutes=30))}
ROWS_AT_A_TIME = 5_000
_CASHTAG = re.compile(r"(?<![\w$])\$([A-Za-z][A-Za-z0-9]{0,14})\b")
_HASHTAG = re.compile(r"(?<![\w#&])#(\w{1,100})")
_URL = re.compile(r"https?://\S+")


class RecordedPost(BaseModel):
    """A line of a file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id_str: str = Field(pattern=r"^\d{1,25}$")
    username: PlainText = Field(min_length=1, max_length=100)
    created_at: datetime
    tweet: PlainText = Field(max_length=25_000)

    @field_validator("created_at", mode="before")
    @classmethod
    def _time(cls, value: Any) -> datetime:
        stamp, _, zone = str(value).rpartition(" ")
        if zone not in ZONES:
            raise ValueError(f"no time with a zone that is known ({', '.join(ZONES)})")
        try:
            return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONES[zone]).astimezone(UTC)
        except ValueError:
            raise ValueError("no time of the form YYYY-MM-DD HH:MM:SS ZONE") from None


@dataclass
class ImportedPosts:
    """What an import brought."""

    read: int = 0
    stored: int = 0
    refused: list[DeadLetter] = field(default_factory=list)


def import_posts(
    connection: sa.Connection, files: Iterable[Path], start: datetime, end: datetime, recorded_at: datetime
) -> ImportedPosts:
    """Store the posts of [start, end); one that is stored already, from another file for instance, stays as it is."""
    result = ImportedPosts()
    for path in files:
        payload_id = store_file(connection, path, recorded_at)
        rows: list[dict[str, Any]] = []
        for post in _posts(path, result):
            if start <= post.created_at < end:
                rows.append(_row(post, path, payload_id, recorded_at))
        for begin in range(0, len(rows), ROWS_AT_A_TIME):
            result.stored += _store(connection, rows[begin : begin + ROWS_AT_A_TIME])
    return result


def _posts(path: Path, result: ImportedPosts) -> Iterator[RecordedPost]:
    with (
        gzip.open(path, "rt", encoding="utf-8", errors="replace")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8", errors="replace") as lines
    ):
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            result.read += 1
            key = f"{path.name}#{number}"
            try:
                yield RecordedPost.model_validate(json.loads(line))
            except ValidationError as error:
                result.refused.append(DeadLetter("recording", "item", key, describe_fields(error), {"line": line[:2_000]}))
            except ValueError as error:
                result.refused.append(DeadLetter("recording", "item", key, f"not JSON: {error}", {"line": line[:2_000]}))


def describe_fields(error: ValidationError) -> str:
    """Which fields of a line are wrong, and how."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        sorted(f"{'.'.join(map(str, p['loc'])) or 'line'}: {p['msg'].removeprefix('Value error, ')}" for p in problems)
    )


def _row(post: RecordedPost, path: Path, payload_id: int, recorded_at: datetime) -> dict[str, Any]:
    text = html.unescape(post.tweet)
    return {
        "observed_at": post.created_at,
        "platform": PLATFORM,
        "post_id": post.id_str,
        "recorded_at": recorded_at,
        "available_at": post.created_at,
        "payload_id": payload_id,
        "author_id": post.username,
        "author_name": post.username,
        "author_created_at": None,
        "text": text,
        "lang": None,
        "kind": _kind(text),
        "referenced_id": None,
        "cashtags": _CASHTAG.findall(text),
        "hashtags": _HASHTAG.findall(text),
        "urls": _URL.findall(text),
        "source": f"import:{path.name}",
    }


def _kind(text: str) -> str:
    if text.startswith("RT @"):
        return "repost"
    return "reply" if text.startswith("@") else "post"


def _store(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
    distinct = list({row["post_id"]: row for row in rows}.values())
    ensure_days(connection, social_posts.name, {utc_day(row["observed_at"]) for row in distinct})
    stored = connection.execute(insert(social_posts).on_conflict_do_nothing().returning(social_posts.c.post_id), distinct)
    return len(stored.all())
