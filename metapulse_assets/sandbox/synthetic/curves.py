"""Life stories as piecewise linear curves over age: how a rise, a crash, a launch or a rug bends price, volume and liquidity.

A story is deterministic in the age of its token; the randomness on top of it is in ``noise``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from metapulse_assets.sandbox.synthetic.noise import Floats, Keys, draw

KNOTS: Final = 7
HOUR: Final = 3600.0
DAY: Final = 86400.0
BAR: Final = 300.0
# ln(1/100): a rug takes 99 % of the price.
_RUG_LOG_FALL: Final = -4.605


@dataclass(frozen=True, slots=True)
class Curves:
    """Knots of one curve per row; every array has the shape (rows, KNOTS).

    ``age`` is in seconds and increases along a row; ``price``, ``volume`` and ``liquidity`` are added to logarithms.
    """

    age: Floats
    price: Floats
    volume: Floats
    liquidity: Floats


def evaluate(age: Floats, knots: Floats, values: Floats) -> Floats:
    """Return the curve at each age: ``age`` is (rows, times), ``knots`` and ``values`` are (rows, KNOTS)."""
    steps = np.diff(values, axis=1)
    widths = np.diff(knots, axis=1)
    result = np.repeat(values[:, :1], age.shape[1], axis=1)
    for k in range(KNOTS - 1):
        if not np.any(steps[:, k]):
            continue
        result += np.clip((age - knots[:, k : k + 1]) / widths[:, k : k + 1], 0.0, 1.0) * steps[:, k : k + 1]
    return result


def flat(rows: int) -> Curves:
    """Return curves that change nothing."""
    return _curves(rows, [(0.0, 0.0, 0.0, 0.0)])


def trend(rows: int, cycle: Floats, log_height: float) -> Curves:
    """Return a trend that lasts three quarters of the cycle and is given back in the last quarter."""
    return _curves(rows, [(0.0, 0.0, 0.0, 0.0), (cycle * 0.75, log_height, 0.4, 0.0), (cycle, 0.0, 0.0, 0.0)])


def shock(rows: int, cycle: Floats, seconds: float, log_height: float, log_volume: float) -> Curves:
    """Return a sudden move in the middle of the cycle, with a burst of volume, that wears off until its end."""
    return _curves(
        rows,
        [
            (0.0, 0.0, 0.0, 0.0),
            (cycle * 0.5, 0.0, 0.0, 0.0),
            (cycle * 0.5 + seconds, log_height, log_volume, 0.0),
            (cycle * 0.8, log_height * 0.4, 0.3, 0.0),
            (cycle, 0.0, 0.0, 0.0),
        ],
    )


def launch(keys: Keys, curve_seconds: Floats, migrates: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Curves:
    """Return the life of a launch: its bonding curve, a peak after the migration, then the slow loss of interest.

    A launch that never migrates fades on its curve within half a day and is hardly traded from then on.
    """
    peak = curve_seconds + (2 + 8 * draw(keys, "launch peak hours")) * HOUR
    gain = 0.7 + 1.1 * draw(keys, "launch gain")
    # A pump.fun curve multiplies its first price by about 14 until it is complete (30 to 115 SOL of virtual reserves).
    complete = 2.64
    lived = _curves(
        len(keys),
        [
            (0.0, 0.0, 0.5, 0.0),
            (curve_seconds, complete, 1.0, 0.0),
            (peak, complete + gain, 0.8, 0.4),
            (peak + 12 * HOUR, complete + gain - 1.0, -0.6, 0.2),
            (peak + 36 * HOUR, complete - 0.6, -1.6, 0.0),
            (peak + 72 * HOUR, complete - 1.0, -2.6, -0.2),
        ],
    )
    faded = _curves(
        len(keys),
        [
            (0.0, 0.0, 0.3, 0.0),
            (0.5 * HOUR, 0.9, 0.5, 0.0),
            (3 * HOUR, 0.3, -2.0, 0.0),
            (12 * HOUR, 0.05, -3.5, 0.0),
        ],
    )
    chosen = migrates[:, None]
    return Curves(
        age=np.where(chosen, lived.age, faded.age),
        price=np.where(chosen, lived.price, faded.price),
        volume=np.where(chosen, lived.volume, faded.volume),
        liquidity=np.where(chosen, lived.liquidity, faded.liquidity),
    )


def rug(rows: int, rug_age: Floats, log_liquidity_fall: Floats) -> Curves:
    """Return a rise that ends within one bar: the price loses 99 %, the liquidity nearly all."""
    return _curves(
        rows,
        [
            (0.0, 0.0, 0.5, 0.0),
            (rug_age * 0.4, 1.8, 1.0, 0.3),
            (rug_age, 2.4, 0.6, 0.3),
            (rug_age + BAR, 2.4 + _RUG_LOG_FALL, 1.5, log_liquidity_fall),
        ],
    )


def decline(rows: int, seconds: Floats) -> Curves:
    """Return a pool that loses price and volume until its last trade."""
    return _curves(rows, [(0.0, 0.0, 0.0, 0.0), (seconds * 0.3, 0.5, 0.5, 0.0), (seconds, -2.0, -2.5, -1.0)])


def _curves(rows: int, points: list[tuple[float | Floats, float | Floats, float | Floats, float | Floats]]) -> Curves:
    columns = [np.stack([np.broadcast_to(np.asarray(p[i], dtype=float), (rows,)) for p in points], 1) for i in range(4)]
    missing = KNOTS - len(points)
    tail = columns[0][:, -1:] + DAY * np.arange(1, missing + 1)[None, :]
    age = np.concatenate([columns[0], tail], axis=1)
    price, volume, liquidity = (np.concatenate([c, np.repeat(c[:, -1:], missing, axis=1)], axis=1) for c in columns[1:])
    return Curves(age, price, volume, liquidity)
