"""Tables of risk: what security scanners say of tokens, when each was last asked about, and the assessments made of it.

What a report's fields mean is in `security`.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_SHARE = {"min": 0, "max": 1}

token_security = sa.Table(
    "token_security",
    metadata,
    sa.Column("observed_at", _TIME, primary_key=True, comment="when the scanner's answer came; UTC"),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; UTC"),
    sa.Column("available_at", _TIME, nullable=False, comment="when it could first be used; UTC"),
    sa.Column("payload_id", sa.BigInteger, nullable=False, comment="the answer it was read from, in raw_payloads"),
    sa.Column("vendor", sa.Text, nullable=False, comment="rugcheck or goplus"),
    sa.Column("mint_authority", sa.Boolean, comment="somebody can make more of it; null: unknown"),
    sa.Column("freeze_authority", sa.Boolean, comment="somebody can freeze, pause or block holders; null: unknown"),
    sa.Column("owner_can_change", sa.Boolean, comment="somebody can change balances or take control back; null: unknown"),
    sa.Column("honeypot", sa.Boolean, comment="it cannot be sold; null: unknown"),
    sa.Column("rugged", sa.Boolean, comment="the scanner saw its liquidity pulled; null: unknown"),
    sa.Column("trusted", sa.Boolean, comment="on the scanner's list of established tokens; null: unknown"),
    sa.Column("buy_tax", sa.Double, comment="share of a purchase that is taken; null: unknown", info=_SHARE),
    sa.Column("sell_tax", sa.Double, comment="share of a sale that is taken; null: unknown", info=_SHARE),
    sa.Column("transfer_fee", sa.Double, comment="share of any transfer that is taken; null: unknown", info=_SHARE),
    sa.Column(
        "top10_holder_share", sa.Double, comment="held by the ten largest, pools and burnt left out; null: unknown", info=_SHARE
    ),
    sa.Column("lp_locked_share", sa.Double, comment="share of the liquidity locked or burnt; null: unknown", info=_SHARE),
    sa.Column("vendor_score", sa.Double, comment="the scanner's own score, 0 (safe) to 1; null: none", info=_SHARE),
    postgresql_partition_by="RANGE (observed_at)",
    comment="What security scanners say of tracked tokens: a row when a fact changed, or a day after the last one.",
)

security_requests = sa.Table(
    "security_requests",
    metadata,
    sa.Column("token_id", sa.Integer, sa.ForeignKey("tokens.token_id"), primary_key=True),
    sa.Column("asked_at", _TIME, nullable=False, comment="when a scanner was last asked about it; UTC"),
    sa.Column("vendor", sa.Text, nullable=False, comment="rugcheck or goplus"),
    sa.Column("outcome", sa.Text, nullable=False, comment="reported, not_known (to the scanner) or failed"),
    sa.CheckConstraint("outcome IN ('reported', 'not_known', 'failed')", name="outcome"),
    comment="When each token was last asked about, so that none is asked about too often and none starves.",
)

risk_assessments = sa.Table(
    "risk_assessments",
    metadata,
    sa.Column("observed_at", _TIME, primary_key=True, comment="the snapshot it is made from; UTC"),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("available_at", _TIME, nullable=False, comment="when that snapshot became usable; UTC"),
    sa.Column("level", sa.Text, nullable=False, comment="low, medium, high or unknown"),
    sa.Column("score", sa.REAL, comment="weighted sum, 0 (safe) to 1; null: unknown", info=_SHARE),
    sa.Column("known_share", sa.REAL, nullable=False, comment="weight of the factors that were known", info=_SHARE),
    sa.Column("hard_fail", sa.Text, comment="the rule that makes it high whatever the sum; null: none"),
    sa.Column("factors", JSONB, nullable=False, comment="each factor's points 0 to 1, null where unknown"),
    sa.CheckConstraint("level IN ('low', 'medium', 'high', 'unknown')", name="level"),
    postgresql_partition_by="RANGE (observed_at)",
    comment="Risk of each tracked token: the first of a UTC day, then a row whenever it changes.",
)
