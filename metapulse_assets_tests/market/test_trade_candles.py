"""Candles out of trades: against a plain loop, with the SOL price known then, and only of spans that were heard whole."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.candle_store import build_from_snapshots
from metapulse_assets.market.stream_tables import token_launches, token_trades
from metapulse_assets.market.tables import candles, pools, token_metrics, tokens
from metapulse_assets.market.trade_candle_store import build_from_trades
from metapulse_assets.market.trade_candles import candles_from_trades, heard_whole
from metapulse_assets.platform.bulk import Columns, to_datetime64
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.proof.lineage.market import candle_link
from metapulse_assets.vendors.pumpportal import WRAPPED_SOL

TEN = datetime(2026, 3, 4, 10, tzinfo=UTC)
FIVE = timedelta(minutes=5)
HALF_HOUR = timedelta(minutes=30)

Trade = tuple[int, datetime, float, float]
SolPrice = tuple[datetime, float]


def moments(values: list[datetime]) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    return np.array([to_datetime64(value) for value in values], "datetime64[us]")


def trade_columns(trades: list[Trade]) -> Columns:
    return {
        "token_id": np.array([trade[0] for trade in trades], np.int32),
        "received_at": moments([trade[1] for trade in trades]),
        "price_sol": np.array([trade[2] for trade in trades], float),
        "sol_amount": np.array([trade[3] for trade in trades], float),
    }


def sol_columns(prices: list[SolPrice]) -> Columns:
    prices = sorted(prices)
    return {"observed_at": moments([at for at, _ in prices]), "price_usd": np.array([usd for _, usd in prices], float)}


def one_by_one(trades: list[Trade], prices: list[SolPrice]) -> dict[tuple[int, datetime], tuple[float, ...]]:
    """What the vectorised function must give: open, high, low, close, volume."""
    found: dict[tuple[int, datetime], list[tuple[float, float]]] = {}
    for token, at, price, sol in sorted(trades, key=lambda trade: (trade[0], trade[1])):
        known = [usd for when, usd in sorted(prices) if when <= at and at - when <= HALF_HOUR]
        if known:
            slot = at - timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)
            found.setdefault((token, slot), []).append((price * known[-1], sol * known[-1]))
    return {
        key: (rows[0][0], max(p for p, _ in rows), min(p for p, _ in rows), rows[-1][0], sum(v for _, v in rows))
        for key, rows in found.items()
    }


seconds = st.integers(0, 40 * 60 * 10).map(lambda tenth: TEN + timedelta(seconds=tenth / 10))
amounts = st.floats(1e-9, 1e6)


@given(
    trades=st.lists(st.tuples(st.integers(1, 3), seconds, amounts, amounts), max_size=20, unique_by=lambda t: (t[0], t[1])),
    prices=st.lists(st.tuples(seconds, st.floats(1.0, 1e4)), max_size=4, unique_by=lambda price: price[0]),
)
def test_candles_are_those_of_the_plain_loop(trades: list[Trade], prices: list[SolPrice]) -> None:
    made = candles_from_trades(trade_columns(trades), sol_columns(prices), to_datetime64(TEN + timedelta(hours=1)))
    wanted = one_by_one(trades, prices)
    keys = [
        (int(token), datetime.fromtimestamp(int(opened.astype(np.int64)) / 1e6, UTC))
        for token, opened in zip(made["token_id"], made["opened_at"], strict=True)
    ]
    assert keys == sorted(wanted)
    for place, key in enumerate(keys):
        row = tuple(float(made[name][place]) for name in ("open", "high", "low", "close", "volume_usd"))
        assert row == pytest.approx(wanted[key], rel=1e-12)


@given(
    trades=st.lists(st.tuples(st.integers(1, 3), seconds, amounts, amounts), min_size=1, max_size=8),
    prices=st.lists(st.tuples(seconds, st.floats(1.0, 1e4)), max_size=4, unique_by=lambda price: price[0]),
    later=st.floats(1.0, 1e4),
)
def test_a_sol_price_from_after_the_last_trade_changes_nothing(
    trades: list[Trade], prices: list[SolPrice], later: float
) -> None:
    last = max(trade[1] for trade in trades)
    made_at = to_datetime64(TEN + timedelta(hours=1))
    known = [price for price in prices if price[0] <= last]
    before = candles_from_trades(trade_columns(trades), sol_columns(known), made_at)
    after = candles_from_trades(
        trade_columns(trades), sol_columns([*known, (last + timedelta(microseconds=1), later)]), made_at
    )
    for name, values in before.items():
        assert np.array_equal(values, after[name])


@pytest.mark.parametrize(
    ("launches", "is_whole"),
    [
        (range(-10, 300, 20), True),
        (range(0, 300, 20), True),
        (range(20, 300, 20), False),
        ([*range(-10, 100, 20), *range(170, 300, 20)], False),
        (range(-10, 200, 20), False),
        ([], False),
        ([-30], False),
        ([-30, 20, 80, 140, 200, 260], True),
    ],
    ids=["all along", "from its start", "begun late", "a pause in it", "ended early", "nothing", "one sign", "just enough"],
)
def test_a_span_was_heard_whole_if_the_feed_was_never_silent(launches: list[int], is_whole: bool) -> None:
    heard = moments([TEN + timedelta(seconds=second) for second in launches])
    assert heard_whole(moments([TEN]), heard).tolist() == [is_whole]


class Heard:
    """What the stream and the snapshots have stored."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        mint = "Ab" * 20
        self.mint = mint
        self.token_id = connection.execute(
            sa.insert(tokens)
            .values(chain="solana", address=mint, symbol="T", name="T", first_recorded_at=TEN)
            .returning(tokens.c.token_id)
        ).scalar_one()
        self.pool_id = connection.execute(
            sa.insert(pools)
            .values(
                token_id=self.token_id,
                chain="solana",
                address="pool",
                dex="pumpswap",
                quote_address=WRAPPED_SOL,
                first_recorded_at=TEN,
            )
            .returning(pools.c.pool_id)
        ).scalar_one()
        for table in (token_launches, token_trades, token_metrics):
            ensure_days(connection, table.name, [utc_day(TEN)])

    def launches(self, start: datetime, end: datetime) -> None:
        """One every twenty seconds."""
        at = start
        while at < end:
            row = {"signature": f"l{at}", "mint": "m", "creator": "c", "pool": "pump", **self._stamps(at)}
            self.connection.execute(sa.insert(token_launches).values(row))
            at += timedelta(seconds=20)

    def trade(self, at: datetime, price_sol: float, sol: float = 1.0) -> None:
        """One trade."""
        row = {
            "signature": f"t{at}",
            "mint": self.mint,
            "trader": "w",
            "side": "buy",
            "pool": "pump",
            "price_sol": price_sol,
            "sol_amount": sol,
            **self._stamps(at),
        }
        self.connection.execute(sa.insert(token_trades).values(row))

    def snapshot(self, at: datetime, price_usd: float, price_native: float) -> None:
        """What DexScreener said."""
        row = {
            "observed_at": at,
            "recorded_at": at + timedelta(seconds=1),
            "token_id": self.token_id,
            "pool_id": self.pool_id,
            "price_usd": price_usd,
            "price_native": price_native,
            "buys_m5": 3,
            "sells_m5": 0,
        }
        self.connection.execute(sa.insert(token_metrics).values(row))

    def rows(self) -> list[tuple[object, ...]]:
        c = candles.c
        columns = (c.opened_at, c.source, c.open, c.high, c.low, c.close, c.volume_usd)
        return [tuple(row) for row in self.connection.execute(sa.select(*columns).order_by(c.opened_at))]

    def _stamps(self, at: datetime) -> dict[str, object]:
        stored = at + timedelta(seconds=0.3)
        stamps = {"received_on": utc_day(at), "received_at": at, "recorded_at": stored, "available_at": stored}
        return {**stamps, "payload_id": 1}


def make(heard: Heard, now: datetime) -> tuple[int, int]:
    """As a tick does it."""
    return build_from_trades(heard.connection, now), build_from_snapshots(heard.connection, now)


def test_trades_go_before_snapshots_where_the_span_was_heard_whole(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        heard = Heard(connection)
        heard.launches(TEN - FIVE, TEN + 2 * FIVE)
        heard.snapshot(TEN - timedelta(seconds=50), price_usd=0.02, price_native=0.0001)
        heard.trade(TEN - timedelta(seconds=1), 0.00009)
        for second, price in ((10, 0.0001), (100, 0.0003), (290, 0.0002)):
            heard.trade(TEN + timedelta(seconds=second), price, sol=2.0)
        heard.snapshot(TEN + FIVE + timedelta(seconds=4), price_usd=0.04, price_native=0.0002)
        assert make(heard, TEN + FIVE + timedelta(seconds=10)) == (1, 1)
        before, of_trades = heard.rows()
        # The first span has a trade, but not from before its begin on: the snapshot speaks for it.
        assert before[:2] == (TEN - FIVE, "snapshots")
        assert of_trades[:2] == (TEN, "trades")
        assert of_trades[2:] == pytest.approx((0.02, 0.06, 0.02, 0.04, 1_200.0))
        assert make(heard, TEN + FIVE + timedelta(seconds=20)) == (0, 0)
        link = candle_link(connection, heard.token_id, "5m", TEN)
        assert [part.what for part in link.parts] == ["raw payload"]
        connection.execute(sa.delete(token_trades))
        assert candle_link(connection, heard.token_id, "5m", TEN).broken


def test_a_feed_that_was_away_leaves_the_span_to_the_snapshots(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        heard = Heard(connection)
        heard.launches(TEN - FIVE, TEN + timedelta(minutes=1))
        heard.snapshot(TEN - timedelta(seconds=50), price_usd=0.02, price_native=0.0001)
        heard.trade(TEN - timedelta(seconds=1), 0.0001)
        heard.trade(TEN + timedelta(seconds=30), 0.0002)
        heard.snapshot(TEN + FIVE + timedelta(seconds=4), price_usd=0.05, price_native=0.00025)
        assert make(heard, TEN + FIVE + timedelta(seconds=10)) == (0, 2)
        assert heard.rows()[-1][:2] == (TEN, "snapshots")


def test_without_a_sol_price_trades_make_no_candle(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        heard = Heard(connection)
        heard.launches(TEN - FIVE, TEN + FIVE)
        heard.trade(TEN - timedelta(seconds=1), 0.0001)
        heard.trade(TEN + timedelta(seconds=30), 0.0002)
        assert make(heard, TEN + FIVE + timedelta(seconds=10)) == (0, 0)
