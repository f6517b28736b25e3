"""Totals that outlive the processes which count them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "metric_totals",
        sa.Column("metric", sa.Text(), nullable=False, comment="what is counted, as vendor_requests"),
        sa.Column("labels", postgresql.JSONB(), nullable=False, comment="of what: names and texts, as vendor and outcome"),
        sa.Column("total", sa.Double(), nullable=False, comment="since the beginning; never falls"),
        sa.PrimaryKeyConstraint("metric", "labels", name=op.f("metric_totals_pkey")),
        comment="Totals since the beginning, of processes that come and go.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("metric_totals")
