"""Tables of posts as they were read, how they were received, and what reading them cost."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_NOT_NEGATIVE = {"min": 0}

social_posts = sa.Table(
    "social_posts",
    metadata,
    sa.Column("observed_at", _TIME, primary_key=True, comment="when it was posted; UTC"),
    sa.Column("platform", sa.Text, primary_key=True, comment="x"),
    sa.Column("post_id", sa.Text, primary_key=True, comment="the platform's id"),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; UTC"),
    sa.Column(
        "available_at",
        _TIME,
        nullable=False,
        comment="when it could have been used: recorded_at live, observed_at for imported history; UTC",
    ),
    sa.Column("payload_id", sa.BigInteger, comment="raw_payloads row that it was read from"),
    sa.Column("author_id", sa.Text, nullable=False, comment="the platform's id of who wrote it"),
    sa.Column("author_name", sa.Text, comment="handle without @ as it was then; null: not given"),
    sa.Column("author_created_at", _TIME, comment="when the account was opened; null: not given; UTC"),
    sa.Column("text", sa.Text, nullable=False, comment="what it says, HTML entities resolved: untrusted"),
    sa.Column("lang", sa.Text, comment="language as the platform guesses it, BCP 47; null: not given"),
    sa.Column("kind", sa.Text, nullable=False, comment="post, reply, repost or quote"),
    sa.Column("referenced_id", sa.Text, comment="post that it answers, repeats or quotes; null: none"),
    sa.Column("cashtags", ARRAY(sa.Text), nullable=False, comment="tickers marked with $, without it, as written"),
    sa.Column("hashtags", ARRAY(sa.Text), nullable=False, comment="words marked with #, without it, as written"),
    sa.Column("urls", ARRAY(sa.Text), nullable=False, comment="links, expanded where the platform says to what"),
    sa.Column("source", sa.Text, nullable=False, comment="query or account that brought it first, or the import"),
    sa.CheckConstraint("kind IN ('post', 'reply', 'repost', 'quote')", name="kind"),
    sa.Index("social_posts_available_at_idx", "available_at"),
    postgresql_partition_by="RANGE (observed_at)",
    comment="Posts about tracked tokens as they were first read, one partition a UTC day. Stored once, never rewritten.",
)

post_engagement = sa.Table(
    "post_engagement",
    metadata,
    sa.Column("recorded_at", _TIME, primary_key=True, comment="when these counts were read and could be used; UTC"),
    sa.Column("platform", sa.Text, primary_key=True, comment="x"),
    sa.Column("post_id", sa.Text, primary_key=True, comment="the platform's id"),
    sa.Column("posted_at", _TIME, nullable=False, comment="observed_at of the post; UTC"),
    sa.Column("payload_id", sa.BigInteger, comment="raw_payloads row that they were read from"),
    sa.Column("likes", sa.BigInteger, nullable=False, info=_NOT_NEGATIVE),
    sa.Column("replies", sa.BigInteger, nullable=False, info=_NOT_NEGATIVE),
    sa.Column("reposts", sa.BigInteger, nullable=False, info=_NOT_NEGATIVE),
    sa.Column("quotes", sa.BigInteger, nullable=False, info=_NOT_NEGATIVE),
    sa.Column("impressions", sa.BigInteger, comment="times it was shown; null: not given", info=_NOT_NEGATIVE),
    sa.Column("author_followers", sa.BigInteger, comment="of who wrote it; null: not given", info=_NOT_NEGATIVE),
    sa.Index("post_engagement_post_id_idx", "post_id"),
    postgresql_partition_by="RANGE (recorded_at)",
    comment="How posts were received: a row when a post is first read and whenever a count has changed since.",
)

post_counts = sa.Table(
    "post_counts",
    metadata,
    sa.Column("bucket_start", _TIME, primary_key=True, comment="start of the span of time; UTC"),
    sa.Column("platform", sa.Text, primary_key=True, comment="x"),
    sa.Column("topic", sa.Text, primary_key=True, comment="what was counted: token:<token_id>"),
    sa.Column("recorded_at", _TIME, primary_key=True, comment="when it was read and could be used; UTC"),
    sa.Column("bucket_end", _TIME, nullable=False, comment="end of the span; the newest is not over yet; UTC"),
    sa.Column("query", sa.Text, nullable=False, comment="the question in the platform's words"),
    sa.Column("posts", sa.BigInteger, nullable=False, comment="posts that match it", info=_NOT_NEGATIVE),
    sa.Column("payload_id", sa.BigInteger, comment="raw_payloads row that it was read from"),
    sa.CheckConstraint("bucket_end > bucket_start", name="span"),
    postgresql_partition_by="RANGE (bucket_start)",
    comment="How many posts there were in a span of time, as the platform counts; a later count is a new row.",
)

collection_passes = sa.Table(
    "collection_passes",
    metadata,
    sa.Column("pass_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("platform", sa.Text, nullable=False, comment="x"),
    sa.Column("started_at", _TIME, nullable=False, comment="UTC"),
    sa.Column("finished_at", _TIME, comment="all it stored was stored by then; null: under way; UTC"),
    sa.Column("status", sa.Text, nullable=False, comment="running, complete, partial, budget_spent, switched_off or failed"),
    sa.Column("reason", sa.Text, comment="why it is not complete; null: it is"),
    sa.Column("requests", sa.Integer, nullable=False, server_default="0", comment="sent, repetitions included"),
    sa.Column("posts_read", sa.Integer, nullable=False, server_default="0", comment="posts in the answers"),
    sa.Column("posts_new", sa.Integer, nullable=False, server_default="0", comment="of those, not stored before"),
    sa.Column(
        "cost_usd",
        sa.Double,
        nullable=False,
        server_default="0",
        comment="what it cost by the price list, USD",
        info={"min": 0},
    ),
    sa.Column("budget_usd", sa.Double, nullable=False, comment="what the UTC day may cost, USD", info={"min": 0}),
    sa.Column("paused_until", _TIME, comment="the platform refuses until then, as it said; null: it does not; UTC"),
    sa.CheckConstraint("status IN ('running', 'complete', 'partial', 'budget_spent', 'switched_off', 'failed')", name="status"),
    sa.CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_at"),
    sa.Index("collection_passes_finished_at_idx", "platform", "finished_at"),
    comment="Rounds of reading posts: when each was finished, what it brought, what it cost, and why it ended early.",
)

query_cursors = sa.Table(
    "query_cursors",
    metadata,
    sa.Column("query_key", sa.Text, primary_key=True, comment="tokens:<number> or account:<name>"),
    sa.Column("query", sa.Text, nullable=False, comment="the question as it was last asked"),
    sa.Column("members", ARRAY(sa.Text), nullable=False, comment="token ids, or the account's id"),
    sa.Column("since_id", sa.Text, comment="every post up to this one is stored; null: never asked to the end"),
    sa.Column("newest_id", sa.Text, comment="newest post stored; null: none yet"),
    sa.Column(
        "gaps", JSONB, nullable=False, comment="[above, below]: post ids between which reading stopped; newest gap first"
    ),
    sa.Column("checked_at", _TIME, comment="when its newest posts were last asked for; null: never; UTC"),
    sa.Column("updated_at", _TIME, nullable=False, comment="UTC"),
    comment="How far each standing question has been read, so that no post is lost and none is paid for twice.",
)

billed_reads = sa.Table(
    "billed_reads",
    metadata,
    sa.Column("day", sa.Date, primary_key=True, comment="UTC day: within one, the same thing is charged once"),
    sa.Column("platform", sa.Text, primary_key=True, comment="x"),
    sa.Column("resource", sa.Text, primary_key=True, comment="post or user"),
    sa.Column("resource_id", sa.Text, primary_key=True, comment="the platform's id"),
    comment="What was read, and so paid for, on the latest days.",
)
