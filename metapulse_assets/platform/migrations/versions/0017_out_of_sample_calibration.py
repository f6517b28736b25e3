"""Calibration by what was known before: the curves of each hour, and scores of what they said."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE = "signal_calibration"
# New columns that may be null, with their comments.
SCORES = {
    "brier_raw": "the same of the raw confidence, for the same signals",
    "brier_base": "the same of the base rate of the signal's direction",
    "brier_skill_low": "block bootstrap, 2.5 % quantile",
    "brier_skill_high": "block bootstrap, 97.5 % quantile",
    "brier_skill_raw": "1 - brier_raw / brier_base",
    "calibration_loss": "part of brier: how far told and came lie apart; 0 is best",
    "resolution": "what brier gains by telling signals apart; 0 is none",
    "log_loss_raw": "the same of the raw confidence",
    "log_loss_base": "the same of the base rate",
}
# Columns that stay: whether they may be null, comment before and now.
CHANGED: dict[str, tuple[bool, sa.types.TypeEngine[Any], str, str]] = {
    "kind": (False, sa.Text(), "technical; later social, ai, combined", "technical, social, ai or combined"),
    "hit_rate_low": (False, sa.Double(), "Wilson 95 % interval, lower end", "Wilson 95 % interval of n_effective, lower end"),
    "hit_rate_high": (False, sa.Double(), "Wilson 95 % interval, upper end", "Wilson 95 % interval of n_effective, upper end"),
    "placebo_rate": (
        True,
        sa.Double(),
        "mean hit rate of random entries into the same tokens",
        "mean hit rate of its entries shifted in time together",
    ),
    "placebo_low": (
        True,
        sa.Double(),
        "2.5 % quantile of the random entries' hit rate",
        "2.5 % quantile of the shifted entries' hit rate",
    ),
    "placebo_high": (
        True,
        sa.Double(),
        "97.5 % quantile of the random entries' hit rate",
        "97.5 % quantile of the shifted entries' hit rate",
    ),
    "mean_confidence": (False, sa.Double(), "mean of the confidence shown", "mean of the raw confidence of all n"),
    "brier": (
        True,
        sa.Double(),
        "mean squared distance of confidence and hit",
        "mean squared distance of the calibrated confidence shown and hit",
    ),
    "brier_skill": (
        True,
        sa.Double(),
        "1 - brier / brier of the base rate; null: no base rate",
        "1 - brier / brier_base: above 0 is skill",
    ),
    "log_loss": (
        True,
        sa.Double(),
        "mean negative log-likelihood of the confidence",
        "mean negative log-likelihood of the calibrated confidence",
    ),
    "ic_low": (
        True,
        sa.Double(),
        "block bootstrap, 2.5 % quantile",
        "block bootstrap, 2.5 % quantile; null: under 5 blocks",
    ),
    "reliability": (
        False,
        postgresql.JSONB(astext_type=sa.Text()),
        "10 bins of confidence: from, to, n, mean confidence, hit rate",
        "10 bins of the calibrated: from, to, n, mean told, hit rate",
    ),
}
# What could be null only from this revision on.
NOW_NULLABLE = ("brier", "log_loss")


def upgrade() -> None:
    """Apply. The numbers are made anew by the next tick; nothing is lost that the outcomes do not hold."""
    _empty()
    op.drop_column(TABLE, "curve")
    required: tuple[tuple[str, sa.types.TypeEngine[Any], str], ...] = (
        ("n_effective", sa.Double(), "independent outcomes that they are worth: spans overlap"),
        (
            "n_judged",
            sa.Integer(),
            "outcomes of signals that had a calibrated confidence when emitted: those scored in what follows",
        ),
        ("reliability_raw", postgresql.JSONB(astext_type=sa.Text()), "the same bins of the raw confidence"),
    )
    for name, kind, comment in required:
        op.add_column(TABLE, sa.Column(name, kind, nullable=False, comment=comment))
    for name, comment in SCORES.items():
        op.add_column(TABLE, sa.Column(name, sa.Double(), nullable=True, comment=comment))
    for name, (nullable, kind, before, now) in CHANGED.items():
        op.alter_column(TABLE, name, existing_type=kind, nullable=nullable, existing_comment=before, comment=now)
    op.alter_column(
        "signals",
        "confidence",
        existing_type=sa.REAL(),
        existing_comment="uncalibrated until outcomes are counted",
        comment="raw, as its source says it; calibration_curves say what that is worth",
    )
    op.create_table(
        "calibration_curves",
        sa.Column("kind", sa.Text(), nullable=False, comment="technical, social, ai or combined"),
        sa.Column("rule", sa.Text(), nullable=False, comment="what fired"),
        sa.Column("horizon", sa.Text(), nullable=False, comment="the one that its signals are given: 1h, 4h, 24h or 7d"),
        sa.Column(
            "known_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="full hour; outcomes usable by then were counted; UTC",
        ),
        sa.Column(
            "first_emitted_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the first signal counted was emitted; UTC",
        ),
        sa.Column(
            "last_available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the last outcome counted became usable; UTC",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="outcomes counted, at least 50"),
        sa.Column("hits", sa.Integer(), nullable=False, comment="of those, with a net return above 0"),
        sa.Column(
            "curve",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[confidence, probability of a hit] ascending",
        ),
        sa.CheckConstraint("last_available_at <= known_at", name=op.f("calibration_curves_known_at_check")),
        sa.PrimaryKeyConstraint("kind", "rule", "horizon", "known_at", name=op.f("calibration_curves_pkey")),
        comment="What a confidence was worth as far as was known at each hour; none: uncalibrated then.",
    )
    op.create_index("calibration_curves_known_at_idx", "calibration_curves", ["known_at"])


def downgrade() -> None:
    """Undo."""
    _empty()
    op.drop_table("calibration_curves")
    op.alter_column(
        "signals",
        "confidence",
        existing_type=sa.REAL(),
        existing_comment="raw, as its source says it; calibration_curves say what that is worth",
        comment="uncalibrated until outcomes are counted",
    )
    for name, (nullable, kind, before, now) in CHANGED.items():
        op.alter_column(
            TABLE,
            name,
            existing_type=kind,
            nullable=nullable and name not in NOW_NULLABLE,
            existing_comment=now,
            comment=before,
        )
    for name in (*SCORES, "reliability_raw", "n_judged", "n_effective"):
        op.drop_column(TABLE, name)
    op.add_column(
        TABLE,
        sa.Column(
            "curve",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="[confidence, probability of a hit] ascending; null: uncalibrated, too few outcomes",
        ),
    )


def _empty() -> None:
    op.execute("DELETE FROM signal_calibration")
    op.execute("DELETE FROM progress_marks WHERE name = 'signal_calibration'")
