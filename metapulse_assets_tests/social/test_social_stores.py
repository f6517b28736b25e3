"""From posts to metrics on a database: ticks and recomputation agree, and late posts change no past row."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets.social import checks, metrics_store, reading_store
from metapulse_assets.social.tables import mentions, social_metrics, trending_topics
from metapulse_assets_tests.social.stored_posts import (
    DAY,
    HOUR,
    MINUTE,
    TABLES,
    PostRow,
    add_engagement,
    add_market,
    add_pass,
    add_posts,
    add_token,
    recompute,
    rows,
    tick,
)

NOON = DAY + 12 * HOUR
NEXT_DAY = DAY + timedelta(days=1, hours=1)
WORDS = ("moon", "rekt", "bullish", "dump incoming", "gm everyone", "looks great today my friends")


@pytest.fixture
def tokens(engine: sa.Engine) -> list[int]:
    """Two established tokens and a copy of the first."""
    with engine.begin() as connection:
        ids = [
            add_token(connection, "WIF", "Dogwifhat", "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr"),
            add_token(connection, "BONKA", "Bonkarama", "8HCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr"),
            add_token(connection, "WIF", "Dogwifhat", "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", since=DAY),
        ]
        for hours in range(0, 30, 6):
            for token_id, volume in zip(ids, (5e6, 4e6, 1e3), strict=True):
                add_market(connection, token_id, DAY - 6 * HOUR + hours * HOUR, volume, volume)
    return ids


def some_posts(count: int = 30) -> list[PostRow]:
    """Posts over the morning by a few authors."""
    return [
        PostRow(
            f"p{n}",
            NOON - 3 * HOUR + n * 6 * MINUTE,
            f"{('$WIF', '$BONKA', '#wif', 'nothing')[n % 4]} {WORDS[n % 6]}",
            author=f"a{n % 7}",
        )
        for n in range(count)
    ]


def snapshot(engine: sa.Engine) -> dict[str, Any]:
    """All derived rows."""
    return {table: rows(engine, table) for table in TABLES}


def test_ticks_and_recomputation_give_the_same_rows(engine: sa.Engine, tokens: list[int]) -> None:
    posts = some_posts()
    for step in range(6):
        now = NOON - 3 * HOUR + (step + 1) * 30 * MINUTE
        new = [post for post in posts if now - 30 * MINUTE < post.at + post.delay <= now]
        with engine.begin() as connection:
            add_posts(connection, new)
            for post in new[::2]:
                add_engagement(connection, post, post.at + post.delay, likes=3, followers=20_000)
            add_pass(connection, now)
        tick(engine, now + MINUTE)
    ticked = snapshot(engine)
    assert {len(found) > 0 for found in ticked.values()} == {True}
    assert recompute(engine, DAY.date(), NEXT_DAY) == 0
    assert snapshot(engine) == ticked
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(sa.text(f"DELETE FROM {table}"))
    recompute(engine, DAY.date(), NEXT_DAY)
    assert snapshot(engine) == ticked


def test_a_ticker_counts_for_the_established_token_alone(engine: sa.Engine, tokens: list[int]) -> None:
    with engine.begin() as connection:
        add_posts(
            connection,
            [
                PostRow("p", NOON - MINUTE * 9, "$WIF up"),
                PostRow("q", NOON - MINUTE * 8, "$WIF 9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", "b"),
            ],
        )
        add_pass(connection, NOON)
    tick(engine, NOON)
    assert [(row["post_id"], row["token_id"], row["resolution"]) for row in rows(engine, "mentions")] == [
        ("p", tokens[0], "dominant_ticker"),
        ("q", tokens[2], "address"),
        ("q", tokens[2], "address"),
    ]
    assert [(row["token_id"], row["mentions_1h"]) for row in rows(engine, "social_metrics")] == [(tokens[0], 1), (tokens[2], 1)]


def test_what_is_not_known_is_null(engine: sa.Engine, tokens: list[int]) -> None:
    post = PostRow("p", NOON - 9 * MINUTE, "$WIF moon")
    old = PostRow("q", NOON - 5 * HOUR, "$BONKA moon")
    with engine.begin() as connection:
        add_posts(connection, [post, old])
        add_pass(connection, NOON)
    tick(engine, NOON)
    spoken, silent = rows(engine, "social_metrics")
    for name in ("velocity", "velocity_z", "baseline_hourly", "weighted_sentiment", "engagement_1h", "followers_1h"):
        assert spoken[name] is None, name
    assert (spoken["sentiment"] > 0, spoken["dominance"], spoken["influencer_mentions_1h"]) == (True, 1.0, None)
    assert (silent["mentions_1h"], silent["mentions_24h"], silent["sentiment"], silent["bot_share"]) == (0, 1, None, None)
    with engine.begin() as connection:
        add_engagement(connection, post, NOON + MINUTE, likes=4, followers=50_000)
        add_pass(connection, NOON + 10 * MINUTE)
    tick(engine, NOON + 10 * MINUTE)
    later = [row for row in rows(engine, "social_metrics") if row["as_of"] > NOON and row["token_id"] == tokens[0]]
    assert [(row["engagement_1h"], row["followers_1h"], row["influencer_mentions_1h"]) for row in later] == [(4, 50_000, 1)]


@pytest.mark.parametrize(
    ("status", "requests", "moments"),
    [("failed", 5, 0), ("switched_off", 0, 0), ("budget_spent", 0, 0), ("budget_spent", 9, 1), ("partial", 3, 1)],
)
def test_a_pass_that_asked_nothing_has_nothing_to_say(
    engine: sa.Engine, tokens: list[int], status: str, requests: int, moments: int
) -> None:
    with engine.begin() as connection:
        add_posts(connection, [PostRow("p", NOON - 2 * HOUR, "$WIF moon")])
        add_pass(connection, NOON, status, requests=requests)
    tick(engine, NOON)
    assert len(rows(engine, "social_metrics")) == moments


def test_a_day_without_passes_has_a_row_every_ten_minutes(engine: sa.Engine, tokens: list[int]) -> None:
    with engine.begin() as connection:
        add_posts(connection, [PostRow("p", NOON, "$WIF moon", delay=timedelta(0))])
        assert len(metrics_store.moments_of_day(connection, DAY.date(), NEXT_DAY)) == 144
        assert metrics_store.moments_of_day(connection, DAY.date(), NOON) == []
    recompute(engine, DAY.date(), NEXT_DAY)
    found = rows(engine, "social_metrics")
    assert (found[0]["as_of"], len(found)) == (NOON, 72)
    assert [row["mentions_1h"] for row in found[:8]] == [1] * 6 + [0] * 2


def test_a_recomputation_takes_away_what_no_longer_holds(engine: sa.Engine, tokens: list[int]) -> None:
    with engine.begin() as connection:
        add_posts(connection, some_posts())
        add_pass(connection, NOON)
    tick(engine, NOON)
    before = snapshot(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE mentions SET token_id = NULL, resolution = 'unknown' WHERE post_id = 'p0'"))
        connection.execute(sa.text("UPDATE post_sentiments SET score = 0.123 WHERE post_id = 'p1'"))
        connection.execute(sa.text("DELETE FROM post_sentiments WHERE post_id = 'p2'"))
        ensure_days(connection, social_metrics.name, [DAY.date()])
        connection.execute(sa.text("UPDATE social_metrics SET as_of = as_of - interval '3 minutes'"))
    assert recompute(engine, DAY.date(), NEXT_DAY) > 0
    assert snapshot(engine) == before


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 170), st.integers(0, 4), st.sampled_from(["$WIF", "$BONKA", "#wif dogwifhat"]), st.integers(1, 300)
        ),
        min_size=1,
        max_size=25,
    ),
    st.integers(0, 17),
)
def test_later_posts_change_no_earlier_row(
    engine: sa.Engine, tokens: list[int], drawn: list[tuple[int, int, str, int]], cut: int
) -> None:
    moments = [NOON - 3 * HOUR + n * 10 * MINUTE for n in range(18)]
    posts = [
        PostRow(f"r{n}", NOON - 3 * HOUR + minute * MINUTE, f"{what} {WORDS[minute % 6]}", f"a{author}", delay * MINUTE)
        for n, (minute, author, what, delay) in enumerate(drawn)
    ]
    with engine.begin() as connection:
        for table in ("social_posts", "collection_passes", *TABLES):
            connection.execute(sa.text(f"DELETE FROM {table}"))
        for moment in moments:
            add_pass(connection, moment)
        add_posts(connection, [post for post in posts if post.at + post.delay <= moments[cut]])
    recompute(engine, DAY.date(), NEXT_DAY)
    until = f"as_of <= '{moments[cut].isoformat()}'"
    before = [rows(engine, table, until) for table in ("social_metrics", "trending_topics")]
    with engine.begin() as connection:
        add_posts(connection, [post for post in posts if post.at + post.delay > moments[cut]])
    recompute(engine, DAY.date(), NEXT_DAY)
    assert [rows(engine, table, until) for table in ("social_metrics", "trending_topics")] == before


LOOKS: dict[str, Callable[[sa.Connection, datetime, datetime], Any]] = {
    "of_known_tokens": checks._of_known_tokens,
    "every_post_judged": checks._every_post_judged,
    "dominance_adds_up": checks._dominance_adds_up,
    "hour_within_day": checks._hour_within_day,
    "ranks_in_order": checks._ranks_in_order,
}


@pytest.mark.parametrize(
    ("look", "damage"),
    [
        ("of_known_tokens", "UPDATE mentions SET token_id = 4711 WHERE token_id IS NOT NULL"),
        ("of_known_tokens", "UPDATE mentions SET candidates = NULL"),
        ("every_post_judged", "DELETE FROM post_sentiments WHERE post_id = 'p3'"),
        ("every_post_judged", "DELETE FROM social_posts WHERE post_id = 'p3'"),
        ("dominance_adds_up", "UPDATE social_metrics SET dominance = 0.9"),
        ("hour_within_day", "UPDATE social_metrics SET authors_24h = 0"),
        ("ranks_in_order", "UPDATE trending_topics SET rank = 2"),
        ("ranks_in_order", "UPDATE trending_topics SET authors = rank"),
    ],
)
def test_the_checks_see_what_is_broken(engine: sa.Engine, tokens: list[int], look: str, damage: str) -> None:
    with engine.begin() as connection:
        add_posts(connection, some_posts())
        add_pass(connection, NOON)
    tick(engine, NOON)
    with engine.begin() as connection:
        assert len(rows(engine, "trending_topics")) > 1
        assert LOOKS[look](connection, DAY, NEXT_DAY).passed
        assert connection.execute(sa.text(damage)).rowcount > 0
        assert not LOOKS[look](connection, DAY, NEXT_DAY).passed


def test_a_tick_reads_each_post_once(engine: sa.Engine, tokens: list[int]) -> None:
    with engine.begin() as connection:
        add_posts(connection, some_posts(10))
    for step in (reading_store.find_new_mentions, reading_store.judge_new_posts):
        with engine.begin() as connection:
            assert step(connection, NOON) > 0
        with engine.begin() as connection:
            assert step(connection, NOON) == 0
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(mentions)).scalar_one() == 7 + 1
        assert connection.execute(sa.select(sa.func.count()).select_from(trending_topics)).scalar_one() == 0
