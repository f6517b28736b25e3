"""X: search of recent posts, counts, accounts and their posts, with X's shapes, headers and refusals.

Where the posts come from is the market's kind: simulated posts about simulated tokens, or recorded ones. Any bearer token is
taken; without one X answers 401.
"""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.limits import WINDOW_SECONDS
from metapulse_assets.sandbox.market import Market
from metapulse_assets.sandbox.posts import Author, PostSource, SandboxPost, post_id_at, seconds_of_id
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Handler, Vendor
from metapulse_assets.sandbox.synthetic.posts import SyntheticPosts
from metapulse_assets.sandbox.vendors.figures import milliseconds_iso, seconds_iso
from metapulse_assets.sandbox.vendors.x_query import Judge, QueryError, judge_of
from metapulse_assets.sandbox.vendors.x_shapes import (
    RefusedError,
    invalid,
    not_found,
    post_shape,
    refuse,
    spoil,
    user_shape,
    with_errors,
)

NAME: Final = "x"
SEARCH, COUNTS, USERS, TIMELINE, POSTS = "x-search", "x-counts", "x-users", "x-timeline", "x-posts"
_SEARCHABLE: Final = 7 * 86400.0
# X shows a post in its search after half a minute, as its documentation says of `end_time`.
_INDEXED_AFTER: Final = 30.0
_MOST_IDS: Final = 100
_SPANS: Final = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAGE_MARK: Final = "b26v"


_sources: list[tuple[Market, PostSource]] = []


def _source_of(market: Market) -> PostSource:
    """The posts of a market. Several sandboxes may run in one process, as in tests: the latest few are remembered."""
    for known, source in _sources:
        if known is market:
            return source
    _sources.append((market, _made_for(market)))
    del _sources[:-4]
    return _sources[-1][1]


def _made_for(market: Market) -> PostSource:
    if market.kind == "simulation":
        return SyntheticPosts(market)
    # Loaded only here: recordings bring pandas with them.
    from metapulse_assets.sandbox.recorded.posts import RecordedPosts
    from metapulse_assets.sandbox.recordings import RecordedMarket

    if not isinstance(market, RecordedMarket):
        raise TypeError(f"no posts for a market of kind {market.kind}")
    return RecordedPosts(market.data, market.epoch)


class _Asked:
    """One request: its time, the posts it may see, and X's headers."""

    def __init__(self, backstage: Backstage, request: Request, limit_class: str) -> None:
        self.t = backstage.clock.now()
        self.params = request.query_params
        self.path = request.path_params
        self._backstage = backstage
        self._limit_class = limit_class

    @property
    def source(self) -> PostSource:
        return _source_of(self._backstage.market)

    def headers(self) -> dict[str, str]:
        limits = self._backstage.limits
        return {
            "x-rate-limit-limit": str(limits.per_minute[self._limit_class]),
            "x-rate-limit-remaining": str(limits.remaining(self._limit_class)),
            "x-rate-limit-reset": str(math.ceil(self.t + WINDOW_SECONDS)),
            "api-version": "2.167",
        }

    def fields(self, name: str) -> set[str]:
        return set(filter(None, self.params.get(f"{name}.fields", "").split(",")))

    def results(self, fewest: int, most: int, usual: int) -> int:
        text = self.params.get("max_results", str(usual))
        if not text.isdecimal() or not fewest <= int(text) <= most:
            raise invalid(
                f"The `max_results` query parameter value [{text}] is not between {fewest} and {most}", max_results=text
            )
        return int(text)

    def span(self, searchable: bool) -> tuple[float, float]:
        """The half-open span of time asked for; raises for a beginning that X no longer searches."""
        first = self.t - _SEARCHABLE
        start, end = first, self.t - (_INDEXED_AFTER if searchable else 0.0)
        for name in ("start_time", "end_time"):
            if name in self.params:
                at = _moment(name, self.params[name])
                if searchable and at < first:
                    raise invalid(
                        f"Invalid '{name}':'{self.params[name]}'. '{name}' must be on or after {seconds_iso(first)}",
                        **{name: self.params[name]},
                    )
                start, end = (max(start, at), end) if name == "start_time" else (start, min(end, at))
        if (since := self._id("since_id")) is not None:
            if searchable and seconds_of_id(since) < first:
                raise invalid(
                    f"'since_id' must be a tweet id created after {seconds_iso(first)}. Please use a 'since_id' that is larger "
                    f"than {post_id_at(first)}",
                    since_id=str(since),
                )
            start = max(start, seconds_of_id(since))
        if (until := self._id("until_id")) is not None:
            end = min(end, seconds_of_id(until) + 0.001)
        return start, end

    def newest_first(self, judge: Judge, searchable: bool) -> Iterator[SandboxPost]:
        """What matches within the bounds of the request, ids included."""
        since, until = self._id("since_id") or 0, self._id("until_id") or 1 << 63
        token = self.params.get("next_token") or self.params.get("pagination_token")
        if token is not None:
            until = min(until, _id_of_token(token))
        start, end = self.span(searchable)
        end = min(end, seconds_of_id(until) + 0.001)
        return (post for post in self.source.newest_first(start, end) if since < post.id < until and judge(post))

    def page(self, posts: Iterator[SandboxPost], most: int) -> Answer:
        """An answer of at most so many posts, with the token of the next page if there is one."""
        found = list(islice(posts, most + 1))
        more = len(found) > most
        found = found[:most]
        token = _token_of_id(found[-1].id) if more else None
        authors = list({post.author.id: post.author for post in found}.values())
        wants_authors = "author_id" in self.params.get("expansions", "")
        includes = (
            {"users": [user_shape(author, self.fields("user")) for author in authors]} if wants_authors and authors else None
        )

        def wrap(items: Sequence[object] | None) -> object:
            if not items:
                return {"data": None, "meta": {"result_count": 0}} if items is None else {"meta": {"result_count": 0}}
            ids = [str(item["id"]) for item in items if isinstance(item, dict) and "id" in item]
            meta = {"newest_id": max(ids, key=int), "oldest_id": min(ids, key=int), "result_count": len(items)}
            body: dict[str, object] = {"data": items, "meta": {**meta, **({"next_token": token} if token else {})}}
            return {**body, "includes": includes} if includes else body

        return Answer([post_shape(post, self.fields("tweet"), self.t) for post in found], wrap, headers=self.headers())

    def _id(self, name: str) -> int | None:
        text = self.params.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
            raise invalid(f"The `{name}` query parameter value [{text}] is not valid", **{name: text})
        return int(text)


def _search(asked: _Asked) -> Answer:
    return asked.page(asked.newest_first(_judge(asked), searchable=True), asked.results(10, 100, 10))


def _counts(asked: _Asked) -> Answer:
    judge = _judge(asked)
    granularity = asked.params.get("granularity", "hour")
    if granularity not in _SPANS:
        raise invalid(
            f"The `granularity` query parameter value [{granularity}] is not one of [minute,hour,day]", granularity=granularity
        )
    width = _SPANS[granularity]
    start, end = asked.span(searchable=True)
    edges = [start, *(edge * width for edge in range(int(start // width) + 1, math.ceil(end / width))), end]
    counts = dict.fromkeys(range(len(edges) - 1), 0)
    for post in asked.newest_first(judge, searchable=True):
        counts[min(int(post.at // width) - int(start // width), len(edges) - 2)] += 1
    buckets = [
        {"start": milliseconds_iso(edges[place]), "end": milliseconds_iso(edges[place + 1]), "tweet_count": count}
        for place, count in counts.items()
    ]
    total = sum(counts.values())
    return Answer(buckets, lambda items: {"data": items, "meta": {"total_tweet_count": total}}, headers=asked.headers())


def _users_by(asked: _Asked) -> Answer:
    names = _listed(asked, "usernames")
    found = {name: asked.source.author_named(name, asked.t) for name in names}
    return _users(asked, "usernames", found)


def _users_by_id(asked: _Asked) -> Answer:
    found = {author_id: asked.source.author_with_id(author_id, asked.t) for author_id in _listed(asked, "ids")}
    return _users(asked, "ids", found)


def _users(asked: _Asked, parameter: str, found: dict[str, Author | None]) -> Answer:
    errors = [not_found("user", parameter, value) for value, author in found.items() if author is None]
    shown = [user_shape(author, asked.fields("user")) for author in found.values() if author is not None]
    return Answer(shown, lambda items: with_errors(items, errors), headers=asked.headers())


def _timeline(asked: _Asked) -> Answer:
    author = asked.source.author_with_id(asked.path["id"], asked.t)
    if author is None:
        errors = [not_found("user", "id", asked.path["id"])]
        return Answer([], lambda items: {"errors": errors}, headers=asked.headers())
    # X shows an account's newest 3200; here those of the days that are searched.
    recent = asked.newest_first(lambda post: post.author.id == author.id, searchable=False)
    return asked.page(recent, asked.results(5, 100, 10))


def _posts(asked: _Asked) -> Answer:
    found: dict[str, SandboxPost | None] = {}
    for text in _listed(asked, "ids"):
        at = seconds_of_id(int(text)) if text.isdecimal() and len(text) <= 19 else -1.0
        near = asked.source.newest_first(at - 0.001, min(at + 0.001, asked.t)) if asked.t - at < 60 * 86400 else iter(())
        found[text] = next((post for post in near if str(post.id) == text), None)
    errors = [not_found("tweet", "ids", text) for text, post in found.items() if post is None]
    shown = [post for post in found.values() if post is not None]
    authors = {post.author.id: post.author for post in shown}
    users = [user_shape(author, asked.fields("user")) for author in authors.values()]
    wants_authors = "author_id" in asked.params.get("expansions", "") and users

    def wrap(items: Sequence[object] | None) -> object:
        body = with_errors(items, errors)
        return {**body, "includes": {"users": users}} if wants_authors else body

    return Answer([post_shape(post, asked.fields("tweet"), asked.t) for post in shown], wrap, headers=asked.headers())


def _handled(look: Any, limit_class: str) -> Handler:
    """A handler that answers X's way: 401 without a bearer token, problems as X words them."""

    def handle(backstage: Backstage, request: Request) -> Answer | Response:
        asked = _Asked(backstage, request, limit_class)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not token.strip():
                raise RefusedError(401, "Unauthorized", "Unauthorized", "about:blank")
            answer: Answer = look(asked)
        except RefusedError as refused:
            response = json_response(refused.body, refused.status)
            response.headers.update(asked.headers())
            return response
        return answer

    return handle


def _judge(asked: _Asked) -> Judge:
    query = asked.params.get("query", "")
    try:
        return judge_of(query)
    except QueryError as error:
        raise invalid(str(error), query=query) from None


def _listed(asked: _Asked, name: str) -> list[str]:
    values = [value for value in asked.params.get(name, "").split(",") if value]
    if not 1 <= len(values) <= _MOST_IDS:
        raise invalid(
            f"The number of values in the `{name}` query parameter list [{len(values)}] is not between 1 and 100",
            **{name: ",".join(values)[:200]},
        )
    return list(dict.fromkeys(values))


def _moment(name: str, text: str) -> float:
    try:
        return datetime.strptime(text.replace(".000Z", "Z"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise invalid(f"The `{name}` query parameter value [{text}] is not a valid time", **{name: text}) from None


def _token_of_id(post_id: int) -> str:
    """The token of the page that goes on below this post."""
    digits = ""
    while post_id:
        post_id, digit = divmod(post_id, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return _PAGE_MARK + digits


def _id_of_token(token: str) -> int:
    body = token.removeprefix(_PAGE_MARK)
    if not token.startswith(_PAGE_MARK) or not re.fullmatch(r"[0-9a-z]{8,14}", body, re.ASCII):
        raise invalid(f"The `next_token` query parameter value [{token}] is not valid", next_token=token)
    return int(body, len(_DIGITS))


VENDOR: Final = Vendor(
    name=NAME,
    limits={POSTS: 300, SEARCH: 300, COUNTS: 300, USERS: 300, TIMELINE: 300},
    endpoints=(
        Endpoint("/2/tweets/search/recent", SEARCH, _handled(_search, SEARCH)),
        Endpoint("/2/tweets/counts/recent", COUNTS, _handled(_counts, COUNTS)),
        Endpoint("/2/tweets", POSTS, _handled(_posts, POSTS)),
        Endpoint("/2/users/by", USERS, _handled(_users_by, USERS)),
        Endpoint("/2/users", USERS, _handled(_users_by_id, USERS)),
        Endpoint("/2/users/{id}/tweets", TIMELINE, _handled(_timeline, TIMELINE)),
    ),
    refuse=refuse,
    spoil=spoil,
)
