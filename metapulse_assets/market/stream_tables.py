"""Tables that the stream fills: launches, migrations and trades of Solana's launchpads, as they were heard."""

import sqlalchemy as sa

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_F8 = sa.Double


def _heard() -> tuple[sa.Column[object], ...]:
    """The columns that every row has, fixed widths first."""
    return (
        sa.Column("received_on", sa.Date, primary_key=True, comment="UTC day of received_at"),
        sa.Column("received_at", _TIME, nullable=False, comment="when the frame arrived; the feed has no time of its own; UTC"),
        sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; UTC"),
        sa.Column("available_at", _TIME, nullable=False, comment="when it could first be used: recorded_at; UTC"),
        sa.Column("payload_id", sa.BigInteger, nullable=False, comment="raw_payloads row that holds its frame, by signature"),
    )


def _signature() -> sa.Column[str]:
    return sa.Column("signature", sa.Text, primary_key=True, comment="of the transaction, base58")


def _mint() -> sa.Column[str]:
    return sa.Column("mint", sa.Text, nullable=False, comment="the token's address on Solana")


def _pool() -> sa.Column[str]:
    return sa.Column("pool", sa.Text, nullable=False, comment="where it trades: pump, bonk, pump-amm, raydium, …")


token_launches = sa.Table(
    "token_launches",
    metadata,
    *_heard(),
    sa.Column("initial_buy_tokens", _F8, comment="what its maker bought at once, tokens", info={"min": 0}),
    sa.Column("sol_amount", _F8, comment="what its maker paid for that, SOL", info={"min": 0}),
    sa.Column("sol_reserve", _F8, comment="SOL in the pool; on a curve virtual, beginning at 30", info={"min": 0}),
    sa.Column("token_reserve", _F8, comment="tokens in the pool; on a curve virtual", info={"min": 0}),
    sa.Column("market_cap_sol", _F8, comment="price times supply, SOL", info={"min": 0}),
    sa.Column("is_mayhem", sa.Boolean, comment="launched in pump.fun's mayhem mode; null: not said"),
    _signature(),
    _mint(),
    sa.Column("creator", sa.Text, nullable=False, comment="wallet that made it"),
    _pool(),
    sa.Column("bonding_curve", sa.Text, comment="address of its curve; null: none"),
    sa.Column("symbol", sa.Text, comment="ticker, written by the token's maker: untrusted"),
    sa.Column("name", sa.Text, comment="display name, written by the token's maker: untrusted"),
    sa.Column("uri", sa.Text, comment="where its description lies, written by the token's maker: untrusted"),
    sa.Index("token_launches_mint_idx", "mint"),
    postgresql_partition_by="RANGE (received_on)",
    comment="Tokens made on Solana's launchpads, each transaction once, one partition a UTC day.",
)

token_migrations = sa.Table(
    "token_migrations",
    metadata,
    *_heard(),
    _signature(),
    _mint(),
    _pool(),
    sa.Index("token_migrations_mint_idx", "mint"),
    postgresql_partition_by="RANGE (received_on)",
    comment="Tokens that left their bonding curve for an AMM, each transaction once, one partition a UTC day.",
)

token_trades = sa.Table(
    "token_trades",
    metadata,
    *_heard(),
    sa.Column("sol_amount", _F8, comment="SOL paid or received; null: not said", info={"min": 0}),
    sa.Column("token_amount", _F8, comment="tokens bought or sold; null: not said", info={"min": 0}),
    sa.Column("price_sol", _F8, comment="SOL a token, as executed; null: an amount is not known", info={"above": 0}),
    sa.Column("market_cap_sol", _F8, comment="price times supply after it, SOL", info={"min": 0}),
    sa.Column("trader_balance", _F8, comment="tokens that the trader then holds; null: not said", info={"min": 0}),
    sa.Column("sol_reserve", _F8, comment="SOL in the pool after it; on a curve virtual", info={"min": 0}),
    sa.Column("token_reserve", _F8, comment="tokens in the pool after it; on a curve virtual", info={"min": 0}),
    _signature(),
    sa.Column("mint", sa.Text, primary_key=True, comment="the token's address on Solana"),
    sa.Column("trader", sa.Text, primary_key=True, comment="wallet that traded"),
    sa.Column("side", sa.Text, primary_key=True, comment="buy or sell"),
    _pool(),
    sa.CheckConstraint("side IN ('buy', 'sell')", name="side"),
    sa.Index("token_trades_mint_received_at_idx", "mint", "received_at"),
    postgresql_partition_by="RANGE (received_on)",
    comment="Trades of followed tokens as heard before they are final, one partition a UTC day. "
    "One transaction may hold several: its signature is unique with mint, trader and side.",
)

STREAM_TABLES = (token_launches, token_migrations, token_trades)
