"""The past of the sandbox's market as arrays: its tokens at a moment, and the candles before it.

The 5-minute candles are the simulation's own, computed in this process for all tokens at once. Hourly ones would need twelve
times as many, so they are random walks of the token's own volatility that end at its price.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.platform.bulk import Columns, to_datetime64
from metapulse_assets.sandbox.server import SandboxConfig
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.synthetic.bars import five_minute_bars
from metapulse_assets.sandbox.synthetic.casting import cast
from metapulse_assets.sandbox.synthetic.rows import BAR_SECONDS, Rows
from metapulse_assets.sandbox.synthetic.slots import plan_slots
from metapulse_assets.vendors.chains import canonical_address

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

POOLS_AT_A_TIME = 1_000


@dataclass(frozen=True)
class PastToken:
    """A token of the market as it is stored."""

    chain: str
    address: str
    symbol: str
    name: str


@dataclass(frozen=True)
class PastMarket:
    """The tokens at a moment; `rows` are the numbers of each one's most liquid pool, `price` its price in USD."""

    tokens: list[PastToken]
    rows: Rows
    price: Floats

    @classmethod
    def at(cls, moment: datetime, count: int) -> "PastMarket":
        """The market of a sandbox of `count` tokens with the usual seed."""
        seed, seconds = SandboxConfig().seed, moment.timestamp()
        market, plan = SimulatedMarket(seed, count), plan_slots(SandboxConfig().seed, count)
        rows = cast(plan, np.arange(len(plan.row_slot), dtype=np.int64), plan.generations(seconds))
        rows = rows.take(np.flatnonzero(rows.visible_from <= seconds))
        pools = market.catalogue(seconds).pools
        liquidity, price = np.empty(len(pools)), np.empty(len(pools))
        for start in range(0, len(pools), POOLS_AT_A_TIME):
            part = slice(start, start + POOLS_AT_A_TIME)
            view = market.snapshot(range(len(pools))[part], seconds)
            liquidity[part], price[part] = np.nan_to_num(view.liquidity_usd), view.price_usd
        best: dict[tuple[str, str], int] = {}
        for place in np.argsort(-liquidity, kind="stable").tolist():
            best.setdefault((pools[place].chain, canonical_address(pools[place].chain, pools[place].base.address)), place)
        chosen = np.array(list(best.values()), dtype=np.int64)
        tokens = [
            PastToken(chain, address, _storable(pools[place].base.symbol), _storable(pools[place].base.name))
            for (chain, address), place in best.items()
        ]
        return cls(tokens, rows.take(chosen), price[chosen])

    def __len__(self) -> int:
        return len(self.tokens)

    def candles(self, timeframe: Timeframe, end: datetime, bars: int, token_ids: Ids) -> Iterator[Columns]:
        """Candles that opened in the last `bars` intervals before `end`, some tokens at a time, by token and time.

        `token_ids`: one a token, ascending. Bars without a trade have no candle.
        """
        for start in range(0, len(self), POOLS_AT_A_TIME):
            part = np.arange(start, min(start + POOLS_AT_A_TIME, len(self)))
            make = self._simulated if timeframe.name == "5m" else self._walked
            opened_at = to_datetime64(end) - np.arange(bars, 0, -1) * np.timedelta64(timeframe.interval)
            columns, traded = make(part, timeframe, end, bars)
            columns |= {
                "token_id": np.repeat(token_ids[part], bars),
                "opened_at": np.tile(opened_at, len(part)),
                "available_at": np.tile(opened_at + np.timedelta64(timeframe.interval + timedelta(seconds=5)), len(part)),
            }
            yield {name: values[traded] for name, values in columns.items()}

    def _simulated(
        self, part: npt.NDArray[np.int64], timeframe: Timeframe, end: datetime, bars: int
    ) -> tuple[Columns, npt.NDArray[np.bool_]]:
        made = five_minute_bars(self.rows.take(part), int(end.timestamp()) // BAR_SECONDS - bars, bars)
        prices = {name: np.exp(getattr(made, name)).ravel() for name in ("open", "high", "low", "close")}
        return {**prices, "volume_usd": made.volume.ravel()}, (made.volume > 0).ravel()

    def _walked(
        self, part: npt.NDArray[np.int64], timeframe: Timeframe, end: datetime, bars: int
    ) -> tuple[Columns, npt.NDArray[np.bool_]]:
        rows, shape = self.rows.take(part), (len(part), bars)
        rng = np.random.default_rng(int(part[0]))
        scale = timeframe.seconds / TIMEFRAMES["5m"].seconds
        move = np.sqrt(scale) * rows.sigma[:, None]
        path = np.cumsum(rng.normal(0.0, 1.0, shape) * move, axis=1)
        close = self.price[part, None] * np.exp(path - path[:, -1:])
        open_ = np.concatenate((close[:, :1], close[:, :-1]), axis=1)
        wick = 1.0 + 0.5 * move * rng.random(shape)
        volume = scale * np.exp(rows.log_volume[:, None] + rng.normal(0.0, 0.5, shape))
        living = (rows.closes > end.timestamp() // BAR_SECONDS) & np.isfinite(self.price[part])
        return {
            "open": open_.ravel(),
            "high": (np.maximum(open_, close) * wick).ravel(),
            "low": (np.minimum(open_, close) / wick).ravel(),
            "close": close.ravel(),
            "volume_usd": volume.ravel(),
        }, np.repeat(living, bars)


def _storable(text: str) -> str:
    # Hostile names are part of the market; PostgreSQL's text holds no NUL, and a lone surrogate has no UTF-8.
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
