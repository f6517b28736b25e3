"""Passes of collecting over real sockets: what is stored, what it costs, and that no failure loses a post or pays twice."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.platform.settings import Settings
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.synthetic.posts import SyntheticPosts
from metapulse_assets.sandbox.vendors.x_query import judge_of
from metapulse_assets.social import pass_store
from metapulse_assets.social.collecting import COUNTED_TOKENS, Collected, collect
from metapulse_assets.social.post_store import load_cursors
from metapulse_assets.social.query_cursors import FIRST_LOOK, Cursor
from metapulse_assets_tests.platform.stub_vendor import Reply, serving

START = datetime(2026, 11, 20, 14, 15, 4, tzinfo=UTC)
SEED, TOKENS = 20260101, 40
CLASSES = ("x-search", "x-counts", "x-users", "x-timeline", "x-posts")


class Desk:
    """A database with tracked tokens, a clock, and passes to run."""

    def __init__(self, engine: sa.Engine, settings: Callable[..., Settings], time: list[datetime]) -> None:
        self.engine, self._settings, self.time = engine, settings, time
        self.options: dict[str, object] = {"x_budget_usd_per_day": 1_000.0, "x_posts_per_query": 500}
        self.results: list[Collected] = []

    def track(self, count: int = 8) -> None:
        market = SimulatedMarket(SEED, TOKENS)
        found = {
            (p.chain, p.base.address): p.base
            for p in market.catalogue(START.timestamp()).pools
            if p.kind in ("major", "rising", "meme")
        }
        with self.engine.begin() as connection:
            for (chain, address), token in list(found.items())[:count]:
                values = {"chain": chain, "address": address, "symbol": token.symbol, "name": token.name}
                token_id = connection.execute(
                    sa.insert(tokens).values(**values, first_recorded_at=START).returning(tokens.c.token_id)
                ).scalar_one()
                connection.execute(
                    sa.insert(tracked_tokens).values(
                        token_id=token_id,
                        active=True,
                        sources=["boosts"],
                        tracked_since=START,
                        last_listed_at=START,
                        reason="x",
                    )
                )

    def run(self, url: str, **options: object) -> Collected:
        settings = self._settings(
            **{"twitter_api_url": url, "twitter_rate_limit": 100_000, "vendor_attempts": 2, **self.options, **options}
        )
        with self.engine.begin() as connection:
            pass_id = pass_store.begin_pass(connection, self.time[0], settings.x_budget_usd_per_day)
        result, requests = asyncio.run(collect(self.engine, settings, lambda: self.time[0], "key", pass_id))
        with self.engine.begin() as connection:
            pass_store.finish_pass(
                connection, pass_id, self.time[0], result.status, result.reason, requests, result.paused_until
            )
        self.results.append(result)
        return result

    def rows(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]

    def one(self, query: str) -> Any:
        return self.rows(query)[0][0]

    def expected_ids(self, first_asked: datetime = START) -> set[str]:
        """What the stand-in has shown by now to the standing questions."""
        source = SyntheticPosts(SimulatedMarket(SEED, TOKENS))
        begin, end = first_asked - FIRST_LOOK, self.time[0] - timedelta(seconds=30)
        judges = [judge_of(cursor.query) for cursor in self.cursors() if cursor.key.startswith("tokens:")]
        return {
            str(post.id)
            for post in source.newest_first(begin.timestamp(), end.timestamp())
            if any(judge(post) for judge in judges)
        }

    def stored_ids(self) -> set[str]:
        return {row[0] for row in self.rows("SELECT post_id FROM social_posts")}

    def cursors(self) -> list[Cursor]:
        with self.engine.connect() as connection:
            return load_cursors(connection)


@pytest.fixture
def desk(engine: sa.Engine, make_settings: Callable[..., Settings]) -> Desk:
    return Desk(engine, make_settings, [START])


@pytest.fixture
def sandbox(desk: Desk) -> Iterator[Sandbox]:
    """A stand-in on the desk's clock."""
    limits = dict.fromkeys(CLASSES, 100_000)
    with running(SandboxConfig(wall=lambda: desk.time[0].timestamp(), tokens=TOKENS, seed=SEED, limits=limits)) as it:
        yield it


def test_a_pass_stores_what_was_posted_and_the_next_one_only_what_is_new(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    first = desk.run(sandbox.x_url)
    assert (first.status, first.reason, first.refused) == ("complete", None, [])
    assert desk.stored_ids() == desk.expected_ids()
    assert first.new == len(desk.stored_ids()) > 30
    assert first.counts > 0
    desk.time[0] += timedelta(minutes=40)
    second = desk.run(sandbox.x_url)
    assert desk.stored_ids() == desk.expected_ids()
    assert 0 < second.new < first.new
    # Reposts are not asked for, and each row points at the bytes it was read from.
    assert desk.one("SELECT count(*) FROM social_posts WHERE kind = 'repost'") == 0
    orphans = "SELECT count(*) FROM social_posts p LEFT JOIN raw_payloads r USING (payload_id) WHERE r.payload_id IS NULL"
    assert desk.one(orphans) == 0
    assert desk.one("SELECT count(*) FROM social_posts WHERE author_name IS NULL OR available_at <> recorded_at") == 0
    late = "SELECT count(*) FROM social_posts WHERE recorded_at > (SELECT max(finished_at) FROM collection_passes)"
    assert desk.one(late) == 0


def test_reactions_are_new_rows_and_looking_again_on_the_same_day_costs_nothing(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    desk.run(sandbox.x_url)
    before = desk.rows("SELECT recorded_at, post_id, likes FROM post_engagement ORDER BY 1, 2")
    desk.time[0] += timedelta(minutes=40)
    spent = desk.one("SELECT sum(cost_usd) FROM collection_passes")
    second = desk.run(sandbox.x_url)
    assert second.revised > 0
    after = desk.rows("SELECT recorded_at, post_id, likes FROM post_engagement ORDER BY 1, 2")
    assert after[: len(before)] == before
    again = desk.rows(
        "SELECT post_id, array_agg(likes ORDER BY recorded_at) FROM post_engagement GROUP BY 1 HAVING count(*) > 1"
    )
    assert len(again) == second.revised
    assert all(list(likes) == sorted(likes) for _, likes in again)
    paid = dict(desk.rows("SELECT resource, count(*) FROM billed_reads GROUP BY 1"))
    counted = len(desk.rows("SELECT DISTINCT topic, recorded_at FROM post_counts"))
    cost = desk.one("SELECT sum(cost_usd) FROM collection_passes")
    assert cost == pytest.approx(paid["post"] * 0.005 + paid["user"] * 0.01 + counted * 0.005)
    assert 0 < counted <= COUNTED_TOKENS
    assert paid["post"] == len(desk.stored_ids())
    assert spent < cost


def test_nothing_is_lost_whatever_strikes(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    faults = {
        "server-error": 0.15,
        "cut-json": 0.1,
        "cut": 0.1,
        "html": 0.1,
        "rate-limit": 0.1,
        "duplicate": 0.2,
        "out-of-order": 0.2,
    }
    statuses = set()
    sandbox.set_faults(faults)
    for _ in range(6):
        statuses.add(desk.run(sandbox.x_url, x_posts_per_query=20, breaker_failures=1000).status)
        desk.time[0] += timedelta(minutes=11)
    sandbox.set_faults({})
    assert statuses & {"failed", "partial"}
    for _ in range(20):
        last = desk.run(sandbox.x_url)
        if last.status == "complete":
            break
    assert last.status == "complete"
    # A question that was first asked late began its first day later: what all of them cover is compared.
    shown = desk.expected_ids(START + timedelta(minutes=66))
    assert shown <= desk.stored_ids() <= desk.expected_ids()
    assert all(cursor.since_id == cursor.newest_id for cursor in desk.cursors())
    assert desk.one("SELECT count(*) FROM billed_reads WHERE resource = 'post'") == len(desk.stored_ids())


def test_the_budget_bounds_the_day_and_says_so(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    first = desk.run(sandbox.x_url, x_budget_usd_per_day=0.4)
    assert first.status == "partial"
    assert "spread over the day" in str(first.reason)
    assert first.new
    for _ in range(9):
        desk.time[0] += timedelta(minutes=62)
        last = desk.run(sandbox.x_url, x_budget_usd_per_day=0.4)
        assert desk.one("SELECT sum(cost_usd) FROM collection_passes") <= 0.4
    assert last.status == "budget_spent"
    assert "of 0.40 USD of this UTC day are spent" in str(last.reason)
    # What could not be afforded is not forgotten: with money, it is read.
    for _ in range(5):
        last = desk.run(sandbox.x_url)
    assert last.status == "complete"
    assert desk.expected_ids(desk.time[0]) <= desk.stored_ids()
    # A new day has money of its own.
    desk.time[0] += timedelta(hours=10)
    assert desk.run(sandbox.x_url, x_budget_usd_per_day=1.0).read > 0


def test_a_pass_that_was_killed_is_closed_and_what_it_stored_stays(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    with desk.engine.begin() as connection:
        pass_store.begin_pass(connection, desk.time[0], 5.0)
    desk.time[0] += timedelta(minutes=1)
    desk.run(sandbox.x_url)
    (killed, alive) = desk.rows("SELECT status, reason, finished_at FROM collection_passes ORDER BY pass_id")
    assert killed == ("failed", "the process ended before the pass was over", desk.time[0])
    assert alive[0] == "complete"


def test_watched_accounts_are_looked_up_once_and_read_from_then_on(desk: Desk, sandbox: Sandbox) -> None:
    accounts = "ChartSmith,@OnchainOwl,nobody_x_1,no name!"
    first = desk.run(sandbox.x_url, x_watched_accounts=accounts)
    assert [entry for entry in first.odd if "no name!" in entry]
    assert [entry for entry in first.odd if "nobody_x_1 is not known to X" in entry]
    assert first.read > 0
    names = {row[0] for row in desk.rows("SELECT DISTINCT author_name FROM social_posts")}
    assert names <= {"ChartSmith", "OnchainOwl"}
    assert {row[0] for row in desk.rows("SELECT DISTINCT source FROM social_posts")} <= {
        "account:chartsmith",
        "account:onchainowl",
    }
    sandbox.clear_requests()
    desk.run(sandbox.x_url, x_watched_accounts="ChartSmith,OnchainOwl")
    assert not [r for r in sandbox.requests() if "/users/by" in str(r["path"])]


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (Reply(401, b'{"title":"Unauthorized"}'), "failed", "TWITTER_BEARER_TOKEN"),
        (Reply(403, b'{"reason":"client-not-enrolled"}'), "failed", "not enrolled"),
        (Reply(503, b"<html>", kind="text/html"), "failed", "HTTP 503"),
        (Reply(429, b"Rate limit exceeded\n", kind="text/plain"), "failed", "HTTP 429"),
        (Reply(200, b"<html>", kind="text/html"), "failed", "broken JSON"),
        (Reply(400, b'{"errors":[{"message":"no such operator"}]}'), "failed", "no such operator"),
    ],
)
def test_a_refusal_fails_the_pass_with_a_reason_and_loses_nothing(
    desk: Desk, sandbox: Sandbox, reply: Reply, status: str, words: str
) -> None:
    desk.track(3)
    desk.run(sandbox.x_url)
    before = desk.cursors()
    desk.time[0] += timedelta(minutes=20)
    with serving(reply) as vendor:
        result = desk.run(vendor.url)
    assert result.status == status
    assert words in str(result.reason)
    assert result.refused
    assert [(c.newest_id, c.gaps) for c in desk.cursors()] == [(c.newest_id, c.gaps) for c in before]
    assert desk.run(sandbox.x_url).status == "complete"
    assert desk.stored_ids() == desk.expected_ids()


def test_after_a_usage_cap_nothing_is_asked_until_the_next_day(desk: Desk) -> None:
    desk.track(3)
    body = json.dumps({"title": "UsageCapExceeded", "type": "https://api.twitter.com/2/problems/usage-capped", "detail": "cap"})
    with serving(Reply(429, body.encode())) as vendor:
        result = desk.run(vendor.url)
    assert result.status == "failed"
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    assert result.paused_until == midnight
    with desk.engine.connect() as connection:
        pause = pass_store.pause_in_force(connection, START + timedelta(hours=1))
        assert pause is not None
        assert pause[0] == midnight
        assert "cap" in pause[1]
        assert pass_store.pause_in_force(connection, midnight) is None


def test_an_id_that_x_finds_too_old_is_replaced_by_the_first_searchable_moment(desk: Desk) -> None:
    desk.track(3)
    too_old = Reply(400, b'{"errors":[{"message":"\'since_id\' must be a tweet id created after"}]}')
    with desk.engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO query_cursors VALUES ('tokens:1', '', '{1}', '5', '2123700000000000000', '[]', null, now())")
        )
    with serving(too_old, Reply(body=b'{"meta":{"result_count":0}}')) as vendor:
        result = desk.run(vendor.url)
    assert result.status == "complete"
    assert "since_id=" in vendor.arrivals[0].path
    assert "since_id=" not in vendor.arrivals[1].path
    assert "start_time=2026-11-13T14" in vendor.arrivals[1].path


def test_bad_items_go_to_the_dead_letters_and_good_ones_on(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    sandbox.set_faults({"bad-price": 0.2, "negative-volume": 0.1})
    result = desk.run(sandbox.x_url)
    assert result.read > 20
    reasons = {letter.reason.split(":")[0].split(".")[0] for letter in result.refused if letter.source == "x search"}
    assert reasons == {"created_at", "public_metrics"}
    # They were read and paid for, so they are not asked for again.
    assert all(cursor.since_id == cursor.newest_id for cursor in desk.cursors())


def test_counts_that_did_not_change_are_not_stored_again(desk: Desk, sandbox: Sandbox) -> None:
    desk.track(3)
    desk.run(sandbox.x_url)
    first = desk.one("SELECT count(*) FROM post_counts")
    desk.time[0] += timedelta(minutes=30)
    assert desk.run(sandbox.x_url).counts == 0
    desk.time[0] += timedelta(minutes=45)
    assert 0 < desk.run(sandbox.x_url).counts < first / 2


def test_reading_the_same_posts_again_adds_nothing_and_costs_nothing(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    first = desk.run(sandbox.x_url)
    with desk.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM query_cursors"))
    desk.time[0] += timedelta(seconds=1)
    second = desk.run(sandbox.x_url)
    assert second.read >= first.read
    assert second.new <= 1
    # In a second hardly anybody reacted: only who did has a new row.
    assert desk.one("SELECT count(*) FROM post_engagement") == first.new + second.new + second.revised
    assert second.revised < first.new / 2
    assert second.cost_usd <= 0.02


def test_a_kind_of_question_that_is_forbidden_does_not_stop_the_others(desk: Desk) -> None:
    desk.track(2)
    empty, forbidden = Reply(body=b'{"meta":{"result_count":0}}'), Reply(403, b'{"detail":"not on this plan"}')
    with serving(empty, forbidden) as vendor:
        result = desk.run(vendor.url)
    assert result.status == "partial"
    assert "not on this plan" in str(result.reason)
    assert [arrival.path.split("?")[0] for arrival in vendor.arrivals] == ["/2/tweets/search/recent", "/2/tweets/counts/recent"]


def test_more_posts_than_a_question_may_bring_are_read_in_the_next_passes(desk: Desk, sandbox: Sandbox) -> None:
    desk.track()
    first = desk.run(sandbox.x_url, x_posts_per_query=10)
    assert first.status == "partial"
    assert "more than 10 posts in a pass" in str(first.reason)
    open_ones = [cursor for cursor in desk.cursors() if cursor.gaps]
    assert open_ones
    assert all(cursor.since_id != cursor.newest_id for cursor in open_ones)
    for _ in range(3):
        last = desk.run(sandbox.x_url)
    assert last.status == "complete"
    assert desk.stored_ids() == desk.expected_ids()
    assert desk.one("SELECT sum(posts_read) FROM collection_passes") == len(desk.stored_ids())


def test_empty_pages_that_lead_to_the_next_for_ever_come_to_an_end(desk: Desk) -> None:
    desk.track(1)
    with serving(Reply(body=b'{"meta":{"result_count":0,"next_token":"again"}}')) as vendor:
        result = desk.run(vendor.url, x_posts_per_query=50)
    assert (result.status, result.read) == ("partial", 0)
    assert sum("/search/" in arrival.path for arrival in vendor.arrivals) == 5
    assert {(cursor.newest_id, cursor.gaps) for cursor in desk.cursors()} == {(None, ())}
