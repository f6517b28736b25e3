"""Health, history of jobs, alarms."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "retention",
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=False, comment="when the clean-up ran; UTC"),
        sa.Column("store", sa.Text(), nullable=False, comment="metapulse: our tables; dagster: Dagster's own storage; files"),
        sa.Column("name", sa.Text(), nullable=False, comment="table or kind of file that was cleaned"),
        sa.Column("kept_since", sa.DateTime(timezone=True), nullable=False, comment="what is older was to go; UTC"),
        sa.Column("partitions", sa.Integer(), nullable=False, comment="whole days that went"),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="rows or files that went one by one"),
        sa.Column("bytes_freed", sa.BigInteger(), nullable=False, comment="what they took, bytes"),
        sa.Column("left_for_later", sa.Integer(), nullable=False, comment="days still there, as readers held them"),
        sa.Column("is_complete", sa.Boolean(), nullable=False, comment="false: more than one run may remove is left"),
        sa.PrimaryKeyConstraint("ran_at", "store", "name", name=op.f("retention_pkey")),
        comment="What each clean-up removed, by table; no row where nothing was past its time.",
    )
    op.create_table(
        "database_optimisation",
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=False, comment="when it was done; UTC"),
        sa.Column("name", sa.Text(), nullable=False, comment="table"),
        sa.Column("action", sa.Text(), nullable=False, comment="analyze, vacuum or skipped: somebody held the table"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it needed it"),
        sa.Column("dead_rows", sa.BigInteger(), nullable=False, comment="dead rows before"),
        sa.Column("changed_rows", sa.BigInteger(), nullable=False, comment="rows changed since its last statistics"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="what it took, s"),
        sa.CheckConstraint("action IN ('analyze', 'vacuum', 'skipped')", name=op.f("database_optimisation_action_check")),
        sa.PrimaryKeyConstraint("ran_at", "name", name=op.f("database_optimisation_pkey")),
        comment="Tables that were vacuumed, or whose statistics were made anew, and why.",
    )
    op.create_table(
        "health_metrics",
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False, comment="minute of the measurement; UTC"),
        sa.Column(
            "service", sa.Text(), nullable=False, comment="database, process, machine, data, jobs, dead_letters, a vendor, …"
        ),
        sa.Column("metric", sa.Text(), nullable=False, comment="what was measured, of which part"),
        sa.Column("value", sa.Double(), nullable=True, comment="null: nothing to measure"),
        sa.Column("unit", sa.Text(), nullable=False, comment="s, bytes, share, count, …"),
        sa.Column("status", sa.Text(), nullable=False, comment="ok, warn or fail"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is not ok, and the cure; null: ok"),
        sa.CheckConstraint("(status = 'ok') = (reason IS NULL)", name=op.f("health_metrics_reason_check")),
        sa.CheckConstraint("status IN ('ok', 'warn', 'fail')", name=op.f("health_metrics_status_check")),
        sa.PrimaryKeyConstraint("measured_at", "service", "metric", name=op.f("health_metrics_pkey")),
        comment="The state of every part, a row a minute and metric, one partition a UTC day.",
        postgresql_partition_by="RANGE (measured_at)",
    )
    op.create_table(
        "job_logs",
        sa.Column("engine", sa.Text(), nullable=False, comment="dagster, or queue for jobs of the work queue"),
        sa.Column("job_id", sa.Text(), nullable=False, comment="id at its engine; for dagster the run id"),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="1 first; a retried run is a run of its own"),
        sa.Column("job", sa.Text(), nullable=False, comment="name of the job"),
        sa.Column("status", sa.Text(), nullable=False, comment="queued, started, success, failure or canceled"),
        sa.Column("cause", sa.Text(), nullable=False, comment="schedule, sensor, backfill, retry or manual, with its name"),
        sa.Column("partition", sa.Text(), nullable=True, comment="partition it was for; null: none, or a range"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="when it was asked for; UTC"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="null: not started; UTC"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="null: not ended; UTC"),
        sa.Column("duration_seconds", sa.Double(), nullable=True, comment="from start to end, s; null: not both"),
        sa.Column(
            "result",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="steps that succeeded and failed, materializations; null: not ended",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="first failure, without secrets; null: none"),
        sa.Column("run_id", sa.Text(), nullable=True, comment="Dagster run, as its page is named; null: none"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="when its engine last changed it; UTC"),
        sa.CheckConstraint(
            "(status IN ('success', 'failure', 'canceled')) = (ended_at IS NOT NULL)", name=op.f("job_logs_ended_at_check")
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'started', 'success', 'failure', 'canceled')", name=op.f("job_logs_status_check")
        ),
        sa.PrimaryKeyConstraint("engine", "job_id", "attempt", name=op.f("job_logs_pkey")),
        comment="Every run of every job: when, how long, with what result.",
    )
    op.create_index("job_logs_created_at_idx", "job_logs", ["created_at"], unique=False)
    op.create_index("job_logs_ended_at_idx", "job_logs", ["job", "ended_at"], unique=False)
    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="number of the alarm"),
        sa.Column("key", sa.Text(), nullable=False, comment="what is wrong, as breaker_open:dexscreener; one open alarm a key"),
        sa.Column("severity", sa.Text(), nullable=False, comment="warning or error"),
        sa.Column("text", sa.Text(), nullable=False, comment="what is wrong and the cure, as last seen"),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False, comment="UTC"),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False, comment="UTC"),
        sa.Column("count", sa.Integer(), nullable=False, comment="how often it was seen while it lasted"),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True, comment="when it was over; null: it lasts; UTC"),
        sa.Column(
            "delivered_at", sa.DateTime(timezone=True), nullable=True, comment="when people were told; null: not yet; UTC"
        ),
        sa.CheckConstraint("severity IN ('warning', 'error')", name=op.f("alarms_severity_check")),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("alarms_pkey")),
        comment="What people must know of, once each while it lasts; whoever delivers them sets delivered_at.",
    )
    op.create_index("alarms_last_seen_idx", "alarms", ["last_seen"], unique=False)
    op.create_index("alarms_open_key", "alarms", ["key"], unique=True, postgresql_where=sa.text("resolved_at IS NULL"))


def downgrade() -> None:
    """Undo."""
    for name in ("alarms", "job_logs", "health_metrics", "database_optimisation", "retention"):
        op.drop_table(name)
