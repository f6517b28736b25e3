"""The work queue's own tables and its ledger of jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from metapulse_assets.platform.work_queue.pgqueuer_schema import install_sql, uninstall_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # Many statements in one text: only without parameters does the driver take that.
    op.get_bind().exec_driver_sql(install_sql(), execution_options={"no_parameters": True})
    op.create_table(
        "failed_jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False, comment="name of the queue"),
        sa.Column("job_data", postgresql.JSONB(), nullable=False, comment="the job's data, as it was put in"),
        sa.Column("error_message", sa.Text(), nullable=False, comment="of the last attempt; without secrets"),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="UTC"),
        sa.Column("job_id", sa.BigInteger(), nullable=True, comment="the job's number in the queue"),
        sa.Column("attempts", sa.Integer(), nullable=True, comment="how often it was tried"),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=True, comment="when somebody put it in again; UTC"),
        sa.Column("retried_as", sa.BigInteger(), nullable=True, comment="the new job's number"),
        sa.PrimaryKeyConstraint("id", name=op.f("failed_jobs_pkey")),
        comment="The dead letters of the work queue: jobs whose attempts are used up.",
    )
    op.create_index("failed_jobs_failed_at_idx", "failed_jobs", ["failed_at"])
    op.create_index("failed_jobs_job_id_idx", "failed_jobs", ["job_id"])
    op.create_table(
        "job_attempts",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="the job, as the queue numbers it"),
        sa.Column("attempt_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False, comment="name of the queue"),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="1 for the first; a lost or released one is not counted on",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="active, completed, retried (failed, comes again), failed (for good), canceled, released (by a stop), lost",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="UTC, the database's clock"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="UTC, the database's clock"),
        sa.Column("duration_seconds", sa.Double(), nullable=True, comment="s, from start to end"),
        sa.Column("result", postgresql.JSONB(), nullable=True, comment="what the handler returned"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it did not complete; without secrets"),
        sa.Column("worker", sa.Text(), nullable=False, comment="host and process id; empty if no worker had it"),
        sa.CheckConstraint(
            "status IN ('active', 'completed', 'retried', 'failed', 'canceled', 'released', 'lost')",
            name=op.f("job_attempts_status_check"),
        ),
        sa.PrimaryKeyConstraint("job_id", "attempt_id", name=op.f("job_attempts_pkey")),
        comment="The ledger of the work queue: one row an attempt at a job. Finished ones are thinned out by the clean-up.",
    )
    op.create_index(
        "job_attempts_active_key", "job_attempts", ["job_id"], unique=True, postgresql_where=sa.text("status = 'active'")
    )
    op.create_index(
        "job_attempts_ended_idx",
        "job_attempts",
        ["job_type", "status", "ended_at"],
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_table(
        "paused_queues",
        sa.Column("queue", sa.Text(), nullable=False, comment="name of the queue; * for all"),
        sa.Column("paused_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="UTC"),
        sa.PrimaryKeyConstraint("queue", name=op.f("paused_queues_pkey")),
        comment="Queues of which nothing is claimed for the time being.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("paused_queues")
    op.drop_table("job_attempts")
    op.drop_table("failed_jobs")
    op.execute(uninstall_sql())
