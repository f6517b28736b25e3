"""Rows with something plain in them, for tests that mind only a column or two."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.market.tables import candles
from metapulse_assets.platform.day_partitions import ensure_days


def fill(connection: sa.Connection, table: sa.Table, now: datetime, **given: Any) -> None:
    """A row with something plain in each column that must have a value; its day and the one a minute before are there."""
    plain: dict[type, Any] = {bool: False, int: 1, float: 1.0, str: "a", bytes: b"", object: {}, list: [], datetime: now}
    row = {
        column.name: plain[column.type.python_type]
        for column in table.columns
        if not column.nullable and column.server_default is None and column.identity is None
    }
    if table.dialect_options["postgresql"]["partition_by"]:
        name = "candles_5m" if table is candles else table.name
        ensure_days(connection, name, {now.date(), (now - timedelta(minutes=1)).date()})
    connection.execute(sa.insert(table).values(**{**row, **given}))
