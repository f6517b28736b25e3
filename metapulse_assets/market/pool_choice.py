"""Which of a token's pools speaks for it: the one with the most liquidity, once the implausible are set aside."""

import statistics
from collections.abc import Sequence

from metapulse_assets.vendors.chains import canonical_address
from metapulse_assets.vendors.dexscreener import Pair

# A pool priced this many times off the token's other pools is mispriced or a trap, whatever liquidity it claims:
# DexScreener has shown one at 4,800 times the true price with 112 M USD of "liquidity".
LARGEST_PRICE_RATIO = 5.0
FEWEST_POOLS_TO_COMPARE = 3
# Between two views of one token a larger jump asks for a second look (velodrome's indexer rejects more than 10×).
LARGEST_JUMP = 10.0
# Below this a known liquidity says less than a bonding curve's volume does.
NEGLIGIBLE_LIQUIDITY_USD = 1_000.0


def token_key(pair: Pair) -> tuple[str, str]:
    """Chain and canonical address of the token that a pair trades."""
    return pair.chain, canonical_address(pair.chain, pair.base.address)


def choose_pool(pairs: Sequence[Pair]) -> Pair | None:
    """The pool that speaks for a token, of all that were answered for it. The order of the answer plays no part.

    An absent liquidity is not zero: a token still on its bonding curve is spoken for by the curve.
    """
    if not pairs:
        return None
    return max(plausible_pools(pairs), key=_rank)


def plausible_pools(pairs: Sequence[Pair]) -> list[Pair]:
    """The pools whose price lies near the median of all, where there are enough to compare."""
    if len(pairs) < FEWEST_POOLS_TO_COMPARE:
        return list(pairs)
    median = statistics.median(pair.price_usd for pair in pairs)
    return [pair for pair in pairs if price_ratio(pair.price_usd, median) <= LARGEST_PRICE_RATIO] or list(pairs)


def price_ratio(one: float, other: float) -> float:
    """How many times the larger of two prices is the smaller."""
    return max(one, other) / min(one, other)


def needs_second_look(pair: Pair, last_price: float | None) -> bool:
    """Whether a price is so far from the last one stored that the token's other pools should be asked."""
    return last_price is not None and price_ratio(pair.price_usd, last_price) > LARGEST_JUMP


def _rank(pair: Pair) -> tuple[int, float, float, str]:
    volume = pair.volume.h24 or 0.0
    liquidity = pair.liquidity_usd
    if liquidity is None:
        return (1, volume, 0.0, pair.address)
    if liquidity < NEGLIGIBLE_LIQUIDITY_USD:
        return (0, volume, liquidity, pair.address)
    return (2, liquidity, volume, pair.address)
