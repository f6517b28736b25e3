"""The one database: where it is, its engine, its schema, and whose data it holds.

Tables belong to the domains (`tables.py` in each); they register on `metadata` here. Bulk reads and writes: `bulk.py`.
"""

import functools
import re
import threading
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import alembic.command
import alembic.config
import psycopg
import psycopg.sql
import sqlalchemy as sa

from metapulse_assets.platform import embedded_postgres
from metapulse_assets.platform.redaction import redact, redact_url
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_settings import Mode

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)
database_identity = sa.Table(
    "database_identity",
    metadata,
    sa.Column("only_row", sa.Boolean, primary_key=True, server_default=sa.true(), comment="always true: one row"),
    sa.Column("mode", sa.Text, nullable=False, comment="sandbox or live: what this database may be filled with"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("only_row", name="one_row"),
    comment="Which mode this database belongs to, so that sandbox and live data never mix.",
)

# Alembic keeps what it works on in its module: two threads would take it from each other.
_MIGRATING = threading.Lock()
# Query parameters that other tools put into DATABASE_URL and libpq refuses.
_FOREIGN_PARAMETERS = {
    *("schema", "pgbouncer", "connection_limit", "pool_timeout", "socket_timeout", "statement_cache_size"),
    *("sslaccept", "sslidentity"),
}


class DatabaseError(Exception):
    """The database is unreachable, not migrated, or belongs to another mode; the message holds no password."""


def libpq_url(settings: Settings) -> str:
    """The libpq URL of MetaPulse's database; starts the embedded server if no other is set and it is down."""
    if settings.database_url:
        return normalise_url(settings.database_url.get_secret_value())
    embedded_postgres.ensure_running(settings.home)
    return embedded_postgres.locate(settings.home).url(settings.database_label)


def normalise_url(url: str) -> str:
    """A PostgreSQL URL as libpq takes it, from the spellings that SQLAlchemy, Prisma and hosting services use.

    Raises `DatabaseError`, without the password, for a URL that libpq would misread.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower().split("+")[0] not in ("postgres", "postgresql"):
        raise DatabaseError(f"DATABASE_URL: {scheme + separator if separator else 'its value'} is not a postgresql:// URL")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    credentials, at, address = authority.rpartition("@")
    path, _, parameters = rest.removeprefix(authority).partition("?")
    # A password with / ? or # in it ends the authority too early; the rest of it would turn up in libpq's own messages.
    ports = [host.rpartition(":")[2] for host in address.split(",") if not host.endswith("]") and ":" in host]
    if any(sign in path + parameters for sign in "@#") or any(port and not port.isdecimal() for port in ports):
        raise DatabaseError("DATABASE_URL: cannot be read; write / ? # and @ in its user and password as %2F %3F %23 and %40")
    query = [_translated(name, value) for name, value in parse_qsl(parameters) if name not in _FOREIGN_PARAMETERS]
    query_text = urlencode(query, safe="/", quote_via=quote)
    return _joined(f"{_quoted(credentials)}{at}{address}", path if path.strip("/") else "/postgres", query_text)


def _quoted(credentials: str) -> str:
    """User and password as a URL holds them, whether or not they were percent-encoded before."""
    parts = (re.sub("%(?![0-9A-Fa-f]{2})", "%25", part) for part in credentials.split(":", 1))
    return ":".join(quote(part, safe="%") for part in parts)


def _translated(name: str, value: str) -> tuple[str, str]:
    # Node's pg writes ssl=true.
    return ("sslmode", "require") if (name, value) == ("ssl", "true") else (name, value)


def _joined(authority: str, path: str, query: str) -> str:
    # Not urlunsplit: it drops the // of an empty authority, which a Unix socket's URL has.
    return f"postgresql://{authority}{path}{'?' if query else ''}{query}"


def sqlalchemy_url(url: str, driver: str = "psycopg") -> str:
    """A libpq URL with SQLAlchemy's driver in it."""
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


def dagster_storage_url(settings: Settings) -> str:
    """SQLAlchemy URL of Dagster's own database, created if absent.

    psycopg2 by name: with plain `postgresql://` SQLAlchemy 2.1 takes psycopg 3, whose NOTIFY dagster-postgres breaks.
    """
    if settings.dagster_database_url:
        return sqlalchemy_url(normalise_url(settings.dagster_database_url.get_secret_value()), "psycopg2")
    url = with_database(libpq_url(settings), lambda name: f"{name}_dagster")
    _ensure_database(url)
    return sqlalchemy_url(url, "psycopg2")


def with_database(url: str, rename: Callable[[str], str]) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return _joined(parts.netloc, f"/{quote(rename(_database_of(parts)))}", parts.query)


def _database_of(parts: SplitResult) -> str:
    return unquote(parts.path.lstrip("/"))


def create_engine(url: str, settings: Settings) -> sa.Engine:
    """An engine on a libpq URL, with a bounded pool (`DATABASE_POOL_SIZE`, `DATABASE_POOL_MAX`)."""
    given_options = dict(parse_qsl(urlsplit(url).query)).get("options", "")
    return sa.create_engine(
        sqlalchemy_url(url),
        pool_size=min(settings.database_pool_size, settings.database_pool_max),
        max_overflow=max(settings.database_pool_max - settings.database_pool_size, 0),
        pool_recycle=1800,
        pool_pre_ping=True,
        connect_args={"options": f"{given_options} -c timezone=UTC".strip(), "application_name": "metapulse"},
    )


@functools.lru_cache(maxsize=8)
def _engine_of(url: str, settings: Settings) -> sa.Engine:
    return create_engine(url, settings)


def get_engine(settings: Settings) -> sa.Engine:
    """This process's engine for the settings' database, which must exist and be migrated (see `ensure_ready`)."""
    return _engine_of(libpq_url(settings), settings)


def ensure_ready(settings: Settings) -> None:
    """Create, migrate and claim the database; does nothing where that is done already. Raises `DatabaseError`."""
    url = libpq_url(settings)
    _ensure_database(url)
    upgrade(url)
    claim(url, settings.mode)


def upgrade(url: str) -> None:
    """Bring the schema of the database at this libpq URL to the newest revision."""
    with _MIGRATING:
        alembic.command.upgrade(alembic_config(url), "head")


def alembic_config(url: str) -> alembic.config.Config:
    """Alembic's configuration for our migrations on the database at this libpq URL."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(files("metapulse_assets.platform") / "migrations"))
    config.attributes["url"] = sqlalchemy_url(url)
    return config


def claim(url: str, mode: Mode) -> None:
    """Mark the database as this mode's, or refuse if it is another's."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO database_identity (mode) VALUES (%s) ON CONFLICT (only_row) DO NOTHING", (mode.value,))
        row = connection.execute("SELECT mode FROM database_identity").fetchone()
    if row is None or row[0] != mode.value:
        raise DatabaseError(
            f"METAPULSE_MODE is {mode.value}, but the database {redact_url(url)} was filled in mode "
            f"{row[0] if row else 'unknown'}: give each mode a DATABASE_URL of its own"
        )


def _ensure_database(url: str) -> None:
    name = _database_of(urlsplit(url))
    try:
        with psycopg.connect(url, connect_timeout=10):
            return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise DatabaseError(f"cannot reach {redact_url(url)}: {_first_line(error)}") from None
    try:
        with psycopg.connect(with_database(url, lambda _: "postgres"), autocommit=True, connect_timeout=10) as server:
            server.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    except psycopg.errors.DuplicateDatabase:
        return
    except psycopg.errors.UniqueViolation:
        return  # another process created it in the same moment
    except psycopg.Error as error:
        raise DatabaseError(f"database {name!r} is absent and cannot be created: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return redact(str(error).strip().splitlines()[0]) if str(error).strip() else type(error).__name__
