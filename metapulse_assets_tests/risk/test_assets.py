"""The asset and its checks on the sandbox: a tick asks, a past day is left alone, a scanner that is down stops nobody."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.tables import circuit_breakers, dead_letters, rate_limits, raw_payloads
from metapulse_assets.risk import assets
from metapulse_assets.risk.checks import risk_checks
from metapulse_assets.risk.tables import security_requests, token_security
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets.vendors.chains import canonical_address

NOON = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)
# More than a minute's limit, so that a round leaves some for later.
LIMIT = 5


class World:
    """A sandbox and a platform at the same moment, which the test moves."""

    def __init__(self, sandbox: Sandbox, make_settings: Callable[..., Settings], time: list[datetime]) -> None:
        self.sandbox, self.time = sandbox, time
        settings = make_settings(
            rugcheck_api_url=sandbox.rugcheck_url,
            goplus_api_url=sandbox.goplus_url,
            rugcheck_rate_limit=LIMIT,
            goplus_rate_limit=LIMIT,
            vendor_attempts=1,
        )
        self.platform = Platform(settings, clock=lambda: self.time[0])

    def run(self, day: datetime) -> dg.ExecuteInProcessResult:
        """Run the asset and its checks for a day."""
        with self.platform.engine.begin() as connection:
            # The limits go by the machine's own clock: without this, a test would wait for a real minute.
            connection.execute(sa.delete(rate_limits))
        return dg.materialize(
            [assets.token_security, *risk_checks()],
            partition_key=f"{day:%Y-%m-%d}",
            resources={"platform": self.platform},
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            raise_on_error=False,
        )

    def facts(self, result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        """What the run said of the asset."""
        [event] = result.asset_materializations_for_node("token_security")
        return {name: value.value for name, value in event.metadata.items()}

    def rows(self, table: sa.Table) -> list[Any]:
        """All rows of a table."""
        with self.platform.engine.connect() as connection:
            return list(connection.execute(sa.select(table)).all())


@pytest.fixture
def world(make_settings: Callable[..., Settings]) -> Iterator[World]:
    """A world in which eight tokens of the sandbox are tracked."""
    time = [NOON]
    limits = {"rugcheck": 1_000, "goplus": 1_000}
    with running(SandboxConfig(tokens=30, limits=limits, wall=lambda: time[0].timestamp())) as sandbox:
        world = World(sandbox, make_settings, time)
        pools = sandbox._backstage.market.catalogue(NOON.timestamp()).pools
        chosen = {(pool.chain, canonical_address(pool.chain, pool.base.address)): pool for pool in pools if pool.chain != "bsc"}
        solana = [key for key in chosen if key[0] == "solana"][:7]
        others = [key for key in chosen if key[0] == "base"][:2]
        with world.platform.engine.begin() as connection:
            ids = connection.execute(
                sa.insert(tokens).returning(tokens.c.token_id),
                [
                    {"chain": chain, "address": address, "symbol": "T", "name": "T", "first_recorded_at": NOON}
                    for chain, address in [*solana, *others, ("base", "0x" + "0" * 39 + "9"), ("ton", "t")]
                ],
            ).scalars()
            connection.execute(
                sa.insert(tracked_tokens),
                [
                    {"token_id": i, "active": True, "sources": ["boosts"], "tracked_since": NOON, "last_listed_at": NOON,
                     "reason": ""}
                    for i in ids
                ],
            )  # fmt: skip
        yield world


def test_ticks_ask_for_all_and_then_leave_them_alone(world: World) -> None:
    first = world.run(NOON)
    assert first.success
    facts = world.facts(first)
    assert (facts["due"], facts["asked"], facts["left for later"]) == (10, 8, 2)
    assert facts["stored in this run"] == 7
    assert facts["dead letters"] == 0
    world.time[0] += timedelta(minutes=5)
    assert world.facts(world.run(NOON))["stored in this run"] == 2
    world.time[0] += timedelta(minutes=5)
    facts = world.facts(world.run(NOON))
    assert (facts["due"], facts["dagster/row_count"]) == (0, 9)
    outcomes = sorted(row.outcome for row in world.rows(security_requests))
    assert outcomes == ["not_known", *["reported"] * 9]
    payloads = {row.payload_id for row in world.rows(raw_payloads)}
    assert all(row.payload_id in payloads for row in world.rows(token_security))
    # A day later everybody is due again; reports that are a day old are stored anew.
    world.time[0] += timedelta(days=1)
    assert world.facts(world.run(world.time[0]))["due"] == 10


def test_a_past_day_is_left_alone_and_says_why(world: World) -> None:
    world.run(NOON)
    before, requests = world.rows(token_security), len(world.sandbox.requests())
    world.time[0] += timedelta(days=1)
    facts = world.facts(world.run(NOON))
    assert (facts["changed"], facts["dagster/row_count"]) == (0, 7)
    assert "cannot be asked for again" in facts["why"]
    assert world.rows(token_security) == before
    assert len(world.sandbox.requests()) == requests


@pytest.mark.parametrize("fault", ["server-error", "rate-limit", "html", "cut-json"])
def test_scanners_that_are_down_stop_nobody(world: World, fault: str) -> None:
    world.sandbox.set_faults({fault: 1.0})
    result = world.run(NOON)
    assert result.success
    assert world.facts(result)["stored in this run"] == 0
    assert world.rows(dead_letters)
    assert {row.outcome for row in world.rows(security_requests)} == {"failed"}
    world.sandbox.set_faults({})
    with world.platform.engine.begin() as connection:
        connection.execute(sa.delete(circuit_breakers))
    world.time[0] += timedelta(minutes=20)
    assert world.facts(world.run(NOON))["stored in this run"] > 0


def test_nobody_due_asks_nobody(world: World) -> None:
    with world.platform.engine.begin() as connection:
        connection.execute(sa.update(tracked_tokens).values(active=False))
    facts = world.facts(world.run(NOON))
    assert (facts["due"], facts["asked"]) == (0, 0)
    assert world.sandbox.requests() == []


def test_the_checks_notice_what_is_wrong(world: World) -> None:
    def failed(result: dg.ExecuteInProcessResult) -> set[str]:
        return {evaluation.check_name for evaluation in result.get_asset_check_evaluations() if not evaluation.passed}

    assert failed(world.run(NOON)) == set()
    with world.platform.engine.begin() as connection:
        connection.execute(sa.update(token_security).values(available_at=NOON - timedelta(hours=1), sell_tax=2.0))
        connection.execute(sa.update(tracked_tokens).values(tracked_since=NOON - timedelta(days=5)))
        connection.execute(sa.update(security_requests).values(outcome="failed"))
    assert failed(world.run(NOON)) == {"values", "never_before_the_answer", "nobody_waits"}
