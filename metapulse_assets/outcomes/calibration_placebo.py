"""Random entries with the dependence of the true ones: all signals shifted in time together.

Entries drawn one by one would be independent, and their band too narrow: signals come in bursts, over all tokens at once, with
spans that overlap. A circular shift keeps all of that and breaks only the tie between a signal and its moment (a shift test;
Politis and Romano 1992 wrap series in the same way).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.base_rates import BUY_HIT, COUNTED, SELL_HIT, MomentCounts
from metapulse_assets.outcomes.rows import FloatArray, IntArray

PLACEBO_DRAWS = 200


@dataclass(frozen=True)
class Placebo:
    """What came of the shifted entries: how many were counted, how many paid. Shapes (shifts, groups of outcomes)."""

    counted: FloatArray
    paid: FloatArray

    def rates(self, groups: npt.NDArray[np.integer]) -> FloatArray:
        """The hit rate of some groups together in each shift that has any of them."""
        counted, paid = self.counted[:, groups].sum(axis=1), self.paid[:, groups].sum(axis=1)
        known = counted > 0
        return np.asarray(paid[known] / counted[known], np.float64)


def shifted_entries(
    group: npt.NDArray[np.integer],
    token_id: IntArray,
    sign: FloatArray,
    entry_at: IntArray,
    moments: MomentCounts,
    random: np.random.Generator,
) -> Placebo:
    """Shift all entries by PLACEBO_DRAWS random numbers of slots, or by every one there is if those are fewer.

    Within the period of the counted moments, its end joined to its start; the same token and direction. A shifted entry at
    a moment that is not counted is left out.
    """
    codes, groups = moments.grid.codes, int(group.max(initial=-1)) + 1
    tokens, slots = codes.shape
    shifts = np.arange(1, slots)
    if shifts.size > PLACEBO_DRAWS:
        shifts = np.sort(random.choice(shifts, PLACEBO_DRAWS, replace=False))
    if not tokens or not shifts.size:
        return Placebo(np.zeros((0, groups)), np.zeros((0, groups)))
    row = np.minimum(np.searchsorted(moments.token_id, token_id), tokens - 1)
    known = np.flatnonzero(moments.token_id[row] == token_id)
    slot = ((entry_at[known] - moments.grid.start) // moments.grid.interval) % slots
    # Each token's slots twice in a row, so that a shift past the end needs no division.
    twice = np.concatenate([codes, codes], axis=1).ravel()
    place = row[known] * (2 * slots) + slot
    wanted = np.where(sign[known] > 0, BUY_HIT, SELL_HIT).astype(np.uint8)
    counted, paid = np.zeros((shifts.size, groups)), np.zeros((shifts.size, groups))
    for number, shift in enumerate(shifts.tolist()):
        found = twice[place + shift]
        counted[number] = np.bincount(group[known], found & COUNTED, groups)
        paid[number] = np.bincount(group[known], (found & wanted) > 0, groups)
    return Placebo(counted, paid)
