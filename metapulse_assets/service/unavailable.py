"""Which exceptions mean that the database is away or too slow, not that we are wrong."""

import psycopg
import psycopg_pool
import sqlalchemy as sa

from metapulse_assets.platform.database import DatabaseError


class Unprepared(Exception):  # noqa: N818 - what is so is in the name
    """The database was not reached yet since the service began."""


UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    *(Unprepared, DatabaseError, TimeoutError),
    *(psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed),
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError),
)
