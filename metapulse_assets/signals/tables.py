"""Tables of the signals: what the rules of each source found, and the signals emitted."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_UNIT = {"min": 0, "max": 1}


def _hits(name: str, comment: str) -> sa.Table:
    """A table of what one source's rules found: the same columns for all, so that selection takes from all alike."""
    return sa.Table(
        name,
        metadata,
        sa.Column("opened_at", _TIME, primary_key=True, comment="start of the candle, or moment of the view, it fired on; UTC"),
        sa.Column("token_id", sa.Integer, primary_key=True),
        sa.Column("timeframe", sa.Text, primary_key=True, comment="5m, 1h or 1d; 24h for a view of the day up to a moment"),
        sa.Column("rule", sa.Text, primary_key=True, comment="what fired"),
        sa.Column("available_at", _TIME, nullable=False, comment="when its inputs were all usable; UTC"),
        sa.Column("direction", sa.Text, nullable=False, comment="buy or sell"),
        sa.Column("strength", sa.REAL, nullable=False, comment="how far past its threshold, 0 to 1", info=_UNIT),
        sa.Column("confidence", sa.REAL, nullable=False, comment="how much of its source agrees, 0 to 1", info=_UNIT),
        sa.Column("price_usd", sa.Double, nullable=False, comment="newest close known, USD", info={"above": 0}),
        sa.Column("atr_usd", sa.Double, comment="average true range known, USD; null: not known"),
        sa.Column("inputs", JSONB, nullable=False, comment="the values the rule read, by name"),
        sa.CheckConstraint("direction IN ('buy', 'sell')", name="direction"),
        postgresql_partition_by="RANGE (opened_at)",
        comment=comment,
    )


technical_signals = _hits("technical_signals", "What the technical rules found on each closed candle, one partition a UTC day.")
social_signals = _hits("social_signals", "What the social rules found in the metrics of a moment, one partition a UTC day.")
ai_signals = _hits("ai_signals", "Analyses by language models that are sure enough to act on, one partition a UTC day.")
combined_signals = _hits("combined_signals", "Moments at which several sources agree on a token, one partition a UTC day.")
SOURCES = {
    "technical": technical_signals,
    "social": social_signals,
    "ai": ai_signals,
    "combined": combined_signals,
}
"""The tables of hits by the kind of signal that is made of them."""

signals = sa.Table(
    "signals",
    metadata,
    sa.Column("signal_id", sa.Text, primary_key=True, comment="hash of token, rule, direction, timeframe and candle"),
    sa.Column("token_id", sa.Integer, sa.ForeignKey("tokens.token_id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False, comment="technical, social, ai or combined"),
    sa.Column("rule", sa.Text, nullable=False, comment="what fired"),
    sa.Column("timeframe", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False, comment="buy or sell"),
    sa.Column("strength", sa.REAL, nullable=False, info=_UNIT),
    sa.Column(
        "confidence",
        sa.REAL,
        nullable=False,
        comment="raw, as its source says it; calibration_curves say what that is worth",
        info=_UNIT,
    ),
    sa.Column("risk", sa.Text, nullable=False, comment="low, medium, high or unknown"),
    sa.Column("price_usd", sa.Double, nullable=False, info={"above": 0}),
    sa.Column("target_usd", sa.Double, comment="where the move would be complete, USD; null: no ATR"),
    sa.Column("stop_usd", sa.Double, comment="where the idea is wrong, USD; null: no ATR"),
    sa.Column("horizon_seconds", sa.Integer, nullable=False, comment="time the move is given, s", info={"above": 0}),
    sa.Column("reasons", JSONB, nullable=False, comment="list of {text, inputs}: each names the values it rests on"),
    sa.Column("opened_at", _TIME, nullable=False, comment="start of the candle, or moment of the view, it rests on; UTC"),
    sa.Column("observed_at", _TIME, nullable=False, comment="end of what it rests on; UTC"),
    sa.Column(
        "emitted_at", _TIME, nullable=False, comment="live: the tick that found it; replay: when its inputs were usable; UTC"
    ),
    sa.Column("expires_at", _TIME, nullable=False, comment="24 h after emission; UTC"),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; UTC"),
    sa.Column("origin", sa.Text, nullable=False, comment="live, or replay: found later from stored rows"),
    sa.Column("mode", sa.Text, nullable=False, comment="sandbox or live"),
    sa.Column("run_id", sa.Text, nullable=False, comment="Dagster run that stored it"),
    sa.CheckConstraint("direction IN ('buy', 'sell')", name="direction"),
    sa.CheckConstraint("risk IN ('low', 'medium', 'high', 'unknown')", name="risk"),
    sa.CheckConstraint(
        "stop_usd IS NULL OR (direction = 'buy' AND stop_usd < price_usd AND price_usd < target_usd)"
        " OR (direction = 'sell' AND stop_usd > price_usd AND price_usd > target_usd)",
        name="target_and_stop",
    ),
    sa.Index("signals_emitted_at_idx", "emitted_at"),
    sa.Index("signals_token_id_emitted_at_idx", "token_id", "emitted_at"),
    comment="Signals as emitted. Stored once: a recomputation adds what is missing and changes nothing.",
)
