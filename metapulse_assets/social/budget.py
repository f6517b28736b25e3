"""What reading posts may cost: how much of the day's money may be spent by now, and what a question costs at most.

The prices are X's (`vendors/x`); what was spent is in `collection_passes`, what was paid for already in `billed_reads`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from metapulse_assets.platform.day_partitions import day_start, utc_day
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets.vendors.x import FEWEST_RESULTS, MOST_RESULTS, USD_PER_AUTHOR, USD_PER_COUNT, USD_PER_POST

# Share of the day's money that may go at once; the rest is spread evenly, so that the evening is read like the morning.
# Own choice.
HEAD_START = 0.1
# Each post may bring an author that was not paid for yet.
USD_PER_POST_AT_MOST = USD_PER_POST + USD_PER_AUTHOR
# Nobody is paid in the sandbox. Unless a budget is set, it allows for all that the stand-in shows (own choice).
SANDBOX_USD_PER_DAY = 100.0
_ONE_DAY = timedelta(days=1)
_ROUNDING = 1e-9


def usd_per_day(settings: Settings) -> float:
    """What reading posts may cost on a UTC day, USD."""
    if settings.mode is Mode.SANDBOX and "x_budget_usd_per_day" not in settings.model_fields_set:
        return SANDBOX_USD_PER_DAY
    return settings.x_budget_usd_per_day


@dataclass
class Budget:
    """The money of one UTC day, as it goes down."""

    usd_per_day: float
    spent_usd: float

    def left_usd(self) -> float:
        """Of the whole day's."""
        return max(self.usd_per_day - self.spent_usd, 0.0)

    def room_usd(self, now: datetime) -> float:
        """What may be spent now: the share of the day that is over and the head start, less what was spent."""
        return max(self.usd_per_day * self._share(now) - self.spent_usd, 0.0)

    def posts(self, now: datetime, wanted: int) -> int:
        """How many posts to ask for in one question, 0 if not even the fewest that X takes can be paid."""
        affordable = int(self.room_usd(now) / USD_PER_POST_AT_MOST + _ROUNDING)
        return 0 if affordable < FEWEST_RESULTS else max(min(affordable, wanted, MOST_RESULTS), FEWEST_RESULTS)

    def allows(self, now: datetime, usd: float) -> bool:
        """Whether this much may be spent now."""
        return self.room_usd(now) + _ROUNDING >= usd

    def is_spent(self) -> bool:
        """Whether the day's money is gone, but for less than the cheapest question for posts."""
        return self.left_usd() + _ROUNDING < FEWEST_RESULTS * USD_PER_POST_AT_MOST

    def affordable_at(self, now: datetime, usd: float) -> datetime | None:
        """When this much may be spent, None if not on this day."""
        if self.left_usd() + _ROUNDING < usd:
            return None
        share = ((self.spent_usd + usd) / self.usd_per_day - HEAD_START) / (1 - HEAD_START)
        return max(now, day_start(utc_day(now)) + max(share, 0.0) * _ONE_DAY)

    def _share(self, now: datetime) -> float:
        return HEAD_START + (1 - HEAD_START) * ((now - day_start(utc_day(now))) / _ONE_DAY)


def cost_usd(posts: int = 0, authors: int = 0, counts: int = 0) -> float:
    """What X charges for this many things that were not paid for on this day."""
    return posts * USD_PER_POST + authors * USD_PER_AUTHOR + counts * USD_PER_COUNT
