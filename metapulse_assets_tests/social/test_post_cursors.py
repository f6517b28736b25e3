"""Cursors: whenever reading stops, and whatever is posted meanwhile, no post is lost and none is read twice."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.social.post_checks import cursor_faults
from metapulse_assets.social.query_cursors import (
    FIRST_LOOK,
    MOST_GAPS,
    Cursor,
    Descent,
    Gap,
    fresh_descent,
    gap_descents,
    joined,
    without_lost_gaps,
)
from metapulse_assets.vendors.x import SEARCHABLE, Span
from metapulse_assets.vendors.x_posts import first_id_at

START = datetime(2026, 3, 4, 12, tzinfo=UTC)


@dataclass
class Platform:
    """Posts by id, and X's manner of showing them."""

    ids: list[int]

    def page(self, span: Span, most: int) -> tuple[list[str], str | None]:
        low = int(span.since_id) if span.since_id else -1
        if span.start_time is not None:
            low = max(low, int(first_id_at(span.start_time)) - 1)
        high = int(span.until_id) if span.until_id else 1 << 63
        if span.next_token:
            high = min(high, int(span.next_token))
        found = sorted((i for i in self.ids if low < i < high), reverse=True)
        return [str(i) for i in found[:most]], str(found[most - 1]) if len(found) > most else None


def read(descent: Descent, platform: Platform, pages: int, most: int, now: datetime, seen: list[str]) -> Cursor:
    while pages and not descent.done:
        pages -= 1
        ids, token = platform.page(descent.span(now), most)
        seen += ids
        descent.take(ids[0] if ids else None, ids[-1] if ids else None, token, now)
    return descent.cursor


def one_pass(cursor: Cursor, platform: Platform, pages: int, most: int, now: datetime, seen: list[str]) -> Cursor:
    cursor = read(fresh_descent(cursor, now), platform, pages, most, now, seen)
    for descent in gap_descents(cursor, now):
        cursor = read(replace(descent, cursor=cursor), platform, pages, most, now, seen)
    assert cursor_faults(cursor) == []
    return cursor


passes = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(1, 6), st.integers(1, 120)), min_size=1, max_size=12
)


@settings(max_examples=150)
@given(steps=passes, luck=st.randoms(use_true_random=False))
def test_nothing_is_lost_and_nothing_is_read_twice(steps: list[tuple[int, int, int, int]], luck: object) -> None:
    platform, cursor, seen, now = Platform([]), Cursor("q", "", ()), list[str](), START
    first_asked = None
    for new_posts, pages, most, minutes in steps:
        later = now + timedelta(minutes=minutes)
        low, high = int(first_id_at(now)), int(first_id_at(later))
        platform.ids += list({luck.randrange(low, high) for _ in range(new_posts)})  # type: ignore[attr-defined]
        now = later
        if pages and first_asked is None:
            first_asked = int(first_id_at(now - FIRST_LOOK))
        cursor = one_pass(cursor, platform, pages, most, now, seen)
    cursor = one_pass(cursor, platform, 1000, 5, now, seen)
    assert cursor.gaps == ()
    expected = [str(i) for i in platform.ids if i > (first_asked or int(first_id_at(now - FIRST_LOOK)))]
    assert sorted(seen) == sorted(expected)
    if expected:
        assert cursor.since_id == cursor.newest_id == max(expected, key=int)


def test_the_next_since_id_waits_until_everything_below_is_stored() -> None:
    base = int(first_id_at(START))
    platform = Platform([base + n for n in range(1, 11)])
    cursor = Cursor("q", "", (), newest_id=str(base))
    descent = fresh_descent(cursor, START)
    stopped = read(descent, platform, 2, 3, START, [])
    assert stopped.newest_id == str(base + 10)
    assert stopped.since_id == str(base)
    assert stopped.gaps == (Gap(str(base), str(base + 5)),)
    (gap,) = gap_descents(stopped, START)
    assert gap.span(START) == Span(since_id=str(base), until_id=str(base + 5))
    assert read(gap, platform, 9, 3, START, []).since_id == str(base + 10)


def test_an_id_older_than_the_searchable_days_is_not_asked_from() -> None:
    old = first_id_at(START - SEARCHABLE - timedelta(days=3))
    span = fresh_descent(Cursor("q", "", (), newest_id=old), START).span(START)
    assert span.since_id is None
    assert span.start_time is not None
    assert START - SEARCHABLE < span.start_time < START - SEARCHABLE + timedelta(minutes=10)
    lately = first_id_at(START - timedelta(days=1))
    descent = fresh_descent(Cursor("q", "", (), newest_id=lately), START)
    assert descent.span(START) == Span(since_id=lately)
    assert descent.span(START, from_start=True).since_id is None


def test_gaps_that_x_no_longer_searches_are_given_up() -> None:
    days = [first_id_at(START - timedelta(days=day)) for day in (1, 3, 9, 12)]
    cursor = Cursor("q", "", (), newest_id=days[0], gaps=(Gap(days[1], days[0]), Gap(days[3], days[2])))
    kept = without_lost_gaps(cursor, START)
    assert kept.gaps == (Gap(days[1], days[0]),)
    assert [descent.gap for descent in gap_descents(cursor, START)] == [Gap(days[1], days[0])]


def test_too_many_gaps_are_joined_and_cover_the_same() -> None:
    gaps = [Gap(str(1000 - 10 * n), str(1005 - 10 * n)) for n in range(MOST_GAPS + 20)]
    few = joined(gaps)
    assert len(few) == MOST_GAPS
    assert few[0] == gaps[0]
    assert (few[-1].above, few[-1].below) == (gaps[-1].above, gaps[MOST_GAPS - 1].below)


def test_a_page_that_says_there_is_more_but_shows_nothing_ends_no_reading_of_new_posts() -> None:
    descent = fresh_descent(Cursor("q", "", (), newest_id="5"), START)
    descent.take(None, None, "more", START)
    assert not descent.done
    assert descent.cursor.newest_id == "5"
    gap = Descent(Cursor("q", "", (), "9", (Gap("5", "8"),)), Gap("5", "8"), fresh=False)
    gap.take(None, None, "more", START)
    assert gap.done


def test_a_page_that_goes_on_below_the_bound_ends_the_reading() -> None:
    descent = fresh_descent(Cursor("q", "", (), newest_id="50"), START)
    descent.take("70", "40", "more", START)
    assert descent.done
    assert (descent.cursor.newest_id, descent.cursor.gaps) == ("70", ())


def test_faults_of_a_cursor_are_found() -> None:
    assert cursor_faults(Cursor("q", "", (), "9", (Gap("5", "8"),))) == []
    assert cursor_faults(Cursor("q", "", (), "9", (Gap("8", "5"),))) == ["a gap ends before it begins"]
    assert cursor_faults(Cursor("q", "", (), "9", (Gap("2", "6"), Gap("4", "8")))) == ["gaps overlap or are out of order"]
    assert cursor_faults(Cursor("q", "", (), "7", (Gap("5", "8"),))) == ["a gap lies above the newest post"]
