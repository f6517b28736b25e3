"""The checks behind `metapulse doctor`. Each says what it found and, where something is wrong, the cure; none raises."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from metapulse_assets.cli import dagster_services, embedded_server, environment, ports, vendor_checks
from metapulse_assets.cli.findings import Check, State

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings

GIGABYTE = 1_000_000_000
LEAST_DISK, LITTLE_DISK = 1 * GIGABYTE, 5 * GIGABYTE
REQUEST_SECONDS = 5.0
EXHAUSTED_CURE = "stop what is not needed, lower DATABASE_POOL_MAX, or raise the server's max_connections"
DATABASE_CURES = {
    "password authentication failed": "correct user and password in DATABASE_URL",
    "too many clients": EXHAUSTED_CURE,
    "remaining connection slots": EXHAUSTED_CURE,
    "resolve host": "correct the host in DATABASE_URL",
    "host name": "correct the host in DATABASE_URL",
    "Connection refused": "start that server, or correct host and port in DATABASE_URL",
    "timeout": "look whether a firewall is in the way, or correct the host in DATABASE_URL",
}
"""By what libpq says."""


def all_checks() -> list[Check]:
    """Every check, in the order in which one rests on another."""
    from metapulse_assets.platform.settings import SettingsError

    try:
        settings = environment.prepare()
    except SettingsError as error:
        cure = "correct it in the environment or in .env; .env.example explains every setting"
        return [Check("setting", "wrong", line, cure) for line in str(error).splitlines()]
    checks = [Check("settings", "ok", "valid"), Check("mode", "ok", environment.describe_mode(settings)), _dagster_home()]
    outside = (vendor_checks.vendor_checks, vendor_checks.key_checks, vendor_checks.redis_checks)
    for part in (_retention, _database, vendor_checks.url_checks, vendor_checks.chain_checks, *outside, _ports, _memory, _disk):
        checks += _guarded(part, settings)
    return checks


def _guarded(part: "Callable[[Settings], Iterator[Check]]", settings: "Settings") -> list[Check]:
    """A part's checks; if it breaks, that is a finding too."""
    from metapulse_assets.platform.redaction import redact

    checks: list[Check] = []
    try:
        checks.extend(part(settings))
    except Exception as error:  # a doctor that falls ill helps nobody
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        name = part.__name__.strip("_").replace("_", " ")
        cure = database_cure(reason) if part is _database else "correct the settings that it is about, or report it"
        checks.append(Check(name, "wrong", redact(reason, settings.secrets()), cure))
    return checks


def _dagster_home() -> Check:
    from metapulse_assets.platform.settings import project_root

    root, home = project_root(), Path(os.environ["DAGSTER_HOME"])
    if not (home / "dagster.yaml").is_file():
        return Check("DAGSTER_HOME", "wrong", f"{home} holds no dagster.yaml", "`metapulse setup` corrects a moved checkout")
    if home.resolve() != root:
        return Check("DAGSTER_HOME", "note", f"{home}, not this checkout ({root})", "unset it unless that is meant")
    if not (root / ".env").is_file():
        return Check(".env", "note", "absent: plain `dagster` commands do not find their home", "`metapulse setup` writes it")
    return Check(".env", "ok", f"DAGSTER_HOME is this checkout, {root}")


def _database(settings: "Settings") -> Iterator[Check]:
    from metapulse_assets.platform.database import DatabaseError, normalise_url
    from metapulse_assets.platform.redaction import redact_url

    if settings.database_url:
        url = settings.database_url.get_secret_value()
        try:
            normalise_url(url)
        except DatabaseError as error:
            yield Check("database URL", "wrong", str(error), "postgresql://user:password@host:5432/database")
            return
        yield Check("database URL", "ok", redact_url(url))
    else:
        from metapulse_assets.platform import embedded_postgres

        if not embedded_server.is_initialised(settings):
            yield Check("database", "note", "the embedded PostgreSQL has no data yet", "`make run` sets it up and fills it")
            return
        running = embedded_postgres.is_running(settings.home)
        yield Check("embedded PostgreSQL", "ok", "running" if running else "stopped; commands start it when they need it")
    with embedded_server.database_server(settings, quiet=True):
        yield from _contents(settings)


def _contents(settings: "Settings") -> Iterator[Check]:
    """Reachability, schema, mode, Dagster's storage, breakers and dead letters of a server that should be there."""
    from metapulse_assets.cli.stored import schema_versions
    from metapulse_assets.platform.database import DatabaseError

    try:
        found, wanted = schema_versions(settings)
    except DatabaseError as error:
        yield Check("database", "wrong", str(error), database_cure(str(error)))
        return
    yield _dagster_storage(settings)
    if found is None:
        yield Check("schema", "note", "no database or no tables yet", "`make run` or `metapulse db upgrade` makes them")
        return
    if found != wanted:
        yield Check("schema", "wrong", f"version {found}, this program needs {wanted}", "`metapulse db upgrade`")
        return
    yield Check("schema", "ok", f"version {found}, the newest")
    from metapulse_assets.cli.queue_checks import queue_checks
    from metapulse_assets.platform.database import get_engine

    engine = get_engine(settings)
    try:
        yield from _connections(settings)
        yield from _rows(settings)
        with engine.connect() as connection:
            yield from vendor_checks.answer_checks(connection)
            yield from queue_checks(connection, settings)
        yield from _operations(settings)
    finally:
        engine.dispose()


def database_cure(error: str) -> str:
    """What helps against a database that cannot be reached, by what was said of it."""
    for sign, cure in DATABASE_CURES.items():
        if sign in error:
            return cure
    return "start that server, or correct DATABASE_URL"


def _connections(settings: "Settings") -> Iterator[Check]:
    """Whether the server has connections left for us."""
    from metapulse_assets.operations.health import CONNECTIONS_FAIL_SHARE, CONNECTIONS_WARN_SHARE, judged
    from metapulse_assets.operations.health_facts import read_database
    from metapulse_assets.platform.database import get_engine

    with get_engine(settings).connect() as connection:
        facts = read_database(connection)
    share = facts.connections / max(facts.connections_allowed, 1)
    state: State = {"ok": "ok", "warn": "note", "fail": "wrong"}[judged(share, CONNECTIONS_WARN_SHARE, CONNECTIONS_FAIL_SHARE)]  # type: ignore[assignment]
    finding = f"{facts.connections} of {facts.connections_allowed} are taken; an answer took {facts.latency * 1000:.0f} ms"
    yield Check("database connections", state, finding, "" if state == "ok" else EXHAUSTED_CURE)


def _rows(settings: "Settings") -> Iterator[Check]:
    import sqlalchemy as sa

    from metapulse_assets.platform.database import database_identity, get_engine
    from metapulse_assets.platform.tables import circuit_breakers, dead_letters

    with get_engine(settings).connect() as connection:
        mode = connection.execute(sa.select(database_identity.c.mode)).scalar()
        breakers = connection.execute(sa.select(circuit_breakers).order_by(circuit_breakers.c.vendor)).all()
        # Which item of an answer it was is no part of the reason.
        reason = sa.func.regexp_replace(dead_letters.c.reason, r"^(item \d+|\w+\[\d+\]): ", "")
        refused = connection.execute(
            sa.select(dead_letters.c.source, reason.label("reason"), sa.func.sum(dead_letters.c.occurrences).label("times"))
            .where(dead_letters.c.last_at > sa.func.now() - sa.text("interval '1 day'"))
            .group_by(dead_letters.c.source, reason)
            .order_by(sa.desc("times"))
            .limit(10)
        ).all()
    if mode in (None, settings.mode.value):
        yield Check("database's mode", "ok", mode or "not claimed yet")
    else:
        cure = "give each mode a DATABASE_URL of its own, or leave it unset"
        yield Check("database's mode", "wrong", f"{mode}, but METAPULSE_MODE is {settings.mode.value}", cure)
    for breaker in breakers:
        last = f"; last error: {breaker.last_error}" if breaker.last_error else ""
        is_open = breaker.state == "open"
        cure = f"it tries again {settings.breaker_open_seconds:.0f} s after the last failure" if is_open else ""
        yield Check(f"{breaker.vendor}: breaker", "note" if is_open else "ok", f"{breaker.state}{last}", cure)
    if not refused:
        yield Check("dead letters", "ok", "none in the last day")
    for row in refused:
        yield Check(
            "dead letters", "note", f"{row.times} times in the last day: {row.source}: {row.reason}", "table dead_letters"
        )


def _retention(settings: "Settings") -> Iterator[Check]:
    """Whether nothing is kept shorter than later computations need it."""
    from metapulse_assets.operations.retention_rules import periods
    from metapulse_assets.platform.settings import SettingsError

    try:
        found = periods(settings)
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Check("retention", "wrong", line, "nothing is removed until it is longer, or unset")
    else:
        yield Check("retention", "ok", ", ".join(f"{name} {period.days} d" for name, period in found.items()))


def _operations(settings: "Settings") -> Iterator[Check]:
    """How it stands over all, and the alarms that last."""
    import sqlalchemy as sa

    from metapulse_assets.operations.health import health_summary
    from metapulse_assets.operations.tables import alarms
    from metapulse_assets.platform.clock import system_clock
    from metapulse_assets.platform.database import get_engine

    with get_engine(settings).connect() as connection:
        summary = health_summary(connection, system_clock())
        lasting = connection.execute(
            sa.select(alarms.c.severity, alarms.c.text, alarms.c.first_seen)
            .where(alarms.c.resolved_at.is_(None))
            .order_by(alarms.c.severity, alarms.c.first_seen)
            .limit(10)
        ).all()
    if summary.measured_at is None:
        yield Check("health", "note", "not measured yet", "`metapulse up` does so each minute")
    else:
        culprits = "; ".join(row.reason or row.metric for row in summary.culprits[:3])
        state: State = "ok" if summary.status == "ok" else "note"
        measured = f"{summary.status} at {summary.measured_at:%Y-%m-%d %H:%M} UTC"
        yield Check("health", state, f"{measured}: {culprits}" if culprits else measured)
    for row in lasting:
        yield Check("alarm", "note", f"{row.severity} since {row.first_seen:%Y-%m-%d %H:%M} UTC: {row.text}")


def _dagster_storage(settings: "Settings") -> Check:
    import psycopg

    from metapulse_assets.platform.database import libpq_url, normalise_url, with_database
    from metapulse_assets.platform.redaction import redact

    given = settings.dagster_database_url
    url = (
        normalise_url(given.get_secret_value()) if given else with_database(libpq_url(settings), lambda name: f"{name}_dagster")
    )
    try:
        with psycopg.connect(url, connect_timeout=int(REQUEST_SECONDS)):
            return Check("Dagster's storage", "ok", "reachable")
    except psycopg.OperationalError as error:
        if "does not exist" in str(error):
            return Check("Dagster's storage", "note", "not there yet", "the first run makes it")
        reason = redact(str(error).splitlines()[0], settings.secrets())
        return Check("Dagster's storage", "wrong", reason, "correct METAPULSE_DAGSTER_DATABASE_URL or DATABASE_URL")


def _ports(settings: "Settings") -> Iterator[Check]:
    from metapulse_assets.cli.failures import CommandError
    from metapulse_assets.cli.up import is_up

    up = is_up(settings)
    for port in ports.all_ports(settings):
        name = f"port {port.number}"
        try:
            ports.require_free(port)
        except CommandError as error:
            if up or _is_ours(settings, port):
                yield Check(name, "ok", f"{port.use} is there already")
            else:
                yield Check(name, "wrong", *str(error).split("): ", 1))
        else:
            yield Check(name, "ok", f"free for {port.use}")


def _is_ours(settings: "Settings", port: ports.Port) -> bool:
    """Whether what listens there is what is meant to, started by itself."""
    if port == ports.webserver_port(settings):
        return dagster_services.webserver_answers(settings)
    return dagster_services.service_answers(settings)


def _memory(settings: "Settings") -> Iterator[Check]:
    """Whether the machine has memory left, and no process of ours takes more than it may."""
    import psutil

    from metapulse_assets.operations.health import MEMORY_LEFT_FAIL_BYTES, MEMORY_LEFT_WARN_BYTES

    left = psutil.virtual_memory().available
    state: State = "wrong" if left < MEMORY_LEFT_FAIL_BYTES else "note" if left < MEMORY_LEFT_WARN_BYTES else "ok"
    yield Check("memory", state, f"{left / GIGABYTE:.1f} GB available", "" if state == "ok" else "stop something")
    limit = settings.memory_limit_mb * 1_000_000
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("METAPULSE_HOME") == str(settings.home) and process.pid != os.getpid()
            taken = process.memory_info().rss if is_ours else 0
        except psutil.Error:
            continue
        if taken > limit:
            cure = "track fewer tokens (METAPULSE_MAX_TRACKED_TOKENS), lower WORKER_CONCURRENCY, or raise the limit"
            finding = (
                f"process {process.pid} takes {taken / 1e6:.0f} MB of METAPULSE_MEMORY_LIMIT_MB={settings.memory_limit_mb}"
            )
            yield Check("memory", "note", finding, cure)


def _disk(settings: "Settings") -> Iterator[Check]:
    from metapulse_assets.platform import embedded_postgres

    folders = {settings.home} if settings.database_url else {settings.home, embedded_postgres.locate(settings.home).data}
    for folder in sorted(folders):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        state: State = "wrong" if free < LEAST_DISK else "note" if free < LITTLE_DISK else "ok"
        yield Check("disk", state, f"{free / GIGABYTE:.1f} GB free for {folder}", "make room" if state != "ok" else "")
