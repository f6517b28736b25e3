"""Batches to rows: every event once, within a batch, over batches, over midnight and over a death after the commit."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from metapulse_assets.market.stream.rows import microseconds_of, moment_of
from metapulse_assets.market.stream.spool import Frame, encoded, frames_of
from metapulse_assets.market.stream.writing import HEARD_MARK, BatchWriter, Written
from metapulse_assets.market.stream_checks import _every_event_once, _rows_come_soon
from metapulse_assets.market.stream_tables import STREAM_TABLES, token_launches, token_migrations, token_trades
from metapulse_assets.platform.progress import progress_of
from metapulse_assets.platform.raw_payloads import load_payload
from metapulse_assets.platform.table_checks import values_check
from metapulse_assets_tests.conftest import FixedClock
from metapulse_assets_tests.market.stream_frames import (
    USDC,
    amm_trade,
    bonk_create,
    create,
    migrate,
    mint,
    raw,
    signature,
    trade,
)
from metapulse_assets_tests.market.stream_running import column, count

NOON = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)


class Writing:
    """Writes batches of frames, each at a time."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine, self.folder, self.clock = engine, folder, FixedClock(NOON)
        self.writer = BatchWriter(lambda: engine, self.clock, "ws://feed.example/api/data")

    def segment(self, frames: Sequence[object], at: datetime = NOON) -> Path:
        path = self.folder / "segment"
        whole = (frame if isinstance(frame, bytes) else raw(frame) for frame in frames)
        path.write_bytes(b"".join(encoded(microseconds_of(at) + place, frame) for place, frame in enumerate(whole)))
        return path

    def write(self, *frames: object, at: datetime = NOON) -> Written:
        self.clock.moment = at + timedelta(milliseconds=200)
        return self.writer.write(self.segment(frames, at))


@pytest.fixture
def writing(engine: sa.Engine, tmp_path: Path) -> Writing:
    return Writing(engine, tmp_path)


def test_moments_are_kept_to_the_microsecond() -> None:
    at = datetime(2026, 3, 4, 23, 59, 59, 999_999, tzinfo=UTC)
    assert moment_of(microseconds_of(at)) == at


def test_each_kind_of_frame_becomes_a_row_of_its_table(writing: Writing, engine: sa.Engine) -> None:
    written = writing.write(create(1), bonk_create(2), migrate(3), trade(4), amm_trade(5))
    assert sum(written.rows.values()) == 5
    assert written.rows["token_launches", NOON.date()] == 2
    with engine.connect() as connection:
        launch = connection.execute(sa.select(token_launches).order_by("received_at")).mappings().all()[0]
        migration = connection.execute(sa.select(token_migrations)).mappings().one()
        trades = connection.execute(sa.select(token_trades).order_by("received_at")).mappings().all()
        assert progress_of(connection, HEARD_MARK) == writing.clock.moment
    assert {name: launch[name] for name in ("signature", "mint", "creator", "pool", "symbol", "initial_buy_tokens")} == {
        "signature": signature(1),
        "mint": mint(1),
        "creator": mint(7),
        "pool": "pump",
        "symbol": "COIN",
        "initial_buy_tokens": 1_000.5,
    }
    assert (launch["received_at"], launch["recorded_at"]) == (NOON, writing.clock.moment)
    assert launch["available_at"] == launch["recorded_at"]
    assert (migration["received_on"], migration["received_at"]) == (NOON.date(), NOON + timedelta(microseconds=2))
    assert [(t["side"], t["price_sol"], t["pool"]) for t in trades] == [
        ("buy", 0.000125, "pump"),
        ("sell", 0.000125, "pump-amm"),
    ]


def test_what_was_paid_in_another_token_has_no_amount_in_sol(writing: Writing, engine: sa.Engine) -> None:
    writing.write(create(1, quoteMint=USDC), trade(2, quoteMint=USDC), trade(3))
    in_sol = ("sol_amount", "sol_reserve", "market_cap_sol")
    with engine.connect() as connection:
        launch = connection.execute(sa.select(token_launches)).mappings().one()
        other, usual = connection.execute(sa.select(token_trades).order_by("received_at")).mappings().all()
    for row in (launch, other):
        assert [row[name] for name in in_sol] == [None] * 3
        assert row["token_reserve"] is not None
    assert (launch["initial_buy_tokens"], other["token_amount"], other["price_sol"]) == (1_000.5, 2_000.0, None)
    assert None not in [usual[name] for name in (*in_sol, "price_sol")]


def test_of_several_things_in_a_frame_the_good_ones_are_rows(writing: Writing, engine: sa.Engine) -> None:
    lines = b"\n".join(map(raw, (create(1), {**trade(2), "solAmount": -1}, migrate(3), {"message": "Subscribed."})))
    written = writing.write(lines, [create(4), trade(5), 6])
    assert (sum(written.rows.values()), written.refused, len(written.notices), written.frames) == (4, 2, 1, 2)
    assert column(engine, "token_launches", "signature") == [signature(1), signature(4)]
    with engine.connect() as connection:
        reasons = connection.exec_driver_sql("SELECT item_key, reason FROM dead_letters ").all()
    assert sorted(tuple(row) for row in reasons) == [
        (signature(2), "solAmount: Input should be greater than or equal to 0"),
        ("6", "int where an object was expected"),
    ]


def test_a_row_leads_to_the_very_bytes_of_its_frame(writing: Writing, engine: sa.Engine) -> None:
    odd = json.dumps(create(1, name="x\ny\u202e"), indent=2).encode()
    writing.write(odd, b"\xff\xfe no text", migrate(2))
    with engine.connect() as connection:
        payload_id = connection.execute(sa.select(token_launches.c.payload_id)).scalar_one()
        frames = list(frames_of(load_payload(connection, payload_id)))
    assert [frame.raw for frame in frames] == [odd, b"\xff\xfe no text", raw(migrate(2))]
    assert frames[0] == Frame(microseconds_of(NOON), odd)


def test_an_event_that_comes_again_is_stored_once(writing: Writing, engine: sa.Engine) -> None:
    first = writing.write(create(1), create(1), migrate(2), trade(3), trade(3))
    again = writing.write(create(1), migrate(2), trade(3), create(4), at=NOON + timedelta(seconds=1))
    assert (first.repeated, again.repeated) == (2, 3)
    assert column(engine, "token_launches", "signature") == [signature(1), signature(4)]
    assert (count(engine, "token_migrations"), count(engine, "token_trades")) == (1, 1)
    assert column(engine, "token_launches", "received_at")[0] == NOON, "the first to come stays"


def test_one_transaction_may_hold_several_trades(writing: Writing, engine: sa.Engine) -> None:
    bundle = [trade(1, traderPublicKey=mint(n)) for n in range(4)] + [trade(1, "sell", traderPublicKey=mint(1))]
    writing.write(*bundle, *bundle)
    assert count(engine, "token_trades") == 5


@pytest.mark.parametrize("pause", [timedelta(seconds=2), timedelta(hours=20)])
def test_an_event_is_stored_once_across_midnight(writing: Writing, engine: sa.Engine, pause: timedelta) -> None:
    before, after = MIDNIGHT - pause / 2, MIDNIGHT + pause / 2
    writing.write(create(1), migrate(2), trade(3), at=before)
    written = writing.write(create(1), migrate(2), trade(3), create(4), at=after)
    assert written.rows == {("token_launches", MIDNIGHT.date()): 1}
    assert column(engine, "token_launches", "received_on") == [before.date(), after.date()]
    with engine.connect() as connection:
        for table in STREAM_TABLES:
            assert _every_event_once(table)(connection, MIDNIGHT, MIDNIGHT + timedelta(days=1)).passed


def test_a_batch_over_midnight_lies_in_both_days(writing: Writing, engine: sa.Engine) -> None:
    writing.write(*(create(n % 4) for n in range(6)), at=MIDNIGHT - timedelta(microseconds=2))
    assert [str(day) for day in column(engine, "token_launches", "received_on")] == ["2026-03-04"] * 2 + ["2026-03-05"] * 2


def test_a_batch_whose_process_died_after_the_commit_is_not_written_again(writing: Writing, engine: sa.Engine) -> None:
    frames = [create(1), b"garbage", trade(2)]
    writing.write(*frames)
    again = writing.write(*frames)
    assert again.was_stored
    assert not again.rows
    assert (count(engine, "raw_payloads"), count(engine, "token_launches")) == (1, 1)
    assert column(engine, "dead_letters", "occurrences") == [1]


def test_launches_of_quote_tokens_are_dropped_and_counted(writing: Writing, engine: sa.Engine) -> None:
    written = writing.write(create(1, mint=USDC), create(2), migrate(3, mint=USDC))
    assert written.quote_mints == 2
    assert column(engine, "token_launches", "signature") == [signature(2)]


def test_garbage_is_a_dead_letter_with_its_reason_and_keeps_nobody_else(writing: Writing, engine: sa.Engine) -> None:
    bad = [b"", b"<html>\x00", {**create(1), "txType": "x"}, {**create(1), "mint": "?"}, {"signature": 1}]
    written = writing.write(*bad, {"message": "Subscribed to 'migration' events."}, create(2))
    assert (written.refused, len(written.notices), count(engine, "token_launches")) == (5, 1, 1)
    assert column(engine, "dead_letters", "reason") == sorted(
        [
            "no JSON",
            "no JSON",
            "txType: 'x' is not known",
            "mint: String should match pattern '^[1-9A-HJ-NP-Za-km-z]{32,44}$'",
            "neither txType nor message",
        ]
    )


@pytest.mark.parametrize(
    "name", ["\\N", "a\tb\\nc\n\\.", "'; DROP TABLE token_launches; --", "\u202e\u0000\ud83d\ude80", "x" * 9_999]
)
def test_a_hostile_name_is_stored_as_it_is(writing: Writing, engine: sa.Engine, name: str) -> None:
    writing.write(create(1, name=name, symbol=name, uri=name, pool=name[:9]))
    with engine.connect() as connection:
        row = connection.execute(sa.select(token_launches)).mappings().one()
    wanted = json.loads(json.dumps(name))[:1_000].replace("\x00", "")
    assert (row["name"], row["symbol"], row["uri"]) == (wanted, wanted, wanted)


def test_what_fails_in_the_midst_of_a_batch_leaves_nothing_and_can_be_tried_again(
    writing: Writing, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = writing.segment([create(1), b"garbage", migrate(2), trade(3)])
    with monkeypatch.context() as broken:
        broken.setattr("metapulse_assets.market.stream.writing.set_progress", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writing.writer.write(segment)
    tables = ("token_launches", "token_migrations", "token_trades", "raw_payloads", "dead_letters")
    assert [count(engine, table) for table in tables] == [0] * 5
    writing.writer.write(segment)
    assert [count(engine, table) for table in tables] == [1] * 5


def test_the_checks_see_what_is_wrong(writing: Writing, engine: sa.Engine) -> None:
    day = datetime(2026, 3, 4, tzinfo=UTC)
    span = (day, day + timedelta(days=1))
    writing.write(create(1), create(2))
    once, soon, values = (
        _every_event_once(token_launches),
        _rows_come_soon(token_launches),
        values_check(token_launches, "received_on"),
    )
    with engine.begin() as connection:
        assert all(look(connection, *span).passed for look in (once, soon, values.look))
        connection.execute(sa.text("UPDATE token_launches SET recorded_at = received_at + interval '9 s'"))
        late = soon(connection, *span)
        assert not late.passed
        assert late.facts["lag p99 (s)"] == pytest.approx(9)
        connection.execute(sa.text("UPDATE token_launches SET recorded_at = received_at - interval '1 s'"))
        assert not soon(connection, *span).passed
        connection.execute(sa.text("UPDATE token_launches SET sol_amount = -1"))
        assert not values.look(connection, *span).passed
    writing.write(create(9), at=MIDNIGHT)
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE token_launches SET signature = :s WHERE received_on = '2026-03-05'"), {"s": signature(1)}
        )
        for start in span:
            assert once(connection, start, start + timedelta(days=1)).passed is (start == day)
