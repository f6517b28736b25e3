"""A database to write on and wipe clean in no time: for properties that try many examples."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from hypothesis import settings

# Each example works on the fixture's database in a transaction of its own, so examples know nothing of each other.
DATABASE_BACKED = settings(max_examples=15)


@contextmanager
def rolled_back(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that leaves nothing behind."""
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()
