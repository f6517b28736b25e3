"""Tables of the work queue that are ours: the ledger of attempts, what was thinned out of it, dead letters, what is paused.

The queue itself is PgQueuer's, in a schema of its own (`work_queue/pgqueuer_schema.py`).
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from metapulse_assets.platform.database import metadata

job_attempts = sa.Table(
    "job_attempts",
    metadata,
    sa.Column("job_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="the job, as the queue numbers it"),
    sa.Column("attempt_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("job_type", sa.Text, nullable=False, comment="name of the queue"),
    sa.Column("attempt", sa.Integer, nullable=False, comment="1 for the first; a lost or released one is not counted on"),
    sa.Column(
        "status",
        sa.Text,
        nullable=False,
        comment="active, completed, retried (failed, comes again), failed (for good), canceled, released (by a stop), lost",
    ),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="UTC, the database's clock"),
    sa.Column("ended_at", sa.DateTime(timezone=True), comment="UTC, the database's clock"),
    sa.Column("duration_seconds", sa.Double, comment="s, from start to end"),
    sa.Column("result", JSONB, comment="what the handler returned"),
    sa.Column("error", sa.Text, comment="why it did not complete; without secrets"),
    sa.Column("worker", sa.Text, nullable=False, comment="host and process id; empty if no worker had it"),
    sa.Column("unique_id", sa.Text, comment="what the caller calls the job; null: nothing"),
    sa.Column("created_at", sa.DateTime(timezone=True), comment="when the job was put in; null: not known; UTC"),
    sa.Column("progress", sa.REAL, comment="how far it is, percent, as its handler says; null: it says nothing"),
    sa.CheckConstraint("status IN ('active', 'completed', 'retried', 'failed', 'canceled', 'released', 'lost')", name="status"),
    sa.Index("job_attempts_active_key", "job_id", unique=True, postgresql_where=sa.text("status = 'active'")),
    sa.CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
    sa.Index("job_attempts_unique_id_idx", "unique_id", postgresql_where=sa.text("unique_id IS NOT NULL")),
    sa.Index("job_attempts_ended_idx", "job_type", "status", "ended_at", postgresql_where=sa.text("ended_at IS NOT NULL")),
    comment="The ledger of the work queue: one row an attempt at a job. Finished ones are thinned out by the clean-up.",
)

failed_jobs = sa.Table(
    "failed_jobs",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("job_type", sa.Text, nullable=False, comment="name of the queue"),
    sa.Column("job_data", JSONB, nullable=False, comment="the job's data, as it was put in"),
    sa.Column("error_message", sa.Text, nullable=False, comment="of the last attempt; without secrets"),
    sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="UTC"),
    sa.Column("job_id", sa.BigInteger, comment="the job's number in the queue"),
    sa.Column("attempts", sa.Integer, comment="how often it was tried"),
    sa.Column("retried_at", sa.DateTime(timezone=True), comment="when somebody put it in again; UTC"),
    sa.Column("retried_as", sa.BigInteger, comment="the new job's number"),
    sa.Index("failed_jobs_failed_at_idx", "failed_at"),
    sa.Index("failed_jobs_job_id_idx", "job_id"),
    comment="The dead letters of the work queue: jobs whose attempts are used up.",
)

paused_queues = sa.Table(
    "paused_queues",
    metadata,
    sa.Column("queue", sa.Text, primary_key=True, comment="name of the queue; * for all"),
    sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="UTC"),
    comment="Queues of which nothing is claimed for the time being.",
)

forgotten_attempts = sa.Table(
    "forgotten_attempts",
    metadata,
    sa.Column("job_type", sa.Text, primary_key=True, comment="name of the queue"),
    sa.Column("status", sa.Text, primary_key=True, comment="how the attempts ended, as in job_attempts"),
    sa.Column("attempts", sa.BigInteger, nullable=False, comment="how many the clean-up removed since the beginning"),
    # Whole numbers, so that the sum is the same whether a part of it has been moved or not.
    sa.Column("microseconds", sa.BigInteger, nullable=False, comment="what they took together, µs"),
    comment="What the clean-up took out of the ledger: with what is still in it, the totals since the beginning.",
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker_id", sa.Uuid, primary_key=True, comment="as the queue names who holds a job"),
    sa.Column("name", sa.Text, nullable=False, comment="host and process id"),
    sa.Column("queues", ARRAY(sa.Text), nullable=False, comment="whose jobs it does"),
    sa.Column("concurrency", sa.Integer, nullable=False, comment="jobs at once"),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="UTC"),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="UTC"),
    comment="Workers that gave a sign of life; one that stopped as asked takes its row along.",
)
