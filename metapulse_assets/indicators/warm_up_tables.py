"""Table of the warm-up report."""

import sqlalchemy as sa

from metapulse_assets.platform.database import metadata

warm_up_report = sa.Table(
    "warm_up_report",
    metadata,
    sa.Column("indicator", sa.Text, primary_key=True, comment="column of technical_analyses"),
    sa.Column("bars", sa.Integer, primary_key=True, comment="candles that the short history has", info={"min": 1}),
    sa.Column("reference_bars", sa.Integer, nullable=False, comment="candles of the long one", info={"min": 1}),
    sa.Column("series", sa.Integer, nullable=False, comment="tokens compared", info={"min": 0}),
    sa.Column("p95_error", sa.Double, comment="95 % of the last values are this near to the long history's", info={"min": 0}),
    sa.Column("error_unit", sa.Text, nullable=False, comment="points, % of price or % of value"),
    sa.Column("required_bars", sa.Integer, nullable=False, comment="candles from which the value is used", info={"min": 1}),
    sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False, comment="UTC"),
    comment="How wrong each indicator's last value is on a short history, measured on the stored hourly candles.",
)
