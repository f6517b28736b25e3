"""What became of the signals: outcomes, and how good each source has been."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "signal_outcomes",
        sa.Column("signal_id", sa.Text(), nullable=False, comment="the signal it is about"),
        sa.Column("horizon", sa.Text(), nullable=False, comment="time after the entry: 5m, 1h, 4h, 24h or 7d"),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column(
            "opened_at", sa.DateTime(timezone=True), nullable=False, comment="start of the candle that the signal rests on; UTC"
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="resolved, vanished (the pool stopped) or unresolvable"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it vanished or cannot be resolved; null: resolved"),
        sa.Column("timeframe", sa.Text(), nullable=True, comment="candles that the prices come from; null: unresolvable"),
        sa.Column(
            "entry_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the entry price held: the first after the signal; UTC",
        ),
        sa.Column("entry_usd", sa.Double(), nullable=True, comment="first price after the signal, USD"),
        sa.Column("exit_at", sa.DateTime(timezone=True), nullable=True, comment="when the exit price held; UTC"),
        sa.Column(
            "exit_usd",
            sa.Double(),
            nullable=True,
            comment="price at the horizon, or the last one a vanished pool traded at, USD",
        ),
        sa.Column("liquidity_usd", sa.Double(), nullable=True, comment="in the pool at the entry, USD; null: not known"),
        sa.Column(
            "cost_share", sa.Double(), nullable=True, comment="share of the money that fees and slippage take, there and back"
        ),
        sa.Column(
            "market_return",
            sa.Double(),
            nullable=True,
            comment="price at the exit over price at the entry, less 1; -1: vanished",
        ),
        sa.Column(
            "net_return", sa.Double(), nullable=True, comment="return in the signal's direction after costs; 0.1 is 10 %"
        ),
        sa.Column(
            "best_return", sa.Double(), nullable=True, comment="largest return in its direction on the way, before costs"
        ),
        sa.Column("worst_return", sa.Double(), nullable=True, comment="largest return against it on the way, before costs"),
        sa.Column("first_touch", sa.Text(), nullable=True, comment="target, stop or neither; null: the signal has no target"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when all that it rests on was usable; UTC"
        ),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was stored; rows usable by then were used; UTC",
        ),
        sa.CheckConstraint("(status = 'resolved') = (reason IS NULL)", name=op.f("signal_outcomes_reason_check")),
        sa.CheckConstraint("(status = 'unresolvable') = (net_return IS NULL)", name=op.f("signal_outcomes_net_return_check")),
        sa.CheckConstraint("first_touch IN ('target', 'stop', 'neither')", name=op.f("signal_outcomes_first_touch_check")),
        sa.CheckConstraint("status IN ('resolved', 'vanished', 'unresolvable')", name=op.f("signal_outcomes_status_check")),
        sa.ForeignKeyConstraint(["signal_id"], ["signals.signal_id"], name=op.f("signal_outcomes_signal_id_fkey")),
        sa.PrimaryKeyConstraint("signal_id", "horizon", name=op.f("signal_outcomes_pkey")),
        comment="What happened after each signal, by horizon; no row: the horizon has not passed yet.",
    )
    op.create_index("signal_outcomes_opened_at_idx", "signal_outcomes", ["opened_at"], unique=False)
    op.create_table(
        "signal_calibration",
        sa.Column("kind", sa.Text(), nullable=False, comment="technical; later social, ai, combined"),
        sa.Column("rule", sa.Text(), nullable=False, comment="what fired; all: every rule of the kind"),
        sa.Column("horizon", sa.Text(), nullable=False, comment="5m, 1h, 4h, 24h or 7d"),
        sa.Column("risk", sa.Text(), nullable=False, comment="low, medium, high or unknown; all: every level"),
        sa.Column(
            "computed_at", sa.DateTime(timezone=True), nullable=False, comment="outcomes stored by then were counted; UTC"
        ),
        sa.Column(
            "period_start", sa.DateTime(timezone=True), nullable=False, comment="first entry of any signal of this horizon; UTC"
        ),
        sa.Column(
            "period_end", sa.DateTime(timezone=True), nullable=False, comment="last entry of any signal of this horizon; UTC"
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="outcomes counted: resolved or vanished"),
        sa.Column("vanished", sa.Integer(), nullable=False, comment="of those, how many pools stopped"),
        sa.Column("unresolvable", sa.Integer(), nullable=False, comment="outcomes left out, for want of prices"),
        sa.Column("hit_rate", sa.Double(), nullable=False, comment="share with a net return above 0"),
        sa.Column("hit_rate_low", sa.Double(), nullable=False, comment="Wilson 95 % interval, lower end"),
        sa.Column("hit_rate_high", sa.Double(), nullable=False, comment="Wilson 95 % interval, upper end"),
        sa.Column("base_rate", sa.Double(), nullable=True, comment="share of all moments of all tokens that would have hit"),
        sa.Column("base_moments", sa.Integer(), nullable=False, comment="moments that the base rate counts"),
        sa.Column("placebo_rate", sa.Double(), nullable=True, comment="mean hit rate of random entries into the same tokens"),
        sa.Column("placebo_low", sa.Double(), nullable=True, comment="2.5 % quantile of the random entries' hit rate"),
        sa.Column("placebo_high", sa.Double(), nullable=True, comment="97.5 % quantile of the random entries' hit rate"),
        sa.Column(
            "buy_and_hold_return", sa.Double(), nullable=True, comment="mean over the signals' tokens, whole period, net"
        ),
        sa.Column("mean_net_return", sa.Double(), nullable=False, comment="mean net return; 0.1 is 10 %"),
        sa.Column("median_net_return", sa.Double(), nullable=False, comment="median net return; 0.1 is 10 %"),
        sa.Column("mean_confidence", sa.Double(), nullable=False, comment="mean of the confidence shown"),
        sa.Column("brier", sa.Double(), nullable=False, comment="mean squared distance of confidence and hit"),
        sa.Column("brier_skill", sa.Double(), nullable=True, comment="1 - brier / brier of the base rate; null: no base rate"),
        sa.Column("log_loss", sa.Double(), nullable=False, comment="mean negative log-likelihood of the confidence"),
        sa.Column(
            "ic",
            sa.Double(),
            nullable=True,
            comment="correlation of signed strength and market return; null: one of them constant",
        ),
        sa.Column("ic_low", sa.Double(), nullable=True, comment="block bootstrap, 2.5 % quantile"),
        sa.Column("ic_high", sa.Double(), nullable=True, comment="block bootstrap, 97.5 % quantile"),
        sa.Column("rank_ic", sa.Double(), nullable=True, comment="the same correlation of ranks"),
        sa.Column("rank_ic_low", sa.Double(), nullable=True, comment="block bootstrap, 2.5 % quantile"),
        sa.Column("rank_ic_high", sa.Double(), nullable=True, comment="block bootstrap, 97.5 % quantile"),
        sa.Column(
            "reliability",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="10 bins of confidence: from, to, n, mean confidence, hit rate",
        ),
        sa.Column(
            "curve",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="[confidence, probability of a hit] ascending; null: uncalibrated, too few outcomes",
        ),
        sa.PrimaryKeyConstraint("kind", "rule", "horizon", "risk", name=op.f("signal_calibration_pkey")),
        comment="How good each source has been, by horizon and risk level, beside what chance would have done.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("signal_calibration")
    op.drop_index("signal_outcomes_opened_at_idx", table_name="signal_outcomes")
    op.drop_table("signal_outcomes")
