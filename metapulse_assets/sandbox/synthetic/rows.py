"""The numbers behind every simulated pool, one row per pool in arrays, so that a whole market is computed at once."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, Keys

# A bar index that no clock reaches: a pool that does not close.
NEVER: Final = 2**40
BAR_SECONDS: Final = 300
BARS_PER_DAY: Final = 288


@dataclass(slots=True)
class Rows:
    """Parameters of pools. Every array has one entry (or one line of knots) per pool; prices are natural logarithms.

    ``opens`` and ``closes`` are bar indices (epoch seconds // 300): trades happen from ``opens`` until before ``closes``.
    """

    noise_key: Keys
    pool_key: Keys
    sigma: Floats  # standard deviation of the 5-minute log return
    log_price: Floats
    noise_offset: Floats
    basis: Floats  # amplitude of the pool's own deviation from its token's price
    anchor: Floats  # time of age zero, epoch seconds
    cycle: Floats  # seconds after which the age starts again, inf for a life that is lived once
    knots: Floats
    price_curve: Floats
    volume_curve: Floats
    liquidity_curve: Floats
    log_volume: Floats  # of USD traded in 5 minutes
    log_liquidity: Floats  # of USD, NaN where the vendor has no figure
    activity: Floats  # share of bars with a trade
    opens: Ints
    closes: Ints
    first_log_price: Floats
    last_log_price: Floats
    trade_size: Floats  # USD
    supply: Floats
    circulating: Floats  # share of the supply
    buys_only: npt.NDArray[np.bool_]
    quote: Ints  # index of the native token that is the quote, -1 for one US dollar
    native: Ints  # index of the chain's native token
    visible_from: Floats  # epoch seconds

    def __len__(self) -> int:
        return len(self.noise_key)

    def take(self, which: Ints) -> "Rows":
        """Return the rows at these places."""
        return Rows(**{name: getattr(self, name)[which] for name in _names()})

    def put(self, which: Ints, rows: "Rows") -> None:
        """Replace the rows at these places."""
        for name in _names():
            getattr(self, name)[which] = getattr(rows, name)


def _names() -> Iterator[str]:
    return (item.name for item in fields(Rows))
