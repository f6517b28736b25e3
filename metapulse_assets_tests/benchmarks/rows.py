"""What a benchmark is made of: rows, the goals they are held against, and parts that measure them. No I/O."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Rows = Mapping[str, "Row"]


@dataclass(frozen=True)
class Row:
    """One figure: the median of `n` runs. `ratio` is against the peer, in the direction that its target names."""

    name: str
    value: float
    unit: str
    n: int
    peer: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Goal:
    """A bound that the value, or the ratio to the peer, is to keep."""

    sign: Literal["≤", "≥", "<", ">"]
    bound: float
    of: Literal["value", "ratio"] = "value"

    def met(self, row: Row) -> bool | None:
        """Whether a row keeps it; None if the row lacks what it is about."""
        figure = row.value if self.of == "value" else row.ratio
        if figure is None:
            return None
        return {
            "≤": figure <= self.bound,
            "≥": figure >= self.bound,
            "<": figure < self.bound,
            ">": figure > self.bound,
        }[self.sign]

    def text(self, unit: str) -> str:
        """The goal in words."""
        return f"{self.sign} {self.bound:,g} {unit}".strip() if self.of == "value" else f"ratio {self.sign} {self.bound:,g}"


@dataclass(frozen=True)
class Target:
    """What is known of a row before it is measured.

    `holds`: what the figure is. `peer`: what it is compared with. `split`: names of the rows that it is made of, where a
    name that ends in a full stop stands for all rows that begin so.
    """

    holds: str
    goal: Goal | None = None
    peer: str = ""
    split: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """What a part is told: which rows are wanted, whether a small version will do, and where to say what is going on."""

    only: str = ""
    quick: bool = False
    say: Callable[[str], None] = field(default=lambda text: None)

    def wants(self, prefix: str) -> bool:
        """Whether any row that begins so is asked for."""
        return prefix.startswith(self.only) or self.only.startswith(prefix)


@dataclass(frozen=True)
class Part:
    """A group of rows whose names begin with `name`, measured together. `method` says how, in Markdown."""

    name: str
    method: str
    targets: Mapping[str, Target]
    measure: Callable[[Bench], Iterator[Row]]
