"""The day's money for language models: what is spent, what is set aside for calls under way, and whether one more may go."""

from dataclasses import dataclass


@dataclass
class Budget:
    """USD of one UTC day. `set_aside` is for calls under way, at their worst case."""

    limit: float
    spent: float
    set_aside: float = 0.0

    def take(self, worst: float) -> bool:
        """Set aside what a call can cost at most; False, and nothing, if the day's money may not suffice for it.

        With nothing left not even a call of unknown price goes: a limit of 0 switches the calls off.
        """
        taken = self.spent + self.set_aside
        if taken >= self.limit or taken + worst > self.limit:
            return False
        self.set_aside += worst
        return True

    def settle(self, worst: float, cost: float) -> None:
        """Put what a call did cost in the place of what was set aside for it."""
        self.set_aside = max(self.set_aside - worst, 0.0)
        self.spent += cost

    @property
    def refusal(self) -> str:
        """Why a call may not go."""
        return f"budget spent: {self.spent:.4f} of {self.limit:g} USD a day, and the call could cost more than is left"
