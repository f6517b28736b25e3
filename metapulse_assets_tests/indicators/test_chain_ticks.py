"""Single ticks and recomputations on a real database: what each adds, repairs and leaves alone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from metapulse_assets.indicators import chain_store, checks
from metapulse_assets.indicators.tables import indicator_chains, indicator_states, technical_analyses
from metapulse_assets.market.tables import candles
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets_tests.indicators.law_of_rows import assert_lawful
from metapulse_assets_tests.indicators.market_in_time import MarketInTime, a_market, add_tokens
from metapulse_assets_tests.scratch import rolled_back

NINE, TEN = datetime(2026, 3, 4, 9, tzinfo=UTC), datetime(2026, 3, 4, 10, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
FIVE = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
FIVE_MINUTES = TIMEFRAMES["5m"]
BARS = 18


def spans(start: datetime, count: int) -> list[datetime]:
    return [start + n * FIVE for n in range(count)]


def running_market(connection: sa.Connection, until: datetime, token_count: int = 2) -> MarketInTime:
    """A market whose tokens have all their candles of the last hours, made one after the other, and analysed."""
    market = a_market(connection, FIVE_MINUTES, until - BARS * FIVE, seed=1, token_count=token_count)
    for opened in spans(until - BARS * FIVE, BARS):
        market.now = opened + FIVE + 5 * SECOND
        market.store([(token, opened) for token in market.token_ids], opened + FIVE)
        market.tick()
    return market


def bars(market: MarketInTime, token: int) -> dict[datetime, object]:
    return {opened: row["bar_count"] for (of, opened), row in market.rows().items() if of == token}


def test_before_the_market_made_any_candle_there_is_nothing_to_do(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = a_market(connection, FIVE_MINUTES, TEN, seed=1)
        market.bring(40)
        assert chain_store.advance(connection, FIVE_MINUTES, TEN) == chain_store.Analysed(0, 0)


def test_a_quiet_tick_changes_nothing(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        market.now += 20 * SECOND
        assert chain_store.advance(connection, FIVE_MINUTES, market.now) == chain_store.Analysed(0, 0)


def test_the_last_candle_of_a_day_belongs_to_that_days_chain(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, MIDNIGHT)
        token = market.token_ids[0]
        assert bars(market, token)[MIDNIGHT - FIVE] == BARS
        market.now = MIDNIGHT + FIVE + 5 * SECOND
        market.store([(token, MIDNIGHT)], MIDNIGHT + FIVE)
        market.tick()
        assert bars(market, token)[MIDNIGHT] == BARS + 1
        assert_lawful(market)


def test_a_token_imported_at_noon_gets_the_rows_of_its_morning(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        new = add_tokens(connection, market.now, 1, first=2)[-1]
        market.bring(12, token_id=new, share=1.0)
        market.now += 10 * SECOND
        market.tick()
        assert list(bars(market, new)) == spans(NINE, 12)
        assert_lawful(market)


def test_a_candle_overtaken_by_a_newer_one_gets_no_row_and_is_no_stumbling_block(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        token, other = market.token_ids
        market.now = TEN + 2 * FIVE + SECOND
        market.store([(token, TEN + FIVE), (other, TEN + FIVE)])
        market.now += SECOND
        market.store([(token, TEN)], TEN + 2 * FIVE)
        market.tick()
        assert TEN not in bars(market, token)
        assert bars(market, token)[TEN + FIVE] == BARS + 1
        market.now += FIVE
        market.store([(token, TEN + 2 * FIVE)], TEN + 3 * FIVE)
        market.tick()
        assert bars(market, token)[TEN + 2 * FIVE] == BARS + 3
        assert_lawful(market)


def test_a_candle_stored_by_a_slow_hand_knows_nothing_that_came_in_between(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        token = market.token_ids[0]
        stamped = TEN + FIVE + 5 * SECOND
        market.now = stamped + FIVE
        market.bring(60, token_id=token, share=1.0)
        connection.execute(sa.delete(candles).where(candles.c.opened_at >= TEN))
        market.now += 2 * chain_store.IMPORT_OVERLAP
        market.tick()
        market.now = stamped
        market.store([(token, TEN)], TEN + 2 * FIVE)
        market.now = stamped + 2 * FIVE
        market.tick()
        assert bars(market, token)[TEN] == BARS + 1
        assert_lawful(market)


def test_a_late_answer_about_yesterday_is_analysed_where_it_is_the_newest(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, MIDNIGHT - 6 * FIVE)
        asleep, awake = market.token_ids
        for n in (1, 2):
            market.now = MIDNIGHT + n * FIVE + 5 * SECOND
            market.store([(awake, MIDNIGHT + (n - 1) * FIVE)], MIDNIGHT + n * FIVE)
            market.tick()
        market.now += 2 * SECOND
        for token in market.token_ids:
            market.bring(8, token_id=token, share=1.0)
        connection.execute(sa.delete(candles).where(candles.c.token_id == asleep, candles.c.opened_at >= MIDNIGHT))
        market.now += FIVE
        market.tick()
        assert set(spans(MIDNIGHT - 6 * FIVE, 6)) <= set(bars(market, asleep))
        assert set(spans(MIDNIGHT - 6 * FIVE, 6)).isdisjoint(bars(market, awake))
        assert_lawful(market)


def test_recomputing_twice_changes_nothing_and_repairs_what_was_spoilt(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        assert market.recompute([TEN.date()]) == 0
        table, token = technical_analyses, market.token_ids[0]
        connection.execute(sa.update(table).where(table.c.opened_at == TEN - FIVE).values(rsi_14=1.0))
        connection.execute(sa.delete(table).where(table.c.opened_at == TEN - 2 * FIVE, table.c.token_id == token))
        connection.execute(
            sa.insert(table).values(
                opened_at=NINE + SECOND,
                available_at=TEN,
                close=1.0,
                token_id=99,
                bar_count=1,
                timeframe="5m",
                trend="up",
                recommendation="buy",
            )
        )
        assert market.recompute([TEN.date()]) == 4
        assert market.recompute([TEN.date()]) == 0
        assert_lawful(market)


def test_recomputing_leaves_alone_what_a_later_tick_made(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        before = market.rows()
        assert chain_store.recompute(connection, FIVE_MINUTES, [TEN.date()], TEN - 3 * FIVE, lambda *_: None).rows == 0
        assert market.rows() == before


def test_recomputing_block_by_block_gives_the_same_rows(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN, token_count=5)
        before = market.rows()
        connection.execute(sa.delete(technical_analyses))
        monkeypatch.setattr(chain_store, "TOKENS_AT_A_TIME", 2)
        reported: list[int] = []
        result = chain_store.recompute(
            connection, FIVE_MINUTES, [TEN.date()], market.now, lambda day, tokens: reported.append(tokens)
        )
        assert (result, reported) == (chain_store.Analysed(5 * BARS, 5), [2, 4, 5])
        assert market.rows() == before


def test_states_of_another_layout_are_not_gone_on_from(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        connection.execute(sa.update(indicator_chains).values(state_version=0))
        connection.execute(sa.update(indicator_states).values(last_opened_at=NINE))
        market.now += FIVE
        market.store([(market.token_ids[0], TEN)], TEN + FIVE)
        assert chain_store.advance(connection, FIVE_MINUTES, market.now).tokens_rebuilt == 2
        assert_lawful(market)


def test_two_ticks_in_the_same_moment_make_each_row_once(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        market = running_market(connection, TEN)
        market.now += FIVE
        market.store([(token, TEN) for token in market.token_ids], TEN + FIVE)

    def tick() -> int:
        with engine.begin() as connection:
            return chain_store.advance(connection, FIVE_MINUTES, market.now).rows

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(lambda _: tick(), range(2))) == [0, 2]


def test_the_check_passes_after_a_tick_and_fails_for_a_row_that_is_gone(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        market.now += SECOND
        market.bring(60, token_id=market.token_ids[0], share=1.0)
        market.now += FIVE
        market.store([(market.token_ids[0], TEN)], TEN + FIVE)
        market.tick()
        assert_lawful(market)
        day = day_bounds(TEN.date())
        assert checks._complete(connection, *day).passed
        connection.execute(sa.delete(technical_analyses).where(technical_analyses.c.opened_at == NINE))
        finding = checks._complete(connection, *day)
        assert (finding.passed, finding.facts["without an analysis"]) == (False, 2)


def test_a_tick_uses_nothing_stamped_after_it_began(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        market.now = TEN + FIVE + 5 * SECOND
        market.store([(token, TEN) for token in market.token_ids], TEN + FIVE)
        assert chain_store.advance(connection, FIVE_MINUTES, market.now - SECOND).rows == 0
        assert chain_store.advance(connection, FIVE_MINUTES, market.now).rows == 2
        assert_lawful(market)


def test_a_clock_that_steps_back_does_no_harm(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        market = running_market(connection, TEN)
        assert chain_store.advance(connection, FIVE_MINUTES, TEN - 3 * FIVE).rows == 0
        market.now = TEN + FIVE + 5 * SECOND
        market.store([(token, TEN) for token in market.token_ids], TEN + FIVE)
        market.tick()
        assert_lawful(market)
