"""The figures out of voices: one vote an author, what is unusual, and null where nothing is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.bulk import NO_INT
from metapulse_assets.social import social_figures as figures
from metapulse_assets.social.moment_figures import Collected, Reception, token_rows, topic_rows
from metapulse_assets.social.voices import HOUR, Voices, counted_authors, counted_posts, mean_sentiment

AT = 500 * HOUR
NOBODY_READ = Reception(*(np.zeros(0, np.int64) for _ in range(4)))
ALL_HOURS = Collected(AT - np.arange(200) * HOUR, AT - np.arange(200) * HOUR, np.zeros(0, np.int64))
# Subject, author, age in microseconds, text, score, automated, scam.
Row = tuple[int, int, int, int, float, bool, bool]


def voices(rows: list[Row], delay: int = 0) -> Voices:
    """Posts about subjects."""
    count = len(rows)
    columns: list[tuple[float, ...]] = list(zip(*rows, strict=True)) if rows else [()] * 7
    observed = AT - np.array(columns[2], np.int64)
    return Voices.sorted_from(
        subject=np.array(columns[0], np.int64),
        author=np.array(columns[1], np.int64),
        observed=observed,
        post=np.arange(count, dtype=np.int64),
        meaning=np.array(columns[0], np.int64),
        available=observed + delay,
        text=np.array(columns[3], np.int64),
        score=np.array(columns[4], np.float64),
        automated=np.array(columns[5], np.bool_),
        scam=np.array(columns[6], np.bool_),
        tagged=np.zeros(count, np.bool_),
    )


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 4),
        st.integers(0, 30 * HOUR),
        st.integers(0, 5),
        st.sampled_from([-0.9, -0.2, 0.0, 0.4, 0.8]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)


@given(ROWS)
def test_parts_never_exceed_the_whole(rows: list[Row]) -> None:
    found = token_rows(voices(rows), np.arange(3), NOBODY_READ, ALL_HOURS, AT)
    assert (found["unique_posts_1h"] <= found["authors_1h"]).all()
    assert (found["authors_1h"] <= found["mentions_1h"]).all()
    assert (found["authors_1h"] <= found["authors_24h"]).all()
    assert np.nansum(found["dominance"]) <= 1 + 1e-9
    assert (np.abs(found["sentiment"][np.isfinite(found["sentiment"])]) <= 1).all()
    assert (found["mentions_24h"] > 0).all()
    assert (np.isnan(found["bot_share"]) == (found["authors_1h"] == 0)).all()
    assert (found["followers_1h"] == NO_INT).all()


@given(ROWS, st.integers(1, 30))
def test_one_author_moves_no_figure_by_posting_more(rows: list[Row], times: int) -> None:
    before = [*rows, (0, 9, HOUR // 2, 77, 0.1, False, False)]
    more: list[Row] = [(0, 9, HOUR // 2 + 1 + n, 100 + n, -1.0, False, False) for n in range(times)]
    quiet, loud = (token_rows(voices(r), np.arange(3), NOBODY_READ, ALL_HOURS, AT) for r in (before, [*before, *more]))
    for name, values in quiet.items():
        if name in ("mentions_1h", "mentions_24h"):
            assert (loud[name] - values <= 2).all()
        else:
            np.testing.assert_array_equal(loud[name], values, name)


@given(ROWS)
def test_the_order_in_which_posts_were_read_is_of_no_matter(rows: list[Row]) -> None:
    table = voices(rows)
    shuffled = Voices.sorted_from(**{name: values[::-1] for name, values in vars(table).items()})
    for make in (token_rows, topic_rows):
        first, second = (make(one, np.arange(3), NOBODY_READ, ALL_HOURS, AT) for one in (table, shuffled))
        for name, values in first.items():
            np.testing.assert_array_equal(second[name], values, name)


@given(ROWS, ROWS)
def test_what_became_usable_later_changes_nothing(rows: list[Row], late: list[Row]) -> None:
    early, both = voices(rows), voices([*rows, *late])
    later = both.post >= len(rows)
    both = Voices(**{**vars(both), "available": np.where(later, AT + 1, both.available)})
    for make in (token_rows, topic_rows):
        alone, beside = (make(one, np.arange(3), NOBODY_READ, ALL_HOURS, AT) for one in (early, both))
        for name, values in alone.items():
            np.testing.assert_array_equal(beside[name], values, name)


def test_the_hour_ends_with_the_moment_and_begins_after_the_one_before() -> None:
    rows: list[Row] = [(0, n, age, n, 0.5, False, False) for n, age in enumerate((0, HOUR - 1, HOUR))]
    found = token_rows(voices(rows), np.arange(1), NOBODY_READ, ALL_HOURS, AT)
    assert (found["mentions_1h"][0], found["mentions_24h"][0]) == (2, 3)


def test_copies_bots_and_scams_are_not_heard() -> None:
    rows: list[Row] = [
        *((0, n, n, 5, -0.9, False, False) for n in range(4)),
        *((0, 10, 10, 6, 0.8, False, False), (0, 11, 11, 7, -1.0, True, False), (0, 12, 12, 8, -1.0, False, True)),
    ]
    means, balance = mean_sentiment(voices(rows), 1)
    assert means[0] == pytest.approx((-0.9 + 0.8) / 2)
    assert balance[0] == pytest.approx(-0.9 + 0.8)
    assert (counted_posts(voices(rows), 1)[0], counted_authors(voices(rows), 1)[0]) == (7, 7)
    only_bots = token_rows(voices(rows[5:6]), np.arange(1), NOBODY_READ, ALL_HOURS, AT)
    assert np.isnan(only_bots["sentiment"][0])
    assert only_bots["bot_share"][0] == 1.0


def test_velocity_is_the_log_of_volume_over_its_median() -> None:
    volume = np.full((1, figures.LOOKBACK_HOURS), 4.0)
    volume[0, 0] = 9.0
    found = figures.pace(volume, np.ones(figures.LOOKBACK_HOURS, np.bool_))
    assert found.baseline[0] == 4.0
    assert found.velocity[0] == pytest.approx(np.log(10 / 5))
    # A velocity that never moved is held against the least deviation.
    assert found.velocity_z[0] == pytest.approx(np.log(2) / figures.LEAST_VELOCITY_DEVIATION)


def test_hours_that_were_not_collected_are_unknown_and_not_zero() -> None:
    volume = np.zeros((1, figures.LOOKBACK_HOURS))
    volume[0, :14] = 6.0
    collected = np.arange(figures.LOOKBACK_HOURS) < 14
    found = figures.pace(volume, collected)
    assert found.baseline[0] == 6.0
    assert found.velocity[0] == pytest.approx(0.0)
    assert np.isnan(found.velocity_z[0])
    assert np.isnan(figures.pace(volume, np.arange(figures.LOOKBACK_HOURS) < 10).baseline[0])


def test_a_pass_shows_that_silence_was_silence() -> None:
    nothing = np.zeros(0, np.int64)
    hours = figures.collected_hours(nothing, nothing, AT - np.array([0, 2 * HOUR]), AT)
    assert np.flatnonzero(hours).tolist() == [0, 2]
    late = figures.collected_hours(AT - np.array([HOUR]), AT + np.array([1]), nothing, AT)
    assert not late.any()


def test_change_and_rareness_need_something_to_compare_with() -> None:
    assert figures.change(np.array([6, 6]), np.array([4, 0]), True).tolist()[0] == 0.5
    assert np.isnan(figures.change(np.array([6, 6]), np.array([4, 0]), True)[1])
    assert np.isnan(figures.change(np.array([6]), np.array([4]), False)[0])
    assert np.isnan(figures.unusual(np.array([5.0]), np.zeros((1, 100)))[0])
    history = np.tile([1.0, 3.0], (1, 50))
    assert figures.unusual(np.array([5.0]), history)[0] == pytest.approx(3.0)


def test_reception_is_as_last_read_by_the_moment() -> None:
    read = Reception(
        post=np.array([3, 3, 3, 8]),
        recorded=AT + np.array([-9, -5, 1, -1]),
        engagement=np.array([1, 5, 99, 7]),
        followers=np.array([10, 20, 30, NO_INT]),
    )
    engagement, followers = read.known_at(np.array([3, 8, 4]), AT)
    assert engagement.tolist() == [5, 7, NO_INT]
    assert followers.tolist() == [20, NO_INT, NO_INT]


def test_topics_are_ranked_by_authors_and_one_author_is_no_trend() -> None:
    rows: list[Row] = [
        *((0, n, n, n, 0.5, False, False) for n in range(2)),
        *((1, n, n, n, 0.5, False, False) for n in range(3)),
        *((2, 7, n, n, 0.5, False, False) for n in range(30)),
    ]
    found = topic_rows(voices(rows), np.arange(3), NOBODY_READ, ALL_HOURS, AT)
    assert found["topic"].tolist() == [1, 0]
    assert found["rank"].tolist() == [1, 2]
    assert found["authors"].tolist() == [3, 2]
    assert np.isnan(found["volume_change"]).all()
