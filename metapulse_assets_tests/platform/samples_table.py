"""A table with a column of every type that the bulk reads and writes, and a way to make it in a test's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import sqlalchemy as sa

from metapulse_assets.platform.bulk import Array

Rows = dict[str, Any]

samples = sa.Table(
    "samples",
    sa.MetaData(),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("f8", sa.Double),
    sa.Column("f4", sa.REAL),
    sa.Column("i8", sa.BigInteger),
    sa.Column("i4", sa.Integer),
    sa.Column("i2", sa.SmallInteger),
    sa.Column("flag", sa.Boolean),
    sa.Column("seen", sa.DateTime(timezone=True)),
    sa.Column("blob", sa.LargeBinary(8)),
    sa.Column("note", sa.Text),
)
NUMBERS = ("at", "id", "f8", "f4", "i8", "i4", "i2", "flag", "seen", "blob")
NOON = np.datetime64("2026-03-04T12:00:00", "us")


@contextmanager
def samples_in(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that has an empty `samples`; nothing of it stays."""
    with engine.connect() as connection:
        samples.create(connection)
        yield connection
        connection.rollback()


def times(*minutes: float) -> Array:
    """Moments so many minutes after noon."""
    return NOON + (np.array(minutes) * 60e6).astype("timedelta64[us]")
