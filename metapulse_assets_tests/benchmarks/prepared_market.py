"""A database in the middle of a day: N tracked tokens of the sandbox's market, with warm indicators behind each.

Only the last bars of the history are stored as candles and analyses; the indicators' state after all of it is stored as the
pipeline stores it, so that the next tick goes on from it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.indicators.chain import RECOMMENDATION_LABELS, TREND_LABELS, Chain, run_chain
from metapulse_assets.indicators.state import STATE_VERSION, STATE_WIDTH
from metapulse_assets.indicators.tables import indicator_chains, indicator_states, technical_analyses
from metapulse_assets.market.candle_store import insert_candles
from metapulse_assets.market.tables import candle_requests, tokens, tracked_tokens
from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.platform.bulk import Array, Columns, Labels, driver, to_datetime64, write_columns
from metapulse_assets.platform.day_partitions import day_start, days_of, ensure_days, utc_day
from metapulse_assets.platform.progress import set_progress
from metapulse_assets_tests.benchmarks.past_market import Ids, PastMarket

# As many bars as the slowest indicator needs before it may be used (EMA 200).
WARM_BARS = 820
# What a tick looks back at: the hour's roll-up and the hour before it; the rules' previous candles.
STORED_BARS = {"5m": 24, "1h": 12}
TRACKED_FOR = timedelta(days=30)


def prepare(engine: sa.Engine, count: int, first_tick: datetime, stored_bars: Mapping[str, int] = STORED_BARS) -> int:
    """Fill a fresh database so that a tick at `first_tick` closes one 5-minute candle a token; returns the tokens.

    `stored_bars`: how many bars of each timeframe are stored, as candles and as analyses.
    """
    market = PastMarket.at(first_tick, count)
    with engine.begin() as connection:
        token_ids = _store_tokens(connection, market, first_tick - TRACKED_FOR)
    for name, stored in stored_bars.items():
        timeframe = TIMEFRAMES[name]
        # The candle that the first tick closes is not among them.
        end = timeframe.floor(first_tick) - (timeframe.interval if name == "5m" else timedelta(0))
        with engine.begin() as connection:
            for candles in market.candles(timeframe, end, max(WARM_BARS, stored), token_ids):
                if len(candles["token_id"]):
                    _store_candles(connection, timeframe, _since(candles, end - stored * timeframe.interval), end)
                    chain = run_chain(candles, timeframe.interval)
                    _store_chain(connection, timeframe, chain, end - stored * timeframe.interval)
            _note_progress(connection, timeframe, end, first_tick)
    with engine.begin() as connection:
        _note_progress(connection, TIMEFRAMES["1d"], day_start(utc_day(first_tick)), first_tick)
        set_progress(connection, "signals", first_tick - timedelta(minutes=1))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
    return len(market)


def prepare_past(engine: sa.Engine, count: int, until: datetime, bars: Mapping[str, int]) -> int:
    """Fill a fresh database with candles alone, of so many bars before a moment; returns the tokens."""
    market = PastMarket.at(until, count)
    with engine.begin() as connection:
        token_ids = _store_tokens(connection, market, until - TRACKED_FOR)
    for name, wanted in bars.items():
        with engine.begin() as connection:
            for candles in market.candles(TIMEFRAMES[name], until, wanted, token_ids):
                if len(candles["token_id"]):
                    _store_candles(connection, TIMEFRAMES[name], candles, until)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
    return len(market)


def _store_tokens(connection: sa.Connection, market: PastMarket, since: datetime) -> Ids:
    """Store and track the tokens; returns their ids, which ascend in the market's order."""
    with driver(connection).cursor().copy("COPY tokens (chain, address, symbol, name, first_recorded_at) FROM STDIN") as copy:
        for token in market.tokens:
            copy.write_row((token.chain, token.address, token.symbol, token.name, since))
    connection.execute(
        sa.insert(tracked_tokens).from_select(
            ["token_id", "active", "sources", "tracked_since", "last_listed_at", "reason"],
            sa.select(
                tokens.c.token_id,
                sa.true(),
                sa.text("'{trending}'::text[]"),
                sa.literal(since),
                sa.literal(since),
                sa.literal("for the benchmark"),
            ),
        )
    )
    for name in TIMEFRAMES:
        # Asked for already: no tick of a benchmark is to import history.
        connection.execute(
            sa.insert(candle_requests).from_select(
                ["token_id", "timeframe", "asked_at", "candles_received"],
                sa.select(tokens.c.token_id, sa.literal(name), sa.literal(since), sa.literal(1_000)),
            )
        )
    stored = connection.execute(sa.select(tokens.c.token_id).order_by(tokens.c.token_id)).scalars()
    return np.array(list(stored), np.int32)


def _store_candles(connection: sa.Connection, timeframe: Timeframe, candles: Columns, recorded_at: datetime) -> None:
    insert_candles(connection, timeframe.name, candles, "vendor history", recorded_at)


def _store_chain(connection: sa.Connection, timeframe: Timeframe, chain: Chain, start: datetime) -> None:
    """Store the analyses from a moment on and the state of each token, as the pipeline does."""
    recent = _since(chain.rows, start)
    rows: dict[str, Array | Labels | str] = {
        **recent,
        "trend": Labels(recent["trend"], TREND_LABELS),
        "recommendation": Labels(recent["recommendation"], RECOMMENDATION_LABELS),
        "timeframe": timeframe.name,
    }
    ensure_days(connection, technical_analyses.name, days_of(recent["opened_at"]))
    write_columns(connection, technical_analyses, rows)
    write_columns(
        connection,
        indicator_states,
        {
            "timeframe": timeframe.name,
            "token_id": chain.token_ids.astype(np.int32),
            "last_opened_at": chain.last_opened_at,
            "state": np.ascontiguousarray(chain.state.to_matrix()).view(f"V{8 * STATE_WIDTH}").ravel(),
        },
    )


def _since(columns: Columns, start: datetime) -> Columns:
    kept = columns["opened_at"] >= to_datetime64(start)
    return {name: values[kept] for name, values in columns.items()}


def _note_progress(connection: sa.Connection, timeframe: Timeframe, through: datetime, first_tick: datetime) -> None:
    for work in ("candles", "technical_signals"):
        set_progress(connection, f"{work}:{timeframe.name}", through)
    connection.execute(
        sa.insert(indicator_chains).values(
            timeframe=timeframe.name,
            chain_day=utc_day(first_tick),
            state_version=STATE_VERSION,
            through=through,
            updated_at=first_tick - timedelta(minutes=1),
        )
    )
