"""A simulated market: every answer is a pure function of the seed, the token and the time.

Nothing is accumulated, so two processes, or one before and after a restart, agree at the same time. What is kept
between calls is only the cast of the last time asked for. How prices, bars and stories are made is in ``synthetic``.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import WINDOWS, Candles, Catalogue, Pool, Promotion, Snapshot
from metapulse_assets.sandbox.synthetic.bars import Bars, five_minute_bars
from metapulse_assets.sandbox.synthetic.candles import candles_of
from metapulse_assets.sandbox.synthetic.casting import cast, native_keys
from metapulse_assets.sandbox.synthetic.characters import NATIVES
from metapulse_assets.sandbox.synthetic.curves import evaluate
from metapulse_assets.sandbox.synthetic.facts import pool_facts
from metapulse_assets.sandbox.synthetic.minutes import minutes_of, price_within, volume_until
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, draw, hashed, octave_noise, stream
from metapulse_assets.sandbox.synthetic.prices import PRICE_OCTAVES, ages
from metapulse_assets.sandbox.synthetic.rows import BAR_SECONDS, BARS_PER_DAY, Rows
from metapulse_assets.sandbox.synthetic.slots import plan_slots

_WINDOW_BARS: Final = tuple(seconds // BAR_SECONDS for seconds in WINDOWS)
_DAY_BARS: Final = _WINDOW_BARS[-1]
_LIST_LENGTH: Final = 30
_LIST_SECONDS: Final = 10.0
_PROFILED: Final = 0.6
_BOOSTED: Final = 0.6
_BOOST_SIZES: Final = (10, 10, 30, 50, 100, 500)
_BOOST_SECONDS: Final = 86400.0
_HOUR_BARS: Final = 12


class SimulatedMarket:
    """A market of ``tokens`` simulated tokens (see ``Market`` for the methods). Not safe for use from several threads."""

    kind: Final = "simulation"

    def __init__(self, seed: int, tokens: int) -> None:
        """Raise ValueError if ``tokens`` is less than one."""
        self._seed = seed
        self._plan = plan_slots(seed, tokens)
        self._natives = native_keys(self._plan)
        self._at: float | None = None
        self._generations: Ints | None = None
        self._rows: Rows
        self._facts: list[Pool] = []
        self._visible: Ints = np.zeros(0, dtype=np.int64)
        self._catalogue: Catalogue
        self._lists: dict[str, tuple[int, Catalogue, list[Promotion]]] = {}
        self._ranking: tuple[int, Catalogue, Floats] | None = None

    def catalogue(self, t: float) -> Catalogue:
        """Return the pools that exist at ``t``."""
        if t == self._at:
            return self._catalogue
        self._at = t
        generations = self._plan.generations(t)
        changed = self._recast(generations)
        visible = np.flatnonzero(self._rows.visible_from <= t)
        if changed or not np.array_equal(visible, self._visible):
            self._visible = visible
            self._catalogue = Catalogue([self._facts[row] for row in visible])
        return self._catalogue

    def snapshot(self, pools: Sequence[int], t: float) -> Snapshot:
        """Return the figures of these pools at ``t``."""
        self.catalogue(t)
        rows = self._rows.take(self._visible[np.asarray(pools, dtype=np.int64)])
        bar, fraction = _split(t)
        bars = five_minute_bars(rows, bar - _DAY_BARS, _DAY_BARS + 1)
        columns = np.array([_DAY_BARS, *(_DAY_BARS - width for width in _WINDOW_BARS)])
        minutes = minutes_of(rows, bars, columns)
        log_price = price_within(minutes, fraction)
        done = volume_until(minutes, fraction)
        # Rounded up, so that a window with volume has a trade and a longer window never has fewer.
        buys, sells = (np.ceil(_sums(values, done) - 1e-9).astype(np.int64) for values in (bars.buys, bars.sells))
        volume = np.where(buys + sells > 0, _sums(bars.volume, done), 0.0)
        change = np.where(volume > 0, 100 * np.expm1(log_price[:, :1] - log_price[:, 1:]), np.nan)
        price = np.exp(log_price[:, 0])
        natives = np.exp(self._native_log_prices(np.array([t])))[:, 0]
        native_usd = natives[rows.native]
        quote_usd = np.where(rows.quote >= 0, natives[rows.quote], 1.0)
        fdv = price * rows.supply
        return Snapshot(
            price_usd=price,
            price_quote=price / quote_usd,
            quote_usd=quote_usd,
            native_usd=native_usd,
            liquidity_usd=_liquidity(rows, log_price[:, 0], t),
            volume=volume,
            buys=buys,
            sells=sells,
            change=change,
            fdv=fdv,
            market_cap=fdv * rows.circulating,
        )

    def candles(
        self, pool: int, seconds: int, t: float, limit: int, *, before: float | None = None, in_quote: bool = False
    ) -> Candles:
        """Return candles of one pool (see ``Market.candles``); in the quote token they are converted at their ends."""
        self.catalogue(t)
        rows = self._rows.take(self._visible[pool : pool + 1])
        candles = candles_of(rows, seconds, t, limit, before)
        if not in_quote:
            return candles
        opening = self.quote_usd(pool, candles.start.astype(np.float64), t)
        closing = self.quote_usd(pool, np.minimum(candles.start + float(seconds), t), t)
        open_, close = candles.open / opening, candles.close / closing
        return Candles(
            start=candles.start,
            open=open_,
            high=np.maximum(candles.high / closing, np.maximum(open_, close)),
            low=np.minimum(candles.low / closing, np.minimum(open_, close)),
            close=close,
            volume=candles.volume / closing,
        )

    def quote_usd(self, pool: int, times: Floats, t: float) -> Floats:
        """Return the USD price of the pool's quote token at each of ``times``."""
        self.catalogue(t)
        quote = int(self._rows.quote[self._visible[pool]])
        return np.exp(self._native_log_prices(times)[quote]) if quote >= 0 else np.ones(len(times))

    def profiles(self, t: float) -> list[Promotion]:
        """Return the 30 newest profiles; a token renews its profile every few days."""
        return self._promotions(t, "profile", _PROFILED)

    def boosts(self, t: float) -> list[Promotion]:
        """Return the 30 newest of the boosts that were bought within a day; who bought twice is listed twice."""
        recent = [item for item in self._promotions(t, "boost", _BOOSTED) if t - item.at < _BOOST_SECONDS]
        return [item for item in recent for _ in range(2 if item.total > item.amount else 1)][:_LIST_LENGTH]

    def trending(self, chain: str, t: float) -> list[int]:
        """Return the pools of a chain by the volume of the last full hour times the size of its price move."""
        catalogue = self.catalogue(t)
        bar, _ = _split(t)
        if self._ranking is None or self._ranking[0] != bar or self._ranking[1] is not catalogue:
            bars = five_minute_bars(self._rows.take(self._visible), bar - _HOUR_BARS, _HOUR_BARS)
            self._ranking = (bar, catalogue, _activity(bars))
        score = self._ranking[2]
        return sorted(catalogue.on_chain(chain), key=lambda index: -score[index])

    def summary(self, t: float) -> dict[str, object]:
        """Return the counts of this market at ``t`` and what its figures are."""
        catalogue = self.catalogue(t)
        closed = self._rows.closes[self._visible] * BAR_SECONDS <= t
        stages = Counter(
            f"{pool.kind}, {'no longer traded' if over else 'traded'}"
            for pool, over in zip(catalogue.pools, closed, strict=True)
        )
        return {
            "seed": self._seed,
            "tokens": len(self._plan.character),
            "pools": len(catalogue.pools),
            "chains": {chain: len(catalogue.on_chain(chain)) for chain in catalogue.chains()},
            "stages": dict(sorted(stages.items())),
            "note": "Simulated: tokens, prices and volumes are invented. Addresses of wrapped natives and dollars are real.",
        }

    def _recast(self, generations: Ints) -> bool:
        """Bring the rows up to these generations; return whether any changed."""
        plan = self._plan
        if self._generations is None:
            which = np.arange(len(plan.row_slot), dtype=np.int64)
            self._rows = cast(plan, which, generations)
            self._facts = pool_facts(plan, which, generations, self._rows)
        else:
            slots = generations != self._generations
            if not slots.any():
                return False
            which = np.flatnonzero(slots[plan.row_slot])
            rows = cast(plan, which, generations)
            self._rows.put(which, rows)
            for row, facts in zip(which, pool_facts(plan, which, generations, rows), strict=True):
                self._facts[row] = facts
        self._generations = generations
        return True

    def _native_log_prices(self, times: Floats) -> Floats:
        """Return the log USD price of each native token at each time: linear between the 5-minute nodes."""
        if not len(times):
            return np.zeros((len(NATIVES), 0))
        first = int(times.min() // BAR_SECONDS)
        count = int(times.max() // BAR_SECONDS) - first + 2
        noise = octave_noise(self._natives, first, count, PRICE_OCTAVES)
        place = times / BAR_SECONDS - first
        left = np.minimum(place.astype(np.int64), count - 2)
        noise = noise[:, left] + (noise[:, left + 1] - noise[:, left]) * (place - left)
        sigma = np.array([item.volatility for item in NATIVES]) / BARS_PER_DAY**0.5
        return np.asarray(np.log([item.price for item in NATIVES])[:, None] + sigma[:, None] * noise)

    def _promotions(self, t: float, name: str, share: float) -> list[Promotion]:
        """Return the newest promotions, looked up once per ``_LIST_SECONDS``: the list is the same until the next."""
        self.catalogue(t)
        slot = int(t // _LIST_SECONDS)
        cached = self._lists.get(name)
        if cached is None or cached[0] != slot or cached[1] is not self._catalogue:
            cached = (slot, self._catalogue, self._newest(slot * _LIST_SECONDS, name, share))
            self._lists[name] = cached
        return cached[2]

    def _newest(self, t: float, name: str, share: float) -> list[Promotion]:
        mains = self._visible[self._plan.row_ordinal[self._visible] == 0]
        key = stream(self._rows.pool_key[mains], name)
        period = (1 + 5 * draw(key, "period")) * _BOOST_SECONDS
        phase = draw(key, "phase")
        turn = np.floor(t / period - phase)
        at = (turn + phase) * period
        shown = (draw(key, "chosen") < share) & (at >= self._rows.visible_from[mains])
        newest = np.flatnonzero(shown)
        newest = newest[np.argsort(-at[newest], kind="stable")][:_LIST_LENGTH]
        sizes = hashed(key[newest], turn[newest].astype(np.int64)) % np.uint64(len(_BOOST_SIZES))
        result = []
        for place, size in zip(newest, sizes.astype(int), strict=True):
            pool = self._facts[mains[place]]
            amount = _BOOST_SIZES[size]
            result.append(Promotion(pool.chain, pool.base, float(at[place]), amount, amount * (1 + int(size) % 3)))
        return result


def _split(t: float) -> tuple[int, float]:
    bar = int(t // BAR_SECONDS)
    # Subtracted before it is divided: the other way round loses nine digits of the fraction.
    return bar, (t - bar * BAR_SECONDS) / BAR_SECONDS


def _sums(values: Floats, done: Floats) -> Floats:
    """Return the sum of each window that ends at the moment given by ``done``, the finished part of each border bar.

    ``values`` are bars up to the one in progress; ``done`` has its column for that bar first, then one per window.
    """
    running = np.cumsum(values[:, ::-1], axis=1)
    last = values.shape[1] - 1
    columns = []
    for place, width in enumerate(_WINDOW_BARS):
        oldest = values[:, last - width]
        whole = running[:, width - 1] - values[:, last] if width > 1 else 0.0
        columns.append(values[:, last] * done[:, 0] + whole + oldest * (1 - done[:, place + 1]))
    return np.stack(columns, axis=1)


def _liquidity(rows: Rows, log_price: Floats, t: float) -> Floats:
    """Return the liquidity in USD: a constant-product pool's grows with the square root of its price."""
    age = ages(rows, np.full((len(rows), 1), t / BAR_SECONDS))
    story = evaluate(age, rows.knots, rows.liquidity_curve)[:, 0]
    return np.exp(rows.log_liquidity + story + np.clip(0.5 * (log_price - rows.log_price), -1.0, 1.0))


def _activity(bars: Bars) -> Floats:
    move = np.abs(bars.close[:, -1] - bars.open[:, 0])
    return np.asarray(bars.volume.sum(axis=1) * (0.01 + move))
