"""One round of discovery: ask the lists, judge the candidates, write down who is tracked."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from metapulse_assets.market import token_store
from metapulse_assets.market.collection import by_chain
from metapulse_assets.market.discovery import LAUNCHES, WATCHED, Bar, TokenKey, Verdict, admit, merge_candidates, review
from metapulse_assets.market.pool_choice import choose_pool, token_key
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.settings import Settings
from metapulse_assets.vendors.dexscreener import DexScreener, Pair
from metapulse_assets.vendors.geckoterminal import GeckoTerminal
from metapulse_assets.vendors.pumpportal import CHAIN as SOLANA


@dataclass
class Discovered:
    """What a round of discovery found and decided."""

    candidates: dict[TokenKey, set[str]] = field(default_factory=dict)
    verdicts: dict[TokenKey, Verdict] = field(default_factory=dict)
    pools: dict[TokenKey, Pair] = field(default_factory=dict)
    refused: list[DeadLetter] = field(default_factory=list)
    payloads: list[RawPayload] = field(default_factory=list)
    let_go: dict[int, str] = field(default_factory=dict)
    admitted: int = 0


def bar_of(settings: Settings) -> Bar:
    """The bar that the settings set."""
    return Bar(settings.min_volume_h24_usd, settings.min_liquidity_usd, settings.max_tracked_tokens)


async def find_candidates(
    dexscreener: DexScreener,
    geckoterminal: GeckoTerminal,
    settings: Settings,
    known: Collection[TokenKey],
    migrated: Iterable[str] = (),
) -> Discovered:
    """Ask every list, merge what they name, and look at the pools of those that are not tracked yet.

    `migrated`: Solana mints that the stream saw leave their bonding curve of late.
    """
    boosts, profiles = await dexscreener.boosted(), await dexscreener.profiled()
    trending = await geckoterminal.trending(settings.tracked_chains)
    listed = [("boosts", token.chain, token.address) for token, _ in boosts.items]
    listed += [("profiles", token.chain, token.address) for token, _ in profiles.items]
    listed += [("trending", pool.chain, pool.token_address) for pool, _ in trending.items if pool.chain]
    listed += [(LAUNCHES, SOLANA, mint) for mint in migrated]
    listed += [(WATCHED, chain, address) for chain, _, address in (e.partition(":") for e in settings.watched_tokens)]
    found = Discovered(candidates=merge_candidates(listed, settings.tracked_chains))
    for batch in (boosts, profiles, trending):
        found.refused += batch.refused
        found.payloads += batch.payloads
    new = [TrackedToken(0, key, None, None) for key in found.candidates if key not in known]
    for chain, tokens in by_chain(new):
        shown = await dexscreener.pairs_of_tokens(chain, [token.key[1] for token in tokens])
        found.refused += shown.refused
        found.payloads += shown.payloads
        pairs: dict[TokenKey, list[Pair]] = {}
        for pair, _ in shown.items:
            pairs.setdefault(token_key(pair), []).append(pair)
        found.pools |= {key: pool for key, pools in pairs.items() if (pool := choose_pool(pools))}
    return found


def decide(connection: sa.Connection, found: Discovered, settings: Settings, now: datetime) -> None:
    """Admit new tokens while places are free, hold the tracked ones against the bar again, and write it all down."""
    bar = bar_of(settings)
    watched = {key for key, sources in found.candidates.items() if WATCHED in sources}
    token_store.unwatch_others(connection, watched)
    states = token_store.tracked_states(connection, now)
    result = review(states, now, bar)
    found.let_go = result.let_go
    token_store.apply_review(connection, result, now)
    tracked = {state.key: state.token_id for state in states}
    # A token that is only being watched to its end takes nobody's place.
    places_taken = sum(state.failing_since is None for state in states)
    new = {key: sources for key, sources in found.candidates.items() if key not in tracked}
    found.verdicts = admit(new, found.pools, places_taken, bar)
    passing = [found.pools[key] for key, verdict in found.verdicts.items() if verdict.passes and key in found.pools]
    ids = token_store.upsert_tokens(connection, passing, now)
    admitted = {key: verdict for key, verdict in found.verdicts.items() if verdict.passes and key in ids}
    found.admitted = token_store.start_tracking(connection, ids, new, admitted, now)
    listed_again = {tracked[key]: sources for key, sources in found.candidates.items() if key in tracked}
    token_store.note_listed(connection, listed_again, now)
