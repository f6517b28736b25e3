"""Vendors' candles: what is asked, what of an answer is stored, and from when on it counts as usable."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.candle_store import filled_in_mark, made_until_mark
from metapulse_assets.market.history import (
    LOOK_BACK,
    HistoryRequest,
    history_columns,
    plan_past_days,
    plan_requests,
    store_history,
)
from metapulse_assets.market.tables import candle_requests, candles, tracked_tokens
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.bulk import to_datetime64
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.raw_payloads import RawPayload, load_payload
from metapulse_assets.vendors.geckoterminal import CandleRow, History
from metapulse_assets_tests.market.stored import add_candles, add_tokens, candle_rows, note_asked, stamps
from metapulse_assets_tests.scratch import DATABASE_BACKED, rolled_back

FIVE, DAY = timedelta(minutes=5), timedelta(days=1)
TEN = datetime(2026, 3, 4, 10, tzinfo=UTC)
NOW = TEN + timedelta(seconds=7)
FIVE_MINUTES = TIMEFRAMES["5m"]


def a_request(token_id: int = 1, before: datetime = TEN, timeframe: str = "5m", fills_in: bool = False) -> HistoryRequest:
    return HistoryRequest(a_token(token_id), TIMEFRAMES[timeframe], before, fills_in)


def a_token(token_id: int, pool: str | None = "pool") -> TrackedToken:
    return TrackedToken(token_id, ("solana", f"t{token_id}"), pool, None)


def vendor_rows(*spans_back: int, price: float = 1.0) -> list[CandleRow]:
    """Candles so many spans before ten o'clock."""
    return [(int((TEN - n * FIVE).timestamp()), price, price, price, price, 5.0) for n in spans_back]


def an_answer(rows: list[CandleRow]) -> History:
    return History(rows, [], RawPayload("geckoterminal", "http://vendor/", 200, NOW, repr(rows).encode()), answered=True)


def asked(connection: sa.Connection) -> list[tuple[object, ...]]:
    c = candle_requests.c
    return [
        tuple(row) for row in connection.execute(sa.select(c.token_id, c.timeframe, c.asked_at, c.candles_received, c.late_at))
    ]


def test_only_candles_that_are_closed_and_were_asked_for_are_taken() -> None:
    spoilt = [(at, 1.0, 1.0, 1.0, 1.0, 1.0) for at in (-300, 0, 300, 10**18, 2**62, -(10**18))]
    columns = history_columns(a_request(), [*vendor_rows(2, 1, 0, -1), *spoilt], NOW, None)
    assert columns["opened_at"].tolist() == [to_datetime64(TEN - n * FIVE).item() for n in (2, 1)]
    assert columns["available_at"].tolist() == [to_datetime64(TEN - n * FIVE).item() for n in (1, 0)]


def test_the_candle_that_is_still_running_is_never_taken_whatever_was_asked() -> None:
    request = a_request(before=TEN + DAY)
    assert len(history_columns(request, vendor_rows(1, 0, -1), NOW, None)["opened_at"]) == 1
    assert len(history_columns(request, vendor_rows(1, 0, -1), TEN + FIVE, NOW)["opened_at"]) == 2


def test_a_first_import_counts_as_usable_when_each_candle_closed(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        rows = vendor_rows(3, 2, 1)
        assert store_history(connection, a_request(token), an_answer(rows), NOW) == 3
        assert stamps(connection) == {(token, TEN - n * FIVE): (NOW, TEN - (n - 1) * FIVE) for n in (3, 2, 1)}
        assert asked(connection) == [(token, "5m", NOW, 3, None)]
        payload_id = connection.execute(sa.select(candles.c.payload_id).distinct()).scalar_one()
        assert load_payload(connection, payload_id) == repr(rows).encode()


@pytest.mark.parametrize("first", [LOOK_BACK, LOOK_BACK - FIVE])
def test_what_turns_up_beside_candles_that_were_used_is_usable_only_now(engine: sa.Engine, first: timedelta) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        add_candles(connection, [(token, TEN - first, 1.0, 1.0, 1.0, 1.0, None)], TEN - first)
        store_history(connection, a_request(token), an_answer(vendor_rows(3, 1)), NOW)
        late = first < LOOK_BACK
        assert stamps(connection)[token, TEN - 3 * FIVE] == (NOW, NOW if late else TEN - 2 * FIVE)
        assert asked(connection) == [(token, "5m", NOW, 2, NOW if late else None)]


def test_candles_of_another_timeframe_or_token_make_nobody_late(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        token, other = add_tokens(connection, 2, TEN)
        add_candles(connection, [(token, TEN - 5 * FIVE, 1.0, 1.0, 1.0, 1.0, None)], TEN, "1d")
        add_candles(connection, [(other, TEN - 5 * FIVE, 1.0, 1.0, 1.0, 1.0, None)], TEN)
        store_history(connection, a_request(token), an_answer(vendor_rows(1)), NOW)
        assert stamps(connection)[token, TEN - FIVE][1] == TEN


def test_an_import_that_adds_nothing_leaves_late_at_alone(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        for at, rows, late_at in ((NOW, (2,), None), (NOW + FIVE, (2, 1), NOW + FIVE), (NOW + DAY, (2, 1), NOW + FIVE)):
            store_history(connection, a_request(token), an_answer(vendor_rows(*rows)), at)
            assert asked(connection) == [(token, "5m", at, len(rows), late_at)]


@DATABASE_BACKED
@given(
    answers=st.lists(st.lists(st.tuples(st.integers(-2, 12), st.floats(0.1, 9)), max_size=12), min_size=1, max_size=4),
    stored=st.sets(st.integers(1, 12)),
)
def test_whatever_the_order_and_however_often_the_first_view_of_a_candle_stays(
    engine: sa.Engine, answers: list[list[tuple[int, float]]], stored: set[int]
) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        add_candles(connection, [(token, TEN - n * FIVE, 99.0, 99.0, 99.0, 99.0, 5.0) for n in sorted(stored)], TEN)
        expected = dict.fromkeys(stored, 99.0)
        new = []
        for answer in answers:
            rows = [row for n, price in answer for row in vendor_rows(n, price=price)]
            new.append(store_history(connection, a_request(token), an_answer(rows), NOW))
            for n, price in answer:
                if n > 0:
                    expected.setdefault(n, price)
        assert candle_rows(connection) == [
            (token, TEN - n * FIVE, price, price, price, price, 5.0) for n, price in sorted(expected.items(), reverse=True)
        ]
        assert sum(new) == len(expected) - len(stored)


def test_a_backfills_import_does_not_count_as_having_asked_up_to_now(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        assert store_history(connection, a_request(token, fills_in=True), an_answer(vendor_rows(9)), NOW) == 1
        assert asked(connection) == []
        assert progress_of(connection, filled_in_mark("5m")) == NOW


def names(requests: list[HistoryRequest]) -> list[tuple[int, str]]:
    return [(request.token.token_id, request.timeframe.name) for request in requests]


def test_each_token_is_asked_for_once_within_the_budget(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        ids = add_tokens(connection, 3, TEN - DAY)
        tokens = [a_token(ids[0]), a_token(ids[1]), a_token(ids[2], pool=None)]
        requests, left = plan_requests(connection, tokens, NOW, budget=4)
        assert names(requests) == [(ids[0], "5m"), (ids[1], "5m"), (ids[0], "1h"), (ids[1], "1h")]
        assert left == 2
        assert [r.before for r in requests[1:3]] == [TEN, TEN]
        for request in requests:
            note_asked(connection, request.token.token_id, NOW, request.timeframe.name, received=0)
        requests, left = plan_requests(connection, tokens, NOW + FIVE, budget=4)
        assert (names(requests), left) == ([(ids[0], "1d"), (ids[1], "1d")], 0)
        assert {request.before for request in requests} == {datetime(2026, 3, 4, tzinfo=UTC)}
        assert plan_requests(connection, tokens, NOW, budget=0) == ([], 2)


def test_after_a_pause_everybody_is_asked_for_again_once(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        ids = add_tokens(connection, 2, TEN - DAY)
        tokens = [a_token(token_id) for token_id in ids]
        for token_id in ids:
            for name in TIMEFRAMES:
                note_asked(connection, token_id, TEN - DAY, name)
        set_progress(connection, made_until_mark("5m"), TEN - FIVE)
        assert plan_requests(connection, tokens, NOW, 9) == ([], 0)
        set_progress(connection, made_until_mark("5m"), TEN - 4 * FIVE)
        [first, second], _ = plan_requests(connection, tokens, NOW, 9)
        assert names([first, second]) == [(token_id, "5m") for token_id in ids]
        store_history(connection, first, an_answer([]), NOW + timedelta(seconds=2))
        set_progress(connection, made_until_mark("5m"), TEN)
        later, left = plan_requests(connection, tokens, NOW + FIVE, 9)
        assert (names(later), left) == ([(ids[1], "5m")], 0)


def test_who_was_let_go_and_comes_back_is_asked_for_again(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN - 30 * DAY)
        for name in TIMEFRAMES:
            note_asked(connection, token, TEN - 30 * DAY, name)
        assert plan_requests(connection, [a_token(token)], NOW, 9) == ([], 0)
        connection.execute(sa.update(tracked_tokens).values(tracked_since=TEN))
        assert len(plan_requests(connection, [a_token(token)], NOW, 9)[0]) == 3


def test_past_days_are_asked_for_where_there_is_no_candle(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        full, empty, poolless = add_tokens(connection, 3, TEN)
        tokens = [a_token(full), a_token(empty), a_token(poolless, pool=None)]
        day = date(2026, 3, 2)
        add_candles(connection, [(full, datetime(2026, 3, 2, 23, 55, tzinfo=UTC), 1.0, 1.0, 1.0, 1.0, None)], TEN)
        add_candles(connection, [(empty, datetime(2026, 3, 3, tzinfo=UTC), 1.0, 1.0, 1.0, 1.0, None)], TEN)
        requests, left = plan_past_days(connection, tokens, [day], NOW, budget=2)
        assert (names(requests), left) == ([(empty, "5m"), (full, "1h")], 1)
        assert all(request.fills_in and request.before == datetime(2026, 3, 3, tzinfo=UTC) for request in requests)


def test_one_answer_serves_all_the_days_that_it_reaches(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        days = [date(2026, 2, 20) + timedelta(days=n) for n in range(10)]
        requests, left = plan_past_days(connection, [a_token(token)], days, NOW, budget=99)
        of = {name: [r.before.date() for r in requests if r.timeframe.name == name] for name in ("5m", "1h")}
        # 1,000 candles are 3.47 days of five minutes, of which three are whole, and 41 days of hours.
        assert of == {
            "5m": [date(2026, 3, 2), date(2026, 2, 27), date(2026, 2, 24), date(2026, 2, 21)],
            "1h": [date(2026, 3, 2)],
        }
        assert left == 0


def test_of_today_only_what_has_closed_is_asked_for(engine: sa.Engine) -> None:
    with rolled_back(engine) as connection:
        [token] = add_tokens(connection, 1, TEN)
        requests, _ = plan_past_days(connection, [a_token(token)], [TEN.date()], NOW + 2 * FIVE, budget=9)
        assert [request.before for request in requests] == [TEN + 2 * FIVE, TEN]
