"""Tables of the service: the tokens that open it, and how often each user asked lately."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, comment="the user; several tokens may be one user's"),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False, comment="what it allows"),
    sa.Column("secret_sha256", sa.LargeBinary, nullable=False, comment="SHA-256 of the secret, which is nowhere stored"),
    sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now(), comment="UTC"),
    sa.Column("expires_at", _TIME, comment="null: never; UTC"),
    sa.Column("revoked_at", _TIME, comment="null: it is not; UTC"),
    sa.Column("last_used_at", _TIME, comment="to the minute; null: never; UTC"),
    sa.UniqueConstraint("secret_sha256"),
    comment="Tokens that let programs in.",
)

request_counts = sa.Table(
    "request_counts",
    metadata,
    sa.Column("caller", sa.Text, primary_key=True, comment="a token's user, local, or the address of somebody unknown"),
    sa.Column("bucket", sa.BigInteger, nullable=False, comment="number of the newest time bucket"),
    sa.Column("counts", ARRAY(sa.Integer), nullable=False, comment="requests let through in each bucket, newest last"),
    sa.Column("granted", sa.Integer, nullable=False, comment="how many the last statement let through"),
    # Lost with a crash of the server, which costs nobody anything; not lost when a service ends.
    prefixes=["UNLOGGED"],
    comment="What each caller asked in the last minute, shared by all services: a sliding window in small buckets.",
)
