"""PgQueuer's own objects: their names, the SQL that makes them, and its statements as our drivers take them.

They live in a schema of their own, so that they are never taken for tables of ours. The names are fixed here and do not heed
PgQueuer's environment variables: every process must mean the same tables.
"""

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgqueuer.domain.settings import DBSettings

SCHEMA = "pgqueuer"
QUEUE_TABLE = f"{SCHEMA}.pgqueuer"
LOG_TABLE = f"{SCHEMA}.pgqueuer_log"
STATISTICS_TABLE = f"{SCHEMA}.pgqueuer_statistics"
STATUS_TYPE = f"{SCHEMA}.pgqueuer_status"
# Of the database, like every channel of PostgreSQL.
CHANNEL = "ch_pgqueuer"


@functools.cache
def pgqueuer_settings() -> "DBSettings":
    """PgQueuer's settings. Its log is unlogged (`balanced`): what must last is in our ledger."""
    from pgqueuer.domain.settings import DBSettings, Durability

    return DBSettings.model_validate(
        {
            "prefix": "",
            "db_schema": SCHEMA,
            "channel": CHANNEL,
            "function": "fn_pgqueuer_changed",
            "trigger": "tg_pgqueuer_changed",
            "queue_table": "pgqueuer",
            "queue_table_log": "pgqueuer_log",
            "statistics_table": "pgqueuer_statistics",
            "schedules_table": "pgqueuer_schedules",
            "queue_status_type": "pgqueuer_status",
            "durability": Durability.balanced,
        }
    )


def install_sql() -> str:
    """The statements that make PgQueuer's schema, as the installed release has it."""
    from pgqueuer.adapters.persistence.schema_ddl import render_install

    return render_install(pgqueuer_settings())


def uninstall_sql() -> str:
    """The statements that undo `install_sql`, the schema included."""
    return f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"


@functools.lru_cache(maxsize=32)
def pyformat(statement: str) -> str:
    """PgQueuer's `$1` as psycopg's `%(p1)s`."""
    return re.sub(r"\$(\d+)", r"%(p\1)s", statement.replace("%", "%%"))


def numbered(*values: object) -> dict[str, object]:
    """Values for the names that `pyformat` gives."""
    return {f"p{place}": value for place, value in enumerate(values, 1)}
