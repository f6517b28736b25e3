"""Launches, migrations and trades as the stream brings them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "token_launches",
        sa.Column("received_on", sa.Date(), nullable=False, comment="UTC day of received_at"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the frame arrived; the feed has no time of its own; UTC",
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when it could first be used: recorded_at; UTC"
        ),
        sa.Column("payload_id", sa.BigInteger(), nullable=False, comment="raw_payloads row that holds its frame, by signature"),
        sa.Column("initial_buy_tokens", sa.Double(), nullable=True, comment="what its maker bought at once, tokens"),
        sa.Column("sol_amount", sa.Double(), nullable=True, comment="what its maker paid for that, SOL"),
        sa.Column("sol_reserve", sa.Double(), nullable=True, comment="SOL in the pool; on a curve virtual, beginning at 30"),
        sa.Column("token_reserve", sa.Double(), nullable=True, comment="tokens in the pool; on a curve virtual"),
        sa.Column("market_cap_sol", sa.Double(), nullable=True, comment="price times supply, SOL"),
        sa.Column("is_mayhem", sa.Boolean(), nullable=True, comment="launched in pump.fun's mayhem mode; null: not said"),
        sa.Column("signature", sa.Text(), nullable=False, comment="of the transaction, base58"),
        sa.Column("mint", sa.Text(), nullable=False, comment="the token's address on Solana"),
        sa.Column("creator", sa.Text(), nullable=False, comment="wallet that made it"),
        sa.Column("pool", sa.Text(), nullable=False, comment="where it trades: pump, bonk, pump-amm, raydium, …"),
        sa.Column("bonding_curve", sa.Text(), nullable=True, comment="address of its curve; null: none"),
        sa.Column("symbol", sa.Text(), nullable=True, comment="ticker, written by the token's maker: untrusted"),
        sa.Column("name", sa.Text(), nullable=True, comment="display name, written by the token's maker: untrusted"),
        sa.Column(
            "uri", sa.Text(), nullable=True, comment="where its description lies, written by the token's maker: untrusted"
        ),
        sa.PrimaryKeyConstraint("received_on", "signature", name=op.f("token_launches_pkey")),
        comment="Tokens made on Solana's launchpads, each transaction once, one partition a UTC day.",
        postgresql_partition_by="RANGE (received_on)",
    )
    op.create_index("token_launches_mint_idx", "token_launches", ["mint"], unique=False)
    op.create_table(
        "token_migrations",
        sa.Column("received_on", sa.Date(), nullable=False, comment="UTC day of received_at"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the frame arrived; the feed has no time of its own; UTC",
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when it could first be used: recorded_at; UTC"
        ),
        sa.Column("payload_id", sa.BigInteger(), nullable=False, comment="raw_payloads row that holds its frame, by signature"),
        sa.Column("signature", sa.Text(), nullable=False, comment="of the transaction, base58"),
        sa.Column("mint", sa.Text(), nullable=False, comment="the token's address on Solana"),
        sa.Column("pool", sa.Text(), nullable=False, comment="where it trades: pump, bonk, pump-amm, raydium, …"),
        sa.PrimaryKeyConstraint("received_on", "signature", name=op.f("token_migrations_pkey")),
        comment="Tokens that left their bonding curve for an AMM, each transaction once, one partition a UTC day.",
        postgresql_partition_by="RANGE (received_on)",
    )
    op.create_index("token_migrations_mint_idx", "token_migrations", ["mint"], unique=False)
    op.create_table(
        "token_trades",
        sa.Column("received_on", sa.Date(), nullable=False, comment="UTC day of received_at"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the frame arrived; the feed has no time of its own; UTC",
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when it could first be used: recorded_at; UTC"
        ),
        sa.Column("payload_id", sa.BigInteger(), nullable=False, comment="raw_payloads row that holds its frame, by signature"),
        sa.Column("sol_amount", sa.Double(), nullable=True, comment="SOL paid or received; null: not said"),
        sa.Column("token_amount", sa.Double(), nullable=True, comment="tokens bought or sold; null: not said"),
        sa.Column("price_sol", sa.Double(), nullable=True, comment="SOL a token, as executed; null: an amount is not known"),
        sa.Column("market_cap_sol", sa.Double(), nullable=True, comment="price times supply after it, SOL"),
        sa.Column("trader_balance", sa.Double(), nullable=True, comment="tokens that the trader then holds; null: not said"),
        sa.Column("sol_reserve", sa.Double(), nullable=True, comment="SOL in the pool after it; on a curve virtual"),
        sa.Column("token_reserve", sa.Double(), nullable=True, comment="tokens in the pool after it; on a curve virtual"),
        sa.Column("signature", sa.Text(), nullable=False, comment="of the transaction, base58"),
        sa.Column("mint", sa.Text(), nullable=False, comment="the token's address on Solana"),
        sa.Column("trader", sa.Text(), nullable=False, comment="wallet that traded"),
        sa.Column("side", sa.Text(), nullable=False, comment="buy or sell"),
        sa.Column("pool", sa.Text(), nullable=False, comment="where it trades: pump, bonk, pump-amm, raydium, …"),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("token_trades_side_check")),
        sa.PrimaryKeyConstraint("received_on", "signature", "mint", "trader", "side", name=op.f("token_trades_pkey")),
        comment="Trades of followed tokens as heard before they are final, one partition a UTC day. "
        "One transaction may hold several: its signature is unique with mint, trader and side.",
        postgresql_partition_by="RANGE (received_on)",
    )
    op.create_index("token_trades_mint_received_at_idx", "token_trades", ["mint", "received_at"], unique=False)


def downgrade() -> None:
    """Undo."""
    for table in ("token_trades", "token_migrations", "token_launches"):
        op.drop_table(table)
