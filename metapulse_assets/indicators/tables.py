"""Tables of the indicators: analyses per closed candle, and the cached state that lets a tick go on from the last one."""

import sqlalchemy as sa

from metapulse_assets.indicators.state import STATE_WIDTH
from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)


def _value(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.REAL, comment=comment)


technical_analyses = sa.Table(
    "technical_analyses",
    metadata,
    sa.Column("opened_at", _TIME, primary_key=True, comment="start of the analysed candle; UTC"),
    sa.Column("available_at", _TIME, nullable=False, comment="when the newest candle used became usable; UTC"),
    sa.Column("close", sa.Double, nullable=False, comment="close of the analysed candle, USD", info={"above": 0}),
    sa.Column("obv", sa.Double, comment="on-balance volume since the chain began, USD"),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("bar_count", sa.Integer, nullable=False, comment="candles since the chain (re)started", info={"min": 1}),
    sa.Column("rsi_14", sa.REAL, comment="relative strength index, 0 to 100", info={"min": 0, "max": 100}),
    _value("macd", "EMA 12 minus EMA 26, USD"),
    _value("macd_signal", "EMA 9 of macd, USD"),
    _value("sma_20", "simple mean of 20 closes, USD; also the middle Bollinger band"),
    _value("sma_50", "simple mean of 50 closes, USD"),
    _value("ema_12", "exponential mean, USD"),
    _value("ema_26", "exponential mean, USD"),
    _value("ema_50", "exponential mean, USD"),
    _value("ema_200", "exponential mean, USD"),
    _value("bb_upper", "upper Bollinger band: sma_20 plus two population standard deviations, USD"),
    _value("bb_lower", "lower Bollinger band, USD"),
    _value("atr_14", "average true range, USD"),
    sa.Column("adx_14", sa.REAL, comment="average directional index", info={"min": 0, "max": 100}),
    sa.Column("plus_di_14", sa.REAL, comment="positive directional indicator", info={"min": 0, "max": 100}),
    sa.Column("minus_di_14", sa.REAL, comment="negative directional indicator", info={"min": 0, "max": 100}),
    sa.Column("stoch_k", sa.REAL, comment="stochastic %K 14,3", info={"min": -0.001, "max": 100.001}),
    sa.Column("stoch_d", sa.REAL, comment="stochastic %D 3", info={"min": -0.001, "max": 100.001}),
    _value("roc_10", "rate of change over 10 candles, percent"),
    _value("mom_10", "close minus the close 10 candles ago, USD"),
    _value("support_20", "lowest low of the 20 candles before, USD"),
    _value("resistance_20", "highest high of the 20 candles before, USD"),
    _value("volume_ratio_20", "volume over the mean of the 20 candles before"),
    sa.Column("trend_strength", sa.REAL, comment="0 to 1; null: unknown", info={"min": 0, "max": 1}),
    sa.Column("confidence", sa.REAL, comment="0 to 1; null: abstained", info={"min": 0, "max": 1}),
    sa.Column("timeframe", sa.Text, primary_key=True, comment="5m, 1h or 1d"),
    sa.Column("trend", sa.Text, nullable=False, comment="up, down, sideways or unknown"),
    sa.Column("recommendation", sa.Text, nullable=False, comment="strong_buy … strong_sell, or abstain"),
    postgresql_partition_by="RANGE (opened_at)",
    comment="Indicators and a reading of them for each closed candle, one partition a UTC day.",
)

indicator_states = sa.Table(
    "indicator_states",
    metadata,
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("last_opened_at", _TIME, nullable=False, comment="newest candle that the state holds; UTC"),
    sa.Column("state", sa.LargeBinary(8 * STATE_WIDTH), nullable=False, comment="float64 vector in the layout of `State`"),
    prefixes=["UNLOGGED"],
    postgresql_with={"fillfactor": "50"},
    comment="Cache: where each token's chain of indicators stands. Empty it at will; the next tick rebuilds it.",
)

indicator_chains = sa.Table(
    "indicator_chains",
    metadata,
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("chain_day", sa.Date, nullable=False, comment="UTC day that the cached states belong to"),
    sa.Column("state_version", sa.Integer, nullable=False, comment="layout of the cached states"),
    sa.Column("through", _TIME, nullable=False, comment="candles opened before this are in; UTC"),
    sa.Column("updated_at", _TIME, nullable=False, comment="candles usable by then are in; UTC"),
    prefixes=["UNLOGGED"],
    comment="Cache: which day and how far the cached indicator states reach.",
)
