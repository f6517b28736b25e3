"""Counts sent to a DogStatsD agent: what goes over the wire, and that no job ever waits for it or fails by it."""

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.settings import Settings, SettingsError, load_settings
from metapulse_assets.platform.statsd import LARGEST_PACKET, MOST_WAITING, Statsd, packets
from metapulse_assets_tests.platform.queue_jobs import EFFECTS
from metapulse_assets_tests.platform.queue_running import change, put, state, work

LINE = re.compile(r"([^:|]+):(\d+)\|c\|#(.*)")
# Three jobs, of which one fails once and comes again, and one fails for good.
EXPECTED = {
    "type:t-echo,status:success": 1,
    "type:t-effect,status:success": 1,
    "type:t-hasty,status:retried": 1,
    "type:t-hasty,status:success": 1,
    "type:t-hopeless,status:failed": 1,
}


@pytest.fixture
def agent() -> Iterator[socket.socket]:
    """A socket in the place of the agent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        yield listener


def heard(agent: socket.socket, how_many: int) -> Counter[tuple[str, str]]:
    """Counts by metric and tags, until so many have come."""
    counts: Counter[tuple[str, str]] = Counter()
    while counts.total() < how_many:
        for line in agent.recv(65_536).decode().splitlines():
            found = LINE.fullmatch(line)
            assert found, line
            counts[found[1], found[3]] += int(found[2])
    return counts


def test_a_worker_tells_of_each_attempt_that_was_settled(
    engine: sa.Engine, make_settings: Callable[..., Settings], agent: socket.socket
) -> None:
    change(engine, EFFECTS)
    settings = make_settings(statsd_address=f"127.0.0.1:{agent.getsockname()[1]}")
    for queue, data in (("t-echo", {}), ("t-effect", {}), ("t-hasty", {"failures": 1}), ("t-hopeless", {})):
        put(engine, queue, data)
    work(settings, "t-echo", "t-effect", "t-hasty", "t-hopeless")

    counts = heard(agent, sum(EXPECTED.values()))
    assert counts == {("worker.job.processed", tags): number for tags, number in EXPECTED.items()}


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-host.invalid:8125"])
def test_jobs_are_done_though_nobody_listens(engine: sa.Engine, make_settings: Callable[..., Settings], address: str) -> None:
    job_id = put(engine, "t-echo")
    work(make_settings(statsd_address=address), "t-echo")

    assert state(engine, job_id) == "completed"


def test_counting_never_waits_and_holds_a_bounded_number() -> None:
    statsd = Statsd("no-such-host.invalid:8125")
    for _ in range(3 * MOST_WAITING):
        statsd.count("worker.job.processed", {"type": "a"})
    statsd.close()

    assert statsd._waiting.qsize() <= MOST_WAITING


@given(
    st.dictionaries(
        st.tuples(
            st.text(min_size=1, max_size=40),
            st.lists(st.tuples(st.text(min_size=1, max_size=30), st.text(max_size=300)), max_size=3).map(tuple),
        ),
        st.integers(1, 10**6),
        max_size=40,
    )
)
def test_whatever_a_queue_is_called_the_lines_stay_whole(counts: dict[tuple[str, tuple[tuple[str, str], ...]], int]) -> None:
    sent = list(packets(counts))
    lines = [line for packet in sent for line in packet.split(b"\n")]

    assert len(lines) == len(counts)
    assert all(len(packet) <= LARGEST_PACKET for packet in sent if b"\n" in packet)
    for line, ((_, tags), number) in zip(lines, counts.items(), strict=True):
        name_and_value, kind, *tag_part = line.decode().split("|")
        assert name_and_value.rsplit(":", 1)[1] == str(number)
        assert kind == "c"
        assert sum(len(part.split(",")) for part in tag_part) == len(tags)


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":8125", "localhost:0", "localhost:99999", "localhost:٣"])
def test_an_address_that_is_none_is_refused_by_name(address: str) -> None:
    with pytest.raises(SettingsError, match="METAPULSE_STATSD_ADDRESS: it is not of the form host:port"):
        load_settings(statsd_address=address)


def test_addresses_of_every_kind_are_understood() -> None:
    assert load_settings(statsd_address="[::1]:8125").statsd_address == "[::1]:8125"
