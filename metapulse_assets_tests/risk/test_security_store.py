"""Which tokens are due, what is stored, and that risk knows of a report only what was known then."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.market.tables import pools, token_metrics, tracked_tokens
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.raw_payloads import RawPayload, store_payloads
from metapulse_assets.risk import assessing, security_store
from metapulse_assets.risk.security import TokenFacts
from metapulse_assets.risk.security_reports import Scanned, TokenReport
from metapulse_assets.risk.tables import risk_assessments, security_requests, token_security
from metapulse_assets.signals.tables import technical_signals
from metapulse_assets_tests.market.stored import add_tokens

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SAFE = TokenFacts(mint_authority=False, freeze_authority=False, rugged=False, lp_locked_share=1.0, top10_holder_share=0.1)


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction of its own."""
    with engine.begin() as connection:
        yield connection


def scanned(token_id: int, facts: TokenFacts, at: datetime, vendor: str = "rugcheck") -> Scanned:
    """A round in which one token was reported."""
    payload = RawPayload(vendor, f"https://example.invalid/{token_id}", 200, at, f"{token_id} {at} {facts}".encode())
    report = TokenReport(token_id, vendor, facts, payload)
    return Scanned(reports=[report], payloads=[payload], outcomes={token_id: (vendor, "reported")})


def store(connection: sa.Connection, round_: Scanned, now: datetime) -> int:
    """Store a round as the asset does."""
    return security_store.store_scanned(connection, round_, store_payloads(connection, round_.payloads), now)


def asked(connection: sa.Connection, token_id: int, at: datetime, outcome: str = "reported") -> None:
    """Note that a token was asked about."""
    connection.execute(sa.insert(security_requests).values(token_id=token_id, asked_at=at, vendor="rugcheck", outcome=outcome))


def hit(connection: sa.Connection, token_id: int, at: datetime) -> None:
    """A rule fired."""
    ensure_days(connection, technical_signals.name, {utc_day(at)})
    connection.execute(
        sa.insert(technical_signals).values(
            opened_at=at, token_id=token_id, timeframe="5m", rule="rsi_oversold", available_at=at, direction="buy",
            strength=0.5, confidence=0.5, price_usd=1.0, inputs={},
        )
    )  # fmt: skip


def due(connection: sa.Connection, now: datetime = NOON) -> list[int]:
    """Ids of the tokens that are due, in their order."""
    return [token.token_id for token in security_store.due_tokens(connection, now)]


def test_who_is_due_and_in_what_order(connection: sa.Connection) -> None:
    never, old, recent, hit_recent, hit_just, failed, failed_just, gone = add_tokens(connection, 8, NOON - 9 * DAY)
    asked(connection, old, NOON - 25 * HOUR)
    asked(connection, recent, NOON - 23 * HOUR)
    asked(connection, hit_recent, NOON - 2 * HOUR, "not_known")
    asked(connection, hit_just, NOON - 30 * MINUTE)
    asked(connection, failed, NOON - 16 * MINUTE, "failed")
    asked(connection, failed_just, NOON - 14 * MINUTE, "failed")
    for token_id in (hit_recent, hit_just):
        hit(connection, token_id, NOON - 20 * MINUTE)
    hit(connection, recent, NOON - 2 * HOUR)
    hit(connection, old, NOON + MINUTE)
    connection.execute(sa.update(tracked_tokens).where(tracked_tokens.c.token_id == gone).values(active=False))
    add_tokens(connection, 1, NOON, chain="ton")
    assert due(connection) == [hit_recent, never, old, failed]


def test_a_token_of_an_evm_chain_is_due_too(connection: sa.Connection) -> None:
    add_tokens(connection, 1, NOON, chain="base")
    assert [token.chain for token in security_store.due_tokens(connection, NOON)] == ["base"]


def test_what_is_stored(connection: sa.Connection) -> None:
    [token] = add_tokens(connection, 1, NOON)
    facts = TokenFacts(mint_authority=True, trusted=False, sell_tax=0.1)
    assert store(connection, scanned(token, facts, NOON), NOON + MINUTE) == 1
    [row] = connection.execute(sa.select(token_security)).all()
    assert (row.token_id, row.observed_at, row.recorded_at, row.available_at) == (token, NOON, NOON + MINUTE, NOON + MINUTE)
    assert (row.mint_authority, row.trusted, row.honeypot) == (True, False, None)
    assert row.sell_tax == pytest.approx(0.1)
    assert row.buy_tax is None
    [request] = connection.execute(sa.select(security_requests)).all()
    assert (request.token_id, request.asked_at, request.outcome) == (token, NOON + MINUTE, "reported")


@pytest.mark.parametrize(
    ("later", "facts", "vendor", "new"),
    [
        (HOUR, SAFE, "rugcheck", 0),
        (DAY - MINUTE, SAFE, "rugcheck", 0),
        (DAY, SAFE, "rugcheck", 1),
        (HOUR, TokenFacts(**{**vars(SAFE), "mint_authority": True}), "rugcheck", 1),
        (HOUR, TokenFacts(**{**vars(SAFE), "mint_authority": None}), "rugcheck", 1),
        (HOUR, TokenFacts(**{**vars(SAFE), "top10_holder_share": 0.11}), "rugcheck", 1),
        (HOUR, TokenFacts(**{**vars(SAFE), "top10_holder_share": 0.1 + 1e-12}), "rugcheck", 0),
        (HOUR, SAFE, "goplus", 1),
    ],
)
def test_a_row_only_where_something_changed_or_a_day_passed(
    connection: sa.Connection, later: timedelta, facts: TokenFacts, vendor: str, new: int
) -> None:
    [token] = add_tokens(connection, 1, NOON)
    store(connection, scanned(token, SAFE, NOON), NOON)
    assert store(connection, scanned(token, facts, NOON + later, vendor), NOON + later) == new
    assert connection.execute(sa.select(sa.func.count()).select_from(token_security)).scalar_one() == 1 + new
    assert connection.execute(sa.select(security_requests.c.asked_at)).scalar_one() == NOON + later


def test_a_failure_is_noted_and_loses_nothing(connection: sa.Connection) -> None:
    [token] = add_tokens(connection, 1, NOON)
    store(connection, scanned(token, SAFE, NOON), NOON)
    store(connection, Scanned(outcomes={token: ("rugcheck", "failed")}), NOON + DAY)
    assert connection.execute(sa.select(sa.func.count()).select_from(token_security)).scalar_one() == 1
    assert connection.execute(sa.select(security_requests.c.outcome)).scalar_one() == "failed"


def snapshot(connection: sa.Connection, token_id: int, at: datetime, late: timedelta = timedelta(0)) -> None:
    """A snapshot of a sound market."""
    ensure_days(connection, token_metrics.name, {utc_day(at)})
    connection.execute(
        sa.insert(token_metrics).values(
            observed_at=at, recorded_at=at + late, token_id=token_id, pool_id=_pool(connection, token_id), price_usd=1.0,
            liquidity_usd=2e6, fdv_usd=1e7, market_cap_usd=1e7, volume_h24_usd=1e6, buys_h24=900, sells_h24=800,
            price_change_h24_pct=1.0,
        )
    )  # fmt: skip


def _pool(connection: sa.Connection, token_id: int) -> int:
    found = connection.execute(sa.select(pools.c.pool_id).where(pools.c.token_id == token_id)).scalar()
    if found is not None:
        return int(found)
    statement = sa.insert(pools).values(
        token_id=token_id, chain="solana", address=f"pool{token_id}", dex="raydium", created_at=NOON - 90 * DAY,
        first_recorded_at=NOON,
    )  # fmt: skip
    return int(connection.execute(statement.returning(pools.c.pool_id)).scalar_one())


def assessed(connection: sa.Connection) -> list[tuple[Any, ...]]:
    """All rows of `risk_assessments`, in time."""
    table = risk_assessments
    return [
        (
            row.observed_at,
            row.token_id,
            row.available_at,
            row.level,
            row.score,
            row.known_share,
            row.hard_fail,
            str(row.factors),
        )
        for row in connection.execute(sa.select(table).order_by(table.c.token_id, table.c.observed_at))
    ]


def test_risk_knows_a_report_from_when_it_was_stored_on(connection: sa.Connection) -> None:
    [token] = add_tokens(connection, 1, NOON)
    bad = TokenFacts(**{**vars(SAFE), "mint_authority": True})
    # Seen before the second snapshot, but stored only after it.
    store(connection, scanned(token, bad, NOON + 4 * MINUTE), NOON + 6 * MINUTE)
    for minutes in (0, 5, 10, 15):
        snapshot(connection, token, NOON + minutes * MINUTE)
    assessing.assess_new(connection, NOON + 16 * MINUTE)
    assert [(row[0], row[3], row[6]) for row in assessed(connection)] == [
        (NOON, "medium", None),
        (NOON + 10 * MINUTE, "high", "mint_authority"),
    ]


def test_a_report_that_is_stored_as_a_snapshot_is_recorded_is_known_to_it(connection: sa.Connection) -> None:
    [token] = add_tokens(connection, 1, NOON)
    store(connection, scanned(token, SAFE, NOON - MINUTE), NOON)
    snapshot(connection, token, NOON - MINUTE, late=MINUTE)
    assessing.assess_new(connection, NOON)
    assert [row[3] for row in assessed(connection)] == ["low"]


def test_an_old_report_says_nothing_any_more(connection: sa.Connection) -> None:
    [token] = add_tokens(connection, 1, NOON)
    store(connection, scanned(token, SAFE, NOON - 8 * DAY), NOON - 8 * DAY)
    snapshot(connection, token, NOON)
    assessing.assess_new(connection, NOON)
    assert [row[3] for row in assessed(connection)] == ["medium"]


def test_each_token_has_its_own_report(connection: sa.Connection) -> None:
    first, second, third = add_tokens(connection, 3, NOON)
    store(connection, scanned(first, SAFE, NOON - HOUR), NOON - HOUR)
    store(connection, scanned(third, TokenFacts(rugged=True), NOON - HOUR), NOON - HOUR)
    for token in (third, first, second):
        snapshot(connection, token, NOON)
    assessing.assess_new(connection, NOON)
    assert [(row[1], row[3], row[6]) for row in assessed(connection)] == [
        (first, "low", None), (second, "medium", None), (third, "high", "rugged"),
    ]  # fmt: skip


def test_a_day_made_anew_comes_out_equal(connection: sa.Connection) -> None:
    first, second = add_tokens(connection, 2, NOON)
    facts = [SAFE, TokenFacts(**{**vars(SAFE), "sell_tax": 0.3}), TokenFacts(**{**vars(SAFE), "honeypot": True})]
    for step in range(12):
        now = NOON + step * 5 * MINUTE
        for token in (first, second):
            snapshot(connection, token, now, late=MINUTE)
        if step % 4 == 1:
            store(connection, scanned(first, facts[step // 4], now), now + MINUTE)
        if step % 5 == 2:
            store(connection, scanned(second, facts[-1 - step // 5], now - HOUR), now)
        assessing.assess_new(connection, now + 2 * MINUTE)
    live = assessed(connection)
    assert {row[6] for row in live} == {None, "honeypot"}
    assessing.assess_again(connection, NOON.date())
    assert assessed(connection) == live
    connection.execute(sa.delete(token_security))
    assessing.assess_again(connection, NOON.date())
    assert assessed(connection) != live
