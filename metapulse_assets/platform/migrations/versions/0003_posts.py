"""Posts as they were read, how they were received, and what reading them cost."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "billed_reads",
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day: within one, the same thing is charged once"),
        sa.Column("platform", sa.Text(), nullable=False, comment="x"),
        sa.Column("resource", sa.Text(), nullable=False, comment="post or user"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="the platform's id"),
        sa.PrimaryKeyConstraint("day", "platform", "resource", "resource_id", name=op.f("billed_reads_pkey")),
        comment="What was read, and so paid for, on the latest days.",
    )
    op.create_table(
        "collection_passes",
        sa.Column("pass_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False, comment="x"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="UTC"),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="all it stored was stored by then; null: under way; UTC",
        ),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="running, complete, partial, budget_spent, switched_off or failed"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is not complete; null: it is"),
        sa.Column("requests", sa.Integer(), server_default="0", nullable=False, comment="sent, repetitions included"),
        sa.Column("posts_read", sa.Integer(), server_default="0", nullable=False, comment="posts in the answers"),
        sa.Column("posts_new", sa.Integer(), server_default="0", nullable=False, comment="of those, not stored before"),
        sa.Column("cost_usd", sa.Double(), server_default="0", nullable=False, comment="what it cost by the price list, USD"),
        sa.Column("budget_usd", sa.Double(), nullable=False, comment="what the UTC day may cost, USD"),
        sa.Column(
            "paused_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the platform refuses until then, as it said; null: it does not; UTC",
        ),
        sa.CheckConstraint("(status = 'running') = (finished_at IS NULL)", name=op.f("collection_passes_finished_at_check")),
        sa.CheckConstraint(
            "status IN ('running', 'complete', 'partial', 'budget_spent', 'switched_off', 'failed')",
            name=op.f("collection_passes_status_check"),
        ),
        sa.PrimaryKeyConstraint("pass_id", name=op.f("collection_passes_pkey")),
        comment="Rounds of reading posts: when each was finished, what it brought, what it cost, and why it ended early.",
    )
    op.create_index("collection_passes_finished_at_idx", "collection_passes", ["platform", "finished_at"], unique=False)
    op.create_table(
        "post_counts",
        sa.Column("bucket_start", sa.DateTime(timezone=True), nullable=False, comment="start of the span of time; UTC"),
        sa.Column("platform", sa.Text(), nullable=False, comment="x"),
        sa.Column("topic", sa.Text(), nullable=False, comment="what was counted: token:<token_id>"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was read and could be used; UTC"),
        sa.Column(
            "bucket_end", sa.DateTime(timezone=True), nullable=False, comment="end of the span; the newest is not over yet; UTC"
        ),
        sa.Column("query", sa.Text(), nullable=False, comment="the question in the platform's words"),
        sa.Column("posts", sa.BigInteger(), nullable=False, comment="posts that match it"),
        sa.Column("payload_id", sa.BigInteger(), nullable=True, comment="raw_payloads row that it was read from"),
        sa.CheckConstraint("bucket_end > bucket_start", name=op.f("post_counts_span_check")),
        sa.PrimaryKeyConstraint("bucket_start", "platform", "topic", "recorded_at", name=op.f("post_counts_pkey")),
        comment="How many posts there were in a span of time, as the platform counts; a later count is a new row.",
        postgresql_partition_by="RANGE (bucket_start)",
    )
    op.create_table(
        "post_engagement",
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when these counts were read and could be used; UTC",
        ),
        sa.Column("platform", sa.Text(), nullable=False, comment="x"),
        sa.Column("post_id", sa.Text(), nullable=False, comment="the platform's id"),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False, comment="observed_at of the post; UTC"),
        sa.Column("payload_id", sa.BigInteger(), nullable=True, comment="raw_payloads row that they were read from"),
        sa.Column("likes", sa.BigInteger(), nullable=False),
        sa.Column("replies", sa.BigInteger(), nullable=False),
        sa.Column("reposts", sa.BigInteger(), nullable=False),
        sa.Column("quotes", sa.BigInteger(), nullable=False),
        sa.Column("impressions", sa.BigInteger(), nullable=True, comment="times it was shown; null: not given"),
        sa.Column("author_followers", sa.BigInteger(), nullable=True, comment="of who wrote it; null: not given"),
        sa.PrimaryKeyConstraint("recorded_at", "platform", "post_id", name=op.f("post_engagement_pkey")),
        comment="How posts were received: a row when a post is first read and whenever a count has changed since.",
        postgresql_partition_by="RANGE (recorded_at)",
    )
    op.create_index("post_engagement_post_id_idx", "post_engagement", ["post_id"], unique=False)
    op.create_table(
        "query_cursors",
        sa.Column("query_key", sa.Text(), nullable=False, comment="tokens:<number> or account:<name>"),
        sa.Column("query", sa.Text(), nullable=False, comment="the question as it was last asked"),
        sa.Column("members", postgresql.ARRAY(sa.Text()), nullable=False, comment="token ids, or the account's id"),
        sa.Column(
            "since_id", sa.Text(), nullable=True, comment="every post up to this one is stored; null: never asked to the end"
        ),
        sa.Column("newest_id", sa.Text(), nullable=True, comment="newest post stored; null: none yet"),
        sa.Column(
            "gaps",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[above, below]: post ids between which reading stopped; newest gap first",
        ),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its newest posts were last asked for; null: never; UTC",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="UTC"),
        sa.PrimaryKeyConstraint("query_key", name=op.f("query_cursors_pkey")),
        comment="How far each standing question has been read, so that no post is lost and none is paid for twice.",
    )
    op.create_table(
        "social_posts",
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="when it was posted; UTC"),
        sa.Column("platform", sa.Text(), nullable=False, comment="x"),
        sa.Column("post_id", sa.Text(), nullable=False, comment="the platform's id"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it could have been used: recorded_at live, observed_at for imported history; UTC",
        ),
        sa.Column("payload_id", sa.BigInteger(), nullable=True, comment="raw_payloads row that it was read from"),
        sa.Column("author_id", sa.Text(), nullable=False, comment="the platform's id of who wrote it"),
        sa.Column("author_name", sa.Text(), nullable=True, comment="handle without @ as it was then; null: not given"),
        sa.Column(
            "author_created_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the account was opened; null: not given; UTC",
        ),
        sa.Column("text", sa.Text(), nullable=False, comment="what it says, HTML entities resolved: untrusted"),
        sa.Column("lang", sa.Text(), nullable=True, comment="language as the platform guesses it, BCP 47; null: not given"),
        sa.Column("kind", sa.Text(), nullable=False, comment="post, reply, repost or quote"),
        sa.Column("referenced_id", sa.Text(), nullable=True, comment="post that it answers, repeats or quotes; null: none"),
        sa.Column(
            "cashtags", postgresql.ARRAY(sa.Text()), nullable=False, comment="tickers marked with $, without it, as written"
        ),
        sa.Column(
            "hashtags", postgresql.ARRAY(sa.Text()), nullable=False, comment="words marked with #, without it, as written"
        ),
        sa.Column(
            "urls", postgresql.ARRAY(sa.Text()), nullable=False, comment="links, expanded where the platform says to what"
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="query or account that brought it first, or the import"),
        sa.CheckConstraint("kind IN ('post', 'reply', 'repost', 'quote')", name=op.f("social_posts_kind_check")),
        sa.PrimaryKeyConstraint("observed_at", "platform", "post_id", name=op.f("social_posts_pkey")),
        comment="Posts about tracked tokens as they were first read, one partition a UTC day. Stored once, never rewritten.",
        postgresql_partition_by="RANGE (observed_at)",
    )
    op.create_index("social_posts_available_at_idx", "social_posts", ["available_at"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("social_posts_available_at_idx", table_name="social_posts")
    op.drop_table("social_posts")
    op.drop_table("query_cursors")
    op.drop_index("post_engagement_post_id_idx", table_name="post_engagement")
    op.drop_table("post_engagement")
    op.drop_table("post_counts")
    op.drop_index("collection_passes_finished_at_idx", table_name="collection_passes")
    op.drop_table("collection_passes")
    op.drop_table("billed_reads")
