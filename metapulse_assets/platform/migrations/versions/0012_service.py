"""The service: tokens that open it, what each user asked for; workers that are alive, and more of each attempt at a job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the user; several tokens may be one user's"),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False, comment="what it allows"),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False, comment="SHA-256 of the secret, which is nowhere stored"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="UTC"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="null: never; UTC"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True, comment="null: it is not; UTC"),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True, comment="to the minute; null: never; UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("secret_sha256", name=op.f("api_tokens_secret_sha256_key")),
        comment="Tokens that let programs in.",
    )
    op.create_table(
        "request_counts",
        sa.Column("caller", sa.Text(), nullable=False, comment="a token's user, local, or the address of somebody unknown"),
        sa.Column("bucket", sa.BigInteger(), nullable=False, comment="number of the newest time bucket"),
        sa.Column(
            "counts",
            postgresql.ARRAY(sa.Integer()),
            nullable=False,
            comment="requests let through in each bucket, newest last",
        ),
        sa.Column("granted", sa.Integer(), nullable=False, comment="how many the last statement let through"),
        sa.PrimaryKeyConstraint("caller", name=op.f("request_counts_pkey")),
        comment="What each caller asked in the last minute, shared by all services: a sliding window in small buckets.",
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.Uuid(), nullable=False, comment="as the queue names who holds a job"),
        sa.Column("name", sa.Text(), nullable=False, comment="host and process id"),
        sa.Column("queues", postgresql.ARRAY(sa.Text()), nullable=False, comment="whose jobs it does"),
        sa.Column("concurrency", sa.Integer(), nullable=False, comment="jobs at once"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="UTC"),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="UTC"),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("workers_pkey")),
        comment="Workers that gave a sign of life; one that stopped as asked takes its row along.",
    )
    op.add_column("job_attempts", sa.Column("unique_id", sa.Text(), comment="what the caller calls the job; null: nothing"))
    op.add_column(
        "job_attempts",
        sa.Column("created_at", sa.DateTime(timezone=True), comment="when the job was put in; null: not known; UTC"),
    )
    op.add_column(
        "job_attempts",
        sa.Column("progress", sa.REAL(), comment="how far it is, percent, as its handler says; null: it says nothing"),
    )
    op.create_check_constraint(op.f("job_attempts_progress_check"), "job_attempts", "progress BETWEEN 0 AND 100")
    op.create_index(
        "job_attempts_unique_id_idx", "job_attempts", ["unique_id"], postgresql_where=sa.text("unique_id IS NOT NULL")
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("job_attempts_unique_id_idx", "job_attempts")
    for column in ("progress", "created_at", "unique_id"):
        op.drop_column("job_attempts", column)
    for name in ("workers", "request_counts", "api_tokens"):
        op.drop_table(name)
