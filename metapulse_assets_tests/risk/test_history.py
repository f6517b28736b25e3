"""Storing risk by change, and reading it as of a moment."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.risk.history import (
    MAX_AGE_SECONDS,
    RiskHistory,
    changed_rows,
    risk_as_of,
    risk_rows_as_of,
)
from metapulse_assets.risk.scoring import DAY, FACTORS, RiskTable, assess, concatenate, stored_assessments
from metapulse_assets_tests.risk.test_scoring import snapshots

MIDNIGHT = 20_000 * DAY


def levels(*names: str) -> RiskTable:
    """Assessments of which only the level matters."""
    return stored_assessments(names, [0.1] * len(names), [1.0] * len(names), [None] * len(names))


def history(rows: list[tuple[int, float, float, str]]) -> RiskHistory:
    """From (token, observed, available, level)."""
    token, observed, available, level = zip(*rows, strict=True) if rows else ((), (), (), ())
    return RiskHistory(
        np.array(token, dtype=np.int64),
        np.array(observed, dtype=np.float64),
        np.array(available, dtype=np.float64),
        levels(*level),
    )


def kept(times: list[float], assessment: RiskTable, tokens: list[int] | None = None) -> list[bool]:
    """Which rows of one token (or several) are stored."""
    return [bool(keep) for keep in changed_rows(tokens or [1] * len(times), times, assessment)]


def test_only_changes_are_kept() -> None:
    times = [MIDNIGHT + 300 * i for i in range(5)]
    assert kept(times, levels("low", "low", "high", "high", "low")) == [True, False, True, False, True]


def test_the_first_of_each_utc_day_is_kept() -> None:
    times = [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1, MIDNIGHT + DAY - 1, MIDNIGHT + DAY]
    assert kept(times, levels(*["low"] * 5)) == [True, True, False, False, True]


def test_each_token_has_its_own_history() -> None:
    times = [MIDNIGHT, MIDNIGHT + 1, MIDNIGHT, MIDNIGHT + 1]
    assert kept(times, levels("low", "high", "high", "high"), [1, 1, 2, 2]) == [True, True, True, False]


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        ({}, False),
        ({"volume_h24_usd": 950_000.0}, False),
        ({"pool_age_seconds": 201 * DAY}, False),
        ({"price_change_h24_pct": 60.0}, True),
        ({"market_cap_usd": float("nan")}, False),
        ({"fdv_usd": float("nan"), "market_cap_usd": float("nan")}, True),
        ({"buys_h24": 0.0, "sells_h24": 0.0}, True),
    ],
)
def test_a_row_is_kept_when_a_factor_steps(change: dict[str, Any], is_kept: bool) -> None:
    assert kept([MIDNIGHT, MIDNIGHT + 300], assess(snapshots({}, change))) == [True, is_kept]


@pytest.mark.parametrize(
    ("column", "other"),
    [("level", ["high"]), ("score", [0.2]), ("known_share", [0.9]), ("hard_fail", ["no_sells"]), ("score", [None])],
)
def test_any_differing_column_is_a_change(column: str, other: list[Any]) -> None:
    one: dict[str, list[Any]] = {"level": ["low"], "score": [0.1], "known_share": [1.0], "hard_fail": [None]}
    pair = [stored_assessments(**columns) for columns in (one, one, {**one, column: other})]
    assert kept([MIDNIGHT, MIDNIGHT + 1, MIDNIGHT + 2], concatenate(pair)) == [True, False, True]


def test_what_single_precision_cannot_hold_is_no_change() -> None:
    stored = stored_assessments(["low"], [float(np.float32(0.1))], [float(np.float32(0.9))], [None])
    computed = stored_assessments(["low"], [0.1], [0.9], [None])
    assert kept([MIDNIGHT, MIDNIGHT + 1], concatenate([stored, computed])) == [True, False]


@pytest.mark.parametrize(
    ("tokens", "times"), [([1, 1], [5.0, 5.0]), ([1, 1], [5.0, 4.0]), ([2, 1], [1.0, 2.0]), ([1, 1], [5.0, np.nan])]
)
def test_rows_out_of_order_are_refused(tokens: list[int], times: list[float]) -> None:
    with pytest.raises(ValueError, match="row 1 does not come after row 0"):
        changed_rows(tokens, times, levels("low", "low"))


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match 1 rows"):
        changed_rows([1, 1], [1.0, 2.0], levels("low"))
    with pytest.raises(ValueError, match="available_at"):
        RiskHistory(np.array([1]), np.array([1.0]), np.array([1.0, 2.0]), levels("low"))


def test_nothing_is_kept_of_nothing() -> None:
    assert kept([], levels()) == []


series = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 400), st.sampled_from([0.0, 20.0, 60.0, 120.0, float("nan")])),
    max_size=40,
    unique_by=lambda row: row[:2],
)


@given(series)
def test_leaving_out_repetitions_loses_nothing(rows: list[tuple[int, int, float]]) -> None:
    rows.sort(key=lambda row: row[:2])
    token = np.array([row[0] for row in rows], dtype=np.int64)
    observed = MIDNIGHT + np.array([row[1] for row in rows], dtype=np.float64) * 1_000.0
    full = assess(snapshots(*({"price_change_h24_pct": row[2]} for row in rows), {})).take(np.arange(len(rows)))
    keep = changed_rows(token, observed, full)
    stored = RiskHistory(token[keep], observed[keep], observed[keep], full.take(keep))
    # A row is kept every day, so none that is missing is older than a day.
    found = risk_rows_as_of(token, observed, stored, max_age_seconds=DAY)
    assert (found >= 0).all()
    again = stored.assessment.take(found)
    assert again.level.tolist() == full.level.tolist()
    np.testing.assert_array_equal(again.score, full.score)
    np.testing.assert_array_equal(again.points, full.points)
    assert changed_rows(token[keep], observed[keep], full.take(keep)).all()


@given(series, st.integers(1, 39))
def test_continuing_from_the_newest_stored_row_keeps_the_same(rows: list[tuple[int, int, float]], cut: int) -> None:
    rows.sort(key=lambda row: row[:2])
    moment = cut * 10
    full = assess(snapshots(*({"price_change_h24_pct": row[2]} for row in rows), {})).take(np.arange(len(rows)))
    token = np.array([row[0] for row in rows], dtype=np.int64)
    observed = MIDNIGHT + np.array([row[1] for row in rows], dtype=np.float64) * 1_000.0
    keep = changed_rows(token, observed, full)

    earlier = np.array([row[1] < moment for row in rows], dtype=np.bool_)
    first_keep = np.flatnonzero(earlier)[changed_rows(token[earlier], observed[earlier], full.take(earlier))]
    newest = [row for row in first_keep if not (token[first_keep] == token[row])[first_keep > row].any()]
    rest = np.sort(np.concatenate([np.array(newest, dtype=np.int64), np.flatnonzero(~earlier)]))
    rest_keep = rest[changed_rows(token[rest], observed[rest], full.take(rest))]
    assert sorted({*first_keep.tolist(), *rest_keep.tolist()}) == np.flatnonzero(keep).tolist()


def test_newest_assessment_that_was_available() -> None:
    rows = history([(1, 100.0, 110.0, "low"), (1, 200.0, 210.0, "medium"), (2, 150.0, 160.0, "high")])
    moments = [109.0, 110.0, 209.0, 210.0, 500.0]
    assert risk_as_of([1] * 5, moments, rows).tolist() == ["unknown", "low", "low", "medium", "medium"]
    assert risk_as_of([2, 2, 3], [159.0, 160.0, 500.0], rows).tolist() == ["unknown", "high", "unknown"]
    assert risk_rows_as_of([2, 1], [160.0, 130.0], rows).tolist() == [2, 0]


def test_an_old_snapshot_that_arrives_late_replaces_nothing() -> None:
    rows = history([(1, 100.0, 400.0, "high"), (1, 200.0, 210.0, "low")])
    assert risk_as_of([1], [500.0], rows).tolist() == ["low"]


def test_a_stale_assessment_is_none() -> None:
    rows = history([(1, 0.0, 10.0, "low")])
    assert risk_as_of([1, 1], [MAX_AGE_SECONDS, MAX_AGE_SECONDS + 1], rows).tolist() == ["low", "unknown"]
    assert risk_as_of([1], [9e9], rows, max_age_seconds=np.inf).tolist() == ["low"]


def test_without_assessments_all_is_unknown() -> None:
    assert risk_as_of([1, 2], [5.0, 6.0], RiskHistory.empty()).tolist() == ["unknown", "unknown"]
    assert risk_as_of([], [], RiskHistory.empty()).tolist() == []
    assert RiskHistory.empty().assessment.points.shape == (0, len(FACTORS))


moments = st.integers(0, 30)
assessments = st.lists(
    st.tuples(st.integers(1, 3), moments, moments, st.sampled_from(["low", "medium", "high"])),
    max_size=20,
    unique_by=lambda row: row[:2],
)


@given(assessments, st.lists(st.tuples(st.integers(1, 4), moments), max_size=20), st.sampled_from([3.0, 1e9]))
def test_as_of_agrees_with_a_plain_search(
    rows: list[tuple[int, int, int, str]], queries: list[tuple[int, int]], max_age: float
) -> None:
    stored = history([(token, observed, observed + delay, level) for token, observed, delay, level in rows])
    expected = []
    for token, moment in queries:
        usable = [row for row in rows if row[0] == token and row[1] + row[2] <= moment]
        newest = max(usable, key=lambda row: row[1], default=None)
        expected.append(newest[3] if newest and moment - newest[1] <= max_age else "unknown")
    tokens = np.array([query[0] for query in queries], dtype=np.int64)
    times: npt.NDArray[np.float64] = np.array([query[1] for query in queries], dtype=np.float64)
    assert risk_as_of(tokens, times, stored, max_age).tolist() == expected
