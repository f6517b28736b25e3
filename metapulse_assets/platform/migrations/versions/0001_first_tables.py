"""The first tables: the floor, the market, indicators and signals."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "candles",
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, comment="start of the candle; UTC"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it could have been used: recorded_at live, its close for history from before tracking; UTC",
        ),
        sa.Column(
            "payload_id",
            sa.BigInteger(),
            nullable=True,
            comment="raw_payloads row of vendor history; null: made from snapshots",
        ),
        sa.Column("open", sa.Double(), nullable=False, comment="USD"),
        sa.Column("high", sa.Double(), nullable=False, comment="USD"),
        sa.Column("low", sa.Double(), nullable=False, comment="USD"),
        sa.Column("close", sa.Double(), nullable=False, comment="USD"),
        sa.Column("volume_usd", sa.Double(), nullable=True, comment="USD traded; null: not known"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False, comment="5m, 1h or 1d"),
        sa.Column("source", sa.Text(), nullable=False, comment="snapshots, vendor history or rollup of a finer timeframe"),
        sa.CheckConstraint("low <= least(open, close) AND high >= greatest(open, close)", name=op.f("candles_ohlc_check")),
        sa.PrimaryKeyConstraint("opened_at", "token_id", "timeframe", name=op.f("candles_pkey")),
        comment="Closed candles. 5m and 1h have one partition a UTC day, 1d one for all. Stored once, never rewritten.",
        postgresql_partition_by="LIST (timeframe)",
    )
    op.create_table(
        "circuit_breakers",
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="closed, open or half_open"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="failures in a row"),
        sa.Column("changed_at", sa.Float(), nullable=False, comment="when the state last changed; epoch s"),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False, comment="the newest failure, without secrets"),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("circuit_breakers_state_check")),
        sa.PrimaryKeyConstraint("vendor", name=op.f("circuit_breakers_pkey")),
        comment="Whether a vendor is being called at all, shared by all processes and kept over restarts.",
    )
    op.create_table(
        "database_identity",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="always true: one row"),
        sa.Column("mode", sa.Text(), nullable=False, comment="sandbox or live: what this database may be filled with"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("only_row", name=op.f("database_identity_one_row_check")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("database_identity_pkey")),
        comment="Which mode this database belongs to, so that sandbox and live data never mix.",
    )
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False, comment="when it was first refused; UTC"),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, comment="when it was last refused; UTC"),
        sa.Column("occurrences", sa.Integer(), server_default="1", nullable=False, comment="how often it came"),
        sa.Column("source", sa.Text(), nullable=False, comment="vendor and endpoint"),
        sa.Column("kind", sa.Text(), nullable=False, comment="item: one entry of an answer; request: a whole call"),
        sa.Column("item_key", sa.Text(), nullable=False, comment="which item or request: address, pool or URL"),
        sa.Column("reason", sa.Text(), nullable=False, comment="field, place and what is wrong with it"),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the refused item, or the head of the refused answer",
        ),
        sa.Column("payload_sha256", sa.LargeBinary(), nullable=False, comment="SHA-256 of the payload, to know it again"),
        sa.Column("run_id", sa.Text(), nullable=True, comment="the Dagster run that met it last"),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=True, comment="when somebody put it in again; UTC"),
        sa.PrimaryKeyConstraint("dead_letter_id", name=op.f("dead_letters_pkey")),
        sa.UniqueConstraint("source", "item_key", "reason", "payload_sha256", name="dead_letters_same_refusal_key"),
        comment="What was refused, with the reason; nothing that arrived is lost.",
    )
    op.create_index("dead_letters_last_at_idx", "dead_letters", ["last_at"], unique=False)
    op.create_table(
        "indicator_chains",
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("chain_day", sa.Date(), nullable=False, comment="UTC day that the cached states belong to"),
        sa.Column("state_version", sa.Integer(), nullable=False, comment="layout of the cached states"),
        sa.Column("through", sa.DateTime(timezone=True), nullable=False, comment="candles opened before this are in; UTC"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="candles usable by then are in; UTC"),
        sa.PrimaryKeyConstraint("timeframe", name=op.f("indicator_chains_pkey")),
        comment="Cache: which day and how far the cached indicator states reach.",
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "indicator_states",
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column(
            "last_opened_at", sa.DateTime(timezone=True), nullable=False, comment="newest candle that the state holds; UTC"
        ),
        sa.Column("state", sa.LargeBinary(length=976), nullable=False, comment="float64 vector in the layout of `State`"),
        sa.PrimaryKeyConstraint("timeframe", "token_id", name=op.f("indicator_states_pkey")),
        comment="Cache: where each token's chain of indicators stands. Empty it at will; the next tick rebuilds it.",
        postgresql_with={"fillfactor": "50"},
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "progress_marks",
        sa.Column("name", sa.Text(), nullable=False, comment="table and part, as technical_signals:5m"),
        sa.Column("through", sa.DateTime(timezone=True), nullable=False, comment="handled up to here; UTC"),
        sa.PrimaryKeyConstraint("name", name=op.f("progress_marks_pkey")),
        comment="How far incremental work has come. Losing a row costs a recomputation, never a wrong result.",
    )
    op.create_table(
        "rate_limits",
        sa.Column("gate", sa.Text(), nullable=False, comment="vendor and limit class"),
        sa.Column("window_seconds", sa.Float(), nullable=False, comment="length of the window, s"),
        sa.Column("newest_bucket", sa.BigInteger(), nullable=False, comment="number of the newest time bucket"),
        sa.Column("counts", postgresql.ARRAY(sa.Integer()), nullable=False, comment="requests per bucket, newest last"),
        sa.Column("blocked_until", sa.Float(), server_default="0", nullable=False, comment="vendor asked to wait; epoch s"),
        sa.PrimaryKeyConstraint("gate", "window_seconds", name=op.f("rate_limits_pkey")),
        comment="Requests lately sent, shared by all processes: a sliding window in small buckets.",
    )
    op.create_table(
        "raw_payloads",
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when the answer arrived; UTC"),
        sa.Column(
            "payload_id",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="what rows of other tables point at",
        ),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="SHA-256 of the body as it came over the wire"),
        sa.Column("vendor", sa.Text(), nullable=False, comment="dexscreener, geckoterminal, …"),
        sa.Column("url", sa.Text(), nullable=False, comment="what was asked, without secrets"),
        sa.Column("status", sa.SmallInteger(), nullable=False, comment="HTTP status"),
        sa.Column("size", sa.Integer(), nullable=False, comment="bytes of the body, uncompressed"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the body, zlib-compressed"),
        sa.PrimaryKeyConstraint("recorded_at", "payload_id", name=op.f("raw_payloads_pkey")),
        comment="The vendors' answers, byte for byte, one partition a UTC day.",
        postgresql_partition_by="RANGE (recorded_at)",
    )
    op.create_index("raw_payloads_payload_id_idx", "raw_payloads", ["payload_id"], unique=False)
    op.create_table(
        "risk_assessments",
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="the snapshot it is made from; UTC"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False, comment="when that snapshot became usable; UTC"),
        sa.Column("level", sa.Text(), nullable=False, comment="low, medium, high or unknown"),
        sa.Column("score", sa.REAL(), nullable=True, comment="weighted sum, 0 (safe) to 1; null: unknown"),
        sa.Column("known_share", sa.REAL(), nullable=False, comment="weight of the factors that were known"),
        sa.Column("hard_fail", sa.Text(), nullable=True, comment="the rule that makes it high whatever the sum; null: none"),
        sa.Column(
            "factors",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="each factor's points 0 to 1, null where unknown",
        ),
        sa.CheckConstraint("level IN ('low', 'medium', 'high', 'unknown')", name=op.f("risk_assessments_level_check")),
        sa.PrimaryKeyConstraint("observed_at", "token_id", name=op.f("risk_assessments_pkey")),
        comment="Risk of each tracked token: the first of a UTC day, then a row whenever it changes.",
        postgresql_partition_by="RANGE (observed_at)",
    )
    op.create_table(
        "technical_analyses",
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, comment="start of the analysed candle; UTC"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when the newest candle used became usable; UTC"
        ),
        sa.Column("close", sa.Double(), nullable=False, comment="close of the analysed candle, USD"),
        sa.Column("obv", sa.Double(), nullable=True, comment="on-balance volume since the chain began, USD"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("bar_count", sa.Integer(), nullable=False, comment="candles since the chain (re)started"),
        sa.Column("rsi_14", sa.REAL(), nullable=True, comment="relative strength index, 0 to 100"),
        sa.Column("macd", sa.REAL(), nullable=True, comment="EMA 12 minus EMA 26, USD"),
        sa.Column("macd_signal", sa.REAL(), nullable=True, comment="EMA 9 of macd, USD"),
        sa.Column("sma_20", sa.REAL(), nullable=True, comment="simple mean of 20 closes, USD; also the middle Bollinger band"),
        sa.Column("sma_50", sa.REAL(), nullable=True, comment="simple mean of 50 closes, USD"),
        sa.Column("ema_12", sa.REAL(), nullable=True, comment="exponential mean, USD"),
        sa.Column("ema_26", sa.REAL(), nullable=True, comment="exponential mean, USD"),
        sa.Column("ema_50", sa.REAL(), nullable=True, comment="exponential mean, USD"),
        sa.Column("ema_200", sa.REAL(), nullable=True, comment="exponential mean, USD"),
        sa.Column(
            "bb_upper",
            sa.REAL(),
            nullable=True,
            comment="upper Bollinger band: sma_20 plus two population standard deviations, USD",
        ),
        sa.Column("bb_lower", sa.REAL(), nullable=True, comment="lower Bollinger band, USD"),
        sa.Column("atr_14", sa.REAL(), nullable=True, comment="average true range, USD"),
        sa.Column("adx_14", sa.REAL(), nullable=True, comment="average directional index"),
        sa.Column("plus_di_14", sa.REAL(), nullable=True, comment="positive directional indicator"),
        sa.Column("minus_di_14", sa.REAL(), nullable=True, comment="negative directional indicator"),
        sa.Column("stoch_k", sa.REAL(), nullable=True, comment="stochastic %K 14,3"),
        sa.Column("stoch_d", sa.REAL(), nullable=True, comment="stochastic %D 3"),
        sa.Column("roc_10", sa.REAL(), nullable=True, comment="rate of change over 10 candles, percent"),
        sa.Column("mom_10", sa.REAL(), nullable=True, comment="close minus the close 10 candles ago, USD"),
        sa.Column("support_20", sa.REAL(), nullable=True, comment="lowest low of the 20 candles before, USD"),
        sa.Column("resistance_20", sa.REAL(), nullable=True, comment="highest high of the 20 candles before, USD"),
        sa.Column("volume_ratio_20", sa.REAL(), nullable=True, comment="volume over the mean of the 20 candles before"),
        sa.Column("trend_strength", sa.REAL(), nullable=True, comment="0 to 1; null: unknown"),
        sa.Column("confidence", sa.REAL(), nullable=True, comment="0 to 1; null: abstained"),
        sa.Column("timeframe", sa.Text(), nullable=False, comment="5m, 1h or 1d"),
        sa.Column("trend", sa.Text(), nullable=False, comment="up, down, sideways or unknown"),
        sa.Column("recommendation", sa.Text(), nullable=False, comment="strong_buy … strong_sell, or abstain"),
        sa.PrimaryKeyConstraint("opened_at", "token_id", "timeframe", name=op.f("technical_analyses_pkey")),
        comment="Indicators and a reading of them for each closed candle, one partition a UTC day.",
        postgresql_partition_by="RANGE (opened_at)",
    )
    op.create_table(
        "technical_signals",
        sa.Column(
            "opened_at", sa.DateTime(timezone=True), nullable=False, comment="start of the candle that the rule fired on; UTC"
        ),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="rsi_oversold, macd_bullish_cross, …"),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False, comment="when its inputs were all usable; UTC"),
        sa.Column("direction", sa.Text(), nullable=False, comment="buy or sell"),
        sa.Column("strength", sa.REAL(), nullable=False, comment="how far past its threshold, 0 to 1"),
        sa.Column("confidence", sa.REAL(), nullable=False, comment="share of the analysis that agrees, 0 to 1"),
        sa.Column("price_usd", sa.Double(), nullable=False, comment="close of the candle, USD"),
        sa.Column("atr_usd", sa.Double(), nullable=True, comment="average true range of the candle, USD; null: not known"),
        sa.Column(
            "inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the values the rule read, by column name",
        ),
        sa.CheckConstraint("direction IN ('buy', 'sell')", name=op.f("technical_signals_direction_check")),
        sa.PrimaryKeyConstraint("opened_at", "token_id", "timeframe", "rule", name=op.f("technical_signals_pkey")),
        comment="What the technical rules found on each closed candle, one partition a UTC day.",
        postgresql_partition_by="RANGE (opened_at)",
    )
    op.create_table(
        "token_metrics",
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="when the vendor answered; UTC"),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored, and could be used; UTC"
        ),
        sa.Column("payload_id", sa.BigInteger(), nullable=True, comment="raw_payloads row that it was read from"),
        sa.Column("price_usd", sa.Double(), nullable=False, comment="USD a token"),
        sa.Column("price_native", sa.Double(), nullable=True, comment="quote tokens a token"),
        sa.Column(
            "liquidity_usd", sa.Double(), nullable=True, comment="USD in the pool; null: not known, as on a bonding curve"
        ),
        sa.Column("fdv_usd", sa.Double(), nullable=True, comment="fully diluted valuation, USD"),
        sa.Column("market_cap_usd", sa.Double(), nullable=True, comment="market capitalisation, USD"),
        sa.Column("volume_m5_usd", sa.Double(), nullable=True, comment="volume of the last m5, USD"),
        sa.Column("volume_h1_usd", sa.Double(), nullable=True, comment="volume of the last h1, USD"),
        sa.Column("volume_h6_usd", sa.Double(), nullable=True, comment="volume of the last h6, USD"),
        sa.Column("volume_h24_usd", sa.Double(), nullable=True, comment="volume of the last h24, USD"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("pool_id", sa.Integer(), nullable=False),
        sa.Column("buys_m5", sa.Integer(), nullable=True, comment="buys in the last m5"),
        sa.Column("buys_h1", sa.Integer(), nullable=True, comment="buys in the last h1"),
        sa.Column("buys_h6", sa.Integer(), nullable=True, comment="buys in the last h6"),
        sa.Column("buys_h24", sa.Integer(), nullable=True, comment="buys in the last h24"),
        sa.Column("sells_m5", sa.Integer(), nullable=True, comment="sells in the last m5"),
        sa.Column("sells_h1", sa.Integer(), nullable=True, comment="sells in the last h1"),
        sa.Column("sells_h6", sa.Integer(), nullable=True, comment="sells in the last h6"),
        sa.Column("sells_h24", sa.Integer(), nullable=True, comment="sells in the last h24"),
        sa.Column("price_change_m5_pct", sa.REAL(), nullable=True, comment="price change over m5, percent; null: no trade"),
        sa.Column("price_change_h1_pct", sa.REAL(), nullable=True, comment="price change over h1, percent; null: no trade"),
        sa.Column("price_change_h6_pct", sa.REAL(), nullable=True, comment="price change over h6, percent; null: no trade"),
        sa.Column("price_change_h24_pct", sa.REAL(), nullable=True, comment="price change over h24, percent; null: no trade"),
        sa.PrimaryKeyConstraint("observed_at", "token_id", name=op.f("token_metrics_pkey")),
        comment="Snapshots of tracked tokens as the vendor showed them, one partition a UTC day.",
        postgresql_partition_by="RANGE (observed_at)",
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False, comment="DexScreener's chain id: solana, ethereum, base, …"),
        sa.Column("address", sa.Text(), nullable=False, comment="contract or mint; lower case on EVM chains"),
        sa.Column("symbol", sa.Text(), nullable=False, comment="ticker as the vendor gives it; names nobody by itself"),
        sa.Column("name", sa.Text(), nullable=False, comment="display name, written by the token's maker: untrusted"),
        sa.Column(
            "first_recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when MetaPulse first stored it; UTC"
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("tokens_pkey")),
        sa.UniqueConstraint("chain", "address", name=op.f("tokens_chain_address_key")),
        comment="Every token ever seen, one row a chain and address.",
    )
    op.create_table(
        "candle_requests",
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, comment="when its history was last asked for; UTC"),
        sa.Column("candles_received", sa.Integer(), nullable=False),
        sa.Column(
            "late_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when candles last turned up after newer ones had been used; UTC",
        ),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.token_id"], name=op.f("candle_requests_token_id_fkey")),
        sa.PrimaryKeyConstraint("token_id", "timeframe", name=op.f("candle_requests_pkey")),
        comment="For which tokens a vendor was asked for candle history, so that each is asked once.",
    )
    op.create_table(
        "pools",
        sa.Column("pool_id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False, comment="pool (pair) address; lower case on EVM chains"),
        sa.Column("dex", sa.Text(), nullable=False, comment="exchange that holds it: raydium, uniswap, pumpfun, …"),
        sa.Column("quote_address", sa.Text(), nullable=True, comment="token it is priced in"),
        sa.Column("quote_symbol", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the pool was created on chain, if known; UTC"
        ),
        sa.Column("first_recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.token_id"], name=op.f("pools_token_id_fkey")),
        sa.PrimaryKeyConstraint("pool_id", name=op.f("pools_pkey")),
        sa.UniqueConstraint("chain", "address", name=op.f("pools_chain_address_key")),
        comment="Liquidity pools (trading pairs) of tokens.",
    )
    op.create_index("pools_token_id_idx", "pools", ["token_id"], unique=False)
    op.create_table(
        "signals",
        sa.Column("signal_id", sa.Text(), nullable=False, comment="hash of token, rule, direction, timeframe and candle"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="technical; later social, ai, combined"),
        sa.Column("rule", sa.Text(), nullable=False, comment="what fired"),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False, comment="buy or sell"),
        sa.Column("strength", sa.REAL(), nullable=False),
        sa.Column("confidence", sa.REAL(), nullable=False, comment="uncalibrated until outcomes are counted"),
        sa.Column("risk", sa.Text(), nullable=False, comment="low, medium, high or unknown"),
        sa.Column("price_usd", sa.Double(), nullable=False),
        sa.Column("target_usd", sa.Double(), nullable=True, comment="where the move would be complete, USD; null: no ATR"),
        sa.Column("stop_usd", sa.Double(), nullable=True, comment="where the idea is wrong, USD; null: no ATR"),
        sa.Column("horizon_seconds", sa.Integer(), nullable=False, comment="time the move is given, s"),
        sa.Column(
            "reasons",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="list of {text, inputs}: each names the values it rests on",
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, comment="start of the candle it rests on; UTC"),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="close of the candle it rests on; UTC"),
        sa.Column(
            "emitted_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="live: the tick that found it; replay: when its inputs were usable; UTC",
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, comment="24 h after emission; UTC"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column("origin", sa.Text(), nullable=False, comment="live, or replay: found later from stored rows"),
        sa.Column("mode", sa.Text(), nullable=False, comment="sandbox or live"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run that stored it"),
        sa.CheckConstraint("direction IN ('buy', 'sell')", name=op.f("signals_direction_check")),
        sa.CheckConstraint("risk IN ('low', 'medium', 'high', 'unknown')", name=op.f("signals_risk_check")),
        sa.CheckConstraint(
            "stop_usd IS NULL OR (direction = 'buy' AND stop_usd < price_usd AND price_usd < target_usd)"
            " OR (direction = 'sell' AND stop_usd > price_usd AND price_usd > target_usd)",
            name=op.f("signals_target_and_stop_check"),
        ),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.token_id"], name=op.f("signals_token_id_fkey")),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("signals_pkey")),
        comment="Signals as emitted. Stored once: a recomputation adds what is missing and changes nothing.",
    )
    op.create_index("signals_emitted_at_idx", "signals", ["emitted_at"], unique=False)
    op.create_index("signals_token_id_emitted_at_idx", "signals", ["token_id", "emitted_at"], unique=False)
    op.create_table(
        "tracked_tokens",
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False, comment="whether the next tick asks for it"),
        sa.Column(
            "sources",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="where it was found: boosts, profiles, trending, watched",
        ),
        sa.Column("tracked_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_listed_at", sa.DateTime(timezone=True), nullable=False, comment="when a source last named it; UTC"),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when it has been below the bar; null: it is above; UTC",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it is tracked, or why no more"),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.token_id"], name=op.f("tracked_tokens_token_id_fkey")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("tracked_tokens_pkey")),
        comment="Which tokens are asked for, one row a token whatever number of sources named it.",
    )
    for timeframe in ("5m", "1h"):
        op.execute(
            f"CREATE TABLE candles_{timeframe} PARTITION OF candles FOR VALUES IN ('{timeframe}')"
            " PARTITION BY RANGE (opened_at)"
        )
    op.execute("CREATE TABLE candles_1d PARTITION OF candles FOR VALUES IN ('1d')")
    # The state is a fixed vector that compresses badly: keep it in the row, where an update in place is cheap.
    op.execute("ALTER TABLE indicator_states ALTER COLUMN state SET STORAGE PLAIN")


def downgrade() -> None:
    """Undo."""
    op.drop_table("tracked_tokens")
    op.drop_index("signals_token_id_emitted_at_idx", table_name="signals")
    op.drop_index("signals_emitted_at_idx", table_name="signals")
    op.drop_table("signals")
    op.drop_index("pools_token_id_idx", table_name="pools")
    op.drop_table("pools")
    op.drop_table("candle_requests")
    op.drop_table("tokens")
    op.drop_table("token_metrics")
    op.drop_table("technical_signals")
    op.drop_table("technical_analyses")
    op.drop_table("risk_assessments")
    op.drop_index("raw_payloads_payload_id_idx", table_name="raw_payloads")
    op.drop_table("raw_payloads")
    op.drop_table("rate_limits")
    op.drop_table("progress_marks")
    op.drop_table("indicator_states")
    op.drop_table("indicator_chains")
    op.drop_index("dead_letters_last_at_idx", table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_table("database_identity")
    op.drop_table("circuit_breakers")
    op.drop_table("candles")
