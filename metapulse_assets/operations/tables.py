"""Tables of operations: what clean-ups removed, what was vacuumed, health and queues by the minute, history of jobs, alarms."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_COUNT = {"min": 0}

retention = sa.Table(
    "retention",
    metadata,
    sa.Column("ran_at", _TIME, primary_key=True, comment="when the clean-up ran; UTC"),
    sa.Column("store", sa.Text, primary_key=True, comment="metapulse: our tables; dagster: Dagster's own storage; files"),
    sa.Column("name", sa.Text, primary_key=True, comment="table or kind of file that was cleaned"),
    sa.Column("kept_since", _TIME, nullable=False, comment="what is older was to go; UTC"),
    sa.Column("partitions", sa.Integer, nullable=False, comment="whole days that went", info=_COUNT),
    sa.Column("rows", sa.BigInteger, nullable=False, comment="rows or files that went one by one", info=_COUNT),
    sa.Column("bytes_freed", sa.BigInteger, nullable=False, comment="what they took, bytes", info=_COUNT),
    sa.Column("left_for_later", sa.Integer, nullable=False, comment="days still there, as readers held them", info=_COUNT),
    sa.Column("is_complete", sa.Boolean, nullable=False, comment="false: more than one run may remove is left"),
    comment="What each clean-up removed, by table; no row where nothing was past its time.",
)

database_optimisation = sa.Table(
    "database_optimisation",
    metadata,
    sa.Column("ran_at", _TIME, primary_key=True, comment="when it was done; UTC"),
    sa.Column("name", sa.Text, primary_key=True, comment="table"),
    sa.Column("action", sa.Text, nullable=False, comment="analyze, vacuum or skipped: somebody held the table"),
    sa.Column("reason", sa.Text, nullable=False, comment="why it needed it"),
    sa.Column("dead_rows", sa.BigInteger, nullable=False, comment="dead rows before", info=_COUNT),
    sa.Column("changed_rows", sa.BigInteger, nullable=False, comment="rows changed since its last statistics", info=_COUNT),
    sa.Column("seconds", sa.Double, nullable=False, comment="what it took, s", info=_COUNT),
    sa.CheckConstraint("action IN ('analyze', 'vacuum', 'skipped')", name="action"),
    comment="Tables that were vacuumed, or whose statistics were made anew, and why.",
)

health_metrics = sa.Table(
    "health_metrics",
    metadata,
    sa.Column("measured_at", _TIME, primary_key=True, comment="minute of the measurement; UTC"),
    sa.Column(
        "service", sa.Text, primary_key=True, comment="database, process, machine, data, jobs, dead_letters, a vendor, …"
    ),
    sa.Column("metric", sa.Text, primary_key=True, comment="what was measured, of which part"),
    sa.Column("value", sa.Double, comment="null: nothing to measure"),
    sa.Column("unit", sa.Text, nullable=False, comment="s, bytes, share, count, …"),
    sa.Column("status", sa.Text, nullable=False, comment="ok, warn or fail"),
    sa.Column("reason", sa.Text, comment="why it is not ok, and the cure; null: ok"),
    sa.CheckConstraint("status IN ('ok', 'warn', 'fail')", name="status"),
    sa.CheckConstraint("(status = 'ok') = (reason IS NULL)", name="reason"),
    postgresql_partition_by="RANGE (measured_at)",
    comment="The state of every part, a row a minute and metric, one partition a UTC day.",
)

queue_stats = sa.Table(
    "queue_stats",
    metadata,
    sa.Column("measured_at", _TIME, primary_key=True, comment="minute of the measurement; UTC"),
    sa.Column("queue", sa.Text, primary_key=True, comment="name of the queue"),
    sa.Column("waiting", sa.BigInteger, nullable=False, comment="jobs that are due", info=_COUNT),
    sa.Column("active", sa.BigInteger, nullable=False, comment="jobs that a worker holds", info=_COUNT),
    sa.Column("completed", sa.BigInteger, nullable=False, comment="completed jobs that the clean-up has left", info=_COUNT),
    sa.Column("failed", sa.BigInteger, nullable=False, comment="jobs failed for good that the clean-up has left", info=_COUNT),
    sa.Column("delayed", sa.BigInteger, nullable=False, comment="jobs that are due later", info=_COUNT),
    sa.Column("paused", sa.BigInteger, nullable=False, comment="due jobs of a paused queue", info=_COUNT),
    sa.Column("oldest_waiting_seconds", sa.Double, comment="since the oldest waiting job was due, s; null: none", info=_COUNT),
    sa.Column("dead_letters", sa.BigInteger, nullable=False, comment="dead letters not put in again", info=_COUNT),
    sa.Column(
        "completed_per_minute", sa.Double, comment="since the row before; null: there is none of the last hour", info=_COUNT
    ),
    sa.Column("failed_per_minute", sa.Double, comment="failed for good, likewise", info=_COUNT),
    sa.Column("completed_total", sa.BigInteger, nullable=False, comment="jobs completed since the beginning", info=_COUNT),
    sa.Column("failed_total", sa.BigInteger, nullable=False, comment="jobs failed for good since the beginning", info=_COUNT),
    sa.Column("retried_total", sa.BigInteger, nullable=False, comment="failed attempts that came again", info=_COUNT),
    sa.Column("seconds_total", sa.Double, nullable=False, comment="time of all ended attempts, s", info=_COUNT),
    postgresql_partition_by="RANGE (measured_at)",
    comment="The work queue, a row a minute and queue, one partition a UTC day.",
)

job_logs = sa.Table(
    "job_logs",
    metadata,
    sa.Column("engine", sa.Text, primary_key=True, comment="dagster, or queue for jobs of the work queue"),
    sa.Column("job_id", sa.Text, primary_key=True, comment="id at its engine; for dagster the run id"),
    sa.Column("attempt", sa.Integer, primary_key=True, comment="1 first; a retried run is a run of its own", info={"min": 1}),
    sa.Column("job", sa.Text, nullable=False, comment="name of the job"),
    sa.Column("status", sa.Text, nullable=False, comment="queued, started, success, failure or canceled"),
    sa.Column("cause", sa.Text, nullable=False, comment="schedule, sensor, backfill, retry or manual, with its name; or queue"),
    sa.Column("partition", sa.Text, comment="partition it was for; null: none, or a range"),
    sa.Column("created_at", _TIME, nullable=False, comment="when it was asked for; UTC"),
    sa.Column("started_at", _TIME, comment="null: not started; UTC"),
    sa.Column("ended_at", _TIME, comment="null: not ended; UTC"),
    sa.Column("duration_seconds", sa.Double, comment="from start to end, s; null: not both", info=_COUNT),
    sa.Column(
        "result",
        JSONB(none_as_null=True),
        comment="steps and materializations, or what the queue's handler returned; null: not ended",
    ),
    sa.Column("error", sa.Text, comment="first failure, without secrets; null: none"),
    sa.Column("run_id", sa.Text, comment="Dagster run, as its page is named; null: none"),
    sa.Column("updated_at", _TIME, nullable=False, comment="when its engine last changed it; UTC"),
    sa.CheckConstraint("status IN ('queued', 'started', 'success', 'failure', 'canceled')", name="status"),
    sa.CheckConstraint("(status IN ('success', 'failure', 'canceled')) = (ended_at IS NOT NULL)", name="ended_at"),
    sa.Index("job_logs_created_at_idx", "created_at"),
    sa.Index("job_logs_ended_at_idx", "job", "ended_at"),
    comment="Every run of every job, and every ended attempt at the work queue's: when, how long, with what result.",
)

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("alarm_id", sa.BigInteger, sa.Identity(), primary_key=True, comment="number of the alarm"),
    sa.Column("key", sa.Text, nullable=False, comment="what is wrong, as breaker_open:dexscreener; one open alarm a key"),
    sa.Column("severity", sa.Text, nullable=False, comment="warning or error"),
    sa.Column("text", sa.Text, nullable=False, comment="what is wrong and the cure, as last seen"),
    sa.Column("first_seen", _TIME, nullable=False, comment="UTC"),
    sa.Column("last_seen", _TIME, nullable=False, comment="UTC"),
    sa.Column("count", sa.Integer, nullable=False, comment="how often it was seen while it lasted", info={"min": 1}),
    sa.Column("resolved_at", _TIME, comment="when it was over; null: it lasts; UTC"),
    sa.Column("delivered_at", _TIME, comment="when people were told; null: not yet; UTC"),
    sa.CheckConstraint("severity IN ('warning', 'error')", name="severity"),
    sa.Index("alarms_open_key", "key", unique=True, postgresql_where=sa.text("resolved_at IS NULL")),
    sa.Index("alarms_last_seen_idx", "last_seen"),
    comment="What people must know of, once each while it lasts; whoever delivers them sets delivered_at.",
)
