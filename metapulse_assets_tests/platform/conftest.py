"""A database that many tests use in turn, which is much quicker than one of its own for each."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.database import create_engine
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.platform.tables import circuit_breakers, rate_limits


@pytest.fixture(scope="session")
def shared_engine(server_home: Path, template_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database in which nothing may be left behind."""
    server = embedded_postgres.locate(server_home)
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(77)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
        admin.execute("SELECT pg_advisory_unlock(77)")
    engine = create_engine(server.url(name), load_settings())
    yield engine
    engine.dispose()
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def vendor_engine(shared_engine: sa.Engine) -> Iterator[sa.Engine]:
    """An engine on a database in which no vendor was ever called."""
    yield shared_engine
    with shared_engine.begin() as connection:
        for table in (rate_limits, circuit_breakers):
            connection.execute(sa.delete(table))


@pytest.fixture
def connection(shared_engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that is rolled back after the test."""
    with shared_engine.connect() as connection:
        yield connection
        connection.rollback()
