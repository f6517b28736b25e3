"""Rounds of discovery written down: who is admitted, who is named again, who is let go and comes back."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.market.checks import _tracked_tokens_within_capacity
from metapulse_assets.market.discovery import GRACE, WATCHED, TokenKey
from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.market.token_store import active_tokens
from metapulse_assets.market.tracking import Discovered, decide
from metapulse_assets.platform.settings import Settings, load_settings
from metapulse_assets_tests.market.pairs import a_pair
from metapulse_assets_tests.market.test_token_store import see
from metapulse_assets_tests.scratch import rolled_back

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
TICK = timedelta(minutes=5)
SETTINGS = load_settings(max_tracked_tokens=3, min_volume_h24_usd=1_000.0, min_liquidity_usd=5_000.0)


def a_round(
    connection: sa.Connection,
    named: dict[str, set[str]],
    at: datetime = NOW,
    volumes: dict[str, float | None] | None = None,
    settings: Settings = SETTINGS,
) -> Discovered:
    """One round in which the lists name these tokens; pools are good unless `volumes` says otherwise."""
    pools = {("solana", name): a_pair(token=name, volume=(volumes or {}).get(name, 9_000.0)) for name in named}
    found = Discovered(candidates={("solana", name): sources for name, sources in named.items()}, pools=pools)
    decide(connection, found, settings, at)
    return found


def tracked(connection: sa.Connection) -> dict[str, sa.Row[tuple[object, ...]]]:
    rows = connection.execute(sa.select(tokens.c.address, tracked_tokens).join_from(tracked_tokens, tokens))
    return {row.address: row for row in rows}


def look(connection: sa.Connection, name: str, at: datetime, volume: float) -> None:
    """A snapshot of a token."""
    see(connection, tracked(connection)[name].token_id, a_pair(f"pool of {name}", token=name, volume=volume), at)


def test_a_token_named_by_two_lists_is_one_row_with_both(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        a_round(connection, {"a": {"trending", "boosts"}})
        row = tracked(connection)["a"]
        assert (row.sources, row.active, row.tracked_since) == (["boosts", "trending"], True, NOW)
        assert row.reason == "24 h volume 9,000 USD, liquidity 50,000 USD"


def test_a_mixed_list_is_filtered_by_the_bar_and_the_places(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        volumes = {"thin": 900.0, "silent": None, "a": 2_000.0, "b": 3_000.0, "c": 4_000.0, "d": 5_000.0}
        found = a_round(connection, {name: {"boosts"} for name in volumes}, volumes=volumes)
        assert set(tracked(connection)) == {"b", "c", "d"}
        assert found.admitted == 3
        assert len(found.verdicts) == 6
        stored = set(connection.execute(sa.select(tokens.c.address)).scalars())
        assert stored == {"b", "c", "d"}, "a refused candidate was stored"


def test_who_is_named_again_is_remembered_with_every_list_that_named_it(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        a_round(connection, {"a": {"boosts"}, "b": {"boosts"}})
        found = a_round(connection, {"a": {"trending"}}, NOW + TICK)
        assert found.verdicts == {}
        rows = tracked(connection)
        assert (rows["a"].sources, rows["a"].last_listed_at) == (["boosts", "trending"], NOW + TICK)
        assert (rows["b"].sources, rows["b"].last_listed_at) == (["boosts"], NOW)


def test_from_failing_to_recovered(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        a_round(connection, {"a": {"boosts"}})
        for minutes, volume, failing in ((5, 9e3, False), (10, 10.0, True), (15, 10.0, True), (20, 9e3, False)):
            at = NOW + timedelta(minutes=minutes)
            look(connection, "a", at, volume)
            a_round(connection, {}, at)
            row = tracked(connection)["a"]
            assert (row.failing_since is not None) is failing
            assert row.active
            if minutes == 15:
                assert row.failing_since == NOW + timedelta(minutes=10)


def test_a_dead_token_is_followed_for_eight_days_and_then_let_go(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        a_round(connection, {"a": {"boosts"}, "b": {"boosts"}})
        a_round(connection, {}, NOW + TICK)
        look(connection, "b", NOW + TICK + GRACE, 9e3)
        a_round(connection, {}, NOW + TICK + GRACE)
        assert [token.key[1] for token in active_tokens(connection, NOW)] == ["a", "b"]
        found = a_round(connection, {"a": {"boosts"}}, NOW + 2 * TICK + GRACE)
        assert list(found.let_go.values()) == ["below the bar for 8 days: 24 h volume unknown, needs more than 1,000 USD"]
        row = tracked(connection)["a"]
        assert (row.active, row.reason) == (False, next(iter(found.let_go.values())))
        assert [token.key[1] for token in active_tokens(connection, NOW)] == ["b"]


def test_who_comes_back_after_being_let_go_begins_anew(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        a_round(connection, {"a": {"boosts"}})
        a_round(connection, {}, NOW + TICK)
        a_round(connection, {}, NOW + 2 * TICK + GRACE)
        back = NOW + 3 * TICK + GRACE
        a_round(connection, {"a": {"trending"}}, back)
        row = tracked(connection)["a"]
        assert (row.active, row.failing_since, row.tracked_since, row.sources) == (True, None, back, ["trending"])


def test_a_token_that_is_only_followed_to_its_end_takes_nobodys_place(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        a_round(connection, {name: {"boosts"} for name in "abc"})
        assert a_round(connection, {"d": {"boosts"}}, NOW + timedelta(seconds=1)).admitted == 0
        a_round(connection, {}, NOW + TICK)
        for name in "ab":
            look(connection, name, NOW + TICK, 9e3)
        a_round(connection, {}, NOW + TICK)
        assert a_round(connection, {"d": {"boosts"}}, NOW + TICK).admitted == 1


def test_a_watched_token_is_tracked_whatever_its_figures_until_it_is_off_the_list(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        full = {name: {"boosts"} for name in "abc"}
        a_round(connection, {**full, "w": {WATCHED}}, volumes={"w": None})
        assert set(tracked(connection)) == {"a", "b", "w"}
        a_round(connection, {"w": {WATCHED}}, NOW + 2 * GRACE)
        assert tracked(connection)["w"].failing_since is None
        a_round(connection, {}, NOW + 2 * GRACE + TICK)
        row = tracked(connection)["w"]
        assert (row.failing_since, row.sources) == (NOW + 2 * GRACE + TICK, ["formerly watched"])
        a_round(connection, {}, NOW + 4 * GRACE)
        assert not tracked(connection)["w"].active


def test_the_check_wants_somebody_tracked_and_a_source_of_everybody(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        assert not _tracked_tokens_within_capacity(connection, NOW, NOW).passed
        a_round(connection, {"a": {"boosts"}})
        assert _tracked_tokens_within_capacity(connection, NOW, NOW).passed
        connection.execute(sa.update(tracked_tokens).values(sources=[]))
        assert not _tracked_tokens_within_capacity(connection, NOW, NOW).passed


def key(name: str) -> TokenKey:
    return ("solana", name)


def test_a_watched_token_without_a_pool_is_told_so(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        found = Discovered(candidates={key("w"): {WATCHED}})
        decide(connection, found, SETTINGS, NOW)
        assert found.verdicts[key("w")].reason == "the vendor shows no pool for it"
        assert tracked(connection) == {}
