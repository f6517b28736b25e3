"""Totals that outlive processes: what vendors' answers took, whoever asked, added up and never lost or doubled."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.circuit_breaker import BreakerPolicy
from metapulse_assets.platform.metric_totals import DURATION_BOUNDS, Tally, bound_of
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.tables import metric_totals
from metapulse_assets.platform.vendor_client import CallPolicy, VendorClient, VendorError, outcome_of
from metapulse_assets_tests.platform.stub_vendor import Reply, serving

GATE = Gate("stub", (Limit(10_000, 1.0),))
POLICY = CallPolicy(timeout_seconds=2.0, attempts=1, backoff_seconds=0.0, breaker=BreakerPolicy(100, 60.0))


def totals(engine: sa.Engine) -> dict[tuple[str, ...], float]:
    """Totals by metric and label values, sorted by the labels' names."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(metric_totals))
        return {(row.metric, *(row.labels[name] for name in sorted(row.labels))): row.total for row in rows}


def test_calls_of_several_clients_add_up(engine: sa.Engine) -> None:
    replies = [Reply(body=b"[]"), Reply(status=404), Reply(status=429), Reply(status=500), Reply(delay_seconds=20)]

    async def ask_once(url: str) -> None:
        async with VendorClient("stub", url, engine, POLICY) as client:
            with contextlib.suppress(VendorError):
                await client.get_json("/things", GATE)

    with serving(*replies) as stub:
        for _ in range(len(replies)):
            asyncio.run(ask_once(stub.url))

    found = totals(engine)
    outcomes = {key[1]: total for key, total in found.items() if key[0] == "vendor_requests"}
    assert outcomes == {"ok": 1, "refused": 1, "rate_limited": 1, "failed": 1, "unanswered": 1}
    assert sum(total for key, total in found.items() if key[0] == "vendor_request_seconds") == 4
    assert found["vendor_request_seconds_sum", "stub"] > 0


def test_processes_that_add_at_once_lose_nothing(engine: sa.Engine) -> None:
    def add(number: int) -> None:
        for _ in range(20):
            tally = Tally()
            for name in ("a", "b", "c")[:: 1 if number % 2 else -1]:
                tally.count("metric", 2.0, of=name)
            with engine.begin() as connection:
                tally.store(connection)
            tally.clear()
            assert tally.amounts == {}

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))
    assert totals(engine) == {("metric", name): 160.0 for name in "abc"}


@given(st.floats(0, 1_000))
def test_a_duration_is_in_the_one_range_that_holds_it(seconds: float) -> None:
    bounds = [*DURATION_BOUNDS, float("inf")]
    place = bounds.index(float(bound_of(seconds)))

    assert seconds <= bounds[place]
    assert place == 0 or seconds > bounds[place - 1]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (204, "ok"), (304, "ok"), (400, "refused"), (429, "rate_limited"), (499, "refused"), (500, "failed")],
)
def test_a_status_has_one_outcome(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome
