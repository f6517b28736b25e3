"""Random access noise: a pure function of (key, position), the same in every process and after every restart.

Only hashing and interpolation belong here; what the noise is used for (prices, volumes, names) does not.
"""

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

# Constants of splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2: Final = np.uint64(0x94D049BB133111EB)
_SQRT_6: Final = 6.0**0.5


def mix(values: Keys) -> Keys:
    """Return the splitmix64 finaliser of each 64-bit value."""
    z = values ^ (values >> np.uint64(30))
    z = z * _MULTIPLY_1
    z ^= z >> np.uint64(27)
    z *= _MULTIPLY_2
    z ^= z >> np.uint64(31)
    return z


def hashed(keys: Keys, positions: Ints | Keys) -> Keys:
    """Return one 64-bit hash per (key, position), by broadcasting; positions may be negative."""
    return mix(keys + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def stream(keys: Keys, name: str) -> Keys:
    """Return keys of an independent stream, so that two properties of one token never share their randomness."""
    salt = np.full(1, zlib.crc32(name.encode()), dtype=np.uint64)
    return mix(keys ^ mix(salt * _GOLDEN))


def uniform(hashes: Keys) -> Floats:
    """Return numbers in [0, 1) with 53 random bits each."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(keys: Keys, name: str) -> Floats:
    """Return one uniform number in [0, 1) per key for the named property."""
    return uniform(stream(keys, name))


def standard(hashes: Keys) -> Floats:
    """Return numbers with mean 0 and variance 1 (triangular, within ±2.45): bounded, so that no price explodes."""
    high = (hashes >> np.uint64(32)).astype(np.float64)
    low = (hashes & np.uint64(0xFFFFFFFF)).astype(np.float64)
    return ((high + low) * 2.0**-32 - 1.0) * _SQRT_6


def octave_noise(keys: Keys, first: int, count: int, amplitudes: Sequence[float]) -> Floats:
    """Return the sum of interpolated octaves at ``count`` consecutive positions from ``first``: (len(keys), count).

    Octave k has ``amplitudes[k]`` and lattice points every 2**k positions, with straight lines between them. The sum is
    built from the coarsest lattice down, halving the spacing each time, so that it costs two lattices and not one per
    octave. Every value has one way of being computed, whatever the range asked for.
    """
    last = first + count - 1
    top = len(amplitudes) - 1
    values = np.zeros((len(keys), (last >> top) - (first >> top) + 2))
    for k in range(top, -1, -1):
        start, stop = first >> k, (last >> k) + 2
        if k < top:
            values = _halved(values, first >> (k + 1), start, stop)
        if amplitudes[k]:
            nodes = np.arange(start, stop, dtype=np.int64)
            values += standard(hashed(_octave_keys(keys, k)[:, None], nodes[None, :])) * amplitudes[k]
    return values[:, :count]


def octave_noise_at(keys: Keys, positions: Ints, amplitudes: Sequence[float]) -> Floats:
    """Return the same noise as :func:`octave_noise`, for one own position per key; shape (len(keys),)."""
    left = np.zeros(len(keys))
    right = np.zeros(len(keys))
    top = len(amplitudes) - 1
    for k in range(top, -1, -1):
        node = positions >> k
        if k < top:
            middle = (left + right) * 0.5
            odd = (node & 1).astype(bool)
            left, right = np.where(odd, middle, left), np.where(odd, right, middle)
        if amplitudes[k]:
            streams = _octave_keys(keys, k)
            left = left + standard(hashed(streams, node)) * amplitudes[k]
            right = right + standard(hashed(streams, node + 1)) * amplitudes[k]
    return left


def _halved(values: Floats, coarse_start: int, start: int, stop: int) -> Floats:
    """Return nodes ``start`` to ``stop`` (exclusive) of the lattice with half the spacing of ``values``."""
    fine = np.empty((values.shape[0], 2 * values.shape[1] - 1))
    fine[:, ::2] = values
    fine[:, 1::2] = (values[:, :-1] + values[:, 1:]) * 0.5
    return fine[:, start - 2 * coarse_start : stop - 2 * coarse_start]


def van_der_corput(ranks: Ints) -> Floats:
    """Return the base-2 radical inverse of each rank: phases in [0, 1) that stay evenly spread for any number of ranks."""
    result = np.zeros(len(ranks))
    rest = ranks.copy()
    weight = 0.5
    while np.any(rest):
        result += weight * (rest & 1)
        rest >>= 1
        weight /= 2
    return result


def _octave_keys(keys: Keys, k: int) -> Keys:
    return hashed(keys, np.full(1, -1 - k, dtype=np.int64))
