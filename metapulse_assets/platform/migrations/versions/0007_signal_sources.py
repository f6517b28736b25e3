"""Hits of social and AI rules, and of several sources together."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NEW = {
    "social_signals": "What the social rules found in the metrics of a moment, one partition a UTC day.",
    "ai_signals": "Analyses by language models that are sure enough to act on, one partition a UTC day.",
    "combined_signals": "Moments at which several sources agree on a token, one partition a UTC day.",
}
_COMMENTS = {
    "opened_at": "start of the candle, or moment of the view, it fired on; UTC",
    "token_id": None,
    "timeframe": "5m, 1h or 1d; 24h for a view of the day up to a moment",
    "rule": "what fired",
    "available_at": "when its inputs were all usable; UTC",
    "direction": "buy or sell",
    "strength": "how far past its threshold, 0 to 1",
    "confidence": "how much of its source agrees, 0 to 1",
    "price_usd": "newest close known, USD",
    "atr_usd": "average true range known, USD; null: not known",
    "inputs": "the values the rule read, by name",
}
_SIGNAL_COMMENTS = {
    "kind": "technical, social, ai or combined",
    "opened_at": "start of the candle, or moment of the view, it rests on; UTC",
    "observed_at": "end of what it rests on; UTC",
}


def upgrade() -> None:
    """Apply."""
    time, text = sa.DateTime(timezone=True), sa.Text()
    for name, comment in _NEW.items():
        op.create_table(
            name,
            sa.Column("opened_at", time, nullable=False, comment=_COMMENTS["opened_at"]),
            sa.Column("token_id", sa.Integer(), nullable=False),
            sa.Column("timeframe", text, nullable=False, comment=_COMMENTS["timeframe"]),
            sa.Column("rule", text, nullable=False, comment=_COMMENTS["rule"]),
            sa.Column("available_at", time, nullable=False, comment=_COMMENTS["available_at"]),
            sa.Column("direction", text, nullable=False, comment=_COMMENTS["direction"]),
            sa.Column("strength", sa.REAL(), nullable=False, comment=_COMMENTS["strength"]),
            sa.Column("confidence", sa.REAL(), nullable=False, comment=_COMMENTS["confidence"]),
            sa.Column("price_usd", sa.Double(), nullable=False, comment=_COMMENTS["price_usd"]),
            sa.Column("atr_usd", sa.Double(), nullable=True, comment=_COMMENTS["atr_usd"]),
            sa.Column("inputs", postgresql.JSONB(), nullable=False, comment=_COMMENTS["inputs"]),
            sa.CheckConstraint("direction IN ('buy', 'sell')", name=op.f(f"{name}_direction_check")),
            sa.PrimaryKeyConstraint("opened_at", "token_id", "timeframe", "rule", name=op.f(f"{name}_pkey")),
            comment=comment,
            postgresql_partition_by="RANGE (opened_at)",
        )
    for column, told in _COMMENTS.items():
        op.alter_column("technical_signals", column, comment=told)
    for column, told in _SIGNAL_COMMENTS.items():
        op.alter_column("signals", column, comment=told)


def downgrade() -> None:
    """Undo."""
    for name in _NEW:
        op.drop_table(name)
