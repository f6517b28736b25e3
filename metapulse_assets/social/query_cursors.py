"""How far a standing question has been read, as plain data: what to ask next, and what each page changes.

Reading goes from the newest post down. Where it stops early, what lies between is a gap, which is read later by the ids at its
ends: so no post is lost, and none is paid for twice. Nothing here asks X or the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from metapulse_assets.vendors.x import Span, earliest_searchable
from metapulse_assets.vendors.x_posts import first_id_at, moment_of_id

# How far back a question is read that was never asked before (own choice: what the metrics of a day look at).
FIRST_LOOK = timedelta(hours=24)
# More gaps than this are joined, at the price of reading what lies between them again (own choice).
MOST_GAPS = 50


@dataclass(frozen=True)
class Gap:
    """Posts with ids above `above` and below `below` that are not stored."""

    above: str
    below: str


@dataclass(frozen=True)
class Cursor:
    """One standing question. `members` are token ids, or the id of the account; `gaps` are newest first."""

    key: str
    query: str
    members: tuple[str, ...]
    newest_id: str | None = None
    gaps: tuple[Gap, ...] = ()
    checked_at: datetime | None = None

    @property
    def since_id(self) -> str | None:
        """The id up to which every post is stored; None if that was never so."""
        return min((gap.above for gap in self.gaps), key=int, default=self.newest_id)


@dataclass
class Descent:
    """Reading down from the newest post, or within a gap; `cursor` is what is true once the pages so far are stored."""

    cursor: Cursor
    gap: Gap
    fresh: bool
    next_token: str | None = None
    done: bool = field(default=False)

    def span(self, now: datetime, from_start: bool = False) -> Span:
        """What to ask for next; `from_start`: without an id to begin at, which X may have refused as too old."""
        start = earliest_searchable(now)
        # An id older than the searchable days is refused by X: what there still is begins with those.
        too_old = from_start or moment_of_id(self.gap.above) < start
        return Span(
            since_id=None if too_old else self.gap.above,
            until_id=None if self.fresh else self.gap.below,
            start_time=start if too_old else None,
            next_token=self.next_token,
        )

    def take(self, newest_id: str | None, oldest_id: str | None, next_token: str | None, now: datetime) -> None:
        """Note a page that was stored."""
        others = tuple(gap for gap in self.cursor.gaps if gap != self.gap)
        at_the_end = oldest_id is not None and int(oldest_id) <= int(self.gap.above)
        if oldest_id is not None and not at_the_end:
            self.gap = Gap(self.gap.above, oldest_id)
        self.done = next_token is None or at_the_end or (not self.fresh and oldest_id is None)
        # Within a gap the next page is asked for by the id at its end, which is as good tomorrow as now.
        self.next_token = next_token if self.fresh else None
        open_gap = () if self.done or not self.gap.below else (self.gap,)
        self.cursor = replace(
            self.cursor,
            newest_id=_larger(self.cursor.newest_id, newest_id),
            gaps=joined(sorted((*open_gap, *others), key=lambda gap: -int(gap.above))),
            checked_at=now if self.fresh else self.cursor.checked_at,
        )


def fresh_descent(cursor: Cursor, now: datetime) -> Descent:
    """Everything that is newer than the newest post stored; of the last day where none is."""
    above = cursor.newest_id or first_id_at(now - FIRST_LOOK)
    return Descent(cursor, Gap(above, ""), fresh=True)


def gap_descents(cursor: Cursor, now: datetime) -> list[Descent]:
    """The gaps that can still be read, newest first."""
    start = earliest_searchable(now)
    return [Descent(cursor, gap, fresh=False) for gap in cursor.gaps if moment_of_id(gap.below) > start]


def without_lost_gaps(cursor: Cursor, now: datetime) -> Cursor:
    """The cursor without gaps that X no longer searches: what was in them cannot be read any more."""
    start = earliest_searchable(now)
    return replace(cursor, gaps=tuple(gap for gap in cursor.gaps if moment_of_id(gap.below) > start))


def joined(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    """At most `MOST_GAPS`: the oldest are made one."""
    if len(gaps) <= MOST_GAPS:
        return tuple(gaps)
    kept, rest = gaps[: MOST_GAPS - 1], gaps[MOST_GAPS - 1 :]
    return (*kept, Gap(rest[-1].above, rest[0].below))


def _larger(one: str | None, other: str | None) -> str | None:
    return max((post_id for post_id in (one, other) if post_id is not None), key=int, default=None)
