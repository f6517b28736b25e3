"""What is read of the market at a moment: only what was usable by then, only the newest, only posts fit to be shown."""

from datetime import timedelta

import sqlalchemy as sa

from metapulse_assets.intelligence.market_state import read_posts, read_states
from metapulse_assets.intelligence.requests import MOST_PANELS, plan
from metapulse_assets.intelligence.tables import ai_analyses
from metapulse_assets_tests.intelligence.panels import AS_OF, a_state, honest
from metapulse_assets_tests.intelligence.stored_market import add_hit, add_post, add_posts, add_token, store

HOUR = timedelta(hours=1)


def test_a_state_holds_what_was_stored(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "down")
    add_posts(connection, 7, AS_OF, 6)
    [state] = read_states(connection, [7, 8], AS_OF, AS_OF - HOUR)
    assert (state.token_id, state.price_usd, state.risk_level) == (7, 2.0, "low")
    assert sorted(state.readings) == ["1h", "5m"]
    assert state.readings["1h"].trend == "down"
    assert [(hit.rule, hit.timeframe) for hit in state.hits] == [("momentum_down", "1h")]
    assert (state.social["unique_posts_1h"], state.model_sentiment) == (6.0, None)


def test_what_came_to_be_known_later_is_not_in_it(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "up")
    add_posts(connection, 7, AS_OF, 6)
    before = read_states(connection, [7], AS_OF, AS_OF - HOUR)
    posts = read_posts(connection, 7, AS_OF)
    later = {"at": AS_OF + timedelta(seconds=1)}
    add_hit(connection, 7, AS_OF + timedelta(seconds=1), "down")
    add_post(connection, 7, AS_OF + timedelta(seconds=1), "late", "buy")
    assert read_states(connection, [7], AS_OF, AS_OF - HOUR) == before
    assert read_posts(connection, 7, AS_OF) == posts
    for table, column in (
        *(("token_metrics", "recorded_at"), ("technical_analyses", "available_at"), ("technical_signals", "available_at")),
        *(("risk_assessments", "available_at"), ("social_metrics", "available_at")),
    ):
        connection.execute(sa.text(f"UPDATE {table} SET {column} = :at"), later)
    assert read_states(connection, [7], AS_OF, AS_OF - HOUR) == []


def test_posts_not_usable_yet_are_not_shown(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "up")
    at = AS_OF - timedelta(minutes=5)
    for table in ("social_posts", "mentions", "post_sentiments"):
        add_post(connection, 7, at, table, "looks good")
        late = {"at": AS_OF + timedelta(seconds=1), "post": f"%{table}%"}
        connection.execute(sa.text(f"UPDATE {table} SET available_at = :at WHERE post_id LIKE :post"), late)
    assert read_posts(connection, 7, AS_OF) == []
    assert len(read_posts(connection, 7, AS_OF + timedelta(seconds=1))) == 3


def test_the_models_own_reading_of_posts_is_one_number_once_it_is_known(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "up")
    at = AS_OF - timedelta(minutes=15)
    mood = {"as_of": at, "analysis_id": "s", "available_at": AS_OF, "request_id": "s", "kind": "sentiment", "token_id": 7,
            "status": "agreed", "direction": "buy", "probability_up": 0.75, "horizon_seconds": 86_400, "key_points": [],
            "models": {}, "snapshot_hash": "h"}  # fmt: skip
    store(connection, ai_analyses, [mood], "as_of")
    [state] = read_states(connection, [7], AS_OF, AS_OF - HOUR)
    assert state.model_sentiment == 0.5
    [before] = read_states(connection, [7], AS_OF - timedelta(seconds=1), AS_OF - HOUR)
    assert before.model_sentiment is None


def test_a_rule_that_fired_before_is_no_news(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "up")
    [state] = read_states(connection, [7], AS_OF, AS_OF - timedelta(seconds=30))
    assert list(state.hits) == []


def test_a_token_not_seen_of_late_is_not_asked_about(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "up")
    assert read_states(connection, [7], AS_OF + timedelta(minutes=20), AS_OF) == []


def test_posts_of_machines_scams_repetitions_and_yesterday_are_not_shown(connection: sa.Connection) -> None:
    add_token(connection, 7, AS_OF, "up")
    add_token(connection, 8, AS_OF, "up")
    at = AS_OF - timedelta(minutes=5)
    add_post(connection, 7, at, "honest", "looks good")
    add_post(connection, 7, at, "machine", "looks good", bot_likeness=0.9)
    add_post(connection, 7, at, "thief", "claim your airdrop", scam_probability=0.9)
    add_post(connection, 7, AS_OF - timedelta(hours=5), "yesterday", "looked good")
    add_post(connection, 8, at, "elsewhere", "another token")
    add_post(connection, 7, at, "echo", "looks good")
    connection.execute(sa.text("UPDATE social_posts SET kind = 'repost' WHERE author_id = 'echo'"))
    add_post(connection, 7, at, "vague", "no token meant")
    connection.execute(sa.text("UPDATE mentions SET token_id = NULL, resolution = 'ambiguous' WHERE post_id LIKE '%vague%'"))
    assert [post.author_id for post in read_posts(connection, 7, AS_OF)] == ["honest"]


def test_few_tokens_have_their_posts_shown() -> None:
    states = [a_state("up", token_id=number) for number in range(1, 9)]
    rows = plan(states, AS_OF, 8, lambda token_id: honest(["up"], 20))
    assert sum(row["kind"] == "sentiment" for row in rows) == MOST_PANELS
    assert sum(row["kind"] == "comprehensive" for row in rows) == 8
