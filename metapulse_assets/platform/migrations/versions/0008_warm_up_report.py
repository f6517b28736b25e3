"""The warm-up report."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "warm_up_report",
        sa.Column("indicator", sa.Text(), nullable=False, comment="column of technical_analyses"),
        sa.Column("bars", sa.Integer(), nullable=False, comment="candles that the short history has"),
        sa.Column("reference_bars", sa.Integer(), nullable=False, comment="candles of the long one"),
        sa.Column("series", sa.Integer(), nullable=False, comment="tokens compared"),
        sa.Column(
            "p95_error",
            sa.Double(),
            nullable=True,
            comment="95 % of the last values are this near to the long history's",
        ),
        sa.Column("error_unit", sa.Text(), nullable=False, comment="points, % of price or % of value"),
        sa.Column("required_bars", sa.Integer(), nullable=False, comment="candles from which the value is used"),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False, comment="UTC"),
        sa.PrimaryKeyConstraint("indicator", "bars", name=op.f("warm_up_report_pkey")),
        comment="How wrong each indicator's last value is on a short history, measured on the stored hourly candles.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("warm_up_report")
