"""Which part each slot of the simulated market plays, and which generation of it is on stage at a time.

A slot is a place for one token at a time. Slots of short-lived characters are staggered evenly, so that at any time
some are young, some old and some about to end; the first N slots are the same whatever the size of the market.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from metapulse_assets.sandbox.synthetic.characters import CHAINS, CHARACTERS, CODES
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, Keys, draw, hashed, mix, stream, van_der_corput

_LAUNCHES_ON_SOLANA: Final = 0.75
_SECOND_POOL: Final = 0.2


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """The cast list. Arrays of slots: ``character`` (index into CHARACTERS), ``rank`` within the character, ``chain``
    (index into CHAINS), ``phase`` in [0, 1), ``lifetime`` (seconds, 0 = stays), ``key``. Arrays of rows (pools):
    ``row_slot`` and ``row_ordinal`` (0 is the slot's first pool).
    """

    seed: Keys
    character: Ints
    rank: Ints
    chain: Ints
    phase: Floats
    lifetime: Floats
    key: Keys
    row_slot: Ints
    row_ordinal: Ints

    def generations(self, t: float) -> Ints:
        """Return the generation of each slot at ``t`` (0 for those that stay)."""
        recurring = self.lifetime > 0
        turns = np.zeros(len(self.character))
        turns[recurring] = np.floor(t / self.lifetime[recurring] - self.phase[recurring])
        return turns.astype(np.int64)


def plan_slots(seed: int, count: int) -> SlotPlan:
    """Return the plan of a market of ``count`` tokens. Raises ValueError for less than one token."""
    if count < 1:
        raise ValueError(f"tokens: {count} is not a positive number of tokens")
    root = mix(np.full(1, seed % 2**64, dtype=np.uint64))
    slots = np.arange(count, dtype=np.int64)
    key = hashed(stream(root, "slot"), slots)
    character, rank = _parts(count)
    chain = _chains(character, slots, key)
    lifetime = np.array([kind.lifetime for kind in CHARACTERS])[character]
    offset = draw(hashed(stream(root, "phase"), np.arange(len(CHARACTERS), dtype=np.int64)), "offset")
    phase = (van_der_corput(rank) + offset[character]) % 1.0
    pools = _pool_counts(character, chain, key)
    row_slot = np.repeat(slots, pools)
    row_ordinal = np.arange(len(row_slot)) - np.repeat(np.cumsum(pools) - pools, pools)
    return SlotPlan(root, character, rank, chain, phase, lifetime, key, row_slot, row_ordinal)


def _parts(count: int) -> tuple[Ints, Ints]:
    """Return the character and the rank within it of each slot."""
    order = sorted(
        ((number + 0.5) / kind.share, code, number) for code, kind in enumerate(CHARACTERS) for number in range(kind.share)
    )
    codes = np.array([code for _, code, _ in order], dtype=np.int64)
    numbers = np.array([number for _, _, number in order], dtype=np.int64)
    shares = np.array([kind.share for kind in CHARACTERS], dtype=np.int64)
    natives = min(count, len(CHAINS))
    places = np.arange(count - natives, dtype=np.int64)
    character = codes[places % len(codes)]
    rank = numbers[places % len(codes)] + shares[character] * (places // len(codes))
    return (
        np.concatenate([np.full(natives, CODES["native"], dtype=np.int64), character]),
        np.concatenate([np.arange(natives, dtype=np.int64), rank]),
    )


def _chains(character: Ints, slots: Ints, key: Keys) -> Ints:
    luck = draw(key, "chain")
    steps = np.cumsum([chain.weight for chain in CHAINS])
    chain = np.minimum(np.searchsorted(steps, luck, side="right"), len(CHAINS) - 1)
    launches = character == CODES["launch"]
    others = 1 + (chain % (len(CHAINS) - 1))
    chain = np.where(launches, np.where(luck < _LAUNCHES_ON_SOLANA, 0, others), chain)
    return np.where(character == CODES["native"], slots, chain).astype(np.int64)


def _pool_counts(character: Ints, chain: Ints, key: Keys) -> Ints:
    single = np.isin(character, [CODES[name] for name in ("dead", "thin", "impostor", "stable", "launch", "rug")])
    counts = np.where((draw(key, "second pool") < _SECOND_POOL) & ~single, 2, 1)
    counts = np.where(character == CODES["native"], 2, counts)
    counts = np.where(character == CODES["major"], 3, counts)
    # A launch on Solana has its bonding curve and, once complete, the pool it migrates to.
    return np.where((character == CODES["launch"]) & (chain == 0), 2, counts).astype(np.int64)
