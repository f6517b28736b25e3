"""Asking X through tweepy: the policy for calls holds, nothing leaves by another way, refusals are told apart."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.clock import system_clock
from metapulse_assets.platform.settings import Settings, load_settings
from metapulse_assets.platform.tables import rate_limits
from metapulse_assets.sandbox.server import Sandbox
from metapulse_assets.vendors.x import Span, X, XRefusedError
from metapulse_assets.vendors.x_posts import Page, Post, first_id_at
from metapulse_assets_tests.platform.stub_vendor import Reply, serving

TOKEN = "planted-bearer-token-77"
PROBLEMS = "https://api.twitter.com/2/problems"


def settings_of(url: str, **more: object) -> Settings:
    return load_settings(
        twitter_api_url=url, twitter_rate_limit=10_000, vendor_backoff_seconds=0.01, vendor_timeout_seconds=5.0, **more
    )


def asking(engine: sa.Engine, url: str, ask: Callable[[X], Awaitable[Any]], **more: object) -> Any:
    async def run() -> Any:
        async with X(settings_of(url, **more), engine, TOKEN, system_clock) as x:
            return await ask(x)

    return asyncio.run(run())


def search(x: X) -> Awaitable[Page[Post]]:
    return x.search("$SOL -is:retweet", Span(), 10)


def refused(engine: sa.Engine, reply: Reply) -> XRefusedError:
    with serving(reply) as vendor, pytest.raises(XRefusedError) as caught:
        asking(engine, vendor.url, search)
    return caught.value


def test_only_what_is_wanted_is_asked_for_with_the_token_and_from_our_host(engine: sa.Engine) -> None:
    with serving(Reply(body=b'{"meta":{"result_count":0}}')) as vendor:
        span = Span(since_id="5", until_id="9", next_token="b26v")
        asking(engine, vendor.url, lambda x: x.search("$SOL", span, 50))
    (arrival,) = vendor.arrivals
    assert arrival.headers["Authorization"] == f"Bearer {TOKEN}"
    parts = urlsplit(arrival.path)
    assert parts.path == "/2/tweets/search/recent"
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert asked == {
        "query": "$SOL",
        "max_results": "50",
        "sort_order": "recency",
        "since_id": "5",
        "until_id": "9",
        "next_token": "b26v",
        "expansions": "author_id",
        "tweet.fields": "author_id,created_at,entities,lang,note_tweet,public_metrics,referenced_tweets",
        "user.fields": "created_at,public_metrics,username",
    }


def test_posts_of_the_stand_in_are_read(engine: sa.Engine, sandbox: Sandbox) -> None:
    start = datetime.now(UTC) - timedelta(hours=6)
    query = "(crypto OR to OR the OR is) -is:retweet"
    page = asking(engine, sandbox.x_url, lambda x: x.search(query, Span(start_time=start), 100))
    assert len(page.items) == 100
    assert page.refused == []
    assert {post.author_id for post in page.items} == set(page.authors)
    assert page.payload.status == 200
    counted = asking(engine, sandbox.x_url, lambda x: x.counts(query, start))
    assert sum(bucket.posts for bucket in counted.items) > 100


def test_accounts_and_their_posts_are_read(engine: sa.Engine, sandbox: Sandbox) -> None:
    page = asking(engine, sandbox.x_url, lambda x: x.authors(["chartsmith", "nobody_of_that_name"]))
    (author,) = page.items
    assert author.username == "ChartSmith"
    assert [letter.item_key for letter in page.refused] == ["nobody_of_that_name"]
    posts = asking(engine, sandbox.x_url, lambda x: x.posts_of(author.id, Span(), 5))
    assert {post.author_id for post in posts.items} == {author.id}
    again = asking(engine, sandbox.x_url, lambda x: x.posts([posts.items[0].id, "20"]))
    assert [post.id for post in again.items] == [posts.items[0].id]


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(401, b'{"title":"Unauthorized","status":401}'), "unauthorized", "TWITTER_BEARER_TOKEN"),
        (Reply(403, b'{"reason":"client-not-enrolled","registration_url":"https://u"}'), "forbidden", "https://u"),
        (Reply(403, b'{"detail":"no"}'), "forbidden", "no"),
        (Reply(403, json.dumps({"type": f"{PROBLEMS}/usage-capped", "detail": "cap"}).encode()), "capped", "cap"),
        (Reply(402, b'{"detail":"CreditsDepleted"}'), "capped", "CreditsDepleted"),
        (Reply(400, b'{"errors":[{"message":"\'since_id\' must be newer"}]}'), "too_old", "since_id"),
        (Reply(400, b'{"errors":[{"message":"bad query"}]}'), "bad_request", "bad query"),
        (Reply(400, b"[]"), "bad_request", "HTTP 400"),
        (Reply(400, b'{"errors":null}'), "bad_request", "HTTP 400"),
        (Reply(404, b"<html>", kind="text/html"), "bad_request", "HTTP 404"),
        (Reply(302, b"", headers={"Location": "https://elsewhere.invalid/"}), "unavailable", "HTTP 302"),
        (Reply(503, b"<html>over capacity</html>", kind="text/html"), "unavailable", "HTTP 503"),
        (Reply(200, b"<html>", kind="text/html"), "broken", "broken JSON"),
        (Reply(200, b'{"data": ['), "broken", "broken JSON"),
    ],
)
def test_refusals_are_told_apart(engine: sa.Engine, reply: Reply, kind: str, words: str) -> None:
    error = refused(engine, reply)
    assert error.kind == kind
    assert words in error.reason
    assert error.payload is not None
    assert TOKEN not in str(error.dead_letter())


@pytest.mark.parametrize("body", [b"Rate limit exceeded\n", b'{"errors":[{"code":88,"message":"Rate limit exceeded"}]}'])
@pytest.mark.parametrize("reset", ["soon", "odd", None])
def test_a_rate_limit_in_text_or_json_is_one_and_shuts_the_gate(engine: sa.Engine, body: bytes, reset: str | None) -> None:
    at = str(int(datetime.now(UTC).timestamp()) + 600) if reset == "soon" else reset
    headers = {} if at is None else {"x-rate-limit-reset": at, "x-rate-limit-remaining": "0"}
    with serving(Reply(429, body, headers, kind="text/plain")) as vendor, pytest.raises(XRefusedError) as caught:
        asking(engine, vendor.url, search)
    assert caught.value.kind == "rate_limited"
    if reset == "soon":
        # It says when to come back, so nothing is sent in vain, not even by the next process.
        assert len(vendor.arrivals) == 1
        assert caught.value.retry_at is not None
        with serving(Reply(body=b"{}")) as again, pytest.raises(XRefusedError, match="rate limit: shut"):
            asking(engine, again.url, search)
        assert again.arrivals == []


def test_a_usage_cap_with_429_is_a_cap(engine: sa.Engine) -> None:
    body = json.dumps({"title": "UsageCapExceeded", "type": f"{PROBLEMS}/usage-capped", "detail": "Usage cap exceeded"})
    assert refused(engine, Reply(429, body.encode())).kind == "capped"


def test_each_kind_of_question_has_a_limit_of_its_own(engine: sa.Engine) -> None:
    async def ask(x: X) -> None:
        await x.search("$SOL", Span(), 10)
        await x.counts("$SOL", datetime.now(UTC) - timedelta(hours=2))
        await x.authors(["a"])
        await x.posts_of("1", Span(), 10)
        await x.posts(["1"])

    with serving(Reply(body=b"{}")) as vendor:
        asking(engine, vendor.url, ask)
    with engine.connect() as connection:
        gates = set(connection.execute(sa.select(rate_limits.c.gate)).scalars())
        windows = set(connection.execute(sa.select(rate_limits.c.window_seconds)).scalars())
    assert gates == {"x search", "x counts", "x users", "x timeline", "x posts"}
    assert windows == {900.0}


def test_nobody_listening_is_told_without_the_token(engine: sa.Engine) -> None:
    with pytest.raises(XRefusedError) as caught:
        asking(engine, "http://127.0.0.1:9", search, vendor_attempts=1)
    assert caught.value.kind == "unavailable"
    assert TOKEN not in caught.value.reason


def test_the_token_appears_in_no_log_at_any_level(engine: sa.Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(Reply(500, b"x"), Reply(body=b"{}", echo_headers=False)) as vendor:
        asking(engine, vendor.url, search)
    assert caplog.text
    assert TOKEN not in caplog.text


def test_an_echoed_token_is_masked_in_what_is_kept(engine: sa.Engine) -> None:
    error = refused(engine, Reply(400, json.dumps({"detail": f"you sent Bearer {TOKEN}"}).encode()))
    assert "you sent" in error.reason
    assert TOKEN not in f"{error} {error.dead_letter()}"
    assert error.payload is None


def test_a_span_that_is_too_old_begins_with_the_searchable_days() -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert Span(start_time=now).params() == {"start_time": "2026-03-04T12:00:00Z"}
    assert Span(since_id=first_id_at(now), start_time=now).params() == {"since_id": first_id_at(now)}
