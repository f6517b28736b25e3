"""The limit on requests: exact, shared, and closed while nobody can count."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from metapulse_assets.service.access.request_limit import BUCKET_SECONDS, BUCKETS, RequestLimit, seconds_to_room
from metapulse_assets_tests.service.conftest import StartService, bearer


def test_the_101st_request_of_a_user_is_refused(start_service: StartService, make_token: Callable[..., str]) -> None:
    service = start_service(service_requests_per_minute=100, service_tokens_required=True)
    alice, alice_too, bob = make_token(name="alice"), make_token(name="alice"), make_token(name="bob")
    for number in range(100):
        # Whatever is asked, with whichever of his tokens, whether it is any good.
        path = ("/dlq", "/jobs/1", "/nothing")[number % 3]
        assert service.get(path, headers=bearer((alice, alice_too)[number % 2])).status_code != 429, number
    refused = service.get("/dlq", headers=bearer(alice))
    assert refused.status_code == 429
    assert refused.json()["detail"] == "Rate limit exceeded"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert service.get("/dlq", headers=bearer(alice_too)).status_code == 429
    # Others go on; what probes ask is not counted.
    assert service.get("/dlq", headers=bearer(bob)).status_code == 200
    assert service.get("/dlq").status_code == 401


def test_whoever_tries_tokens_is_counted_by_address(start_service: StartService) -> None:
    service = start_service("10.0.0.9", service_requests_per_minute=5, service_tokens_required=True)
    codes = [service.get("/dlq", headers=bearer(f"mp_{number}")).status_code for number in range(7)]
    assert codes == [401] * 5 + [429] * 2


def test_two_services_that_are_asked_at_once_let_through_no_more_than_one(
    start_service: StartService, database_url: str, engine: sa.Engine
) -> None:
    async def ask() -> list[bool]:
        limits = [RequestLimit(database_url, 100) for _ in range(2)]
        try:
            # In an order that would have statements of two callers wait for each other.
            asked = [limits[n % 2].admit(("user:a", "user:b")[(n // 2 + n) % 2]) for n in range(600)]
            return [verdict.admitted for verdict in await asyncio.gather(*asked)]
        finally:
            for limit in limits:
                await limit.close()

    assert sum(asyncio.run(ask())) == 200
    with engine.begin() as connection:
        rows = connection.execute(sa.text("SELECT caller, (SELECT sum(c) FROM unnest(counts) AS c) FROM request_counts"))
        assert sorted(tuple(row) for row in rows) == [("user:a", 100), ("user:b", 100)]


def test_the_window_slides(database_url: str, engine: sa.Engine) -> None:
    def let_time_go_on(buckets: int) -> None:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE request_counts SET bucket = bucket - :n"), {"n": buckets})

    async def ask(count: int) -> int:
        limit = RequestLimit(database_url, 10)
        try:
            return sum([(await limit.admit("local")).admitted for _ in range(count)])
        finally:
            await limit.close()

    assert asyncio.run(ask(4)) == 4
    let_time_go_on(BUCKETS // 2)
    assert asyncio.run(ask(9)) == 6
    # The four of the beginning leave the window, the six stay.
    let_time_go_on(BUCKETS // 2 + 2)
    assert asyncio.run(ask(9)) == 4
    let_time_go_on(10 * BUCKETS)
    assert asyncio.run(ask(11)) == 10
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT array_length(counts, 1) FROM request_counts")).scalar_one() == BUCKETS


def test_a_clock_that_was_set_back_hands_nothing_out_twice(database_url: str, engine: sa.Engine) -> None:
    async def ask() -> bool:
        limit = RequestLimit(database_url, 1)
        try:
            return (await limit.admit("local")).admitted
        finally:
            await limit.close()

    assert asyncio.run(ask())
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE request_counts SET bucket = bucket + 1000"))
    assert not asyncio.run(ask())


def test_there_is_room_when_the_oldest_requests_have_left_the_window() -> None:
    newest = 1_000
    now = newest * BUCKET_SECONDS
    just_now = [0] * (BUCKETS - 1) + [5]
    assert seconds_to_room(just_now, newest, now) == 61
    assert seconds_to_room(just_now, newest, now + 0.5) == 60
    long_ago = [3] + [0] * (BUCKETS - 1)
    assert seconds_to_room(long_ago, newest, now) == 1
    assert seconds_to_room([0] * BUCKETS, newest, now) >= 1


@pytest.fixture
def detachable(database_url: str, tmp_path: Path) -> tuple[str, Path, Path]:
    """URL of the test's database by a way that can be taken away: the way, and where it leads."""
    from urllib.parse import parse_qs, unquote, urlsplit

    parts = urlsplit(database_url)
    folder = Path(parse_qs(parts.query)["host"][0])
    way = tmp_path / ".s.PGSQL.5432"
    url = unquote(database_url).replace(str(folder), str(tmp_path))
    assert url != unquote(database_url)
    return url, way, folder / way.name


def test_while_the_database_is_away_nobody_is_let_in_and_then_everybody_again(
    start_service: StartService,
    make_token: Callable[..., str],
    detachable: tuple[str, Path, Path],
    engine: sa.Engine,
) -> None:
    url, way, socket = detachable
    secret = make_token("jobs:read")
    service = start_service(database_url=url, connect_seconds=2.0)

    def refused() -> None:
        for headers in ({}, bearer(secret), bearer("mp_wrong")):
            answer = service.get("/dlq", headers=headers)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            assert "PGSQL" not in answer.text
            assert str(way.parent) not in answer.text

    refused()
    way.symlink_to(socket)
    wait_until(lambda: service.get("/dlq").status_code == 200)
    assert service.get("/dlq", headers=bearer(secret)).status_code == 200
    way.unlink()
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'metapulse%' AND pid <> :me"
            ),
            {"me": connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()},
        )
    assert service.get("/dlq").status_code == 503
    way.symlink_to(socket)
    wait_until(lambda: service.get("/dlq").status_code == 200)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait, with patience far above what anything takes."""
    import time

    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
