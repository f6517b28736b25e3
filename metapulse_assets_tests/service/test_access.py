"""Who is let in: generated from the service's own routes, so that no page is forgotten."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from metapulse_assets.platform.settings import load_settings
from metapulse_assets.service.access import gate as access_gate
from metapulse_assets.service.access.api_tokens import PREFIX, TokenError, create_token, revoke_token
from metapulse_assets.service.access.callers import SCOPES, address_key, is_local, tokens_required
from metapulse_assets.service.app import create_app
from metapulse_assets.service.description import api_routes, scope_of
from metapulse_assets_tests.service.conftest import StartService, bearer

# What answers without a token, and why: what a probe asks must have its answer while nobody can be known.
OPEN = {"/health", "/health/summary", "/health/live", "/health/ready"}


def guarded(service: TestClient) -> list[tuple[str, str, str]]:
    """Method, path and scope of every page that needs a token."""
    found = []
    for route in api_routes(service.app):  # type: ignore[arg-type]
        scope = scope_of(route)
        assert (scope is None) == (route.path in OPEN), route.path
        path = route.path.replace("{", "").replace("}", "")
        found += [(method, path, scope) for method in sorted(route.methods or ()) if scope]
    return found


def test_every_page_refuses_whoever_has_no_right(
    start_service: StartService, make_token: Callable[..., str], engine: sa.Engine
) -> None:
    service = start_service(service_tokens_required=True)
    pages = guarded(service)
    assert len(pages) >= 14
    expired = make_token(age=2, days=1)
    revoked = make_token()
    with engine.begin() as connection:
        number = connection.execute(sa.text("SELECT max(id) FROM api_tokens")).scalar_one()
        assert revoke_token(connection, number, datetime.now(UTC))
    good = make_token()
    refused = {
        "missing": {},
        "wrong": bearer(PREFIX + "x" * 43),
        "expired": bearer(expired),
        "revoked": bearer(revoked),
        "cut": bearer(good[:-1]),
        "of another kind": {"Authorization": f"Basic {good}"},
        "in the URL": {},
        "empty": {"Authorization": "Bearer "},
    }
    answers = set()
    for method, path, _ in pages:
        for why, headers in refused.items():
            url = f"{path}?token={good}&access_token={good}" if why == "in the URL" else path
            found = service.request(method, url, headers=headers)
            assert found.status_code == 401, (method, path, why, found.text)
            assert found.headers["WWW-Authenticate"].startswith("Bearer")
            assert found.headers["Content-Type"] == "application/problem+json"
            answers.add(found.json()["detail"])
    # Nobody learns why.
    assert len(answers) == 1


def test_a_token_opens_what_its_scopes_say_and_nothing_else(
    start_service: StartService, make_token: Callable[..., str]
) -> None:
    service = start_service(service_tokens_required=True)
    tokens = {scope: make_token(scope) for scope in SCOPES}
    # Launching would start runs of Dagster: who may is judged before.
    pages = [(m, path, s) for m, path, s in guarded(service) if not (m == "POST" and path.startswith("/jobs/"))]
    for method, path, needed in pages:
        for scope, secret in tokens.items():
            found = service.request(method, path, headers=bearer(secret))
            if scope == needed:
                assert found.status_code not in (401, 403), (method, path, found.text)
            else:
                assert found.status_code == 403, (method, path, scope)
                assert found.json()["scope"] == needed
                assert needed in found.json()["detail"]


LET_IN: list[tuple[str, dict[str, str], bool]] = [
    ("127.0.0.1", {}, True),
    ("::1", {"Host": "[::1]:3001"}, True),
    ("127.0.0.1", {"Host": "localhost:3001"}, True),
    ("10.0.0.5", {}, False),
    ("127.0.0.1", {"Host": "evil.example:3001"}, False),
    ("127.0.0.1", {"Host": "127.0.0.1.evil.example"}, False),
    ("127.0.0.1", {"Origin": "http://127.0.0.1:3001"}, True),
    ("127.0.0.1", {"Origin": "http://127.0.0.1:8888"}, False),
    ("127.0.0.1", {"Origin": "https://evil.example"}, False),
    ("127.0.0.1", {"Origin": "null"}, False),
    ("127.0.0.1", {"Origin": "http://["}, False),
    ("127.0.0.1", {"Host": "["}, False),
    ("127.0.0.1", {"Sec-Fetch-Site": "cross-site"}, False),
    ("127.0.0.1", {"Sec-Fetch-Site": "same-origin"}, True),
    ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
    ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False),
    ("127.0.0.1", {"Authorization": "Bearer mp_wrong"}, False),
    ("127.0.0.1", {"Authorization": "whatever"}, False),
]


def test_without_a_token_only_programs_of_this_machine_are_let_in(start_service: StartService) -> None:
    services = {client: start_service(client) for client in {client for client, _, _ in LET_IN}}
    for client, headers, admitted in LET_IN:
        for method, path in (("GET", "/dlq"), ("POST", "/workers/pause")):
            found = services[client].request(method, path, headers=headers)
            assert found.status_code == (200 if admitted else 401), (client, headers, method)


def test_no_address_of_another_machine_is_local() -> None:
    host = {"host": "localhost"}
    assert is_local("::ffff:127.0.0.1", host)
    for address in (None, "", "0.0.0.0", "192.168.0.1", "testclient", "::2", "::ffff:10.0.0.1"):  # noqa: S104
        assert not is_local(address, host), address
    assert not is_local("127.0.0.1", {})
    assert not is_local("127.0.0.1", {"host": "localhost", "origin": "file://localhost"})


def test_tokens_are_required_where_others_can_reach_the_service() -> None:
    assert not tokens_required(load_settings())
    assert not tokens_required(load_settings(service_host="::1"))
    assert tokens_required(load_settings(service_host="0.0.0.0"))  # noqa: S104
    assert tokens_required(load_settings(service_host="10.1.2.3"))
    assert tokens_required(load_settings(environment="production"))
    assert not tokens_required(load_settings(environment="production", service_tokens_required=False))
    assert tokens_required(load_settings(service_tokens_required=True))


def test_a_token_that_ends_while_it_is_remembered_opens_nothing_any_more(
    start_service: StartService, make_token: Callable[..., str]
) -> None:
    from metapulse_assets_tests.conftest import FixedClock

    clock = FixedClock(datetime.now(UTC))
    service = start_service(service_tokens_required=True, clock=clock)
    secret = make_token("jobs:read", days=1)
    assert service.get("/dlq", headers=bearer(secret)).status_code == 200
    clock.moment += timedelta(days=1, seconds=1)
    assert service.get("/dlq", headers=bearer(secret)).status_code == 401


def test_a_revoked_token_is_remembered_for_two_seconds_at_most(
    start_service: StartService, make_token: Callable[..., str], engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert access_gate.TOKEN_CACHE_SECONDS <= 2
    monkeypatch.setattr(access_gate, "TOKEN_CACHE_SECONDS", 0.2)
    service = start_service(service_tokens_required=True)
    secret = make_token("jobs:read")
    assert service.get("/dlq", headers=bearer(secret)).status_code == 200
    with engine.begin() as connection:
        revoke_token(connection, 1, datetime.now(UTC))
    deadline = time.monotonic() + 120
    while service.get("/dlq", headers=bearer(secret)).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_its_use_is_noted_to_the_minute_and_its_secret_nowhere(
    start_service: StartService, make_token: Callable[..., str], engine: sa.Engine
) -> None:
    secret = make_token("jobs:read")
    for _ in range(2):
        # Each has to look the token up.
        assert start_service(service_tokens_required=True).get("/dlq", headers=bearer(secret)).status_code == 200
    with engine.begin() as connection:
        row = connection.execute(sa.text("SELECT last_used_at, xmin::text, api_tokens::text AS all FROM api_tokens")).one()
        assert row.last_used_at is not None
        assert secret not in row.all
        assert secret.removeprefix(PREFIX) not in row.all
    assert start_service(service_tokens_required=True).get("/dlq", headers=bearer(secret)).status_code == 200
    with engine.begin() as connection:
        # Not written again within the minute.
        assert connection.execute(sa.text("SELECT xmin::text FROM api_tokens")).scalar_one() == row.xmin


@pytest.mark.parametrize(
    ("name", "scopes", "days", "field"),
    [
        ("", ["jobs:read"], None, "name"),
        ("a\0", ["jobs:read"], None, "name"),
        ("a" * 101, ["jobs:read"], None, "name"),
        ("a", [], None, "scopes"),
        ("a", ["jobs:read", "everything"], None, "scopes: 'everything'"),
        ("a", ["jobs:read"], 0, "days"),
        ("a", ["jobs:read"], -1, "days"),
        ("a", ["jobs:read"], float("nan"), "days"),
        ("a", ["jobs:read"], 1e9, "days"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(
    engine: sa.Engine, name: str, scopes: list[str], days: float | None, field: str
) -> None:
    with engine.begin() as connection, pytest.raises(TokenError, match=f"^{field}"):
        create_token(connection, name, scopes, datetime.now(UTC), days)


def test_unknown_callers_are_counted_by_address() -> None:
    assert address_key("10.0.0.1") == address_key("::ffff:10.0.0.1") == "address:10.0.0.1"
    # A subscriber can use any address of his network.
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:1") != address_key("2001:db8:0:1::1")
    assert address_key(None) == address_key("testclient") == "address:unknown"


def test_in_production_the_pages_for_development_are_neither_there_nor_described(
    make_settings: Callable[..., object],
) -> None:
    from metapulse_assets.platform.runtime import Platform

    paths = {
        environment: set(create_app(Platform(make_settings(environment=environment))).openapi()["paths"])  # type: ignore[arg-type]
        for environment in ("development", "production")
    }
    assert paths["production"] < paths["development"]
    assert not any(path.startswith("/jobs/") and path != "/jobs/{job_id}" for path in paths["production"])
