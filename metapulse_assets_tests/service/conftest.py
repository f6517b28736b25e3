"""The service inside the test's process, on a database of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.service import database
from metapulse_assets.service.access.api_tokens import create_token
from metapulse_assets.service.access.callers import SCOPES
from metapulse_assets.service.app import create_app
from metapulse_assets_tests.platform import queue_jobs  # noqa: F401 - registers handlers

BASE_URL = "http://127.0.0.1:3001"
StartService = Callable[..., TestClient]


@pytest.fixture
def start_service(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[StartService]:
    """Starts a service with settings by field name; `client`: the address that it sees, `clock`: its time of day.

    `connect_seconds`: how long it waits for its database, which is there in most tests, if the machine is not too busy.
    """
    with ExitStack() as stack:

        def start(
            client: str = "127.0.0.1",
            clock: Callable[[], Any] | None = None,
            connect_seconds: float = 60.0,
            **overrides: object,
        ) -> TestClient:
            monkeypatch.setattr(database, "CONNECT_SECONDS", connect_seconds)
            generous = {"service_requests_per_minute": 100_000, "service_cache_seconds": 0}
            settings = make_settings(**{**generous, **overrides})
            platform = Platform(settings) if clock is None else Platform(settings, clock)
            app = create_app(platform)
            return stack.enter_context(TestClient(app, BASE_URL, raise_server_exceptions=False, client=(client, 50_000)))

        yield start


@pytest.fixture
def service(start_service: StartService) -> TestClient:
    """A service in development, asked from this machine: no token is needed."""
    return start_service()


@pytest.fixture
def make_token(engine: sa.Engine) -> Callable[..., str]:
    """Makes tokens; returns the secret."""
    from datetime import UTC, datetime

    def make(*scopes: str, name: str = "alice", age: float = 0.0, days: float | None = None) -> str:
        made_at = datetime.now(UTC) - timedelta(days=age)
        with engine.begin() as connection:
            return create_token(connection, name, scopes or SCOPES, made_at, days)[1]

    return make


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {secret}"}
