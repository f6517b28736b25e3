"""`metapulse db`: the database and the embedded server that holds it."""

from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import embedded_server, environment
from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings

db = typer.Typer(no_args_is_help=True, help="The database: start, stop, upgrade, url, reset.")
IN_USE = "a running metapulse command uses the embedded PostgreSQL of {home}: stop that first"


@db.command()
def start() -> None:
    """Start the embedded PostgreSQL, to stay until `metapulse db stop`.

    Exit codes: 0 it runs, 1 it cannot be started, or DATABASE_URL names another server, 2 wrong setting.
    """
    settings = _embedded_settings()
    say("PostgreSQL (embedded): " + ("started" if embedded_server.keep_running(settings) else "runs already"))


@db.command()
def stop() -> None:
    """Stop the embedded PostgreSQL.

    Exit codes: 0 it does not run (any more), 1 a command uses it, or DATABASE_URL names another server, 2 wrong setting.
    """
    settings = _embedded_settings()
    try:
        say("PostgreSQL (embedded): " + ("stopped" if embedded_server.stop_now(settings) else "does not run"))
    except BlockingIOError:
        raise CommandError(IN_USE.format(home=settings.home)) from None


@db.command()
def upgrade() -> None:
    """Create the database where it is absent and bring its schema to the newest version.

    Exit codes: 0 done, 1 the database cannot be reached or is of another mode, 2 wrong setting.
    """
    from metapulse_assets.cli.stored import schema_versions

    settings = environment.prepare()
    with embedded_server.database_server(settings):
        from metapulse_assets.platform.database import ensure_ready

        before, wanted = schema_versions(settings)
        ensure_ready(settings)
        say(f"schema: {wanted}" + (" already" if before == wanted else f", was {before or 'absent'}"))


@db.command()
def url(dagster: Annotated[bool, typer.Option("--dagster", help="Dagster's own database instead.")] = False) -> None:
    """Print the database's URL, password included, as `psql "$(metapulse db url)"` takes it.

    Starts the embedded PostgreSQL, to stay until `metapulse db stop`, and creates the database if need be.

    Exit codes: 0 printed, 1 the database cannot be reached, 2 wrong setting.
    """
    from metapulse_assets.platform.database import dagster_storage_url, ensure_ready, libpq_url

    settings = environment.prepare()
    if not settings.database_url and embedded_server.keep_running(settings):
        say("PostgreSQL (embedded): started; `metapulse db stop` stops it")
    if dagster:
        print(dagster_storage_url(settings).replace("postgresql+psycopg2://", "postgresql://", 1))
        return
    ensure_ready(settings)
    print(libpq_url(settings))


@db.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Yes, delete the data of this mode.")] = False) -> None:
    """Delete this mode's data: MetaPulse's database and Dagster's, on the embedded PostgreSQL only. Other modes keep theirs.

    Exit codes: 0 deleted, 1 a command uses them, or DATABASE_URL names another server, 2 no --yes, or a wrong setting.
    """
    settings = _embedded_settings()
    if not yes:
        raise CommandError(f"this deletes all data of {settings.database_label}: say --yes if that is meant", WRONG_USE)
    if not embedded_server.is_initialised(settings):
        say("nothing to delete")
        return
    names = [settings.database_label, f"{settings.database_label}_dagster"]
    try:
        with embedded_server.alone(settings):
            _drop(settings, names)
    except BlockingIOError:
        raise CommandError(IN_USE.format(home=settings.home)) from None
    # The day that stands for the last recorded one is chosen anew by the next replay.
    if settings.recordings:
        (settings.home / "replay_epoch").unlink(missing_ok=True)
    say(f"deleted: {', '.join(names)}")


def _drop(settings: "Settings", names: list[str]) -> None:
    import psycopg
    from psycopg import sql

    from metapulse_assets.platform import embedded_postgres

    started = embedded_postgres.ensure_running(settings.home)
    with psycopg.connect(embedded_postgres.locate(settings.home).url(), autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    if started:
        embedded_postgres.stop(settings.home)


def _embedded_settings() -> "Settings":
    settings = environment.prepare()
    if settings.database_url:
        raise CommandError("DATABASE_URL names a server of yours: start, stop and empty it with its own tools")
    return settings
