"""Jobs put into the queue by programs that can only write SQL: `INSERT INTO queued_jobs (type, data) VALUES (…)`."""

from alembic import op

from metapulse_assets.platform.work_queue.pgqueuer_schema import LOG_TABLE, QUEUE_TABLE

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Names that the payment worker's callers know.
PAYMENTS = ("stripe_webhook", "crypto_verification", "subscription_renewal", "payment_notification")


def upgrade() -> None:
    """Apply."""
    for statement in (
        _QUEUED_JOBS,
        "COMMENT ON VIEW queued_jobs IS 'Jobs that wait or run; a row inserted here (type, data) is a job of the work queue.'",
        _ENQUEUE,
        "CREATE TRIGGER enqueue INSTEAD OF INSERT ON queued_jobs FOR EACH ROW EXECUTE FUNCTION enqueue_queued_job()",
        _PAYMENT_JOBS,
        "COMMENT ON VIEW payment_jobs IS 'Those of queued_jobs that are about payments; a row of another type is refused.'",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    op.execute("DROP VIEW payment_jobs")
    op.execute("DROP VIEW queued_jobs")
    op.execute("DROP FUNCTION enqueue_queued_job()")


_QUEUED_JOBS = f"""
CREATE VIEW queued_jobs AS
SELECT id, entrypoint AS type, convert_from(payload, 'UTF8')::jsonb AS data,
    CASE status WHEN 'picked' THEN 'active' ELSE 'waiting' END AS status, created AS created_at
FROM {QUEUE_TABLE} WHERE status IN ('queued', 'picked')
"""  # noqa: S608
_ENQUEUE = f"""
CREATE FUNCTION enqueue_queued_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.type IS NULL OR NEW.type = '' THEN
        RAISE EXCEPTION 'type: is missing' USING ERRCODE = 'not_null_violation';
    END IF;
    IF jsonb_typeof(coalesce(NEW.data, '{{}}')) <> 'object' THEN
        RAISE EXCEPTION 'data: is not an object' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO {QUEUE_TABLE} (priority, entrypoint, payload, status)
    VALUES (-5, NEW.type, convert_to(coalesce(NEW.data, '{{}}')::text, 'UTF8'), 'queued')
    RETURNING id, created, 'waiting' INTO NEW.id, NEW.created_at, NEW.status;
    INSERT INTO {LOG_TABLE} (job_id, status, entrypoint, priority) VALUES (NEW.id, 'queued', NEW.type, -5);
    RETURN NEW;
END $$
"""  # noqa: S608
_PAYMENT_JOBS = f"""
CREATE VIEW payment_jobs AS
SELECT id, type, data, status, created_at FROM queued_jobs WHERE type IN ({", ".join(f"'{name}'" for name in PAYMENTS)})
WITH LOCAL CHECK OPTION
"""  # noqa: S608
