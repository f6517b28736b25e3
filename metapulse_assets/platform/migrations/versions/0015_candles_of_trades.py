"""Candles may be made of trades, too."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.alter_column(
        "candles",
        "payload_id",
        existing_type=sa.BigInteger(),
        comment="raw_payloads row of vendor history; null: made here",
        existing_comment="raw_payloads row of vendor history; null: made from snapshots",
    )
    op.alter_column(
        "candles",
        "source",
        existing_type=sa.Text(),
        comment="trades, snapshots, rollup of a finer timeframe, or the vendor of its history",
        existing_comment="snapshots, vendor history or rollup of a finer timeframe",
    )


def downgrade() -> None:
    """Undo; the comments are all there is to it."""
