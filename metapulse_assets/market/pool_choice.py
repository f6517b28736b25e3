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
    return max(plausible_pools(pairs), key=_rank, default=None)


def plausible_pools(pairs: Sequence[Pair]) -> list[Pair]:
    """Of the pools that could speak for the token, those whose price lies near the median, where there are enough to compare.

    Only pools of the best kind there is (with liquidity, else a bonding curve, else dust) can speak. They are compared among
    themselves; where they are two, the lesser pools help to tell which is off; a single one is not doubted on the word of
    lesser pools, which cost next to nothing to make.
    """
    # An answer may repeat a pool, and a repetition has no second vote.
    pools = list({pair.address: pair for pair in sorted(pairs, key=_rank)}.values())
    best = max((_kind(pair) for pair in pools), default=0)
    speakers = [pair for pair in pools if _kind(pair) == best]
    compared = speakers if len(speakers) >= FEWEST_POOLS_TO_COMPARE else pools
    if len(speakers) < 2 or len(compared) < FEWEST_POOLS_TO_COMPARE:
        return speakers
    median = statistics.median(pair.price_usd for pair in compared)
    return [pair for pair in speakers if price_ratio(pair.price_usd, median) <= LARGEST_PRICE_RATIO] or speakers


def price_ratio(one: float, other: float) -> float:
    """How many times the larger of two prices is the smaller."""
    return max(one, other) / min(one, other)


def needs_second_look(pair: Pair, last_price: float | None) -> bool:
    """Whether a price is so far from the last one stored that the token's other pools should be asked."""
    return last_price is not None and price_ratio(pair.price_usd, last_price) > LARGEST_JUMP


def _kind(pair: Pair) -> int:
    if pair.liquidity_usd is None:
        return 1
    return 0 if pair.liquidity_usd < NEGLIGIBLE_LIQUIDITY_USD else 2


def _rank(pair: Pair) -> tuple[int, float, float, str, float]:
    kind, volume, liquidity = _kind(pair), pair.volume.h24 or 0.0, pair.liquidity_usd or 0.0
    first, second = (liquidity, volume) if kind == 2 else (volume, liquidity)
    return (kind, first, second, pair.address, pair.price_usd)
