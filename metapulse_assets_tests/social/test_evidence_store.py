"""What is known of tokens at a moment, from snapshots and from imported candles."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.market.tables import candles
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.social.evidence_store import FRESH, known_tokens, market_sizes
from metapulse_assets.social.mention_resolving import Size
from metapulse_assets_tests.social.stored_posts import DAY, HOUR, LONG_AGO, MINUTE, add_market, add_token

NOON = DAY + 12 * HOUR


def add_candle(
    connection: sa.Connection, token_id: int, timeframe: str, opened_at: datetime, volume: float | None, usable: datetime
) -> None:
    """A candle of imported history."""
    if timeframe != "1d":
        ensure_days(connection, f"candles_{timeframe}", {utc_day(opened_at)})
    connection.execute(
        sa.insert(candles).values(
            opened_at=opened_at,
            recorded_at=usable,
            available_at=usable,
            token_id=token_id,
            timeframe=timeframe,
            source="test",
            open=1.0,
            high=1.0,
            low=1.0,
            close=1.0,
            volume_usd=volume,
        )
    )


def test_a_token_is_known_since_it_was_recorded_or_since_its_imported_candles(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        live = add_token(connection, "$abc ", "Abc-Coin", "live", since=NOON, pool="livepool")
        imported = add_token(connection, "DEF", "Def", "imported", since=NOON, pool="importedpool")
        add_candle(connection, imported, "1d", LONG_AGO, 5.0, LONG_AGO + timedelta(days=1))
        assert [token.token_id for token in known_tokens(connection, NOON - MINUTE)] == [imported]
        first, second = known_tokens(connection, NOON)
    assert (first.token_id, first.ticker, first.name, first.known_since) == (live, "ABC", ("abc-coin",), NOON)
    assert (second.token_id, second.known_since) == (imported, LONG_AGO + timedelta(days=1))
    assert [pool.known_since for pool in (*first.pools, *second.pools)] == [NOON, LONG_AGO + timedelta(days=1)]


def test_the_newest_snapshot_known_says_how_large_a_market_is_until_it_is_out_of_date(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        token_id = add_token(connection, "ABC", "Abc", "a")
        add_market(connection, token_id, DAY, 100.0, 10.0)
        add_market(connection, token_id, DAY + HOUR, 200.0, None)
        sizes = market_sizes(connection, {token_id}, DAY, DAY + 3 * FRESH)
    assert sizes.size_at(token_id, DAY - MINUTE) is None
    assert sizes.size_at(token_id, DAY) == Size(10.0, 100.0)
    assert sizes.size_at(token_id, DAY + 2 * HOUR) == Size(None, 200.0)
    assert sizes.size_at(token_id, DAY + HOUR + FRESH) is None
    assert sizes.size_at(4711, DAY) is None


def test_without_snapshots_the_volume_of_the_candles_serves(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        token_id = add_token(connection, "ABC", "Abc", "a")
        for hour in range(30):
            opened_at = DAY - timedelta(days=1) + hour * HOUR
            add_candle(connection, token_id, "1h", opened_at, 10.0 if hour != 29 else None, opened_at + HOUR)
        daily = add_token(connection, "DEF", "Def", "b")
        add_candle(connection, daily, "1d", DAY - timedelta(days=1), 70.0, DAY)
        sizes = market_sizes(connection, {token_id, daily}, DAY, NOON)
        narrow = market_sizes(connection, {token_id, daily}, DAY + 5 * HOUR, DAY + 5 * HOUR)
    assert sizes.size_at(token_id, DAY) == Size(None, 240.0)
    assert sizes.size_at(token_id, DAY + 6 * HOUR) == Size(None, 230.0)
    assert sizes.size_at(daily, DAY - MINUTE) is None
    assert sizes.size_at(daily, NOON) == Size(None, 70.0)
    # However wide a span was read, a moment's answer is the same.
    for one in (token_id, daily):
        assert narrow.size_at(one, DAY + 5 * HOUR) == sizes.size_at(one, DAY + 5 * HOUR)
