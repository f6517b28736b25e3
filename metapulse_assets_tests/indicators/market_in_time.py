"""A market that writes its candles as the pipeline does, one event after the other, and ticks that analyse them.

Candles are made of what was seen when they close, and imported from a vendor at any later time; by the functions that do it in
the pipeline, so that they are stamped and noted as they are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.indicators import chain_store
from metapulse_assets.indicators.tables import indicator_chains, indicator_states, technical_analyses
from metapulse_assets.market.candle_store import insert_candles, made_until_mark, read_candles
from metapulse_assets.market.history import HistoryRequest, store_history
from metapulse_assets.market.tables import candles, tokens
from metapulse_assets.market.timeframes import Timeframe
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.bulk import Columns, to_datetime64
from metapulse_assets.platform.day_partitions import day_bounds, day_start, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.vendors.geckoterminal import History
from metapulse_assets_tests.indicators.candle_streams import EPOCH, Key, candles_of, prices_of

Row = dict[str, Any]
SECOND = timedelta(seconds=1)
FAR_FUTURE = EPOCH + timedelta(days=3_000)


@dataclass
class MarketInTime:
    """Events on one connection. `luck` decides which candles there are."""

    connection: sa.Connection
    timeframe: Timeframe
    now: datetime
    token_ids: list[int]
    luck: np.random.Generator
    first_day: date | None = None
    backfilled: set[date] = field(default_factory=set)

    def make(self) -> None:
        """Candles of what was seen since the last time, if not long ago; of the span before a few that came in after."""
        through, end = progress_of(self.connection, made_until_mark(self.timeframe.name)), self.timeframe.floor(self.now)
        oldest = end - 12 * self.timeframe.interval
        start = oldest if through is None else max(through - self.timeframe.interval, oldest)
        keys = [
            (token, opened)
            for opened in self._spans(start, end)
            for token in self.token_ids
            if self.luck.random() < (0.1 if through and opened < through else 0.8)
        ]
        self.store(keys, max(end, through or end))

    def store(self, keys: list[tuple[int, datetime]], made_until: datetime | None = None) -> None:
        """Just these candles, usable from now on; `made_until` moves the market's mark."""
        insert_candles(self.connection, self.timeframe.name, self._candles(keys), "snapshots", self.now)
        if made_until is not None:
            set_progress(self.connection, made_until_mark(self.timeframe.name), made_until)

    def bring(self, spans_back: int, fills_in: date | None = None, token_id: int | None = None, share: float = 0.8) -> None:
        """A vendor's candles of one token: some of the newest spans, or some of a past day as a backfill asks for them."""
        token = int(self.luck.choice(self.token_ids)) if token_id is None else token_id
        before = self.timeframe.floor(self.now)
        start = before - spans_back * self.timeframe.interval
        if fills_in is not None:
            start, end = day_bounds(fills_in)
            before = min(before, end)
        opened = [at for at in self._spans(start, before) if self.luck.random() < share]
        seconds = np.array([(at - EPOCH) / SECOND for at in opened], np.float64)
        prices = prices_of(np.full(len(opened), token, np.float64), seconds)
        rows: list[Any] = [
            (int(at.timestamp()), *(float(np.nan_to_num(prices[name][n])) for name in prices)) for n, at in enumerate(opened)
        ]
        request = HistoryRequest(
            TrackedToken(token, ("solana", f"t{token}"), "pool", None), self.timeframe, before, fills_in=fills_in is not None
        )
        payload = RawPayload("geckoterminal", "http://vendor/", 200, self.now, repr((self.now, token)).encode())
        store_history(self.connection, request, History(rows, [], payload, answered=True), self.now)

    def tick(self) -> None:
        """Analyse what became usable."""
        made_until = progress_of(self.connection, made_until_mark(self.timeframe.name))
        if self.first_day is None and made_until is not None:
            self.first_day = utc_day(min(self.timeframe.floor(self.now), made_until) - self.timeframe.interval)
        chain_store.advance(self.connection, self.timeframe, self.now)

    def killed_tick(self) -> None:
        """A tick that ends before its work is stored."""
        with self.connection.begin_nested() as nested:
            chain_store.advance(self.connection, self.timeframe, self.now)
            nested.rollback()

    def backfill(self) -> None:
        """Fill a day of the last few with a vendor's candles and make its analyses anew."""
        day = utc_day(self.now) - timedelta(days=int(self.luck.integers(0, 3)))
        self.bring(0, fills_in=day)
        self.recompute([day])
        self.backfilled.add(day)

    def recompute(self, days: Sequence[date]) -> int:
        """Make the analyses of days anew in one go; returns the rows that changed."""
        return chain_store.recompute(self.connection, self.timeframe, days, self.now, lambda *_: None).rows

    def forget(self) -> None:
        """Empty the caches, one or both."""
        which = self.luck.integers(0, 3)
        for number, table in enumerate((indicator_states, indicator_chains)):
            if which in (number, 2):
                self.connection.execute(sa.text(f"TRUNCATE {table.name}"))

    def candles(self) -> Columns:
        """All stored candles."""
        return read_candles(self.connection, self.timeframe.name, EPOCH - timedelta(days=3_000), FAR_FUTURE)

    def rows(self) -> dict[Key, Row]:
        """All analyses from the first day on."""
        table = technical_analyses
        assert self.first_day is not None
        stored = self.connection.execute(sa.select(table).where(table.c.opened_at >= day_start(self.first_day)))
        return {(row.token_id, row.opened_at): as_stored(row._asdict()) for row in stored}

    def only_backfills_analyse(self) -> set[Key]:
        """A token's first import counts as usable when it closed; of days before, only a backfill makes rows."""
        c = candles.c
        stored = self.connection.execute(
            sa.select(c.token_id, c.opened_at, c.recorded_at).where(c.available_at < c.recorded_at)
        )
        return {
            (row.token_id, row.opened_at)
            for row in stored
            if utc_day(row.opened_at) < utc_day(row.recorded_at) and utc_day(row.opened_at) not in self.backfilled
        }

    def _spans(self, start: datetime, end: datetime) -> list[datetime]:
        start = self.timeframe.floor(start)
        return [start + n * self.timeframe.interval for n in range(int((end - start) / self.timeframe.interval))]

    def _candles(self, keys: list[tuple[int, datetime]]) -> Columns:
        now = (self.now - EPOCH) // SECOND
        columns = candles_of([(token, (opened - EPOCH) // SECOND, now) for token, opened in keys])
        return {**columns, "available_at": np.full(len(keys), to_datetime64(self.now))}


def a_market(connection: sa.Connection, timeframe: Timeframe, now: datetime, seed: int, token_count: int = 3) -> MarketInTime:
    """A market of tokens that are stored and have no candle yet."""
    token_ids = add_tokens(connection, now, token_count)
    return MarketInTime(connection, timeframe, now, token_ids, np.random.default_rng(seed))


def add_tokens(connection: sa.Connection, now: datetime, count: int, first: int = 0) -> list[int]:
    """Store tokens; returns the ids of all there are."""
    rows = [
        {"chain": "solana", "address": f"t{n}", "symbol": "T", "name": "T", "first_recorded_at": now}
        for n in range(first, first + count)
    ]
    connection.execute(sa.insert(tokens), rows)
    return list(connection.execute(sa.select(tokens.c.token_id).order_by(tokens.c.token_id)).scalars())


def as_stored(values: Mapping[str, Any]) -> Row:
    """A row with numbers in the precision of their columns, and None for what is no number."""
    row: Row = {}
    for column in technical_analyses.columns:
        value = values.get(column.name)
        if isinstance(column.type, sa.Float):
            number = np.float32(value) if isinstance(column.type, sa.REAL) else np.float64(value)
            value = None if value is None or np.isnan(number) else number.item()
        row[column.name] = value
    return row
