"""Candles out of snapshots and out of finer candles, against a plain loop that does the same one row at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.candle_building import candle_of_snapshot, candles_from_snapshots, roll_up
from metapulse_assets.platform.bulk import to_datetime64
from metapulse_assets_tests.market.columns import (
    CandleRow,
    SnapshotRow,
    candle_columns,
    candle_rows,
    snapshot_columns,
    times,
)

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
FIVE = timedelta(minutes=5)
MADE_AT = MIDNIGHT + timedelta(hours=3)


def slot_of(observed: datetime) -> datetime:
    """The five minutes that a snapshot speaks for, by the words of the rule."""
    moment = observed - timedelta(seconds=60)
    return moment - timedelta(minutes=moment.minute % 5, seconds=moment.second, microseconds=moment.microsecond)


def candles_one_by_one(snapshots: list[SnapshotRow], closes: dict[tuple[int, datetime], float]) -> list[CandleRow]:
    """What the vectorised function must give."""
    groups: dict[tuple[int, datetime], list[SnapshotRow]] = {}
    for row in sorted(snapshots, key=lambda row: row[1]):
        groups.setdefault((row[0], slot_of(row[1])), []).append(row)
    candles = []
    for (token, slot), rows in sorted(groups.items()):
        _, _, close, volume, buys, sells = rows[-1]
        if buys == 0 and sells == 0 and not (volume is not None and volume > 0):
            continue
        open_ = closes.get((token, slot - FIVE), rows[0][2])
        prices = [open_, *(row[2] for row in rows)]
        candles.append((token, slot, open_, max(prices), min(prices), close, volume))
    return candles


@st.composite
def snapshot_lists(draw: st.DrawFn) -> list[SnapshotRow]:
    """Snapshots around midnight, often several in one span, often right at its edges."""
    keys = draw(
        st.lists(
            st.tuples(st.integers(1, 3), st.integers(0, 5), st.sampled_from([0, 0.000001, 30, 59.999999, 60, 61, 150, 299.9])),
            unique=True,
            max_size=14,
        )
    )
    return [
        (
            token,
            MIDNIGHT - 3 * FIVE + span * FIVE + timedelta(seconds=second),
            draw(st.floats(1e-9, 1e6)),
            draw(st.sampled_from([None, 0.0, 1.5])),
            draw(st.sampled_from([None, 0, 3])),
            draw(st.sampled_from([None, 0, 2])),
        )
        for token, span, second in keys
    ]


@given(
    snapshots=snapshot_lists(),
    stored=st.dictionaries(st.tuples(st.integers(1, 3), st.integers(-5, 4)), st.floats(1e-9, 1e6), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_candles_are_those_of_the_plain_loop(
    snapshots: list[SnapshotRow], stored: dict[tuple[int, int], float], order: object
) -> None:
    closes = {(token, MIDNIGHT + n * FIVE): close for (token, n), close in stored.items()}
    previous = candle_columns([(t, at, c, c, c, c, None) for (t, at), c in closes.items()], MIDNIGHT)
    order.shuffle(snapshots)  # type: ignore[attr-defined]
    built = candles_from_snapshots(snapshot_columns(snapshots), previous, to_datetime64(MADE_AT))
    assert candle_rows(built) == candles_one_by_one(snapshots, closes)
    assert (built["available_at"] == to_datetime64(MADE_AT)).all()


def one_candle(*rows: SnapshotRow, before: list[CandleRow] | None = None) -> list[CandleRow]:
    return candle_rows(candles_from_snapshots(snapshot_columns(rows), candle_columns(before or [], NOON), to_datetime64(NOON)))


@pytest.mark.parametrize(
    ("seconds", "span"), [(0, -1), (59.999999, -1), (60, 0), (299, 0), (300, 0), (359.999999, 0), (360, 1)]
)
def test_what_is_seen_within_a_minute_of_the_end_is_the_close(seconds: float, span: int) -> None:
    observed = times([MIDNIGHT + timedelta(seconds=seconds)])
    assert candle_of_snapshot(observed)[0] == to_datetime64(MIDNIGHT + span * FIVE)


def test_a_candle_opens_at_the_close_before_and_spans_all_prices_seen() -> None:
    rows = [(1, NOON + timedelta(minutes=n), price, 7.0, 1, 0) for n, price in ((2, 3.0), (3, 1.0), (5, 2.0))]
    assert one_candle(*rows, before=[(1, NOON - FIVE, 9, 9, 9, 5.0, None)]) == [(1, NOON, 5.0, 5.0, 1.0, 2.0, 7.0)]
    assert one_candle(*rows) == [(1, NOON, 3.0, 3.0, 1.0, 2.0, 7.0)]


def test_the_close_before_is_of_the_same_token_and_the_very_span_before() -> None:
    row = (1, NOON + FIVE, 2.0, None, 1, 0)
    strangers: list[Any] = [
        (2, NOON - FIVE, 9, 9, 9, 9.0, None),
        (1, NOON - 2 * FIVE, 8, 8, 8, 8.0, None),
        (1, NOON, 7, 7, 7, 7.0, None),
    ]
    assert one_candle(row, before=strangers) == [(1, NOON, 2.0, 2.0, 2.0, 2.0, None)]


def test_of_two_closes_for_one_span_the_stored_one_counts() -> None:
    before = [(1, NOON - FIVE, 5, 5, 5, 5.0, None), (1, NOON - FIVE, 6, 6, 6, 6.0, None)]
    filler = [(n, NOON - FIVE, 1, 1, 1, 1.0, None) for n in range(2, 40)]
    assert one_candle((1, NOON + FIVE, 5.5, None, 1, 0), before=[*filler, *before])[0][2] == 5.0


@pytest.mark.parametrize(
    ("volume", "buys", "sells", "traded"),
    [
        (0.0, 0, 0, False),
        (None, 0, 0, False),
        (0.01, 0, 0, True),
        (0.0, 1, 0, True),
        (0.0, 0, 1, True),
        (None, None, None, True),
        (0.0, 0, None, True),
        (0.0, 2**31 - 1, 2**31 - 1, True),
    ],
)
def test_no_trade_no_candle_and_unknown_is_not_none(
    volume: float | None, buys: int | None, sells: int | None, traded: bool
) -> None:
    assert bool(one_candle((1, NOON + FIVE, 2.0, volume, buys, sells))) is traded


def test_of_nothing_comes_nothing() -> None:
    assert one_candle() == []
    nothing = candle_columns([], NOON)
    assert set(roll_up(nothing, np.timedelta64(1, "h"), to_datetime64(NOON))) == set(nothing)


@st.composite
def finer_candles(draw: st.DrawFn) -> list[CandleRow]:
    """Candles of 5 minutes around midnight."""
    keys = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(-30, 30)), unique=True, max_size=25))
    return [
        (
            token,
            MIDNIGHT + n * FIVE,
            *draw(st.tuples(st.floats(3, 4), st.floats(4, 5), st.floats(1, 3), st.floats(3, 4))),
            draw(st.sampled_from([None, 0.0, 1.0, 2.5])),
        )
        for token, n in keys
    ]


@pytest.mark.parametrize("interval", [timedelta(hours=1), timedelta(days=1)])
@given(finer=finer_candles(), order=st.randoms(use_true_random=False))
def test_rolled_up_candles_are_those_of_the_plain_loop(finer: list[CandleRow], order: object, interval: timedelta) -> None:
    spans: dict[tuple[int, datetime], list[CandleRow]] = {}
    for row in sorted(finer, key=lambda row: row[:2]):
        span = datetime.fromtimestamp(row[1].timestamp() // interval.total_seconds() * interval.total_seconds(), UTC)
        spans.setdefault((row[0], span), []).append(row)
    expected = []
    for (token, span), rows in sorted(spans.items()):
        volumes = [row[6] for row in rows if row[6] is not None]
        high, low = max(row[3] for row in rows), min(row[4] for row in rows)
        expected.append((token, span, rows[0][2], high, low, rows[-1][5], sum(volumes) if volumes else None))
    order.shuffle(finer)  # type: ignore[attr-defined]
    rolled = roll_up(candle_columns(finer, NOON), np.timedelta64(interval), to_datetime64(MADE_AT))
    assert candle_rows(rolled) == expected
    assert (rolled["available_at"] == to_datetime64(MADE_AT)).all()
