"""What X's answers mean: posts, authors, counts and partial errors, each item read by itself. Asks nobody anything.

Since 2026 some of X's answers say `post` and `repost` where they said `tweet` and `retweet`: both are read.
"""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.vendors.answers import PlainText, plain_text

# Ids of posts since November 2010 begin with milliseconds since this moment (Twitter's "snowflake" numbers).
SNOWFLAKE_EPOCH_MS = 1_288_834_974_657
_SNOWFLAKE_SHIFT = 22
# The first post on the platform.
FIRST_POST = datetime(2006, 3, 21, tzinfo=UTC)
# A clock that differs is one thing, a post of next week another.
FUTURE_TOLERANCE = timedelta(days=1)
# The longest posts have 25,000 characters.
LONGEST_TEXT = 50_000
MOST_TAGS = 100
_WIRE = ConfigDict(extra="ignore", frozen=True)
_REFERENCES = {
    "retweeted": "repost",
    "reposted": "repost",
    "replied_to": "reply",
    "quoted": "quote",
}
# What a post is if it is several things.
_KINDS = ("repost", "reply", "quote")

Item = TypeVar("Item", bound=BaseModel)
Id = Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]
Count = Annotated[int, Field(ge=0, lt=2**62)]


def moment_of_id(post_id: str) -> datetime:
    """When a post with this id was made, to the millisecond; UTC."""
    return datetime.fromtimestamp(((int(post_id) >> _SNOWFLAKE_SHIFT) + SNOWFLAKE_EPOCH_MS) / 1000, UTC)


def first_id_at(moment: datetime) -> str:
    """The smallest id that a post of this moment can have."""
    return str((int(moment.timestamp() * 1000) - SNOWFLAKE_EPOCH_MS) << _SNOWFLAKE_SHIFT)


def _unescaped(value: Any) -> Any:
    # X writes &amp;, &lt; and &gt;; what they resolve to may be an escape once more, which then is what was written.
    return plain_text(html.unescape(value)) if isinstance(value, str) else value


def _empty_if_odd(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


def _list_of_objects(value: Any) -> Any:
    return [entry for entry in value if isinstance(entry, dict)][:MOST_TAGS] if isinstance(value, list) else []


class _Tag(BaseModel):
    model_config = _WIRE
    tag: PlainText = ""


class _Url(BaseModel):
    model_config = _WIRE
    url: PlainText = ""
    expanded_url: PlainText | None = None
    unwound_url: PlainText | None = None

    @property
    def target(self) -> str:
        """Where it leads, as far as X says."""
        return self.unwound_url or self.expanded_url or self.url


class Entities(BaseModel):
    """What X found in a text. Missing where there is nothing."""

    model_config = _WIRE
    cashtags: Annotated[list[_Tag], BeforeValidator(_list_of_objects)] = []
    hashtags: Annotated[list[_Tag], BeforeValidator(_list_of_objects)] = []
    urls: Annotated[list[_Url], BeforeValidator(_list_of_objects)] = []


class Metrics(BaseModel):
    """How a post was received up to the answer. Impressions are counted since 2023 only."""

    model_config = _WIRE
    likes: Count = Field(validation_alias=AliasChoices("like_count", "likes"))
    replies: Count = Field(validation_alias=AliasChoices("reply_count", "replies"))
    reposts: Count = Field(validation_alias=AliasChoices("retweet_count", "repost_count", "reposts"))
    quotes: Count = Field(0, validation_alias=AliasChoices("quote_count", "quotes"))
    impressions: Count | None = Field(None, validation_alias=AliasChoices("impression_count", "impressions"))


class Reference(BaseModel):
    """Another post that this one answers, repeats or quotes."""

    model_config = _WIRE
    type: str
    id: Id


class Post(BaseModel):
    """A post as X shows it."""

    model_config = _WIRE
    id: Id
    author_id: Id
    created_at: datetime
    text: Annotated[str, Field(max_length=LONGEST_TEXT), BeforeValidator(_unescaped)]
    lang: PlainText | None = None
    metrics: Metrics | None = Field(None, validation_alias=AliasChoices("public_metrics", "metrics"))
    entities: Annotated[Entities, BeforeValidator(_empty_if_odd)] = Entities()
    references: Annotated[list[Reference], BeforeValidator(_list_of_objects)] = Field(
        [], validation_alias=AliasChoices("referenced_tweets", "referenced_posts", "references")
    )

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, raw: Any) -> Any:
        """Of a post of more than 280 characters `text` is the beginning, and what is left out may name the token."""
        note = (raw.get("note_tweet") or raw.get("note_post")) if isinstance(raw, dict) else None
        if not isinstance(note, dict) or not isinstance(note.get("text"), str) or not note["text"]:
            return raw
        return {**raw, "text": note["text"], "entities": note.get("entities") or raw.get("entities")}

    @property
    def kind(self) -> str:
        """`post`, `reply`, `repost` or `quote`."""
        kinds = {_REFERENCES.get(reference.type) for reference in self.references}
        return next((kind for kind in _KINDS if kind in kinds), "post")

    @property
    def referenced_id(self) -> str | None:
        """The post that makes it what it is."""
        return next((reference.id for reference in self.references if _REFERENCES.get(reference.type) == self.kind), None)


class AuthorMetrics(BaseModel):
    """Figures of an account."""

    model_config = _WIRE
    followers: Count | None = Field(None, validation_alias=AliasChoices("followers_count", "followers"))


class Author(BaseModel):
    """An account."""

    model_config = _WIRE
    id: Id
    username: Annotated[PlainText, Field(min_length=1, max_length=50)]
    created_at: datetime | None = None
    metrics: Annotated[AuthorMetrics, BeforeValidator(_empty_if_odd)] = Field(
        AuthorMetrics(), validation_alias=AliasChoices("public_metrics", "metrics")
    )


class Bucket(BaseModel):
    """How many posts there were in a span of time; the first and the last one are cut."""

    model_config = _WIRE
    start: datetime
    end: datetime
    posts: Count = Field(validation_alias=AliasChoices("tweet_count", "post_count", "posts"))


@dataclass
class Page(Generic[Item]):
    """One answer: its good items in X's order, authors by id, what was refused, and how to ask for more."""

    payload: RawPayload
    items: list[Item] = field(default_factory=list)
    authors: dict[str, Author] = field(default_factory=dict)
    refused: list[DeadLetter] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    next_token: str | None = None

    @property
    def newest_id(self) -> str | None:
        """The largest id in the answer, refused posts included: they were read, and asking again will not mend them."""
        return max(self.ids, key=int, default=None)

    @property
    def oldest_id(self) -> str | None:
        """The smallest id in the answer."""
        return min(self.ids, key=int, default=None)


_POST, _AUTHOR, _BUCKET = TypeAdapter(Post), TypeAdapter(Author), TypeAdapter(Bucket)


def read_posts(payload: RawPayload, source: str) -> Page[Post]:
    """The posts of an answer with their authors. Raises ValueError for a body that is not of X's shape."""
    body = _body_of(payload)
    page: Page[Post] = Page(payload)
    _read(page, body, _POST, source)
    for post in list(page.items):
        if wrong := _wrong_time(post, payload.received_at):
            page.items.remove(post)
            page.refused.append(DeadLetter(source, "item", post.id, wrong, post.model_dump(mode="json")))
    meta = body.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    # An id from the future would be asked on from for ever.
    page.ids[:] = [post_id for post_id in page.ids if moment_of_id(post_id) <= payload.received_at + FUTURE_TOLERANCE]
    token = meta.get("next_token")
    page.next_token = token if isinstance(token, str) and token else None
    includes = body.get("includes")
    users = includes.get("users") if isinstance(includes, dict) else None
    for raw in users if isinstance(users, list) else []:
        author = _validated(page, raw, _AUTHOR, source)
        if author is not None:
            page.authors[author.id] = author
    return page


def read_authors(payload: RawPayload, source: str) -> Page[Author]:
    """The accounts of an answer. Raises ValueError for a body that is not of X's shape."""
    body = _body_of(payload)
    page: Page[Author] = Page(payload)
    _read(page, body, _AUTHOR, source)
    page.authors = {author.id: author for author in page.items}
    return page


def read_counts(payload: RawPayload, source: str) -> Page[Bucket]:
    """The buckets of an answer. Raises ValueError for a body that is not of X's shape."""
    body = _body_of(payload)
    page: Page[Bucket] = Page(payload)
    _read(page, body, _BUCKET, source)
    for bucket in [bucket for bucket in page.items if bucket.end <= bucket.start]:
        page.items.remove(bucket)
        page.refused.append(DeadLetter(source, "item", payload.url, "end: not after start", bucket.model_dump(mode="json")))
    return page


def _body_of(payload: RawPayload) -> dict[str, Any]:
    try:
        body = json.loads(payload.body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"broken JSON: {error}") from None
    if not isinstance(body, dict):
        raise ValueError(f"{type(body).__name__} where an object was expected")
    return body


def _read(page: Page[Item], body: Mapping[str, Any], adapter: TypeAdapter[Item], source: str) -> None:
    # `data` is missing where nothing was found, and one object where one thing was asked for.
    data = body.get("data")
    entries = [data] if isinstance(data, dict) else [] if data is None else data
    if not isinstance(entries, list):
        raise ValueError(f"data: {type(data).__name__} where a list was expected")
    for raw in entries:
        if isinstance(raw, dict) and _is_id(raw.get("id")):
            page.ids.append(raw["id"])
        item = _validated(page, raw, adapter, source)
        if item is not None:
            page.items.append(item)
    page.items[:] = _first_of_each(page.items)
    errors = body.get("errors")
    if isinstance(errors, list):
        page.refused += [_partial_error(error, source, page.payload.url) for error in errors]


def _validated(page: Page[Any], raw: Any, adapter: TypeAdapter[Item], source: str) -> Item | None:
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        key = str(raw["id"]) if isinstance(raw, dict) and "id" in raw else page.payload.url
        page.refused.append(DeadLetter(source, "item", key, _described(error), raw))
        return None


def _described(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(map(str, problem['loc'])) or 'item'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(sorted(problems))


def _partial_error(error: Any, source: str, url: str) -> DeadLetter:
    """What X says of one thing that it could not show though the answer is good."""
    if not isinstance(error, dict):
        return DeadLetter(source, "item", url, "partial error of an unknown shape", error)
    key = error.get("value") or error.get("resource_id") or url
    reason = f"{error.get('title') or 'partial error'}: {error.get('detail') or error.get('message') or 'no detail'}"
    return DeadLetter(source, "item", str(key), reason, error)


def _wrong_time(post: Post, received_at: datetime) -> str | None:
    if post.created_at.tzinfo is None:
        return "created_at: no time zone"
    if not FIRST_POST <= post.created_at <= received_at + FUTURE_TOLERANCE:
        return "created_at: before the platform began or after the answer"
    return None


def _first_of_each(items: Iterable[Item]) -> list[Item]:
    """Without repetitions, which are told by the id; items without one are told by themselves."""
    seen: dict[Any, Item] = {}
    for place, item in enumerate(items):
        seen.setdefault(getattr(item, "id", place), item)
    return list(seen.values())


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19
