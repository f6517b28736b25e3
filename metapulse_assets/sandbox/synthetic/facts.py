"""The static facts of simulated pools: addresses, names, venues. The numbers are in ``casting``."""

from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import Pool, Token
from metapulse_assets.sandbox.synthetic.addresses import evm_addresses, solana_addresses
from metapulse_assets.sandbox.synthetic.casting import token_keys
from metapulse_assets.sandbox.synthetic.characters import CHAINS, CHARACTERS, CODES, Chain
from metapulse_assets.sandbox.synthetic.names import hostile_name, token_name
from metapulse_assets.sandbox.synthetic.noise import Ints, Keys, draw, hashed
from metapulse_assets.sandbox.synthetic.rows import Rows
from metapulse_assets.sandbox.synthetic.slots import SlotPlan

_SOLANA: Final = 0
_WITHOUT_INFO: Final = 0.3
_WITHOUT_CREATION: Final = 0.05
_WITHOUT_MARKET_CAP: Final = 0.1


def pool_facts(plan: SlotPlan, which: Ints, generations: Ints, rows: Rows) -> list[Pool]:
    """Return the facts of these rows of the plan; ``rows`` are their numbers, in the same order."""
    tokens = token_keys(plan, which, generations)
    chains = plan.chain[plan.row_slot[which]]
    launched = plan.character[plan.row_slot[which]] == CODES["launch"]
    token_addresses = _addresses(tokens, chains, "token address", launched)
    pair_addresses = _addresses(rows.pool_key, chains, "pair address", np.zeros(len(which), dtype=bool))
    venue = draw(rows.pool_key, "venue")
    info = draw(tokens, "info") >= _WITHOUT_INFO
    dated = draw(rows.pool_key, "dated") >= _WITHOUT_CREATION
    capped = draw(tokens, "capped") >= _WITHOUT_MARKET_CAP
    pools = []
    for place, row in enumerate(which):
        slot = int(plan.row_slot[row])
        chain = CHAINS[int(chains[place])]
        ordinal = int(plan.row_ordinal[row])
        name = CHARACTERS[int(plan.character[slot])].name
        on_curve = name == "launch" and chains[place] == _SOLANA and ordinal == 0
        dex, labels = _venue(chain, float(venue[place]), name, on_curve)
        thin = name in ("thin", "impostor")
        pools.append(
            Pool(
                chain=chain.name,
                dex=dex,
                address=pair_addresses[place],
                base=_token(plan, slot, chain, int(tokens[place]), token_addresses[place]),
                quote=Token(*(chain.wrapped if rows.quote[place] >= 0 else chain.dollar)),
                created_at=float(rows.visible_from[place]) if dated[place] or not thin else None,
                labels=labels,
                has_info=bool(info[place]) and not thin,
                has_market_cap=bool(capped[place]) or not thin,
                kind="curve" if on_curve else name,
            )
        )
    return pools


def _addresses(keys: Keys, chains: Ints, name: str, launched: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[str]:
    result = np.empty(len(keys), dtype=object)
    solana = chains == _SOLANA
    plain, vanity, evm = (np.flatnonzero(chosen) for chosen in (solana & ~launched, solana & launched, ~solana))
    result[plain] = solana_addresses(keys[plain], name)
    result[vanity] = solana_addresses(keys[vanity], name, "pump")
    result[evm] = evm_addresses(keys[evm], name)
    return [str(address) for address in result]


def _token(plan: SlotPlan, slot: int, chain: Chain, key: int, address: str) -> Token:
    character = CHARACTERS[int(plan.character[slot])].name
    rank = int(plan.rank[slot])
    if character == "native":
        return Token(*chain.wrapped)
    if character == "hostile":
        return Token(address, *hostile_name(rank))
    name, symbol = token_name(key)
    if character == "stable":
        return Token(address, f"{name} Dollar", f"{symbol[:3]}USD")
    if character == "impostor":
        return Token(address, name, _imitated_symbol(plan, rank))
    return Token(address, name, symbol)


def _imitated_symbol(plan: SlotPlan, rank: int) -> str:
    """Return the symbol of a well-known token of this market: of a native for even ranks, else of a major."""
    majors = np.flatnonzero(plan.character == CODES["major"])
    if rank % 2 == 0 or not len(majors):
        return CHAINS[rank // 2 % len(CHAINS)].wrapped[2]
    slot = int(majors[rank // 2 % len(majors)])
    key = hashed(plan.key[slot : slot + 1], np.zeros(1, dtype=np.int64))
    return token_name(int(key[0]))[1]


def _venue(chain: Chain, luck: float, character: str, on_curve: bool) -> tuple[str, tuple[str, ...]]:
    if on_curve:
        return ("pumpfun", ()) if luck < 0.8 else ("launchlab", ())
    if character == "launch" and chain is CHAINS[_SOLANA]:
        return ("pumpswap", ()) if luck < 0.8 else ("raydium", ("CPMM",))
    return chain.venues[int(luck * len(chain.venues))]
