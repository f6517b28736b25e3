"""Tables of what became of the signals: the outcome of each at every horizon, and how good each source has been."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_F8 = sa.Double
_PRICE = {"above": 0}
_SHARE = {"min": 0, "max": 1}
_CORRELATION = {"min": -1, "max": 1}

signal_outcomes = sa.Table(
    "signal_outcomes",
    metadata,
    sa.Column("signal_id", sa.Text, sa.ForeignKey("signals.signal_id"), primary_key=True, comment="the signal it is about"),
    sa.Column("horizon", sa.Text, primary_key=True, comment="time after the entry: 5m, 1h, 4h, 24h or 7d"),
    sa.Column("token_id", sa.Integer, nullable=False),
    sa.Column("opened_at", _TIME, nullable=False, comment="start of the candle that the signal rests on; UTC"),
    sa.Column("status", sa.Text, nullable=False, comment="resolved, vanished (the pool stopped) or unresolvable"),
    sa.Column("reason", sa.Text, comment="why it vanished or cannot be resolved; null: resolved"),
    sa.Column("timeframe", sa.Text, comment="candles that the prices come from; null: unresolvable"),
    sa.Column("entry_at", _TIME, comment="when the entry price held: the first after the signal; UTC"),
    sa.Column("entry_usd", _F8, comment="first price after the signal, USD", info=_PRICE),
    sa.Column("exit_at", _TIME, comment="when the exit price held; UTC"),
    sa.Column("exit_usd", _F8, comment="price at the horizon, or the last one a vanished pool traded at, USD", info=_PRICE),
    sa.Column("liquidity_usd", _F8, comment="in the pool at the entry, USD; null: not known", info={"min": 0}),
    sa.Column("cost_share", _F8, comment="share of the money that fees and slippage take, there and back", info=_SHARE),
    sa.Column(
        "market_return", _F8, comment="price at the exit over price at the entry, less 1; -1: vanished", info={"min": -1}
    ),
    sa.Column("net_return", _F8, comment="return in the signal's direction after costs; 0.1 is 10 %"),
    sa.Column("best_return", _F8, comment="largest return in its direction on the way, before costs", info={"min": 0}),
    sa.Column("worst_return", _F8, comment="largest return against it on the way, before costs", info={"max": 0}),
    sa.Column("first_touch", sa.Text, comment="target, stop or neither; null: the signal has no target"),
    sa.Column("available_at", _TIME, nullable=False, comment="when all that it rests on was usable; UTC"),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; rows usable by then were used; UTC"),
    sa.CheckConstraint("status IN ('resolved', 'vanished', 'unresolvable')", name="status"),
    sa.CheckConstraint("first_touch IN ('target', 'stop', 'neither')", name="first_touch"),
    sa.CheckConstraint("(status = 'unresolvable') = (net_return IS NULL)", name="net_return"),
    sa.CheckConstraint("(status = 'resolved') = (reason IS NULL)", name="reason"),
    sa.Index("signal_outcomes_opened_at_idx", "opened_at"),
    comment="What happened after each signal, by horizon; no row: the horizon has not passed yet.",
)

signal_calibration = sa.Table(
    "signal_calibration",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True, comment="technical, social, ai or combined"),
    sa.Column("rule", sa.Text, primary_key=True, comment="what fired; all: every rule of the kind"),
    sa.Column("horizon", sa.Text, primary_key=True, comment="5m, 1h, 4h, 24h or 7d"),
    sa.Column("risk", sa.Text, primary_key=True, comment="low, medium, high or unknown; all: every level"),
    sa.Column("computed_at", _TIME, nullable=False, comment="outcomes stored by then were counted; UTC"),
    sa.Column("period_start", _TIME, nullable=False, comment="first entry of any signal of this horizon; UTC"),
    sa.Column("period_end", _TIME, nullable=False, comment="last entry of any signal of this horizon; UTC"),
    sa.Column("n", sa.Integer, nullable=False, comment="outcomes counted: resolved or vanished", info={"min": 0}),
    sa.Column(
        "n_effective", _F8, nullable=False, comment="independent outcomes that they are worth: spans overlap", info={"min": 1}
    ),
    sa.Column("vanished", sa.Integer, nullable=False, comment="of those, how many pools stopped", info={"min": 0}),
    sa.Column("unresolvable", sa.Integer, nullable=False, comment="outcomes left out, for want of prices", info={"min": 0}),
    sa.Column("hit_rate", _F8, nullable=False, comment="share with a net return above 0", info=_SHARE),
    sa.Column("hit_rate_low", _F8, nullable=False, comment="Wilson 95 % interval of n_effective, lower end", info=_SHARE),
    sa.Column("hit_rate_high", _F8, nullable=False, comment="Wilson 95 % interval of n_effective, upper end", info=_SHARE),
    sa.Column("base_rate", _F8, comment="share of all moments of all tokens that would have hit", info=_SHARE),
    sa.Column("base_moments", sa.Integer, nullable=False, comment="moments that the base rate counts", info={"min": 0}),
    sa.Column("placebo_rate", _F8, comment="mean hit rate of its entries shifted in time together", info=_SHARE),
    sa.Column("placebo_low", _F8, comment="2.5 % quantile of the shifted entries' hit rate", info=_SHARE),
    sa.Column("placebo_high", _F8, comment="97.5 % quantile of the shifted entries' hit rate", info=_SHARE),
    sa.Column("buy_and_hold_return", _F8, comment="mean over the signals' tokens, whole period, net", info={"min": -1}),
    sa.Column("mean_net_return", _F8, nullable=False, comment="mean net return; 0.1 is 10 %"),
    sa.Column("median_net_return", _F8, nullable=False, comment="median net return; 0.1 is 10 %"),
    sa.Column("mean_confidence", _F8, nullable=False, comment="mean of the raw confidence of all n", info=_SHARE),
    sa.Column(
        "n_judged",
        sa.Integer,
        nullable=False,
        comment="outcomes of signals that had a calibrated confidence when emitted: those scored in what follows",
        info={"min": 0},
    ),
    sa.Column("brier", _F8, comment="mean squared distance of the calibrated confidence shown and hit", info=_SHARE),
    sa.Column("brier_raw", _F8, comment="the same of the raw confidence, for the same signals", info=_SHARE),
    sa.Column("brier_base", _F8, comment="the same of the base rate of the signal's direction", info=_SHARE),
    sa.Column("brier_skill", _F8, comment="1 - brier / brier_base: above 0 is skill", info={"max": 1}),
    sa.Column("brier_skill_low", _F8, comment="block bootstrap, 2.5 % quantile", info={"max": 1}),
    sa.Column("brier_skill_high", _F8, comment="block bootstrap, 97.5 % quantile", info={"max": 1}),
    sa.Column("brier_skill_raw", _F8, comment="1 - brier_raw / brier_base", info={"max": 1}),
    sa.Column("calibration_loss", _F8, comment="part of brier: how far told and came lie apart; 0 is best", info=_SHARE),
    sa.Column("resolution", _F8, comment="what brier gains by telling signals apart; 0 is none", info=_SHARE),
    sa.Column("log_loss", _F8, comment="mean negative log-likelihood of the calibrated confidence", info={"min": 0}),
    sa.Column("log_loss_raw", _F8, comment="the same of the raw confidence", info={"min": 0}),
    sa.Column("log_loss_base", _F8, comment="the same of the base rate", info={"min": 0}),
    sa.Column(
        "ic", _F8, comment="correlation of signed strength and market return; null: one of them constant", info=_CORRELATION
    ),
    sa.Column("ic_low", _F8, comment="block bootstrap, 2.5 % quantile; null: under 5 blocks", info=_CORRELATION),
    sa.Column("ic_high", _F8, comment="block bootstrap, 97.5 % quantile", info=_CORRELATION),
    sa.Column("rank_ic", _F8, comment="the same correlation of ranks", info=_CORRELATION),
    sa.Column("rank_ic_low", _F8, comment="block bootstrap, 2.5 % quantile", info=_CORRELATION),
    sa.Column("rank_ic_high", _F8, comment="block bootstrap, 97.5 % quantile", info=_CORRELATION),
    sa.Column("reliability", JSONB, nullable=False, comment="10 bins of the calibrated: from, to, n, mean told, hit rate"),
    sa.Column("reliability_raw", JSONB, nullable=False, comment="the same bins of the raw confidence"),
    comment="How good each source has been, by horizon and risk level, beside what chance would have done.",
)

calibration_curves = sa.Table(
    "calibration_curves",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True, comment="technical, social, ai or combined"),
    sa.Column("rule", sa.Text, primary_key=True, comment="what fired"),
    sa.Column("horizon", sa.Text, primary_key=True, comment="the one that its signals are given: 1h, 4h, 24h or 7d"),
    sa.Column("known_at", _TIME, primary_key=True, comment="full hour; outcomes usable by then were counted; UTC"),
    sa.Column("first_emitted_at", _TIME, nullable=False, comment="when the first signal counted was emitted; UTC"),
    sa.Column("last_available_at", _TIME, nullable=False, comment="when the last outcome counted became usable; UTC"),
    sa.Column("n", sa.Integer, nullable=False, comment="outcomes counted, at least 50", info={"min": 50}),
    sa.Column("hits", sa.Integer, nullable=False, comment="of those, with a net return above 0", info={"min": 0}),
    sa.Column("curve", JSONB, nullable=False, comment="[confidence, probability of a hit] ascending"),
    sa.CheckConstraint("last_available_at <= known_at", name="known_at"),
    sa.Index("calibration_curves_known_at_idx", "known_at"),
    comment="What a confidence was worth as far as was known at each hour; none: uncalibrated then.",
)
