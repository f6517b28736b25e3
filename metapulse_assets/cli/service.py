"""`metapulse service`: signals, tokens, jobs and the state of MetaPulse over HTTP."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.embedded_server import database_server
from metapulse_assets.cli.failures import CommandError
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings


def service(
    host: Annotated[str | None, typer.Option(help="Where to listen; wins over METAPULSE_SERVICE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The first port; wins over PORT.")] = None,
) -> None:
    """Answer programs over HTTP until stopped (Ctrl-C, SIGTERM); what is under way is answered first.

    Listens on PORT, METRICS_PORT, HEALTH_PORT and METAPULSE_SERVICE_MORE_PORTS, with the same pages on all. Stays up while the
    database is away, and says so. Starts the embedded PostgreSQL if it is down, and stops it again.

    Exit codes: 0 stopped as asked, 1 a port is taken or the database is of another mode, 2 wrong option or setting.
    """
    if host is not None:
        os.environ["METAPULSE_SERVICE_HOST"] = host
    settings = environment.prepare()
    from metapulse_assets.platform.runtime import Platform
    from metapulse_assets.service.app import create_app
    from metapulse_assets.service.request_log import set_up_logging
    from metapulse_assets.service.serving import PortError, chosen_ports, close_all, listen, serve

    try:
        ports = chosen_ports(settings, port)
        sockets = listen(settings.service_host, ports)
    except PortError as error:
        raise CommandError(str(error)) from None
    try:
        with database_server(settings):
            reachable = _prepare_database(settings)
            app = create_app(Platform(settings))
            announce(settings, ports, reachable)
            set_up_logging(settings)
            serve(app, sockets)
    finally:
        close_all(sockets)
    say("service stopped")


def announce(settings: "Settings", ports: dict[int, str], reachable: bool) -> None:
    """What this service is, secrets masked."""
    from metapulse_assets.platform.database import libpq_url
    from metapulse_assets.platform.redaction import redact_url
    from metapulse_assets.platform.work_queue.registry import handlers
    from metapulse_assets.service.access.callers import tokens_required
    from metapulse_assets.service.serving import base_url

    first = next(iter(ports))
    say(f"service, mode {environment.describe_mode(settings)}; environment {settings.environment}")
    listed = ", ".join(f"{number} ({name})" for number, name in ports.items())
    say(f"listening on {settings.service_host}, ports {listed}")
    say(
        "tokens: required (metapulse token create)"
        if tokens_required(settings)
        else "tokens: not required of programs on this machine; others are refused without one"
    )
    say(f"database: {redact_url(libpq_url(settings))}{'' if reachable else ', cannot be reached yet'}")
    if settings.database_replica_url:
        say(f"replica: {redact_url(settings.database_replica_url.get_secret_value())}")
    say(f"job types: {', '.join(sorted(handlers())) or 'none is registered'}")
    say(f"description: {base_url(settings.service_host, first)}/docs")


def _prepare_database(settings: "Settings") -> bool:
    """Have the database migrated and of this mode; whether it could be reached at all. One that is away is waited for later."""
    import psycopg

    from metapulse_assets.platform.database import ensure_ready, libpq_url

    try:
        psycopg.connect(libpq_url(settings), connect_timeout=3).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            return False
    ensure_ready(settings)
    return True
