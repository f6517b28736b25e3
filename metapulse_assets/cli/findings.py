"""What the doctor's checks find: one line each, with the cure where something is wrong."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "wrong", "note"]


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    state: State
    finding: str
    cure: str = ""
