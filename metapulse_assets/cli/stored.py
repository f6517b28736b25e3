"""Reading what is stored, without creating anything: no database, no migration."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metapulse_assets.cli.embedded_server import database_server, is_initialised
from metapulse_assets.cli.failures import NEVER_FILLED, CommandError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from metapulse_assets.platform.settings import Settings

EMPTY = "nothing is stored yet in mode {mode}: `make run` (or `metapulse run`) fills the database"
OUTDATED = "the database's schema is of another version (it has {found}, this program needs {wanted}): `metapulse db upgrade`"


@contextmanager
def existing_database(settings: "Settings") -> Iterator["sa.Engine"]:
    """An engine on a database that has this program's schema; the embedded server runs while the block lasts.

    Raises `CommandError`: with exit code 3 if there is no database yet, else if its schema is of another version; raises
    `DatabaseError` if the server cannot be reached.
    """
    if not settings.database_url and not is_initialised(settings):
        raise CommandError(EMPTY.format(mode=settings.mode), NEVER_FILLED)
    with database_server(settings, quiet=True):
        from metapulse_assets.platform.database import get_engine

        found, wanted = schema_versions(settings)
        if found is None:
            raise CommandError(EMPTY.format(mode=settings.mode), NEVER_FILLED)
        if found != wanted:
            raise CommandError(OUTDATED.format(found=found, wanted=wanted))
        engine = get_engine(settings)
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def stored_data(settings: "Settings") -> Iterator["sa.Connection"]:
    """A connection to a filled database; raises as `existing_database` does, with exit code 3 also if nothing is stored."""
    with existing_database(settings) as engine, engine.connect() as connection:
        if not _has_tokens(connection):
            raise CommandError(EMPTY.format(mode=settings.mode), NEVER_FILLED)
        yield connection


def schema_versions(settings: "Settings") -> tuple[str | None, str]:
    """The revision that the database has (None: no database or no schema) and the one this program needs.

    Raises `DatabaseError` if the server cannot be reached.
    """
    import psycopg
    from alembic.script import ScriptDirectory

    from metapulse_assets.platform.database import DatabaseError, alembic_config, libpq_url
    from metapulse_assets.platform.redaction import redact, redact_url

    url = libpq_url(settings)
    wanted = ScriptDirectory.from_config(alembic_config(url)).get_current_head() or ""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None, wanted
    except psycopg.OperationalError as error:
        if "does not exist" in str(error):
            return None, wanted
        raise DatabaseError(f"cannot reach {redact_url(url)}: {redact(str(error).splitlines()[0])}") from None
    return (row[0] if row else None), wanted


def count_stored(connection: "sa.Connection") -> dict[str, int]:
    """How many rows there are of what people ask about."""
    import sqlalchemy as sa

    from metapulse_assets.indicators.tables import technical_analyses
    from metapulse_assets.market.tables import candles, tracked_tokens
    from metapulse_assets.signals.tables import signals

    def count(statement: "sa.Select[int]") -> int:
        return connection.execute(statement).scalar_one()

    rows = sa.func.count()
    return {
        "tracked tokens": count(sa.select(rows).select_from(tracked_tokens).where(tracked_tokens.c.active)),
        "candles": count(sa.select(rows).select_from(candles)),
        "analyses": count(sa.select(rows).select_from(technical_analyses)),
        "signals": count(sa.select(rows).select_from(signals)),
    }


def _has_tokens(connection: "sa.Connection") -> bool:
    import sqlalchemy as sa

    from metapulse_assets.market.tables import tokens

    return bool(connection.execute(sa.select(sa.exists(sa.select(tokens.c.token_id)))).scalar())
