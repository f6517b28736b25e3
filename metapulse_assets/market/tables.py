"""Tables of the market: tokens and pools, which are tracked, their snapshots and candles."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_F8 = sa.Double

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("token_id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("chain", sa.Text, nullable=False, comment="DexScreener's chain id: solana, ethereum, base, …"),
    sa.Column("address", sa.Text, nullable=False, comment="contract or mint; lower case on EVM chains"),
    sa.Column("symbol", sa.Text, nullable=False, comment="ticker as the vendor gives it; names nobody by itself"),
    sa.Column("name", sa.Text, nullable=False, comment="display name, written by the token's maker: untrusted"),
    sa.Column("first_recorded_at", _TIME, nullable=False, comment="when MetaPulse first stored it; UTC"),
    sa.UniqueConstraint("chain", "address"),
    comment="Every token ever seen, one row a chain and address.",
)

pools = sa.Table(
    "pools",
    metadata,
    sa.Column("pool_id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("token_id", sa.Integer, sa.ForeignKey("tokens.token_id"), nullable=False),
    sa.Column("chain", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False, comment="pool (pair) address; lower case on EVM chains"),
    sa.Column("dex", sa.Text, nullable=False, comment="exchange that holds it: raydium, uniswap, pumpfun, …"),
    sa.Column("quote_address", sa.Text, comment="token it is priced in"),
    sa.Column("quote_symbol", sa.Text),
    sa.Column("created_at", _TIME, comment="when the pool was created on chain, if known; UTC"),
    sa.Column("first_recorded_at", _TIME, nullable=False),
    sa.UniqueConstraint("chain", "address"),
    sa.Index("pools_token_id_idx", "token_id"),
    comment="Liquidity pools (trading pairs) of tokens.",
)

tracked_tokens = sa.Table(
    "tracked_tokens",
    metadata,
    sa.Column("token_id", sa.Integer, sa.ForeignKey("tokens.token_id"), primary_key=True),
    sa.Column("active", sa.Boolean, nullable=False, comment="whether the next tick asks for it"),
    sa.Column("sources", ARRAY(sa.Text), nullable=False, comment="where it was found: boosts, profiles, trending, watched"),
    sa.Column("tracked_since", _TIME, nullable=False),
    sa.Column("last_listed_at", _TIME, nullable=False, comment="when a source last named it; UTC"),
    sa.Column("failing_since", _TIME, comment="since when it has been below the bar; null: it is above; UTC"),
    sa.Column("reason", sa.Text, nullable=False, comment="why it is tracked, or why no more"),
    comment="Which tokens are asked for, one row a token whatever number of sources named it.",
)

candle_requests = sa.Table(
    "candle_requests",
    metadata,
    sa.Column("token_id", sa.Integer, sa.ForeignKey("tokens.token_id"), primary_key=True),
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("asked_at", _TIME, nullable=False, comment="when its history was last asked for; UTC"),
    sa.Column("candles_received", sa.Integer, nullable=False),
    sa.Column("late_at", _TIME, comment="when candles last turned up after newer ones had been used; UTC"),
    comment="For which tokens a vendor was asked for candle history, so that each is asked once.",
)

_WINDOWS = ("m5", "h1", "h6", "h24")
token_metrics = sa.Table(
    "token_metrics",
    metadata,
    sa.Column("observed_at", _TIME, primary_key=True, comment="when the vendor answered; UTC"),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored, and could be used; UTC"),
    sa.Column("payload_id", sa.BigInteger, comment="raw_payloads row that it was read from"),
    sa.Column("price_usd", _F8, nullable=False, comment="USD a token", info={"above": 0}),
    sa.Column("price_native", _F8, comment="quote tokens a token", info={"above": 0}),
    sa.Column("liquidity_usd", _F8, comment="USD in the pool; null: not known, as on a bonding curve", info={"min": 0}),
    sa.Column("fdv_usd", _F8, comment="fully diluted valuation, USD", info={"min": 0}),
    sa.Column("market_cap_usd", _F8, comment="market capitalisation, USD", info={"min": 0}),
    *(sa.Column(f"volume_{w}_usd", _F8, comment=f"volume of the last {w}, USD", info={"min": 0}) for w in _WINDOWS),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("pool_id", sa.Integer, nullable=False),
    *(sa.Column(f"buys_{w}", sa.Integer, comment=f"buys in the last {w}", info={"min": 0}) for w in _WINDOWS),
    *(sa.Column(f"sells_{w}", sa.Integer, comment=f"sells in the last {w}", info={"min": 0}) for w in _WINDOWS),
    *(sa.Column(f"price_change_{w}_pct", sa.REAL, comment=f"price change over {w}, percent; null: no trade") for w in _WINDOWS),
    postgresql_partition_by="RANGE (observed_at)",
    comment="Snapshots of tracked tokens as the vendor showed them, one partition a UTC day.",
)

candles = sa.Table(
    "candles",
    metadata,
    sa.Column("opened_at", _TIME, primary_key=True, comment="start of the candle; UTC"),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; UTC"),
    sa.Column(
        "available_at",
        _TIME,
        nullable=False,
        comment="when it could have been used: recorded_at live, its close for history from before tracking; UTC",
    ),
    sa.Column("payload_id", sa.BigInteger, comment="raw_payloads row of vendor history; null: made here"),
    sa.Column("open", _F8, nullable=False, comment="USD", info={"above": 0}),
    sa.Column("high", _F8, nullable=False, comment="USD", info={"above": 0}),
    sa.Column("low", _F8, nullable=False, comment="USD", info={"above": 0}),
    sa.Column("close", _F8, nullable=False, comment="USD", info={"above": 0}),
    sa.Column("volume_usd", _F8, comment="USD traded; null: not known", info={"min": 0}),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("timeframe", sa.Text, primary_key=True, comment="5m, 1h or 1d"),
    sa.Column(
        "source",
        sa.Text,
        nullable=False,
        comment="trades, snapshots, rollup of a finer timeframe, or the vendor of its history",
    ),
    sa.CheckConstraint("low <= least(open, close) AND high >= greatest(open, close)", name="ohlc"),
    postgresql_partition_by="LIST (timeframe)",
    comment="Closed candles. 5m and 1h have one partition a UTC day, 1d one for all. Stored once, never rewritten.",
)
