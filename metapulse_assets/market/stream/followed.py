"""Which tokens matter to the stream and, through it, to the rest: whose trades are followed, which have just migrated."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.market.stream_tables import token_migrations
from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets.vendors.pumpportal import CHAIN

# Own choice: about 70 tokens migrate in an hour, and what is to live is listed within two.
MIGRATED_WITHIN = timedelta(hours=2)
MOST_MIGRATIONS = 150


def tracked_mints(connection: sa.Connection) -> frozenset[str]:
    """The Solana tokens that are tracked."""
    statement = (
        sa.select(tokens.c.address)
        .join(tracked_tokens, tracked_tokens.c.token_id == tokens.c.token_id)
        .where(tracked_tokens.c.active, tokens.c.chain == CHAIN)
    )
    return frozenset(connection.execute(statement).scalars())


def recent_migrations(connection: sa.Connection, now: datetime) -> list[str]:
    """Mints that migrated of late and were known of by now, the newest first: what may be worth tracking."""
    m = token_migrations.c
    newest = sa.func.max(m.received_at)
    statement = (
        sa.select(m.mint)
        .where(m.received_on >= utc_day(now - MIGRATED_WITHIN), m.received_at > now - MIGRATED_WITHIN, m.available_at <= now)
        .group_by(m.mint)
        .order_by(newest.desc(), m.mint)
        .limit(MOST_MIGRATIONS)
    )
    return list(connection.execute(statement).scalars())
