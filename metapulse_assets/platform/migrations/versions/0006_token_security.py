"""What security scanners say of tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "token_security",
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="when the scanner's answer came; UTC"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False, comment="when it could first be used; UTC"),
        sa.Column("payload_id", sa.BigInteger(), nullable=False, comment="the answer it was read from, in raw_payloads"),
        sa.Column("vendor", sa.Text(), nullable=False, comment="rugcheck or goplus"),
        sa.Column("mint_authority", sa.Boolean(), nullable=True, comment="somebody can make more of it; null: unknown"),
        sa.Column(
            "freeze_authority",
            sa.Boolean(),
            nullable=True,
            comment="somebody can freeze, pause or block holders; null: unknown",
        ),
        sa.Column(
            "owner_can_change",
            sa.Boolean(),
            nullable=True,
            comment="somebody can change balances or take control back; null: unknown",
        ),
        sa.Column("honeypot", sa.Boolean(), nullable=True, comment="it cannot be sold; null: unknown"),
        sa.Column("rugged", sa.Boolean(), nullable=True, comment="the scanner saw its liquidity pulled; null: unknown"),
        sa.Column("trusted", sa.Boolean(), nullable=True, comment="on the scanner's list of established tokens; null: unknown"),
        sa.Column("buy_tax", sa.Double(), nullable=True, comment="share of a purchase that is taken; null: unknown"),
        sa.Column("sell_tax", sa.Double(), nullable=True, comment="share of a sale that is taken; null: unknown"),
        sa.Column("transfer_fee", sa.Double(), nullable=True, comment="share of any transfer that is taken; null: unknown"),
        sa.Column(
            "top10_holder_share",
            sa.Double(),
            nullable=True,
            comment="held by the ten largest, pools and burnt left out; null: unknown",
        ),
        sa.Column(
            "lp_locked_share", sa.Double(), nullable=True, comment="share of the liquidity locked or burnt; null: unknown"
        ),
        sa.Column("vendor_score", sa.Double(), nullable=True, comment="the scanner's own score, 0 (safe) to 1; null: none"),
        sa.PrimaryKeyConstraint("observed_at", "token_id", name=op.f("token_security_pkey")),
        comment="What security scanners say of tracked tokens: a row when a fact changed, or a day after the last one.",
        postgresql_partition_by="RANGE (observed_at)",
    )
    op.create_table(
        "security_requests",
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column(
            "asked_at", sa.DateTime(timezone=True), nullable=False, comment="when a scanner was last asked about it; UTC"
        ),
        sa.Column("vendor", sa.Text(), nullable=False, comment="rugcheck or goplus"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="reported, not_known (to the scanner) or failed"),
        sa.CheckConstraint("outcome IN ('reported', 'not_known', 'failed')", name=op.f("security_requests_outcome_check")),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.token_id"], name=op.f("security_requests_token_id_fkey")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("security_requests_pkey")),
        comment="When each token was last asked about, so that none is asked about too often and none starves.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("security_requests")
    op.drop_table("token_security")
