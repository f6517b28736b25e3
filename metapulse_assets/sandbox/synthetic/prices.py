"""The log price of every simulated pool as a function of time: a sum of octaves of noise, bent by the token's story.

Octaves of 5 minutes to 57 days with amplitudes that grow with the square root of the period make a path whose
spread grows with the square root of time, like a random walk, and that can still be read at any time directly.
"""

from typing import Final

import numpy as np

from metapulse_assets.sandbox.synthetic.curves import evaluate
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, octave_noise, octave_noise_at
from metapulse_assets.sandbox.synthetic.rows import BAR_SECONDS, Rows

_OCTAVES: Final = 15
# The shortest octave is pure bounce between neighbouring bars; at full strength moves of some bars would hardly occur.
_BOUNCE: Final = 0.5
_SCALE: Final = (2 * _BOUNCE**2 + sum(2 * 2**k / 4**k for k in range(1, _OCTAVES))) ** -0.5

# Amplitudes by octave, such that the change from one node (5 minutes) to the next has variance 1.
PRICE_OCTAVES: Final = (_BOUNCE * _SCALE, *(_SCALE * 2 ** (k / 2) for k in range(1, _OCTAVES)))
BASIS_OCTAVES: Final = (0.0, 0.6, 0.0, 0.0, 0.8)


def log_prices(rows: Rows, first: int, count: int) -> Floats:
    """Return the log USD price at ``count`` nodes from node ``first`` (time = node x 300 s); shape (rows, count)."""
    noise = octave_noise(rows.noise_key, first, count, PRICE_OCTAVES)
    result = rows.log_price[:, None] + rows.sigma[:, None] * noise - rows.noise_offset[:, None]
    own = np.flatnonzero(rows.basis)
    if len(own):
        result[own] += rows.basis[own, None] * octave_noise(rows.pool_key[own], first, count, BASIS_OCTAVES)
    storied = np.flatnonzero(rows.price_curve.any(axis=1))
    if len(storied):
        nodes = np.arange(first, first + count, dtype=np.int64)
        lives = rows.take(storied)
        result[storied] += evaluate(ages(lives, nodes[None, :]), lives.knots, lives.price_curve)
    return result


def log_prices_at(rows: Rows, nodes: Ints) -> Floats:
    """Return the log USD price of each row at its own node; shape (rows,)."""
    result = rows.log_price + rows.sigma * octave_noise_at(rows.noise_key, nodes, PRICE_OCTAVES) - rows.noise_offset
    result += rows.basis * octave_noise_at(rows.pool_key, nodes, BASIS_OCTAVES)
    return result + evaluate(ages(rows, nodes[:, None]), rows.knots, rows.price_curve)[:, 0]


def ages(rows: Rows, nodes: Ints) -> Floats:
    """Return the age in seconds at each node, within the cycle where the story has one; ``nodes`` broadcasts to 2-d."""
    age = nodes * float(BAR_SECONDS) - rows.anchor[:, None]
    cyclic = np.isfinite(rows.cycle)
    if cyclic.any():
        age[cyclic] %= rows.cycle[cyclic, None]
    return age
