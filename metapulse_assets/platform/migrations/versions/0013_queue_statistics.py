"""Statistics of the work queue, a row a minute and queue, and totals that survive the thinning of its ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Comments of job_logs: as they are now, as they were.
TABLE_COMMENT = (
    "Every run of every job, and every ended attempt at the work queue's: when, how long, with what result.",
    "Every run of every job: when, how long, with what result.",
)
COMMENTS = {
    "cause": (
        "schedule, sensor, backfill, retry or manual, with its name; or queue",
        "schedule, sensor, backfill, retry or manual, with its name",
    ),
    "result": (
        "steps and materializations, or what the queue's handler returned; null: not ended",
        "steps that succeeded and failed, materializations; null: not ended",
    ),
}


def upgrade() -> None:
    """Apply."""
    op.create_table_comment("job_logs", TABLE_COMMENT[0], existing_comment=TABLE_COMMENT[1])
    for column, (now, before) in COMMENTS.items():
        op.alter_column("job_logs", column, comment=now, existing_comment=before)
    op.create_table(
        "forgotten_attempts",
        sa.Column("job_type", sa.Text(), nullable=False, comment="name of the queue"),
        sa.Column("status", sa.Text(), nullable=False, comment="how the attempts ended, as in job_attempts"),
        sa.Column("attempts", sa.BigInteger(), nullable=False, comment="how many the clean-up removed since the beginning"),
        sa.Column("microseconds", sa.BigInteger(), nullable=False, comment="what they took together, µs"),
        sa.PrimaryKeyConstraint("job_type", "status", name=op.f("forgotten_attempts_pkey")),
        comment="What the clean-up took out of the ledger: with what is still in it, the totals since the beginning.",
    )
    op.create_table(
        "queue_stats",
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False, comment="minute of the measurement; UTC"),
        sa.Column("queue", sa.Text(), nullable=False, comment="name of the queue"),
        sa.Column("waiting", sa.BigInteger(), nullable=False, comment="jobs that are due"),
        sa.Column("active", sa.BigInteger(), nullable=False, comment="jobs that a worker holds"),
        sa.Column("completed", sa.BigInteger(), nullable=False, comment="completed jobs that the clean-up has left"),
        sa.Column("failed", sa.BigInteger(), nullable=False, comment="jobs failed for good that the clean-up has left"),
        sa.Column("delayed", sa.BigInteger(), nullable=False, comment="jobs that are due later"),
        sa.Column("paused", sa.BigInteger(), nullable=False, comment="due jobs of a paused queue"),
        sa.Column(
            "oldest_waiting_seconds", sa.Double(), nullable=True, comment="since the oldest waiting job was due, s; null: none"
        ),
        sa.Column("dead_letters", sa.BigInteger(), nullable=False, comment="dead letters not put in again"),
        sa.Column(
            "completed_per_minute",
            sa.Double(),
            nullable=True,
            comment="since the row before; null: there is none of the last hour",
        ),
        sa.Column("failed_per_minute", sa.Double(), nullable=True, comment="failed for good, likewise"),
        sa.Column("completed_total", sa.BigInteger(), nullable=False, comment="jobs completed since the beginning"),
        sa.Column("failed_total", sa.BigInteger(), nullable=False, comment="jobs failed for good since the beginning"),
        sa.Column("retried_total", sa.BigInteger(), nullable=False, comment="failed attempts that came again"),
        sa.Column("seconds_total", sa.Double(), nullable=False, comment="time of all ended attempts, s"),
        sa.PrimaryKeyConstraint("measured_at", "queue", name=op.f("queue_stats_pkey")),
        comment="The work queue, a row a minute and queue, one partition a UTC day.",
        postgresql_partition_by="RANGE (measured_at)",
    )


def downgrade() -> None:
    """Undo."""
    op.create_table_comment("job_logs", TABLE_COMMENT[1], existing_comment=TABLE_COMMENT[0])
    for column, (now, before) in COMMENTS.items():
        op.alter_column("job_logs", column, comment=before, existing_comment=now)
    op.drop_table("queue_stats")
    op.drop_table("forgotten_attempts")
