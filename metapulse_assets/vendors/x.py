"""X: posts that match a question, posts of an account, counts, accounts. Through tweepy, with an app's bearer token.

Reading is paid for: by the post, by the account, by the count. What may be spent is decided by whoever asks. What an answer
means is in `x_posts`, how it gets here in `x_transport`.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self

import sqlalchemy as sa

from metapulse_assets.platform.circuit_breaker import CircuitOpenError
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import EXCERPT_BYTES, CallPolicy, Exchange, VendorClient, VendorError
from metapulse_assets.vendors.x_posts import Author, Bucket, Page, Post, read_authors, read_counts, read_posts

VENDOR = "x"
# Prices of the pay-per-use plan (docs.x.com, "X API pricing", 2026), USD. Posts and accounts are charged once a UTC day, and
# an account that comes along with a post is a resource of the answer like the post itself.
USD_PER_POST = 0.005
USD_PER_AUTHOR = 0.010
USD_PER_COUNT = 0.005
# Limits of the endpoints on length and size (docs.x.com).
LONGEST_QUERY = 512
FEWEST_RESULTS, MOST_RESULTS = 10, 100
MOST_IDS = 100
SEARCHABLE = timedelta(days=7)
# X counts its limits in windows of 15 minutes, each kind of question by itself.
WINDOW_SECONDS = 900.0
# A clock a little ahead of X's must not ask for what lies beyond the seven days.
_SEARCH_MARGIN = timedelta(minutes=2)
_POST_FIELDS = ("author_id", "created_at", "entities", "lang", "note_tweet", "public_metrics", "referenced_tweets")
_AUTHOR_FIELDS = ("created_at", "public_metrics", "username")

RefusalKind = Literal["rate_limited", "capped", "unauthorized", "forbidden", "too_old", "bad_request", "unavailable", "broken"]


class XRefusedError(Exception):
    """X did not answer what was asked. `reason` is for people and free of secrets; `payload` is the answer, if there was one.

    `capped`: no more is sold this day or month. `too_old`: the question begins before the searchable seven days.
    """

    def __init__(
        self, kind: RefusalKind, reason: str, payload: RawPayload | None = None, retry_at: datetime | None = None, url: str = ""
    ) -> None:
        """`retry_at`: not to be asked again before, if X said so."""
        self.kind, self.reason, self.payload, self.retry_at = kind, reason, payload, retry_at
        self.url = payload.url if payload else url
        self.body = payload.body[:EXCERPT_BYTES] if payload else b""
        super().__init__(reason)

    def dead_letter(self) -> DeadLetter:
        """This refusal as it is kept."""
        return DeadLetter(VENDOR, "request", self.url, self.reason, {"body": self.body})

    def without(self, secret: str) -> "XRefusedError":
        """The same without a secret that X may have sent back; the answer that holds it is not kept."""
        holds_it = self.payload is not None and secret.encode() in self.payload.body
        masked = XRefusedError(
            self.kind, redact(self.reason, [secret]), None if holds_it else self.payload, self.retry_at, self.url
        )
        masked.body = redact(self.body.decode("utf-8", "replace"), [secret]).encode()
        return masked


@dataclass(frozen=True)
class Span:
    """Which posts to ask for: newer than `since_id`, or than `start_time` where there is no id; older than `until_id`."""

    since_id: str | None = None
    until_id: str | None = None
    start_time: datetime | None = None
    next_token: str | None = None

    def params(self) -> dict[str, Any]:
        """The span in X's words, a beginning that lies too far back moved to the first moment that can be searched."""
        given = {"since_id": self.since_id, "until_id": self.until_id, "next_token": self.next_token}
        params: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.since_id is None and self.start_time is not None:
            params["start_time"] = f"{self.start_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return params


def earliest_searchable(now: datetime) -> datetime:
    """The first moment that a search may begin at."""
    return now - SEARCHABLE + _SEARCH_MARGIN


@dataclass
class X:
    """Asks X. Use as an async context manager."""

    settings: Settings
    engine: sa.Engine
    token: str
    clock: Clock = system_clock
    client: VendorClient = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the client; nothing is sent."""
        self.client = VendorClient(
            VENDOR,
            self.settings.twitter_url,
            self.engine,
            CallPolicy.from_settings(self.settings),
            headers={"Authorization": f"Bearer {self.token}"},
            clock=self.clock,
            wait_asked=_wait_asked,
        )
        limit = Limit(self.settings.twitter_rate_limit, WINDOW_SECONDS)
        self._gates = {name: Gate(f"{VENDOR} {name}", (limit,)) for name in ("search", "counts", "timeline", "users", "posts")}

    async def __aenter__(self) -> Self:
        """Open the connections."""
        from metapulse_assets.vendors.x_transport import tweepy_client

        await self.client.__aenter__()
        self._tweepy = tweepy_client(self.client, self.token, self._gate_of)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        self._tweepy.session.close()
        await self.client.__aexit__(kind, error, trace)

    @property
    def requests_sent(self) -> int:
        """Requests so far, repetitions included."""
        return self.client.requests_sent

    async def search(self, query: str, span: Span, most: int) -> Page[Post]:
        """A page of posts of the last seven days that match, newest first, with their authors. Raises `XRefusedError`."""
        return await self._ask(
            read_posts,
            "search",
            lambda: self._tweepy.search_recent_tweets(
                query, max_results=most, sort_order="recency", **_wanted(), **span.params()
            ),
        )

    async def posts_of(self, user_id: str, span: Span, most: int) -> Page[Post]:
        """A page of an account's posts, newest first. Raises `XRefusedError`."""
        params = span.params()
        if "next_token" in params:
            params["pagination_token"] = params.pop("next_token")
        return await self._ask(
            read_posts, "timeline", lambda: self._tweepy.get_users_tweets(user_id, max_results=most, **_wanted(), **params)
        )

    async def posts(self, ids: Sequence[str]) -> Page[Post]:
        """Up to 100 posts by their ids. Raises `XRefusedError`."""
        return await self._ask(read_posts, "posts", lambda: self._tweepy.get_tweets(list(ids), **_wanted()))

    async def authors(self, usernames: Sequence[str]) -> Page[Author]:
        """Up to 100 accounts by their names. Raises `XRefusedError`."""
        return await self._ask(
            read_authors,
            "users",
            lambda: self._tweepy.get_users(usernames=list(usernames), user_fields=list(_AUTHOR_FIELDS)),
        )

    async def counts(self, query: str, start_time: datetime) -> Page[Bucket]:
        """How many posts of each hour match. Raises `XRefusedError`."""
        return await self._ask(
            read_counts,
            "counts",
            lambda: self._tweepy.get_recent_tweets_count(
                query, granularity="hour", start_time=f"{start_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            ),
        )

    def _gate_of(self, path: str) -> Gate:
        for part, name in (("/search/", "search"), ("/counts/", "counts"), ("/users/by", "users")):
            if part in path:
                return self._gates[name]
        return self._gates["timeline" if path.startswith("/2/users/") else "posts"]

    async def _ask(self, read: Callable[[RawPayload, str], Page[Any]], what: str, call: Callable[[], Any]) -> Page[Any]:
        import tweepy

        source = f"{VENDOR} {what}"
        try:
            response = await asyncio.to_thread(call)
        except VendorError as error:
            limited = error.reason.startswith(("rate limit", "HTTP 429"))
            raise XRefusedError("rate_limited" if limited else "unavailable", error.reason, url=error.url) from None
        except CircuitOpenError as error:
            raise XRefusedError("unavailable", str(error)) from None
        except tweepy.HTTPException as error:
            raise refusal_of(error.response.exchange).without(self.token) from None
        payload: RawPayload = response.exchange.payload
        try:
            return read(payload, source)
        except ValueError as error:
            raise XRefusedError("broken", f"{source}: {error}", payload).without(self.token) from None


def refusal_of(exchange: Exchange) -> XRefusedError:
    """What a status other than success means, in words for the user."""
    payload, problem = exchange.payload, _problem_of(exchange.payload.body)
    said = _said(problem)
    if "usage-capped" in str(problem.get("type", "")) or problem.get("title") == "UsageCapExceeded":
        return XRefusedError("capped", f"X sells no more reads for now: {said or 'usage cap reached'}", payload)
    if exchange.status == 429:
        wait = _seconds_to_reset(exchange)
        retry_at = payload.received_at + timedelta(seconds=wait) if wait is not None else None
        return XRefusedError("rate_limited", "X's rate limit is reached (HTTP 429)", payload, retry_at)
    if exchange.status == 401:
        return XRefusedError("unauthorized", "X does not accept TWITTER_BEARER_TOKEN (HTTP 401): is it right?", payload)
    if exchange.status == 402:
        return XRefusedError("capped", f"X wants to be paid first (HTTP 402): {said or 'no credits left'}", payload)
    if exchange.status == 403:
        if problem.get("reason") == "client-not-enrolled":
            where = problem.get("registration_url") or "https://developer.x.com"
            return XRefusedError(
                "forbidden", f"the app of TWITTER_BEARER_TOKEN is not enrolled for this at X, see {where}", payload
            )
        return XRefusedError("forbidden", f"X forbids it (HTTP 403): {said or 'no reason given'}", payload)
    if exchange.status == 400 and any(name in said for name in ("since_id", "start_time")):
        return XRefusedError("too_old", f"X refuses where the question begins (HTTP 400): {said}", payload)
    if 400 <= exchange.status < 500:
        return XRefusedError(
            "bad_request", f"X refuses the question (HTTP {exchange.status}): {said or 'no reason given'}", payload
        )
    return XRefusedError("unavailable", f"HTTP {exchange.status}", payload)


def _problem_of(body: bytes) -> dict[str, Any]:
    """An error's body; empty where it is no JSON object, as with X's text/plain and a proxy's pages."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _said(problem: dict[str, Any]) -> str:
    """X's own words, cut short."""
    errors = problem.get("errors")
    entries = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    messages = [entry.get("message") or entry.get("detail") for entry in entries]
    words = [str(word) for word in (*messages, problem.get("detail")) if word]
    return "; ".join(dict.fromkeys(words))[:300]


def _wanted() -> dict[str, list[str]]:
    """What is read of a post and its author; nothing else is asked for."""
    return {"tweet_fields": list(_POST_FIELDS), "expansions": ["author_id"], "user_fields": list(_AUTHOR_FIELDS)}


def _wait_asked(exchange: Exchange) -> float | None:
    """Seconds that X asks to wait where it limits: it says when the window ends, and sends no Retry-After."""
    if exchange.status != 429 or "retry-after" in exchange.headers:
        return None
    return _seconds_to_reset(exchange)


def _seconds_to_reset(exchange: Exchange) -> float | None:
    try:
        reset = float(exchange.headers["x-rate-limit-reset"])
    except (KeyError, ValueError):
        return None
    now = exchange.payload.received_at.timestamp()
    # No window of X is longer than a day: a reset further off is no time at all.
    return reset - now if 0 <= reset - now <= 86_400 else None
