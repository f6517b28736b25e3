"""Tables of the floor: raw payloads, dead letters, the vendors' rate limits and breakers, progress marks."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from metapulse_assets.platform.database import metadata

raw_payloads = sa.Table(
    "raw_payloads",
    metadata,
    sa.Column("recorded_at", sa.DateTime(timezone=True), primary_key=True, comment="when the answer arrived; UTC"),
    sa.Column("payload_id", sa.BigInteger, sa.Identity(), primary_key=True, comment="what rows of other tables point at"),
    sa.Column("sha256", sa.LargeBinary, nullable=False, comment="SHA-256 of the body as it came over the wire"),
    sa.Column("vendor", sa.Text, nullable=False, comment="dexscreener, geckoterminal, …"),
    sa.Column("url", sa.Text, comment="what was asked, without secrets; null: the same as base_id"),
    sa.Column("status", sa.SmallInteger, nullable=False, comment="HTTP status"),
    sa.Column("size", sa.Integer, nullable=False, comment="bytes of the body, uncompressed"),
    sa.Column("body", sa.LargeBinary, nullable=False, comment="the body, zlib-compressed; against that of base_id, if any"),
    sa.Column("base_id", sa.BigInteger, comment="answer of the same hour to a question of the same form; null: none"),
    sa.Index("raw_payloads_payload_id_idx", "payload_id"),
    postgresql_partition_by="RANGE (recorded_at)",
    comment="The vendors' answers, byte for byte, one partition a UTC day.",
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("dead_letter_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("first_at", sa.DateTime(timezone=True), nullable=False, comment="when it was first refused; UTC"),
    sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, comment="when it was last refused; UTC"),
    sa.Column("occurrences", sa.Integer, nullable=False, server_default="1", comment="how often it came"),
    sa.Column("source", sa.Text, nullable=False, comment="vendor and endpoint"),
    sa.Column("kind", sa.Text, nullable=False, comment="item: one entry of an answer; request: a whole call"),
    sa.Column("item_key", sa.Text, nullable=False, comment="which item or request: address, pool or URL"),
    sa.Column("reason", sa.Text, nullable=False, comment="field, place and what is wrong with it"),
    sa.Column("payload", JSONB, nullable=False, comment="the refused item, or the head of the refused answer"),
    sa.Column("payload_sha256", sa.LargeBinary, nullable=False, comment="SHA-256 of the payload, to know it again"),
    sa.Column("run_id", sa.Text, comment="the Dagster run that met it last"),
    sa.Column("retried_at", sa.DateTime(timezone=True), comment="when somebody put it in again; UTC"),
    sa.UniqueConstraint("source", "item_key", "reason", "payload_sha256", name="dead_letters_same_refusal_key"),
    sa.Index("dead_letters_last_at_idx", "last_at"),
    comment="What was refused, with the reason; nothing that arrived is lost.",
)

rate_limits = sa.Table(
    "rate_limits",
    metadata,
    sa.Column("gate", sa.Text, primary_key=True, comment="vendor and limit class"),
    sa.Column("window_seconds", sa.Float, primary_key=True, comment="length of the window, s"),
    sa.Column("newest_bucket", sa.BigInteger, nullable=False, comment="number of the newest time bucket"),
    sa.Column("counts", ARRAY(sa.Integer), nullable=False, comment="requests per bucket, newest last"),
    sa.Column("blocked_until", sa.Float, nullable=False, server_default="0", comment="vendor asked to wait; epoch s"),
    comment="Requests lately sent, shared by all processes: a sliding window in small buckets.",
)

circuit_breakers = sa.Table(
    "circuit_breakers",
    metadata,
    sa.Column("vendor", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, comment="closed, open or half_open"),
    sa.Column("failures", sa.Integer, nullable=False, comment="failures in a row"),
    sa.Column("changed_at", sa.Float, nullable=False, comment="when the state last changed; epoch s"),
    sa.Column("last_error", sa.Text, nullable=False, server_default="", comment="the newest failure, without secrets"),
    sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state"),
    comment="Whether a vendor is being called at all, shared by all processes and kept over restarts.",
)

progress_marks = sa.Table(
    "progress_marks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="table and part, as technical_signals:5m"),
    sa.Column("through", sa.DateTime(timezone=True), nullable=False, comment="handled up to here; UTC"),
    comment="How far incremental work has come. Losing a row costs a recomputation, never a wrong result.",
)

metric_totals = sa.Table(
    "metric_totals",
    metadata,
    sa.Column("metric", sa.Text, primary_key=True, comment="what is counted, as vendor_requests"),
    sa.Column("labels", JSONB, primary_key=True, comment="of what: names and texts, as vendor and outcome"),
    sa.Column("total", sa.Double, nullable=False, comment="since the beginning; never falls"),
    comment="Totals since the beginning, of processes that come and go.",
)
