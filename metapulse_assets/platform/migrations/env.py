"""Runs the migrations: in one transaction, under a lock, so that processes started together do not race."""

import sqlalchemy as sa
from alembic import context

import metapulse_assets.indicators.tables
import metapulse_assets.indicators.warm_up_tables
import metapulse_assets.intelligence.tables
import metapulse_assets.market.stream_tables
import metapulse_assets.market.tables
import metapulse_assets.operations.tables
import metapulse_assets.outcomes.tables
import metapulse_assets.platform.queue_tables
import metapulse_assets.platform.tables
import metapulse_assets.risk.tables
import metapulse_assets.service.tables
import metapulse_assets.signals.tables
import metapulse_assets.social.post_tables
import metapulse_assets.social.tables  # noqa: F401 - each registers its tables
from metapulse_assets.platform.database import metadata

_MIGRATION_LOCK = 0x4D50_4D49


def run() -> None:
    """Upgrade or downgrade the database whose URL the caller put into the configuration."""
    engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        context.configure(connection=connection, target_metadata=metadata)
        context.run_migrations()


run()
