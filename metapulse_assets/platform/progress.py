"""How far incremental work has come, kept beside the data it is about and written in the same transaction."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.platform.tables import progress_marks


def progress_of(connection: sa.Connection, name: str) -> datetime | None:
    """Up to where this work is done; None if it never began."""
    return connection.execute(sa.select(progress_marks.c.through).where(progress_marks.c.name == name)).scalar()


def set_progress(connection: sa.Connection, name: str, through: datetime) -> None:
    """Note that this work is done up to a moment."""
    statement = insert(progress_marks).values(name=name, through=through)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"through": statement.excluded.through}))
