"""Fault switches: their names, the seeded decision when one strikes, and what it does to a list of items.

What a fault does to one vendor's item is that vendor's business; what it does on the wire is ``gate``'s.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np

from metapulse_assets.sandbox.synthetic.noise import hashed, stream, uniform

# Drawn once per request, in this order; the first that strikes is applied.
REQUEST_FAULTS: Final = {
    "rate-limit": "429 with an HTML page and no Retry-After, as a proxy in front of the vendor answers",
    "rate-limit-retry-after": "429 with the vendor's own body and Retry-After: 1",
    "server-error": "500",
    "slow": "the right answer, but only after slow-seconds",
    "cut": "Content-Length of the whole body, half of it sent, then the connection is closed",
    "cut-json": "a complete HTTP answer whose JSON ends in the middle",
    "html": "200 with an HTML page where JSON is expected",
    "empty": "200 with the vendor's empty answer",
    "pairs-null": "200 with null in place of the list",
    "duplicate": "every item twice",
    "out-of-order": "the items in another order",
}
# Drawn for every item of every answer; all that strike are applied.
ITEM_FAULTS: Final = {
    "string-numbers": "numbers as strings",
    "bad-price": 'a price of "n/a"',
    "absurd-change": "a price change of 5e9 percent in 24 hours",
    "missing-liquidity": "no liquidity",
    "long-name": "a name of 10,000 characters",
    "unknown-chain": 'a chain called "atlantis"',
    "negative-volume": "negative volumes",
    "missing-price": "no price",
}
Item = TypeVar("Item")

LONG_NAME: Final = "Looong" * 1666 + "Name"
UNKNOWN_CHAIN: Final = "atlantis"
ABSURD_CHANGE: Final = 5e9
BAD_PRICE: Final = "n/a"


def check_faults(rates: Mapping[str, float]) -> dict[str, float]:
    """Return the rates. Raises ValueError for an unknown name or for a rate that is not a number from 0 to 1."""
    for name, rate in rates.items():
        if name not in REQUEST_FAULTS and name not in ITEM_FAULTS:
            known = ", ".join([*REQUEST_FAULTS, *ITEM_FAULTS])
            raise ValueError(f"fault: {name!r} is unknown; known are {known}")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ValueError(f"fault: the rate {rate!r} of {name} is not a number from 0 to 1")
    return {name: float(rate) for name, rate in rates.items()}


def parse_fault(text: str) -> tuple[str, float]:
    """Return (name, rate) of ``NAME=RATE``. Raises ValueError naming what is wrong with it."""
    name, separator, number = text.partition("=")
    try:
        rate = float(number)
    except ValueError:
        rate = -1.0
    if not separator or not 0 <= rate <= 1:
        raise ValueError(f"fault: {text!r} is not NAME=RATE with a rate from 0 to 1, such as slow=0.1")
    check_faults({name: rate})
    return name, rate


class FaultSwitches:
    """The rates that are set, and a seeded sequence of decisions that starts again whenever they are set."""

    def __init__(self, seed: int, rates: Mapping[str, float]) -> None:
        """Raise ValueError as :func:`check_faults` does."""
        self._key = stream(np.full(1, seed % 2**64, dtype=np.uint64), "faults")
        self.set(rates)

    def set(self, rates: Mapping[str, float]) -> None:
        """Replace every rate; raises ValueError as :func:`check_faults` does, and then changes nothing."""
        self.rates = check_faults(rates)
        self._drawn = 0

    def draw_request(self) -> str | None:
        """Return the fault that strikes this request, or None."""
        return next((name for name in REQUEST_FAULTS if self._strikes(name)), None)

    def draw_item(self) -> list[str]:
        """Return the faults that strike one item."""
        return [name for name in ITEM_FAULTS if self._strikes(name)]

    def any_item_fault(self) -> bool:
        """Return whether any fault of items is switched on."""
        return any(self.rates.get(name) for name in ITEM_FAULTS)

    def shuffled(self, items: list[Item]) -> list[Item]:
        """Return the items in another order (the same order only if there is just one item)."""
        order = np.argsort([self._luck() for _ in items], kind="stable")
        if np.array_equal(order, np.arange(len(items))):
            order = np.roll(order, 1)
        return [items[place] for place in order]

    def _strikes(self, name: str) -> bool:
        rate = self.rates.get(name, 0.0)
        return rate > 0 and self._luck() < rate

    def _luck(self) -> float:
        self._drawn += 1
        return float(uniform(hashed(self._key, np.full(1, self._drawn, dtype=np.int64)))[0])
