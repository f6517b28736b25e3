"""Writing while the database comes and goes: in order, again and again, and round what cannot be written at all."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.market.stream import draining
from metapulse_assets.market.stream.draining import Drain, in_thread, is_bad_data
from metapulse_assets.market.stream.rows import COLUMNS
from metapulse_assets.market.stream.spool import Spool
from metapulse_assets.market.stream.status import StreamStatus
from metapulse_assets.market.stream.writing import Written


class Database:
    """A writer of tests: fails as it is told to."""

    def __init__(self, fail: Callable[[int, bytes], Exception | None]) -> None:
        self.fail, self.tries, self.written = fail, 0, list[bytes]()

    def write(self, segment: Path) -> Written:
        self.tries += 1
        body = segment.read_bytes()
        if error := self.fail(self.tries, body):
            raise error
        self.written.append(body)
        return Written(frames=1)

    def beat(self) -> None:
        """Nothing to note."""


def drained(folder: Path, frames: list[bytes], database: Database) -> tuple[Spool, StreamStatus, list[str]]:
    spool, status, said = Spool(folder, 10**9, segment_bytes=1), StreamStatus(), list[str]()
    for frame in frames:
        spool.append(1, frame)

    async def main() -> None:
        drain = Drain(spool, database, status, said.append, asyncio.Event(), 0.01)  # type: ignore[arg-type]
        await asyncio.wait_for(drain.empty(), 20)

    asyncio.run(main())
    spool.close()
    return spool, status, said


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(draining, "LONGEST_PAUSE", 0.002)


def test_a_database_that_is_away_is_waited_for_and_everything_written_in_order(tmp_path: Path) -> None:
    away = Database(lambda tries, _: psycopg.OperationalError("server closed the connection") if tries < 30 else None)
    spool, status, said = drained(tmp_path, [b"first", b"second", b"third"], away)
    assert [body.split(b"\n")[1] for body in away.written] == [b"first", b"second", b"third"]
    assert (spool.backlog_bytes, status.failed_writes, status.set_aside) == (0, 29, 0)
    assert [line.split(":")[0] for line in said] == ["database", "database"], (
        "told of once when it goes and once when it is back"
    )


def test_a_batch_that_cannot_be_written_is_set_aside_and_keeps_nobody(tmp_path: Path) -> None:
    picky = Database(lambda _, body: psycopg.DataError("no such number") if b"bad" in body else None)
    spool, status, _ = drained(tmp_path, [b"good", b"bad", b"fine"], picky)
    assert len(picky.written) == 2
    assert (spool.backlog_bytes, status.set_aside) == (0, 1)
    assert [b"bad" in path.read_bytes() for path in tmp_path.glob("*.refused")] == [True]


def test_only_the_rows_own_faults_are_bad_data() -> None:
    wrapped = sa.exc.OperationalError("x", {}, psycopg.OperationalError("gone"))
    assert not is_bad_data(wrapped)
    assert not is_bad_data(psycopg.errors.DiskFull("full"))
    assert not is_bad_data(psycopg.errors.UndefinedTable("not migrated"))
    assert is_bad_data(sa.exc.DataError("x", {}, psycopg.DataError("no")))
    assert is_bad_data(psycopg.errors.CheckViolation("no"))


def test_a_call_in_a_thread_hands_back_its_result_and_its_error() -> None:
    assert asyncio.run(in_thread(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 // 0))


def test_a_row_has_a_value_for_every_column_of_its_table() -> None:
    from metapulse_assets.market.stream_tables import STREAM_TABLES

    same_for_all = {"received_on", "received_at", "recorded_at", "available_at", "payload_id"}
    for table in STREAM_TABLES:
        assert {*COLUMNS[table.name], *same_for_all} - {"received_us"} == {column.name for column in table.columns}
