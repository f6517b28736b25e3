"""The database: made, migrated and claimed once however many ask, in the very shape that the tables say."""

import importlib
import pkgutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import alembic.command
import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import metapulse_assets
from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.database import (
    DatabaseError,
    alembic_config,
    claim,
    create_engine,
    dagster_storage_url,
    ensure_ready,
    get_engine,
    metadata,
    upgrade,
    with_database,
)
from metapulse_assets.platform.settings import Settings, load_settings
from metapulse_assets.platform.vendor_settings import Mode

# Every module of tables, whether or not the migrations know of it.
for module in pkgutil.walk_packages(metapulse_assets.__path__, "metapulse_assets."):
    if module.name.endswith("tables"):
        importlib.import_module(module.name)


@pytest.fixture
def absent_database(server_home: Path) -> Iterator[str]:
    """URL of a database that is not there, on the session's server; its like are dropped after the test."""
    server = embedded_postgres.locate(server_home)
    name = f"test absent {uuid.uuid4().hex[:8]}"
    yield with_database(server.url(), lambda _: name)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for suffix in ("", "_dagster"):
            connection.execute(
                psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(psycopg.sql.Identifier(name + suffix))
            )


def shape(url: str) -> dict[str, Any]:
    """Tables and columns of a database."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        found = {name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_table_names()}
    engine.dispose()
    return found


def partitions(connection: sa.Connection) -> set[str]:
    """Tables that are parts of others."""
    return set(connection.execute(sa.text("SELECT inhrelid::regclass::text FROM pg_inherits")).scalars())


def test_migrations_make_exactly_what_the_tables_say(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        parts = partitions(connection)
        assert {"candles_5m", "candles_1h", "candles_1d"} <= parts

        def ours(_: object, name: str | None, kind: str, reflected: bool, __: object) -> bool:
            return not (kind == "table" and reflected and name in parts)

        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_object": ours}
        )
        assert compare_metadata(context, metadata) == []
        classes = {
            row.relname: row for row in connection.execute(sa.text("SELECT relname, relkind, relpersistence FROM pg_class"))
        }
        own_checks = (
            "SELECT conname, conrelid::regclass::text AS owner FROM pg_constraint WHERE contype = 'c' AND coninhcount = 0"
        )
        checks = {row.conname: row.owner for row in connection.execute(sa.text(own_checks))}
    for table in metadata.tables.values():
        # alembic compares neither of these.
        assert classes[table.name].relkind == ("p" if table.dialect_options["postgresql"]["partition_by"] else "r"), table.name
        assert (classes[table.name].relpersistence == "u") == ("UNLOGGED" in table._prefixes), table.name
        for constraint in table.constraints:
            if isinstance(constraint, sa.CheckConstraint):
                assert checks[str(constraint.name)] == table.name


def test_every_table_is_explained() -> None:
    # Whether the database has the same comments is part of the comparison above.
    assert [table.name for table in metadata.tables.values() if not table.comment] == []


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    before = shape(database_url)
    assert len(before) >= len(metadata.tables)
    upgrade(database_url)
    assert shape(database_url) == before


def test_migrations_can_be_undone_and_done_again(database_url: str) -> None:
    before = shape(database_url)
    alembic.command.downgrade(alembic_config(database_url), "base")
    assert set(shape(database_url)) == {"alembic_version"}
    upgrade(database_url)
    assert shape(database_url) == before


def test_a_database_is_claimed_once_and_for_one_mode(database_url: str) -> None:
    claim(database_url, Mode.SANDBOX)
    with pytest.raises(DatabaseError, match=r"METAPULSE_MODE is live.*was filled in mode sandbox") as refused:
        claim(database_url.replace("postgres@", "postgres:planted-pw@"), Mode.LIVE)
    assert "planted-pw" not in str(refused.value)
    claim(database_url, Mode.SANDBOX)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT mode FROM database_identity").fetchall() == [("sandbox",)]


READY = """
import sys
from metapulse_assets.platform.database import ensure_ready
from metapulse_assets.platform.settings import load_settings
ensure_ready(load_settings(database_url=sys.argv[1], mode=sys.argv[2]))
"""


@pytest.mark.slow
def test_processes_that_start_together_make_one_database(absent_database: str) -> None:
    def start(mode: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-c", READY, absent_database, mode], stderr=subprocess.PIPE, text=True)

    for process in [start("live") for _ in range(3)]:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert set(metadata.tables) <= set(shape(absent_database))
    with pytest.raises(DatabaseError, match="filled in mode live"):
        ensure_ready(load_settings(database_url=absent_database, mode="sandbox"))


def test_dagsters_own_database_is_made_beside_ours(absent_database: str) -> None:
    settings = load_settings(database_url=absent_database)
    made = sa.make_url(dagster_storage_url(settings))
    assert made.drivername == "postgresql+psycopg2"
    assert made.database is not None
    assert made.database.endswith("_dagster")
    engine = sa.create_engine(made)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT current_database()")).scalar() == made.database
    engine.dispose()
    given = load_settings(dagster_database_url="postgres://u:p@h/d?schema=x")
    assert dagster_storage_url(given) == "postgresql+psycopg2://u:p@h/d"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid"])
def test_a_server_that_is_not_there_is_named_without_password(address: str) -> None:
    with pytest.raises(DatabaseError, match=f"cannot reach postgresql://u:.*@{address}/d: ") as failed:
        ensure_ready(load_settings(database_url=f"postgres://u:planted%20pw@{address}/d"))
    assert "planted" not in str(failed.value)


def test_an_engine_speaks_utc_whatever_the_server_does(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            psycopg.sql.SQL("ALTER DATABASE {} SET timezone = 'Asia/Kathmandu'").format(
                psycopg.sql.Identifier(admin.info.dbname)
            )
        )
    for url, work_mem in ((database_url, "4MB"), (f"{database_url}&options=-c%20work_mem%3D7MB", "7MB")):
        engine = create_engine(url, load_settings())
        with engine.connect() as connection:
            shown = connection.execute(sa.text("SELECT current_setting('timezone'), current_setting('work_mem')")).one()
        engine.dispose()
        assert tuple(shown) == ("UTC", work_mem)


def test_a_pool_has_no_more_connections_than_the_settings_say(
    database_url: str, make_settings: Callable[..., Settings]
) -> None:
    engine = create_engine(database_url, make_settings(database_pool_size=5, database_pool_max=3))
    open_ones = [engine.connect() for _ in range(3)]
    with psycopg.connect(database_url) as watcher:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'metapulse' AND datname = current_database()"
        assert watcher.execute(query).fetchone() == (3,)
        engine.pool._timeout = 0.1  # type: ignore[attr-defined]
        with pytest.raises(sa.exc.TimeoutError):
            engine.connect()
    for connection in open_ones:
        connection.close()
    engine.dispose()


def test_a_process_has_one_engine_a_database(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    assert get_engine(settings) is get_engine(settings)
    get_engine(settings).dispose()
