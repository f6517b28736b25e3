"""A market of recordings: real candles replayed in place of a simulation, and recorded answers served as they are.

Recorded time is moved to wall time by a whole number of days per series: the epoch date stands for the last UTC day that
the series covers to its end. Before and after, the replay simply goes on in its recorded order, and when a series has
ended its pool is no longer traded.

Prices, volumes and price changes come from the recorded candles: the price is the last recorded close, never an
interpolation. Candles do not say everything a vendor shows. These figures are derived, and only plausible: the liquidity
(a quarter of the mean daily volume of the last seven recorded days), the numbers of buys and sells (from the volume and
the price change), the pair's address and venue, its creation (the first recorded candle). Without a supply there is no
FDV and no market cap; a pool quoted in a token without a recorded price has no USD price.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import (
    WINDOWS,
    Candles,
    Catalogue,
    Floats,
    Pool,
    Promotion,
    Snapshot,
    Token,
    address_key,
)
from metapulse_assets.sandbox.recorded.answers import RecordedFigures, figures, read_answers
from metapulse_assets.sandbox.recorded.selection import read_series
from metapulse_assets.sandbox.recorded.series import RecordedSeries
from metapulse_assets.sandbox.synthetic.addresses import evm_addresses, solana_addresses

_DAY: Final = 86400
_LIQUIDITY_DAYS: Final = 7
# A quarter of a day's volume: pools with real turnover mostly trade one to ten times their liquidity in a day.
_LIQUIDITY_SHARE: Final = 0.25
_TRADES_PER_DAY: Final = 20_000
_LIST_LENGTH: Final = 30
_EMPTY: Final = Candles(np.zeros(0, dtype=np.int64), *(np.zeros(0) for _ in range(5)))
_UNISWAP_LIST: Final = Path("tokenlists", "uniswap-default.tokenlist.json")
_ETHEREUM_QUOTES: Final = {
    "USDT": Token("0xdAC17F958D2ee523a2206206994597C13D831ec7", "Tether USD", "USDT"),
    "BTC": Token("0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599", "Wrapped BTC", "WBTC"),
    "ETH": Token("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "Wrapped Ether", "WETH"),
}
_SOLANA_QUOTES: Final = {"USDT": Token("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", "USDT", "USDT")}


class RecordedMarket:
    """Replays the folder ``data`` (see ``Market`` for the methods).

    ``epoch`` is the UTC date that stands for the last full recorded day, the date of ``now`` if None.
    """

    kind: Final = "recordings"

    def __init__(self, data: Path, epoch: date | None, now: float) -> None:
        """Raise ValueError if the folder holds no recordings, or naming the file that cannot be read."""
        if not data.is_dir():
            raise ValueError(f"data: {data} is not a folder")
        self.data: Final = data
        self._epoch = epoch if epoch is not None else datetime.fromtimestamp(now, UTC).date()
        self._series = read_series(data)
        answers = read_answers(data)
        if not self._series and not answers.pools and not answers.profiles:
            raise ValueError(f"data: {data} holds no recordings that can be replayed")
        epoch_day = (self._epoch - date(1970, 1, 1)).days
        self._shifts = [(epoch_day - series.last_full_day()) * _DAY for series in self._series]
        addresses = _ethereum_tokens(data)
        replayed = [_pool(series, shift, addresses) for series, shift in zip(self._series, self._shifts, strict=True)]
        self._catalogue = Catalogue([*replayed, *answers.pools])
        self._answers = answers
        self._listed: tuple[float, list[Promotion]] | None = None
        self._figures = [figures(pool) for pool in answers.pools]

    @property
    def epoch(self) -> date:
        """The UTC date that stands for the last full recorded day."""
        return self._epoch

    def catalogue(self, t: float) -> Catalogue:
        """Return the pools; they are the same at any time."""
        return self._catalogue

    def snapshot(self, pools: Sequence[int], t: float) -> Snapshot:
        """Return the figures of these pools at ``t``; recorded answers have the figures they were recorded with."""
        rows = [self._replayed(index, t) if index < len(self._series) else self._recorded(index) for index in pools]
        quotes = np.array([self._quote_usd(index) for index in pools], dtype=np.float64)
        width = len(WINDOWS)

        def column(name: str) -> Floats:
            return np.array([getattr(row, name) for row in rows], dtype=np.float64)

        def table(name: str) -> Floats:
            return np.array([getattr(row, name) for row in rows], dtype=np.float64).reshape(-1, width)

        return Snapshot(
            price_usd=column("price_usd"),
            price_quote=column("price_quote"),
            quote_usd=quotes,
            native_usd=np.full(len(rows), np.nan),
            liquidity_usd=column("liquidity_usd"),
            volume=table("volume"),
            buys=table("buys").astype(np.int64),
            sells=table("sells").astype(np.int64),
            change=table("change"),
            fdv=column("fdv"),
            market_cap=column("market_cap"),
        )

    def candles(
        self, pool: int, seconds: int, t: float, limit: int, *, before: float | None = None, in_quote: bool = False
    ) -> Candles:
        """Return recorded candles (see ``Market.candles``); pools of recorded answers have none."""
        if pool >= len(self._series) or not (in_quote or self._series[pool].in_dollars):
            return _EMPTY
        shift = self._shifts[pool]
        found = self._series[pool].candles(seconds, t - shift, limit, None if before is None else before - shift)
        return replace(found, start=found.start + shift)

    def quote_usd(self, pool: int, times: Floats, t: float) -> Floats:
        """Return one dollar for dollar tokens, NaN for others."""
        return np.full(len(times), self._quote_usd(pool))

    def profiles(self, t: float) -> list[Promotion]:
        """Return the recorded profiles; without any, the replayed tokens."""
        recorded = sorted(self._answers.profiles, key=lambda item: -item.at)
        return (recorded or self._made_up_list(t))[:_LIST_LENGTH]

    def boosts(self, t: float) -> list[Promotion]:
        """Return the recorded boosts; without any, the replayed tokens, so that clients can discover them."""
        return (self._answers.boosts or self._made_up_list(t))[:_LIST_LENGTH]

    def trending(self, chain: str, t: float) -> list[int]:
        """Return the pools of recorded trending lists first, then the others by the volume of a day."""
        indices = self._catalogue.on_chain(chain)
        places = {identity: place for place, identity in enumerate(self._answers.trending)}
        volume = dict(zip(indices, np.nan_to_num(self.snapshot(indices, t).volume[:, -1]), strict=True))

        def rank(index: int) -> tuple[float, float]:
            address = address_key(chain, self._catalogue.pools[index].address)
            return places.get((chain, address), float("inf")), -volume[index]

        return sorted(indices, key=rank)

    def summary(self, t: float) -> dict[str, object]:
        """Return what is replayed, from when, and which figures are not recorded but derived."""
        return {
            "pools": len(self._catalogue.pools),
            "chains": {chain: len(self._catalogue.on_chain(chain)) for chain in self._catalogue.chains()},
            "recorded answers": len(self._answers.pools),
            "recorded profiles": len(self._answers.profiles),
            "epoch": self._epoch.isoformat(),
            "series": [self._series_summary(place, t) for place in range(len(self._series))],
            "note": (
                "Prices, volumes and price changes are recorded. Derived, and only plausible: liquidity (a quarter of "
                "the mean daily volume of the last seven recorded days), buys and sells, pair addresses, venues, pair "
                "creation, boosts. Dollar tokens count as one dollar."
            ),
        }

    def _series_summary(self, place: int, t: float) -> dict[str, object]:
        series, shift = self._series[place], self._shifts[place]
        return {
            "base": series.base,
            "quote": series.quote,
            "folder": series.folder,
            "seconds": sorted(series.frames),
            "last full day": (date(1970, 1, 1) + timedelta(days=series.last_full_day())).isoformat(),
            "shift days": shift // _DAY,
            "replayed now": datetime.fromtimestamp(t - shift, UTC).isoformat(timespec="seconds"),
            "first": datetime.fromtimestamp(series.first, UTC).isoformat(),
            "last": datetime.fromtimestamp(series.end, UTC).isoformat(),
            "ended": t - shift > series.end,
        }

    def _quote_usd(self, index: int) -> float:
        if index < len(self._series):
            return 1.0 if self._series[index].in_dollars else float("nan")
        row = self._figures[index - len(self._series)]
        return row.price_usd / row.price_quote if row.price_quote else float("nan")

    def _recorded(self, index: int) -> RecordedFigures:
        return self._figures[index - len(self._series)]

    def _replayed(self, index: int, t: float) -> RecordedFigures:
        series, now = self._series[index], t - self._shifts[index]
        price = series.close_at(now)
        daily = _daily_volume(series, now)
        volumes = [series.volume_in(now - seconds, now)[0] for seconds in WINDOWS]
        changes = [
            100 * (price / series.close_at(now - seconds) - 1) if volume > 0 else float("nan")
            for seconds, volume in zip(WINDOWS, volumes, strict=True)
        ]
        trades = [_trades(volume, daily, change) for volume, change in zip(volumes, changes, strict=True)]
        unknown = float("nan")
        dollars = 1.0 if series.in_dollars else unknown
        return RecordedFigures(
            price_usd=price * dollars,
            price_quote=price,
            liquidity_usd=daily * _LIQUIDITY_SHARE * dollars,
            volume=tuple(volume * dollars for volume in volumes),
            buys=tuple(buys for buys, _ in trades),
            sells=tuple(sells for _, sells in trades),
            change=tuple(changes),
            fdv=unknown,
            market_cap=unknown,
        )

    def _made_up_list(self, t: float) -> list[Promotion]:
        """Return the replayed tokens by the volume of the day before the last full hour; the same for a whole hour."""
        hour = t // 3600 * 3600
        if self._listed is None or self._listed[0] != hour:
            volume = np.nan_to_num(self.snapshot(range(len(self._series)), hour).volume[:, -1])
            pools = [self._catalogue.pools[place] for place in np.argsort(-volume, kind="stable")]
            self._listed = (hour, [Promotion(pool.chain, pool.base, hour, 10, 10) for pool in pools])
        return self._listed[1]


def _daily_volume(series: RecordedSeries, now: float) -> float:
    """Return the mean volume of a day in the last recorded days; the recording's end stands for later times."""
    end = min(now, float(series.end))
    volume, seconds = series.volume_in(end - _LIQUIDITY_DAYS * _DAY, end)
    return volume / seconds * _DAY if seconds else 0.0


def _trades(volume: float, daily: float, change: float) -> tuple[int, int]:
    """Return plausible (buys, sells): more buys the more the price rose."""
    if not volume > 0:
        return 0, 0
    count = max(2.0, volume / daily * _TRADES_PER_DAY) if daily > 0 else 2.0
    share = min(max(0.5 + change / 50, 0.2), 0.8) if np.isfinite(change) else 0.5
    return max(1, round(count * share)), max(1, round(count * (1 - share)))


def _pool(series: RecordedSeries, shift: int, ethereum: dict[str, Token]) -> Pool:
    key = np.frombuffer(hashlib.sha256(series.base.encode()).digest()[:8], dtype="<u8").astype(np.uint64)
    token = ethereum.get(series.base)
    created = float(series.first + shift)
    if token is not None:
        quote = _ETHEREUM_QUOTES.get(series.quote) or Token(evm_addresses(key, "quote")[0], series.quote, series.quote)
        pair = evm_addresses(key, "pair")[0]
        return Pool("ethereum", "uniswap", pair, token, quote, created, ("v3",), False, False, "replayed candles")
    token = Token(solana_addresses(key, "token")[0], series.base, series.base)
    quote = _SOLANA_QUOTES.get(series.quote) or Token(solana_addresses(key, "quote")[0], series.quote, series.quote)
    pair = solana_addresses(key, "pair")[0]
    return Pool("solana", "raydium", pair, token, quote, created, ("CLMM",), False, False, "replayed candles")


def _ethereum_tokens(data: Path) -> dict[str, Token]:
    """Return the tokens of Ethereum by symbol from the recorded token list; none without it."""
    path = data / _UNISWAP_LIST
    if not path.is_file():
        return {}
    try:
        tokens = json.loads(path.read_text(encoding="utf-8"))["tokens"]
        listed = [Token(item["address"], item["name"], item["symbol"]) for item in tokens if item["chainId"] == 1]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable token list: {error!r}") from error
    return {token.symbol: token for token in reversed(listed)}
