"""How sure a number can be that is made of outcomes which are not independent: blocks of time, what they are worth, draws.

Signals of one token whose spans overlap share its price, those of one hour share the market. So whole blocks of time, all
tokens together, are what is counted as independent. Belongs here: blocks and intervals. Does not: the numbers themselves.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metapulse_assets.outcomes.rows import MINUTE, FloatArray, IntArray

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))
Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
DAY, HOUR = 24 * 60 * MINUTE, 60 * MINUTE
SPANS_A_BLOCK = 2
"""A block is at least so many horizons long, so that most spans which overlap lie within one. Own choice: of simulated 95 %
intervals of hourly to weekly horizons over 30 days, 87 to 95 % held the truth, against 22 to 90 % without blocks."""
FEWEST_DAYS = 10
"""With fewer blocks of a day, blocks may be as short as an hour. Own choice."""
FEWEST_BLOCKS = 5
"""Below this a bootstrap says nothing: its draws repeat each other. Own choice."""
BOOTSTRAP_DRAWS = 500


def block_of(entry_at: IntArray, span: int) -> npt.NDArray[np.intp]:
    """The block of each outcome, numbered from 0: UTC days, or SPANS_A_BLOCK horizons if that is longer.

    Where that gives fewer than FEWEST_DAYS blocks: as short as the horizon lets them be, and no shorter than an hour.
    """
    longer = SPANS_A_BLOCK * span
    days = np.unique(entry_at // max(DAY, longer), return_inverse=True)
    if days[0].size >= FEWEST_DAYS:
        return days[1]
    return np.unique(entry_at // max(HOUR, longer), return_inverse=True)[1]


def effective_size(values: FloatArray, block: npt.NDArray[np.intp]) -> float:
    """As many independent outcomes as these 0s and 1s are worth, at least 1 and at most all of them.

    n over the design effect (Kish 1965), which is the variance of the mean of blocks (linearised, Cochran 1977) over that of
    independent outcomes, then reduced for few blocks by (z / t)² with blocks - 1 degrees of freedom (Korn and Graubard
    1998). Where all values are equal, each block counts as one; one block alone is worth one outcome.
    """
    n, share = values.size, float(values.mean())
    blocks = np.unique(block).size
    if blocks < 2:
        return 1.0
    if share in (0.0, 1.0):
        size = float(blocks)
    else:
        rest = np.bincount(block, values - share)
        of_blocks = blocks / (blocks - 1) * float(rest @ rest) / n**2
        size = n * min(1.0, share * (1 - share) / n / of_blocks) if of_blocks > 0 else float(n)
    return min(max(size * (Z_95 / student_95(blocks - 1)) ** 2, 1.0), float(n))


def student_95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else Abramowitz and Stegun 26.7.5."""
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return math.sqrt(2 * 0.95**2 / (1 - 0.95**2))
    z = Z_95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * freedom**4)
    )


def wilson_interval(share: float, n: float, z: float = Z_95) -> Interval:
    """Interval of a share of `n` > 0 independent outcomes (Wilson 1927): where a normal test would not reject the share.

    `n` need not be whole: with the effective size it is the interval that Korn and Graubard give to surveys.
    """
    weight = z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # At no hits and at all hits an end is 0 or 1 exactly; rounding must not carry it past the share.
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


@dataclass(frozen=True)
class BlockDraws:
    """Bootstrap over blocks (Künsch 1989, without overlap): how often each draw has each block; shape (draws, blocks)."""

    block: npt.NDArray[np.intp]
    times: FloatArray

    @classmethod
    def of(cls, block: npt.NDArray[np.intp], random: np.random.Generator) -> "BlockDraws":
        """Draws for all outcomes of a horizon: every source of it is seen with the same ones."""
        blocks = int(block.max()) + 1
        return cls(block, random.multinomial(blocks, np.full(blocks, 1 / blocks), BOOTSTRAP_DRAWS).astype(np.float64))

    def sums(self, parts: list[FloatArray], rows: npt.NDArray[np.intp]) -> FloatArray | None:
        """The sum of each part, given at `rows` of the outcomes, in each draw: (draws, parts); None: below FEWEST_BLOCKS."""
        block = self.block[rows]
        if np.unique(block).size < FEWEST_BLOCKS:
            return None
        by_block = np.stack([np.bincount(block, part, self.times.shape[1]) for part in parts], axis=1)
        return np.asarray(self.times @ by_block, np.float64)


def middle_95(drawn: FloatArray) -> Interval:
    """Between the 2.5 % and the 97.5 % quantile of those that are numbers."""
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return NO_INTERVAL
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    return low, high


def correlation(x: FloatArray, y: FloatArray, draws: BlockDraws, rows: npt.NDArray[np.intp]) -> tuple[float, Interval]:
    """Pearson's correlation of values at `rows` of the outcomes, and its 95 % interval; NaN where it is not defined.

    On ranks it is Spearman's; the ranks are then not taken anew in each draw.
    """
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan"), NO_INTERVAL
    # Centred and scaled, so that the sums below lose no digits.
    u, v = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    parts = [np.ones(x.size), u, v, u * u, v * v, u * v]
    value = float(_correlations(np.array([[part.sum() for part in parts]]))[0])
    sums = draws.sums(parts, rows)
    return value, NO_INTERVAL if sums is None else middle_95(_correlations(sums))


def _correlations(sums: FloatArray) -> FloatArray:
    """Correlation of each row of sums: n, Σu, Σv, Σu², Σv², Σuv; NaN where one does not vary."""
    n, u, v, uu, vv, uv = sums.T
    spread = (n * uu - u * u) * (n * vv - v * v)
    defined = spread > 1e-12 * np.maximum(n, 1.0) ** 4
    return np.where(defined, np.clip((n * uv - u * v) / np.sqrt(np.where(defined, spread, 1.0)), -1, 1), np.nan)
