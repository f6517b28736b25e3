"""The spool: what went in comes out, in its order, whatever happened to the process in between."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.market.stream.spool import Frame, Spool, SpoolError, encoded, frames_of

FRAMES = st.lists(st.builds(Frame, st.integers(0, 2**53), st.binary(max_size=60)), max_size=8)


def all_frames(spool: Spool) -> list[bytes]:
    return [frame.raw for path in spool.seal() for frame in frames_of(path.read_bytes())]


@given(FRAMES)
def test_any_bytes_come_out_as_they_went_in(frames: list[Frame]) -> None:
    segment = b"".join(encoded(frame.received_us, frame.raw) for frame in frames)
    assert list(frames_of(segment)) == frames


@given(FRAMES, st.integers(0, 400))
def test_a_segment_cut_anywhere_gives_its_whole_frames_and_nothing_else(frames: list[Frame], cut: int) -> None:
    segment = b"".join(encoded(frame.received_us, frame.raw) for frame in frames)
    found = list(frames_of(segment[:cut]))
    assert found == frames[: len(found)]
    if cut >= len(segment):
        assert found == frames


@given(st.binary(max_size=200))
def test_no_damage_is_more_than_a_shorter_segment(segment: bytes) -> None:
    list(frames_of(segment))


def test_frames_come_in_their_order_over_several_segments(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**9, segment_bytes=100)
    frames = [b"frame %d" % number for number in range(30)]
    for number, frame in enumerate(frames):
        spool.append(number, frame)
    assert len(spool.seal()) > 3
    assert all_frames(spool) == frames
    assert spool.backlog_bytes == sum(path.stat().st_size for path in spool.seal())
    spool.close()


def test_who_comes_after_a_killed_process_finds_everything(tmp_path: Path) -> None:
    first = Spool(tmp_path, 10**9)
    first.append(1, b"sealed")
    first.seal()
    first.append(2, b"open")
    first._lock.close()  # as the kernel does for a killed process

    second = Spool(tmp_path, 10**9)
    assert second.left_by_others == 2
    second.append(3, b"new")
    assert all_frames(second) == [b"sealed", b"open", b"new"]
    for segment in second.seal():
        second.remove(segment)
    assert (second.backlog_bytes, list(tmp_path.glob("*.frames"))) == (0, [])
    second.close()


def test_a_half_written_frame_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "0000000000000007.frames").write_bytes(encoded(1, b"whole") + encoded(2, b"half")[:-3])
    spool = Spool(tmp_path, 10**9)
    spool.append(3, b"after")
    assert all_frames(spool) == [b"whole", b"after"]
    spool.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**9)
    with pytest.raises(SpoolError, match="another `metapulse stream` writes to"):
        Spool(tmp_path, 10**9)
    spool.close()
    Spool(tmp_path, 10**9).close()


def test_a_full_spool_says_so_until_something_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=100)
    while not spool.is_full:
        spool.append(1, b"twenty bytes or some")
    segment = spool.seal()[0]
    spool.remove(segment)
    assert not spool.is_full
    spool.close()


def test_what_cannot_be_written_is_set_aside_and_not_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**9)
    spool.append(1, b"bad")
    aside = spool.set_aside(spool.seal()[0])
    assert [frame.raw for frame in frames_of(aside.read_bytes())] == [b"bad"]
    assert (spool.seal(), spool.backlog_bytes) == ([], 0)
    spool.close()


def test_sync_reaches_files_that_are_open_and_survives_their_removal(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**9)
    spool.sync()
    spool.append(1, b"open")
    spool.sync()
    assert all_frames(spool) == [b"open"]
    spool.close()
