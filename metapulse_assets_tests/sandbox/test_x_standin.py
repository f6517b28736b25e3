"""X's stand-in: shapes and headers, pages, bounds, refusals, and that its answers depend on the time only."""

import gzip
import html
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx2
import pytest

from metapulse_assets.sandbox.posts import Author, Reactions, SandboxPost, post_id_at, seconds_of_id
from metapulse_assets.sandbox.recorded.posts import RecordedPosts
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.synthetic.posts import SyntheticPosts
from metapulse_assets.sandbox.vendors.x_query import QueryError, judge_of
from metapulse_assets.sandbox.vendors.x_shapes import user_shape

NOW = datetime(2026, 11, 20, 14, 15, 4, tzinfo=UTC)
EVERYTHING = "(the OR is OR to OR of OR and OR a OR me)"
FIELDS = {
    "tweet.fields": "author_id,created_at,entities,lang,note_tweet,public_metrics,referenced_tweets",
    "expansions": "author_id",
    "user.fields": "created_at,public_metrics,username",
}
Get = Callable[..., httpx2.Response]


@pytest.fixture(scope="module")
def time() -> list[datetime]:
    return [NOW]


@pytest.fixture(scope="module")
def x_sandbox(time: list[datetime]) -> Iterator[Sandbox]:
    classes = ("x-search", "x-counts", "x-users", "x-timeline", "x-posts")
    with running(SandboxConfig(wall=lambda: time[0].timestamp(), tokens=60, limits=dict.fromkeys(classes, 10_000))) as it:
        yield it


@pytest.fixture
def get(x_sandbox: Sandbox, time: list[datetime]) -> Iterator[Get]:
    with httpx2.Client(base_url=x_sandbox.x_url, headers={"Authorization": "Bearer any"}, timeout=60.0) as client:
        yield lambda path, **params: client.get(path, params={key.replace("__", "."): value for key, value in params.items()})
    time[0] = NOW
    x_sandbox.set_faults({})


def search(get: Get, query: str = EVERYTHING, **params: Any) -> dict[str, Any]:
    answer = get("/2/tweets/search/recent", query=query, **{**FIELDS, "max_results": 100, **params})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def pages(get: Get, query: str = EVERYTHING, **params: Any) -> list[dict[str, Any]]:
    found, token = [], None
    while True:
        body = search(get, query, **params, **({"next_token": token} if token else {}))
        found += body.get("data", [])
        token = body["meta"].get("next_token")
        if token is None:
            return found


def test_a_page_has_xs_shape_and_headers(get: Get) -> None:
    answer = get("/2/tweets/search/recent", query=EVERYTHING, max_results=50, **FIELDS)
    body = answer.json()
    assert set(body) == {"data", "includes", "meta"}
    ids = [post["id"] for post in body["data"]]
    assert ids == sorted(ids, key=int, reverse=True)
    assert body["meta"].keys() == {"newest_id", "oldest_id", "result_count", "next_token"}
    assert (body["meta"]["newest_id"], body["meta"]["oldest_id"], body["meta"]["result_count"]) == (ids[0], ids[-1], 50)
    assert {post["author_id"] for post in body["data"]} == {user["id"] for user in body["includes"]["users"]}
    for post in body["data"]:
        assert abs(seconds_of_id(int(post["id"])) - datetime.fromisoformat(post["created_at"]).timestamp()) < 0.002
        for tag in post.get("entities", {}).get("cashtags", []):
            assert post["text"][tag["start"] : tag["end"]] == f"${tag['tag']}"
    assert int(answer.headers["x-rate-limit-limit"]) == 10_000
    assert int(answer.headers["x-rate-limit-remaining"]) < 10_000
    assert int(answer.headers["x-rate-limit-reset"]) == pytest.approx(NOW.timestamp() + 60, abs=2)


def test_only_what_is_asked_for_is_shown(get: Get) -> None:
    body = get("/2/tweets/search/recent", query=EVERYTHING).json()
    assert "includes" not in body
    assert all(set(post) == {"id", "text", "edit_history_tweet_ids"} for post in body["data"])
    assert len(body["data"]) == 10


def test_pages_go_on_without_gap_or_repetition(get: Get) -> None:
    start = f"{NOW - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    small, large = pages(get, max_results=10, start_time=start), pages(get, max_results=100, start_time=start)
    assert len(small) > 30
    assert [post["id"] for post in small] == [post["id"] for post in large]


def test_ids_bound_a_search_on_both_sides(get: Get) -> None:
    ids = [post["id"] for post in search(get)["data"]]
    between = pages(get, since_id=ids[30], until_id=ids[10])
    assert [post["id"] for post in between] == ids[11:30]
    nothing = search(get, since_id=ids[0])
    assert nothing == {"meta": {"result_count": 0}}


def test_times_bound_a_search(get: Get) -> None:
    start, end = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    found = pages(get, start_time=f"{start:%Y-%m-%dT%H:%M:%SZ}", end_time=f"{end:%Y-%m-%dT%H:%M:%SZ}")
    times = [datetime.fromisoformat(post["created_at"]) for post in found]
    assert found
    assert start <= min(times)
    assert max(times) < end


def test_the_newest_half_minute_is_not_searched_yet(get: Get) -> None:
    newest = max(datetime.fromisoformat(post["created_at"]) for post in search(get)["data"])
    assert newest <= NOW - timedelta(seconds=30)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"query": "x" * 513}, "maximum"),
        ({"query": ""}, "non-empty"),
        ({"query": "(a OR b"}, "missing ')'"),
        ({"query": '"open'}, "missing"),
        ({"query": "-is:retweet"}, "stand alone"),
        ({"query": "is:nonsense a"}, "invalid operator"),
        ({"max_results": 9}, "max_results"),
        ({"max_results": 101}, "max_results"),
        ({"since_id": "x"}, "since_id"),
        ({"since_id": "1395164440371372034"}, "since_id"),
        ({"start_time": "2026-11-01T00:00:00Z"}, "start_time"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"next_token": "other"}, "next_token"),
    ],
)
def test_what_x_refuses_is_refused_in_its_words(get: Get, params: dict[str, Any], words: str) -> None:
    answer = get("/2/tweets/search/recent", **{"query": "a", **params})
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["type"].endswith("/invalid-request")
    assert words in problem["errors"][0]["message"]


def test_without_a_token_it_is_401(x_sandbox: Sandbox) -> None:
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer"}):
        answer = httpx2.get(f"{x_sandbox.x_url}/2/tweets/search/recent?query=a", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["title"] == "Unauthorized"


def test_the_limit_answers_in_plain_text() -> None:
    with running(SandboxConfig(tokens=5, limits={"x-search": 1})) as limited:
        url, headers = f"{limited.x_url}/2/tweets/search/recent?query=a", {"Authorization": "Bearer any"}
        assert httpx2.get(url, headers=headers).headers["x-rate-limit-remaining"] == "0"
        refused = httpx2.get(url, headers=headers)
    assert refused.status_code == 429
    assert refused.headers["content-type"].startswith("text/plain")
    assert refused.text == "Rate limit exceeded\n"
    assert int(refused.headers["x-rate-limit-reset"]) > 0


def test_counts_agree_with_the_search(get: Get) -> None:
    start = NOW - timedelta(hours=3)
    counted = get("/2/tweets/counts/recent", query=EVERYTHING, start_time=f"{start:%Y-%m-%dT%H:%M:%SZ}").json()
    found = pages(get, start_time=f"{start:%Y-%m-%dT%H:%M:%SZ}")
    assert counted["meta"]["total_tweet_count"] == sum(bucket["tweet_count"] for bucket in counted["data"]) == len(found)
    for bucket in counted["data"]:
        within = [p for p in found if bucket["start"] <= p["created_at"] < bucket["end"]]
        assert len(within) == bucket["tweet_count"]
    assert [b["end"] for b in counted["data"]][:-1] == [b["start"] for b in counted["data"]][1:]


def test_accounts_are_found_by_name_and_id_and_who_is_missing_is_named(get: Get) -> None:
    body = get("/2/users/by", usernames="chartsmith,nobody_x", **FIELDS).json()
    (user,) = body["data"]
    assert (user["username"], body["errors"][0]["value"]) == ("ChartSmith", "nobody_x")
    assert get("/2/users", ids=user["id"]).json()["data"][0]["username"] == "ChartSmith"
    posts = get(f"/2/users/{user['id']}/tweets", max_results=5, **FIELDS).json()
    assert {post["author_id"] for post in posts["data"]} == {user["id"]}
    assert get("/2/users/77/tweets").json()["errors"][0]["title"] == "Not Found Error"


def test_reactions_grow_with_time_and_nothing_else_changes(get: Get, time: list[datetime]) -> None:
    before = {post["id"]: post for post in search(get)["data"]}
    time[0] = NOW + timedelta(hours=2)
    ids = ",".join(list(before)[:50])
    after = {post["id"]: post for post in get("/2/tweets", ids=ids, **FIELDS).json()["data"]}
    assert len(after) == 50
    grown = 0
    for post_id, post in after.items():
        was = before[post_id]
        assert {**post, "public_metrics": None} == {**was, "public_metrics": None}
        assert all(post["public_metrics"][name] >= was["public_metrics"][name] for name in was["public_metrics"])
        grown += post["public_metrics"]["like_count"] > was["public_metrics"]["like_count"]
    assert grown > 20


def test_unknown_posts_are_partial_errors(get: Get) -> None:
    known = search(get)["data"][0]["id"]
    body = get("/2/tweets", ids=f"{known},20,1395164440371372034").json()
    assert [post["id"] for post in body["data"]] == [known]
    assert {error["value"] for error in body["errors"]} == {"20", "1395164440371372034"}


def test_faults_of_payload_and_items_strike_here_too(get: Get, x_sandbox: Sandbox) -> None:
    x_sandbox.set_faults({"duplicate": 1.0})
    ids = [post["id"] for post in search(get)["data"]]
    assert len(ids) == 200
    x_sandbox.set_faults({"negative-volume": 1.0})
    assert all(post["public_metrics"]["like_count"] < 0 for post in search(get)["data"])


def test_answers_depend_on_the_time_only() -> None:
    end = NOW.timestamp()
    one, two = (SyntheticPosts(SimulatedMarket(7, 30)) for _ in range(2))
    # One of them was asked for other times before.
    list(two.newest_first(end - 90_000, end - 86_000))
    posts = list(one.newest_first(end - 7200, end))
    assert posts == list(two.newest_first(end - 7200, end))
    assert [post.id for post in posts] == sorted((post.id for post in posts), reverse=True)
    assert len({post.id for post in posts}) == len(posts)


def test_simulated_people_write_what_collectors_must_cope_with() -> None:
    source = SyntheticPosts(SimulatedMarket(20260101, 120))
    posts = list(source.newest_first(NOW.timestamp() - 24 * 3600, NOW.timestamp()))
    texts = [post.text for post in posts]
    kinds = {kind for post in posts for kind, _ in post.references}
    assert kinds == {"replied_to", "quoted", "retweeted"}
    assert 50 < len(posts) / 24 < 400
    assert len(set(texts)) > 0.8 * len(texts)
    for sign in ("SYSTEM", "claim-", "\u200b", "\u202e", "🚀", "dexscreener.com/", "$SOL"):
        assert any(sign in text for text in texts), sign
    ids = {post.id for post in posts}
    assert any(other in ids for post in posts for _, other in post.references)


@pytest.mark.parametrize(
    ("query", "text", "matches"),
    [
        ("$SOL", "buy $sol now", True),
        ("$SOL", "buy $SOLX now", False),
        ("#gem", "a #Gem here", True),
        ("moon", "to the MOON!", True),
        ("moon", "moonshot", False),
        ('"token one"', "Token One rises", True),
        ('"token one"', "token number one", False),
        ("a OR b", "b", True),
        ("(a OR b) c", "b", False),
        ("a -b", "a b", False),
        ("a -(b OR c)", "a d", True),
        ("a lang:en", "a", True),
        ("a has:cashtags", "a $ONE", True),
        ("a from:someone", "a", False),
        ("a -is:retweet", "a", True),
    ],
)
def test_the_search_language(query: str, text: str, matches: bool) -> None:
    author = Author("1", "me", "Me", 0.0, 1)
    assert judge_of(query)(SandboxPost(1, 0.0, author, text, Reactions())) is matches


def test_operators_that_x_does_not_know_are_refused() -> None:
    with pytest.raises(QueryError):
        judge_of("a OR")


def test_recorded_posts_are_moved_by_whole_days_and_told_once(recordings: Path) -> None:
    epoch = date(2026, 11, 22)
    source = RecordedPosts(recordings, epoch)
    end = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    day = list(source.newest_first(end - 86400, end))
    assert len(day) > 100
    assert len({post.id for post in day}) == len(day)
    everything = list(source.newest_first(0, end + 10 * 86400))
    assert everything[0].at < end + 86400
    for post in everything[:200]:
        assert abs(seconds_of_id(post.id) - post.at) < 0.002


def written(folder: Path, name: str, *lines: dict[str, Any]) -> None:
    path = folder / "tweets_cryptop12" / f"{name}.ndjson.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))


def recorded_line(at: datetime, **changes: Any) -> dict[str, Any]:
    post_id = post_id_at(at.timestamp(), 9)
    india = f"{at.astimezone(timezone(timedelta(hours=5, minutes=30))):%Y-%m-%d %H:%M:%S} IST"
    line = {
        "id": post_id,
        "id_str": str(post_id),
        "username": "u_1",
        "created_at": india,
        "tweet": "some $ONE",
        "likes_count": 4,
    }
    return {**line, "replies_count": 1, "retweets_count": 2, "Follower_count": 10, **changes}


def test_a_recorded_post_keeps_its_time_of_day_and_its_place_among_others(tmp_path: Path) -> None:
    first, last = datetime(2018, 1, 29, 7, 0, 5, tzinfo=UTC), datetime(2018, 1, 30, 23, 30, 0, 250_000, tzinfo=UTC)
    written(tmp_path, "one", recorded_line(first), recorded_line(last))
    written(tmp_path, "two", recorded_line(last))
    source = RecordedPosts(tmp_path, date(2026, 11, 20))
    posts = list(source.newest_first(0, NOW.timestamp() + 86400))
    assert [datetime.fromtimestamp(post.at, UTC) for post in posts] == [
        datetime(2026, 11, 20, 23, 30, 0, 250_000, tzinfo=UTC),
        datetime(2026, 11, 19, 7, 0, 5, tzinfo=UTC),
    ]
    assert posts[0].author == source.author_named("U_1", 0.0) == source.author_with_id(posts[0].author.id, 0.0)
    assert posts[0].reactions_at(posts[0].at + 10 * 86400).likes == 4
    assert posts[0].reactions_at(posts[0].at).likes == 0


def test_a_recorded_post_is_escaped_once_and_unknown_followers_stay_unknown(tmp_path: Path) -> None:
    written(tmp_path, "one", recorded_line(NOW, tweet="up &amp; down", Follower_count=-1))
    (post,) = RecordedPosts(tmp_path, NOW.date()).newest_first(0, NOW.timestamp() + 86400 * 2)
    assert post.text == "up & down"
    assert "public_metrics" not in user_shape(post.author, {"public_metrics"})


@pytest.mark.parametrize("line", [{"id": 1}, {"id_str": "5", "created_at": "2018-01-01"}])
def test_an_unreadable_recording_is_named_with_its_line(tmp_path: Path, line: dict[str, Any]) -> None:
    written(tmp_path, "bad", recorded_line(NOW), line)
    with pytest.raises(ValueError, match=r"bad\.ndjson\.gz: line 2"):
        RecordedPosts(tmp_path, date(2026, 11, 20))


def test_the_stand_in_serves_recorded_posts(recordings: Path) -> None:
    with running(SandboxConfig(data=recordings, epoch=date(2026, 11, 20), wall=NOW.timestamp)) as replay:
        headers = {"Authorization": "Bearer any"}
        answer = httpx2.get(
            f"{replay.x_url}/2/tweets/search/recent",
            params={"query": "$BTC -is:retweet", "max_results": "100", **FIELDS},
            headers=headers,
            timeout=30.0,
        )
    body = answer.json()
    assert answer.headers["x-metapulse-sandbox"] == "recordings"
    assert len(body["data"]) == 100
    assert all("$btc" in html.unescape(post["text"]).lower() for post in body["data"])
    newest = datetime.fromisoformat(body["data"][0]["created_at"])
    assert NOW - timedelta(hours=3) < newest <= NOW
