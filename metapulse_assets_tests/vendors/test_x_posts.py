"""What X's answers mean: each item by itself, missing parts, the new names, partial errors, and everything recorded."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.vendor_client import Exchange
from metapulse_assets.vendors.x import refusal_of
from metapulse_assets.vendors.x_posts import first_id_at, moment_of_id, read_authors, read_counts, read_posts

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
POST_ID = str(int(first_id_at(NOW - timedelta(minutes=5))) + 77)


def payload_of(body: Any, status: int = 200) -> RawPayload:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawPayload("x", "https://x/2/asked", status, NOW, content)


def a_post(**changes: Any) -> dict[str, Any]:
    """A good post in X's words; `...` leaves a field out."""
    post: dict[str, Any] = {
        "id": POST_ID,
        "text": "up &amp; only $ONE &lt;3",
        "author_id": "42",
        "created_at": "2026-03-04T11:55:00.000Z",
        "lang": "en",
        "public_metrics": {"retweet_count": 1, "reply_count": 2, "like_count": 3, "quote_count": 4, "impression_count": 5},
        "entities": {"cashtags": [{"start": 14, "end": 18, "tag": "ONE"}]},
    }
    return {name: value for name, value in {**post, **changes}.items() if value is not ...}


def test_a_post_is_read_as_x_means_it() -> None:
    urls = [
        {"url": "https://t.co/a", "expanded_url": "https://b.invalid", "unwound_url": "https://c.invalid"},
        {"url": "https://t.co/d"},
    ]
    entities = {"cashtags": [{"tag": "ONE"}], "hashtags": [{"tag": "gem"}], "urls": urls}
    author = {"id": "42", "name": "N", "username": "who", "public_metrics": {"followers_count": 7}}
    body = {
        "data": [a_post(referenced_tweets=[{"type": "quoted", "id": "9"}], entities=entities)],
        "includes": {"users": [{**author, "created_at": "2020-01-01T00:00:00.000Z"}]},
        "meta": {"newest_id": POST_ID, "oldest_id": POST_ID, "result_count": 1, "next_token": "b26v"},
    }
    page = read_posts(payload_of(body), "x search")
    (post,) = page.items
    assert post.text == "up & only $ONE <3"
    assert (post.kind, post.referenced_id) == ("quote", "9")
    assert [url.target for url in post.entities.urls] == ["https://c.invalid", "https://t.co/d"]
    assert post.metrics is not None
    assert post.metrics.model_dump() == {"likes": 3, "replies": 2, "reposts": 1, "quotes": 4, "impressions": 5}
    assert page.authors["42"].metrics.followers == 7
    assert (page.newest_id, page.oldest_id, page.next_token) == (POST_ID, POST_ID, "b26v")
    assert page.refused == []


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ([], "post"),
        (["retweeted"], "repost"),
        (["reposted"], "repost"),
        (["replied_to"], "reply"),
        (["quoted", "replied_to"], "reply"),
        (["something_new"], "post"),
    ],
)
def test_what_a_post_is_follows_from_what_it_refers_to(types: list[str], kind: str) -> None:
    references = [{"type": name, "id": str(place + 1)} for place, name in enumerate(types)]
    (post,) = read_posts(payload_of({"data": [a_post(referenced_posts=references)]}), "x").items
    assert post.kind == kind


def test_the_names_of_2026_mean_the_same() -> None:
    metrics = {"repost_count": 1, "reply_count": 2, "like_count": 3, "quote_count": 4}
    (post,) = read_posts(payload_of({"data": [a_post(public_metrics=metrics)]}), "x").items
    assert post.metrics is not None
    assert (post.metrics.reposts, post.metrics.impressions) == (1, None)
    bucket = {"start": "2026-03-04T11:00:00.000Z", "end": "2026-03-04T12:00:00.000Z", "post_count": 8}
    assert read_counts(payload_of({"data": [bucket]}), "x").items[0].posts == 8


def test_a_long_post_is_read_whole() -> None:
    long = "word " * 70 + "and $TWO &amp; more"
    note = {"text": long, "entities": {"cashtags": [{"start": 355, "end": 359, "tag": "TWO"}]}}
    (post,) = read_posts(payload_of({"data": [a_post(note_tweet=note)]}), "x").items
    assert post.text.endswith("and $TWO & more")
    assert [tag.tag for tag in post.entities.cashtags] == ["TWO"]
    (post,) = read_posts(payload_of({"data": [a_post(note_post={"text": long})]}), "x").items
    assert [tag.tag for tag in post.entities.cashtags] == ["ONE"]
    odd_ones: list[Any] = [None, [], {}, {"text": 7}, {"text": ""}]
    for odd in odd_ones:
        (post,) = read_posts(payload_of({"data": [a_post(note_tweet=odd)]}), "x").items
        assert post.text == "up & only $ONE <3"


@pytest.mark.parametrize("missing", ["entities", "public_metrics", "lang"])
def test_what_may_be_missing_is_missing(missing: str) -> None:
    page = read_posts(payload_of({"data": [a_post(**{missing: ...})]}), "x")
    assert len(page.items) == 1
    assert page.refused == []


@pytest.mark.parametrize("body", [{"meta": {"result_count": 0}}, {"data": None}, {"data": []}, {}])
def test_no_data_is_no_posts(body: dict[str, Any]) -> None:
    page = read_posts(payload_of(body), "x")
    assert (page.items, page.refused, page.newest_id, page.next_token) == ([], [], None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"author_id": ...}, "author_id"),
        ({"created_at": "n/a"}, "created_at"),
        ({"created_at": "2027-03-04T11:55:00Z"}, "created_at: before the platform began or after the answer"),
        ({"created_at": "1999-01-01T00:00:00Z"}, "created_at: before the platform began or after the answer"),
        ({"created_at": "2026-03-04T11:55:00"}, "created_at: no time zone"),
        ({"id": "12x"}, "id"),
        ({"public_metrics": {"retweet_count": -1, "reply_count": 2, "like_count": 3}}, "retweet_count"),
        ({"text": "x" * 60_000}, "text"),
    ],
)
def test_a_bad_post_is_refused_with_its_field_and_the_good_one_goes_on(changes: dict[str, Any], reason: str) -> None:
    good = a_post(id=str(int(POST_ID) + 1))
    page = read_posts(payload_of({"data": [a_post(**changes), good]}), "x search")
    assert [post.id for post in page.items] == [good["id"]]
    (letter,) = page.refused
    assert reason in letter.reason
    assert letter.source == "x search"


def test_a_refused_post_still_counts_as_read() -> None:
    page = read_posts(payload_of({"data": [a_post(author_id=...)]}), "x")
    assert (page.items, page.newest_id) == ([], POST_ID)


def test_an_id_from_the_future_moves_no_cursor() -> None:
    page = read_posts(payload_of({"data": [a_post(id="9223372036854775807")]}), "x")
    assert page.newest_id is None


def test_a_partial_error_is_kept_and_the_rest_read() -> None:
    error = {"title": "Not Found Error", "detail": "Could not find user", "value": "77", "resource_type": "user"}
    page = read_authors(payload_of({"data": [{"id": "1", "username": "a"}], "errors": [error, "odd"]}), "x users")
    assert [author.username for author in page.items] == ["a"]
    assert [(letter.item_key, letter.reason) for letter in page.refused] == [
        ("77", "Not Found Error: Could not find user"),
        ("https://x/2/asked", "partial error of an unknown shape"),
    ]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"x"', b'{"data": "x"}', b'{"data": [', b"[" * 100_000])
def test_a_body_of_another_shape_is_an_error_that_says_so(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|expected"):
        read_posts(payload_of(body), "x")


NAMES = ("data", "id", "errors", "includes", "users", "meta", "text", "author_id", "entities", "public_metrics", "next_token")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)


@given(body=JSON)
def test_whatever_comes_is_read_or_refused(body: Any) -> None:
    for read in (read_posts, read_authors, read_counts):
        try:
            page = read(payload_of(body), "x")
        except ValueError:
            continue
        for letter in page.refused:
            assert letter.reason


def test_an_id_knows_its_moment() -> None:
    assert abs(moment_of_id(first_id_at(NOW)) - NOW) < timedelta(milliseconds=1)
    # A post whose time is on record: 2021-05-19T23:48:18Z.
    assert abs(moment_of_id("1395164440371372034") - datetime(2021, 5, 19, 23, 48, 18, tzinfo=UTC)) < timedelta(seconds=1)


def exchanges(recordings: Path) -> list[tuple[str, int, dict[str, str], Any]]:
    """Every recorded exchange: name, status, headers, body."""
    found = []
    for path in sorted((recordings / "payloads" / "x").rglob("*.json")):
        content = json.loads(path.read_text())
        response = content.get("response")
        found.append(
            (path.name, response["status"], response["headers"], response["body"])
            if response
            else (path.name, 200, {"content-type": "application/json"}, content)
        )
    return found


def test_every_recorded_exchange_is_read_or_refused_with_a_reason(recordings: Path) -> None:
    items = refusals = letters = 0
    for name, status, headers, body in exchanges(recordings):
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        payload = RawPayload("x", name, status, datetime(2023, 6, 1, tzinfo=UTC), content)
        if status >= 400:
            refused = refusal_of(Exchange({key.lower(): value for key, value in headers.items()}, payload))
            assert refused.reason, name
            refusals += 1
            continue
        read = read_counts if "count" in name else read_authors if "user_by" in name or "users_by" in name else read_posts
        if "get_users.json" in name:
            read = read_authors
        page = read(payload, name)
        assert page.items or page.refused, name
        assert all(letter.reason for letter in page.refused), name
        items += len(page.items)
        letters += len(page.refused)
    assert refusals == 6
    assert items > 150
    assert letters > 10


def test_a_recorded_page_of_posts_with_cashtags_is_read_whole(recordings: Path) -> None:
    content = json.loads((recordings / "payloads/x/cashtags/trendies_recent_search_2021-05-19.json").read_text())
    payload = RawPayload("x", "search", 200, datetime(2021, 5, 20, tzinfo=UTC), json.dumps(content).encode())
    page = read_posts(payload, "x search")
    assert len(page.items) == 10
    assert page.refused == []
    assert sorted(len(post.entities.cashtags) for post in page.items)[-3:] == [4, 5, 6]
    assert page.next_token
    assert page.newest_id == content["meta"]["newest_id"]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("429_single_tweet", "rate_limited", "HTTP 429"),
        ("401_retrieve_rules", "unauthorized", "TWITTER_BEARER_TOKEN"),
        ("403_add_rules", "forbidden", "not enrolled"),
        ("400_multiple_tweets", "bad_request", "HTTP 400"),
    ],
)
def test_recorded_refusals_are_understood(recordings: Path, name: str, kind: str, words: str) -> None:
    (found,) = [exchange for exchange in exchanges(recordings) if exchange[0].startswith(name)]
    content = found[3].encode() if isinstance(found[3], str) else json.dumps(found[3]).encode()
    refused = refusal_of(Exchange({key.lower(): value for key, value in found[2].items()}, payload_of(content, found[1])))
    assert refused.kind == kind
    assert words in refused.reason
