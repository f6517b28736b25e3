"""One round of questions to DexScreener: a pool for each tracked token, and an account of those that got none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from metapulse_assets.market.discovery import TokenKey
from metapulse_assets.market.pool_choice import choose_pool, needs_second_look, token_key
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.vendors.answers import Batch, first_of_each
from metapulse_assets.vendors.dexscreener import ADDRESSES_PER_CALL, DexScreener, Pair

# Tokens whose price jumped get their other pools looked at; more than this many at once is a market, not an error.
MOST_SECOND_LOOKS = 20
# The answer for several tokens shows one pool of each, and with a new token there is no price to hold it against.
MOST_FIRST_LOOKS = 100


@dataclass
class Collected:
    """What a round brought: the chosen pool of each token with the answer it came from, the refused, the answers."""

    asked: int
    chosen: dict[TokenKey, tuple[Pair, RawPayload]] = field(default_factory=dict)
    refused: list[DeadLetter] = field(default_factory=list)
    payloads: list[RawPayload] = field(default_factory=list)
    requests: int = 0

    def without_answer(self, tracked: Iterable[TrackedToken]) -> list[TrackedToken]:
        """The tokens that were asked for and not answered with a usable pool."""
        return [token for token in tracked if token.key not in self.chosen]


async def collect(dexscreener: DexScreener, tracked: Sequence[TrackedToken]) -> Collected:
    """Ask for every token. An empty answer is no proof of absence: the missing are asked for once more, by their pool."""
    result = Collected(asked=len(tracked))
    found: Batch[Pair] = Batch()
    for chain, tokens in by_chain(tracked):
        found.extend(await dexscreener.pairs_of_tokens(chain, [token.key[1] for token in tokens]))
    _choose(result, found, tracked)
    await _ask_again(dexscreener, result, tracked)
    await _look_closer(dexscreener, result, tracked)
    result.requests = dexscreener.client.requests_sent
    return result


def by_chain(tracked: Iterable[TrackedToken]) -> list[tuple[str, list[TrackedToken]]]:
    """The tokens of each chain."""
    ordered = sorted(tracked, key=lambda token: token.key[0])
    return [(chain, list(tokens)) for chain, tokens in groupby(ordered, key=lambda token: token.key[0])]


def _choose(result: Collected, found: Batch[Pair], tracked: Iterable[TrackedToken]) -> None:
    result.refused += found.refused
    result.payloads += found.payloads
    wanted = {token.key for token in tracked}
    answered: dict[TokenKey, list[tuple[Pair, RawPayload]]] = {}
    for pair, payload in first_of_each(found.items, lambda pair: (pair.chain, pair.address)):
        key = token_key(pair)
        if key in wanted:
            answered.setdefault(key, []).append((pair, payload))
    for key, pairs in answered.items():
        chosen = choose_pool([pair for pair, _ in pairs])
        if chosen is not None:
            result.chosen[key] = (chosen, next(payload for pair, payload in pairs if pair is chosen))


async def _ask_again(dexscreener: DexScreener, result: Collected, tracked: Sequence[TrackedToken]) -> None:
    missing = [token for token in result.without_answer(tracked) if token.pool_address]
    if not missing or _requests_failed(result.refused):
        return
    found: Batch[Pair] = Batch()
    for chain, tokens in by_chain(missing):
        addresses = [token.pool_address for token in tokens if token.pool_address]
        for start in range(0, len(addresses), ADDRESSES_PER_CALL):
            found.extend(await dexscreener.pools(chain, addresses[start : start + ADDRESSES_PER_CALL]))
    _choose(result, found, missing)


def _requests_failed(refused: Iterable[DeadLetter]) -> bool:
    """Whether whole requests failed: then the vendor is in trouble, and asking more would only add to it."""
    return any(letter.kind == "request" for letter in refused)


async def _look_closer(dexscreener: DexScreener, result: Collected, tracked: Sequence[TrackedToken]) -> None:
    """Ask for all pools where the one answered may be mispriced: on a jump, and for who was not seen before or of late."""
    answered = [(token, result.chosen[token.key][0]) for token in tracked if token.key in result.chosen]
    jumped = [token for token, pair in answered if needs_second_look(pair, token.last_price)]
    new = [token for token, _ in answered if token.last_price is None]
    for token in jumped[:MOST_SECOND_LOOKS] + new[:MOST_FIRST_LOOKS]:
        found = await dexscreener.pools_of_token(*token.key)
        found.items.append(result.chosen[token.key])
        _choose(result, found, [token])
        if _requests_failed(found.refused):
            return
