"""What a source of market data answers, for an explicit time: the contract between the vendors and the two sources.

The vendors' own shapes do not belong here, nor does the clock: every question carries its time (UTC epoch seconds).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
JsonObject = Mapping[str, object]

# The windows of a snapshot's columns, in seconds, and the names both vendors give them.
WINDOWS: Final = (300, 900, 1800, 3600, 21600, 86400)
WINDOW_NAMES: Final = ("m5", "m15", "m30", "h1", "h6", "h24")

# Addresses on these chains are hexadecimal: the case of a digit carries no meaning.
EVM_CHAINS: Final = frozenset({"ethereum", "bsc", "base", "arbitrum", "polygon", "avalanche", "optimism"})


def address_key(chain: str, address: str) -> str:
    """Return the form of an address by which two spellings of it are equal."""
    return address.lower() if chain in EVM_CHAINS else address


@dataclass(frozen=True, slots=True)
class Token:
    """A token as a vendor names it."""

    address: str
    name: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Pool:
    """The facts of a pool that do not change with time. ``chain`` and ``dex`` are DexScreener's ids.

    ``kind`` says what part it plays in its market. ``recorded`` holds, by vendor, the answer that vendor once gave for
    this pool; it is served as it is.
    """

    chain: str
    dex: str
    address: str
    base: Token
    quote: Token
    created_at: float | None
    labels: tuple[str, ...] = ()
    has_info: bool = True
    has_market_cap: bool = True
    kind: str = ""
    recorded: Mapping[str, JsonObject] = field(default_factory=dict)


class Catalogue:
    """The pools that exist at one time; a pool's index is its place in ``pools``."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self.pools: Final = tuple(pools)
        self._by_pair: dict[tuple[str, str], int] = {}
        self._by_token: dict[tuple[str, str], list[int]] = {}
        self._by_chain: dict[str, list[int]] = {}
        for index, pool in enumerate(self.pools):
            self._by_pair[pool.chain, address_key(pool.chain, pool.address)] = index
            self._by_token.setdefault((pool.chain, address_key(pool.chain, pool.base.address)), []).append(index)
            self._by_chain.setdefault(pool.chain, []).append(index)

    def pair(self, chain: str, address: str) -> int | None:
        """Return the index of the pool with this address, or None."""
        return self._by_pair.get((chain, address_key(chain, address)))

    def of_token(self, chain: str, address: str) -> list[int]:
        """Return the indices of the pools whose base token this is."""
        return self._by_token.get((chain, address_key(chain, address)), [])

    def on_chain(self, chain: str) -> list[int]:
        """Return the indices of the pools on a chain."""
        return self._by_chain.get(chain, [])

    def chains(self) -> list[str]:
        """Return the chains that have pools."""
        return list(self._by_chain)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Figures of some pools at one time; one row per pool asked for, NaN where there is no such figure.

    ``volume``, ``buys``, ``sells`` and ``change`` have one column per window of ``WINDOWS``; volumes are in USD,
    changes in percent and NaN where the window has no trade.
    """

    price_usd: Floats
    price_quote: Floats
    quote_usd: Floats
    native_usd: Floats
    liquidity_usd: Floats
    volume: Floats
    buys: Ints
    sells: Ints
    change: Floats
    fdv: Floats
    market_cap: Floats


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles of one pool, oldest first: start times (UTC epoch seconds), prices, volume.

    Prices are in USD and the volume in USD, unless the pool has no USD price: see ``Market.candles``.
    """

    start: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A token that is shown as a profile or a boost; ``recorded`` is served as it is where it exists."""

    chain: str
    token: Token
    at: float
    amount: int = 0
    total: int = 0
    recorded: JsonObject | None = None


class Market(Protocol):
    """A source of market data. Answers depend on the time asked for and on nothing else."""

    @property
    def kind(self) -> str:
        """``simulation`` or ``recordings``: what every answer is marked with."""

    def catalogue(self, t: float) -> Catalogue:
        """Return the pools that exist at ``t``."""

    def snapshot(self, pools: Sequence[int], t: float) -> Snapshot:
        """Return the figures at ``t`` of pools given by their index in ``catalogue(t)``."""

    def candles(
        self, pool: int, seconds: int, t: float, limit: int, *, before: float | None = None, in_quote: bool = False
    ) -> Candles:
        """Return at most ``limit`` candles of ``seconds`` that start before ``before`` and are known at ``t``.

        Intervals without a trade are left out. The newest may be unfinished. Prices and volume are in USD, or with
        ``in_quote`` in the quote token; empty where the pool has no price in that unit.
        """

    def quote_usd(self, pool: int, times: Floats, t: float) -> Floats:
        """Return the USD price of the pool's quote token at each of ``times`` (NaN where unknown)."""

    def profiles(self, t: float) -> list[Promotion]:
        """Return the tokens with the newest profiles, newest first."""

    def boosts(self, t: float) -> list[Promotion]:
        """Return the boosts, newest first; a token may appear several times."""

    def trending(self, chain: str, t: float) -> list[int]:
        """Return the indices of a chain's pools, the most active first."""

    def summary(self, t: float) -> dict[str, object]:
        """Return what a person wants to know of this market, JSON-ready."""
