"""Tokens and pools in the database: one row each, whatever way they come in."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.market.discovery import Verdict
from metapulse_assets.market.snapshots import Snapshot, metric_columns
from metapulse_assets.market.tables import pools, token_metrics, tokens
from metapulse_assets.market.token_store import (
    RECENT,
    UNNAMED,
    active_tokens,
    keys_without,
    pool_key,
    start_tracking,
    tracked_states,
    upsert_pools,
    upsert_tokens,
)
from metapulse_assets.platform.bulk import write_columns
from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets.vendors.dexscreener import Pair
from metapulse_assets_tests.market.pairs import EVM_MIXED_CASE, SOLANA_MINT, a_pair
from metapulse_assets_tests.scratch import rolled_back

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINT = ("solana", SOLANA_MINT)


def track(connection: sa.Connection, *pairs: Pair) -> dict[tuple[str, str], int]:
    ids = upsert_tokens(connection, pairs, NOW)
    start_tracking(connection, ids, {key: {"boosts"} for key in ids}, dict.fromkeys(ids, Verdict(True, "good")), NOW)
    return ids


def see(connection: sa.Connection, token_id: int, pair: Pair, at: datetime) -> None:
    """A snapshot."""
    pool_id = upsert_pools(connection, [(token_id, pair)], at)[pool_key(pair)]
    ensure_days(connection, token_metrics.name, [at.date()])
    write_columns(connection, token_metrics, metric_columns([Snapshot(token_id, pool_id, 1, at, pair)], at))


def test_a_token_is_stored_once_and_its_name_kept_up_to_date(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        first = upsert_tokens(connection, [a_pair(name="Bonk"), a_pair("other pool", name="Bonk")], NOW)
        again = upsert_tokens(connection, [a_pair(symbol="BNK", name="Bonk 2")], NOW + timedelta(days=1))
        assert first == again == {MINT: first[MINT]}
        row = connection.execute(sa.select(tokens)).one()
        assert (row.symbol, row.name, row.first_recorded_at) == ("BNK", "Bonk 2", NOW)


def test_spellings_of_an_evm_address_are_one_token_and_of_a_solana_address_two(engine: sa.Engine) -> None:
    spellings = [
        a_pair(chain=chain, token=text) for chain in ("base", "solana") for text in (EVM_MIXED_CASE, EVM_MIXED_CASE.lower())
    ]
    with rolled_back(engine) as connection:
        assert set(upsert_tokens(connection, spellings, NOW)) == {
            ("base", EVM_MIXED_CASE.lower()),
            ("solana", EVM_MIXED_CASE),
            ("solana", EVM_MIXED_CASE.lower()),
        }
        assert set(upsert_tokens(connection, spellings[:1], NOW)) == {("base", EVM_MIXED_CASE.lower())}


def test_names_that_makers_of_tokens_think_of(engine: sa.Engine) -> None:
    odd = ["'; DROP TABLE tokens; --", "\x00 \ud800", "%s %(x)s :x {}", "名" * 1_000, "", None]
    with rolled_back(engine) as connection:
        ids = upsert_tokens(connection, [a_pair(token=f"t{n}", name=name, symbol=name) for n, name in enumerate(odd)], NOW)
        assert len(ids) == len(odd)
        names = list(connection.execute(sa.select(tokens.c.name).order_by(tokens.c.address)).scalars())
        assert names[0] == odd[0]
        assert names[1] == " ?"
        assert names[4:] == [UNNAMED, UNNAMED]


def test_a_pool_is_stored_once_even_if_two_tokens_claim_it(engine: sa.Engine) -> None:
    one, other = a_pair("Pool", chain="base", token="0xA1"), a_pair("pooL", chain="base", token="0xB2")
    with rolled_back(engine) as connection:
        ids = upsert_tokens(connection, [one, other], NOW)
        first = upsert_pools(connection, [(ids["base", "0xa1"], one)], NOW)
        again = upsert_pools(connection, [(ids["base", "0xa1"], one), (ids["base", "0xb2"], other)], NOW)
        assert first["base", "pool"] == again["base", "pool"]
        assert connection.execute(sa.select(pools.c.token_id, pools.c.address)).all() == [(ids["base", "0xa1"], "pool")]


def test_a_pool_keeps_what_is_known_of_it(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        pair = a_pair(pairCreatedAt=1_751_500_000_000)
        upsert_pools(connection, [(upsert_tokens(connection, [pair], NOW)[MINT], pair)], NOW)
        row = connection.execute(sa.select(pools)).one()
        assert (row.dex, row.quote_symbol, row.created_at) == ("raydium", "SOL", datetime(2025, 7, 2, 23, 46, 40, tzinfo=UTC))


def test_active_tokens_know_how_they_looked_last_if_that_is_not_long_ago(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token_id] = track(connection, a_pair()).values()
        assert [(t.pool_address, t.last_price) for t in active_tokens(connection, NOW)] == [(None, None)]
        see(connection, token_id, a_pair("old pool", price=1.0), NOW)
        see(connection, token_id, a_pair("new pool", price=2.0, liquidity=3.0, volume=4.0), NOW + timedelta(minutes=5))
        see(connection, token_id, a_pair("future", price=9.0), NOW + timedelta(days=1))
        at = NOW + timedelta(minutes=6)
        [token] = active_tokens(connection, at)
        assert (token.token_id, token.key, token.pool_address, token.last_price) == (token_id, MINT, "new pool", 2.0)
        [state] = tracked_states(connection, at)
        assert (state.volume_h24_usd, state.liquidity_usd, state.sources) == (4.0, 3.0, frozenset({"boosts"}))
        [forgotten] = active_tokens(connection, NOW + timedelta(minutes=5) + RECENT)
        assert (forgotten.pool_address, forgotten.last_price) == (None, None)


def test_only_some_tokens_can_be_wanted_in_any_spelling(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        track(connection, a_pair(), a_pair(chain="base", token=EVM_MIXED_CASE))
        wanted = [("base", EVM_MIXED_CASE.upper()), ("solana", SOLANA_MINT.lower())]
        found = active_tokens(connection, NOW, wanted)
        assert [token.key for token in found] == [("base", EVM_MIXED_CASE.lower())]
        assert keys_without(found, wanted) == [("solana", SOLANA_MINT.lower())]
        assert active_tokens(connection, NOW, []) == []


def test_two_processes_that_meet_the_same_tokens_store_each_once(engine: sa.Engine) -> None:
    pairs = [a_pair(f"pool {n}", token=f"t{n}") for n in range(60)]

    def store(some: list[Pair]) -> dict[tuple[str, str], int]:
        with engine.begin() as connection:
            ids = track(connection, *some)
            upsert_pools(connection, [(ids["solana", pair.base.address], pair) for pair in some], NOW)
            return ids

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(store, [pairs, pairs[::-1], pairs[30:] + pairs[:30], pairs]))
    assert all(result == results[0] for result in results)
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(pools)).scalar_one() == 60
