"""Mentions, sentiment, social metrics, trending topics."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "mentions",
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="when the post was written; UTC"),
        sa.Column("platform", sa.Text(), nullable=False, comment="where it was posted: x"),
        sa.Column("post_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="place among the post's mentions, from 0"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when the post could have been used; UTC"
        ),
        sa.Column("token_id", sa.Integer(), nullable=True, comment="the token meant; null: nobody, or not decidable"),
        sa.Column("kind", sa.Text(), nullable=False, comment="cashtag, hashtag, name, address or link"),
        sa.Column(
            "matched", sa.Text(), nullable=False, comment="what was matched, cleaned and in its normal form: $PEPE, #pepe, …"
        ),
        sa.Column("starts_at", sa.Integer(), nullable=False, comment="first code point of it in the post's text"),
        sa.Column("ends_at", sa.Integer(), nullable=False, comment="code point after it in the post's text"),
        sa.Column(
            "resolution",
            sa.Text(),
            nullable=False,
            comment="why this token: address, link, ticker_and_name, ticker_and_chain, "
            "ticker_and_handle, dominant_ticker or dominant_name; why none: ambiguous or unknown",
        ),
        sa.Column(
            "candidates",
            postgresql.ARRAY(sa.Integer()),
            nullable=True,
            comment="tokens it could have meant, where that was to be decided",
        ),
        sa.Column("confidence", sa.REAL(), nullable=False, comment="how sure the resolution is, 0 to 1"),
        sa.CheckConstraint(
            "(token_id IS NULL) = (resolution IN ('ambiguous', 'unknown'))", name=op.f("mentions_resolution_check")
        ),
        sa.CheckConstraint("kind IN ('cashtag', 'hashtag', 'name', 'address', 'link')", name=op.f("mentions_kind_check")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("mentions_span_check")),
        sa.PrimaryKeyConstraint("observed_at", "platform", "post_id", "ordinal", name=op.f("mentions_pkey")),
        comment="Every mention of a token or topic in a post, and which token it means; a ticker alone decides nothing.",
        postgresql_partition_by="RANGE (observed_at)",
    )
    op.create_table(
        "post_sentiments",
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False, comment="when the post was written; UTC"),
        sa.Column("platform", sa.Text(), nullable=False, comment="where it was posted: x"),
        sa.Column("post_id", sa.Text(), nullable=False),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when the post could have been used; UTC"
        ),
        sa.Column("score", sa.REAL(), nullable=False, comment="-1 bearish to 1 bullish, from the text alone"),
        sa.Column("label", sa.Text(), nullable=False, comment="positive, negative or neutral"),
        sa.Column("strength", sa.REAL(), nullable=False, comment="probability that the text takes a side, 0 to 1"),
        sa.Column("coverage", sa.REAL(), nullable=False, comment="share of the words that the model knows, 0 to 1"),
        sa.Column("scam_probability", sa.REAL(), nullable=False, comment="that the text is a scam or phishing, 0 to 1"),
        sa.Column("bot_likeness", sa.REAL(), nullable=False, comment="signs of automation in author and post, 0 to 1"),
        sa.Column(
            "text_key",
            sa.BigInteger(),
            nullable=False,
            comment="hash of the text without tickers, links, handles and figures",
        ),
        sa.Column("model", sa.Text(), nullable=False, comment="version of the models that judged"),
        sa.CheckConstraint("label IN ('positive', 'negative', 'neutral')", name=op.f("post_sentiments_label_check")),
        sa.PrimaryKeyConstraint("observed_at", "platform", "post_id", name=op.f("post_sentiments_pkey")),
        comment="What each post's text says: sentiment, likeness to a scam, signs of automation. One row a post.",
        postgresql_partition_by="RANGE (observed_at)",
    )
    op.create_table(
        "social_metrics",
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="end of a collection pass, or a 10-minute grid point; UTC",
        ),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False, comment="where it was posted: x"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when it could have been used: as_of; UTC"
        ),
        sa.Column("mentions_1h", sa.Integer(), nullable=False, comment="posts that mention it, at most 3 an author"),
        sa.Column("unique_posts_1h", sa.Integer(), nullable=False, comment="distinct texts, one post an author: the volume"),
        sa.Column("authors_1h", sa.Integer(), nullable=False, comment="distinct authors"),
        sa.Column("mentions_24h", sa.Integer(), nullable=False, comment="posts that mention it, at most 3 an author"),
        sa.Column("authors_24h", sa.Integer(), nullable=False, comment="distinct authors"),
        sa.Column(
            "baseline_hourly",
            sa.REAL(),
            nullable=True,
            comment="median hourly volume (as unique_posts_1h) of the 24 h before the last hour; null: under 12 h collected",
        ),
        sa.Column(
            "velocity",
            sa.REAL(),
            nullable=True,
            comment="log((unique_posts_1h + 1) / (baseline_hourly + 1)); null: no baseline",
        ),
        sa.Column(
            "velocity_z",
            sa.REAL(),
            nullable=True,
            comment="velocity in deviations from its mean over the 7 d before; null: under 48 h of them",
        ),
        sa.Column(
            "sentiment",
            sa.REAL(),
            nullable=True,
            comment="mean score over unique posts of the hour, one an author, without bots and scams; null: none",
        ),
        sa.Column("sentiment_24h", sa.REAL(), nullable=True, comment="as sentiment, over 24 h; null: none"),
        sa.Column("heard_1h", sa.Integer(), nullable=True, comment="posts that sentiment is the mean of"),
        sa.Column("heard_24h", sa.Integer(), nullable=True, comment="posts that sentiment_24h is the mean of"),
        sa.Column(
            "sentiment_balance",
            sa.REAL(),
            nullable=True,
            comment="sum of the scores of at least 0.7 either way over the same posts as sentiment; null: no post",
        ),
        sa.Column(
            "weighted_sentiment",
            sa.REAL(),
            nullable=True,
            comment="unique_posts_1h x sentiment in deviations from its mean over the 7 d before; null: under 48 h of them",
        ),
        sa.Column(
            "dominance", sa.REAL(), nullable=True, comment="share of all tokens' unique_posts_1h, 0 to 1; null: none at all"
        ),
        sa.Column(
            "engagement_1h",
            sa.BigInteger(),
            nullable=True,
            comment="likes, replies, reposts and quotes of the posts, one an author, as last seen; null: not known",
        ),
        sa.Column(
            "bot_share", sa.REAL(), nullable=True, comment="share of authors whose post looks automated; null: no author"
        ),
        sa.Column(
            "scam_share", sa.REAL(), nullable=True, comment="share of authors whose post looks like a scam; null: no author"
        ),
        sa.Column("followers_1h", sa.BigInteger(), nullable=True, comment="followers of the authors, summed; null: not known"),
        sa.Column(
            "influencer_mentions_1h",
            sa.Integer(),
            nullable=True,
            comment="authors with at least 10,000 followers; null: no author's followers are known",
        ),
        sa.Column("hashtags_1h", sa.Integer(), nullable=False, comment="authors who named it by a hashtag"),
        sa.PrimaryKeyConstraint("as_of", "token_id", name=op.f("social_metrics_pkey")),
        comment="Social volume, sentiment and engagement of each token mentioned in the 24 h before a moment.",
        postgresql_partition_by="RANGE (as_of)",
    )
    op.create_table(
        "trending_topics",
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="end of a collection pass, or a 10-minute grid point; UTC",
        ),
        sa.Column("platform", sa.Text(), nullable=False, comment="where it was posted: x"),
        sa.Column("topic", sa.Text(), nullable=False, comment="cashtag ($PEPE), hashtag (#pepe) or name, in its normal form"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when it could have been used: as_of; UTC"
        ),
        sa.Column("token_id", sa.Integer(), nullable=True, comment="the token that most of its mentions mean; null: none"),
        sa.Column("rank", sa.Integer(), nullable=False, comment="place by authors of the last hour, from 1"),
        sa.Column("mentions_1h", sa.Integer(), nullable=False, comment="posts of the last hour, at most 3 an author"),
        sa.Column("authors", sa.Integer(), nullable=False, comment="distinct authors of the last hour"),
        sa.Column("sentiment", sa.REAL(), nullable=True, comment="mean score as in social_metrics; null: none"),
        sa.Column("engagement", sa.BigInteger(), nullable=True, comment="as engagement_1h of social_metrics; null: not known"),
        sa.Column("volume_24h", sa.Integer(), nullable=False, comment="posts of the last 24 h, at most 3 an author"),
        sa.Column(
            "volume_change",
            sa.REAL(),
            nullable=True,
            comment="volume_24h against the 24 h before, as a share: 0.5 is half more; null: none then",
        ),
        sa.Column(
            "z",
            sa.REAL(),
            nullable=True,
            comment="authors of the hour in deviations from the mean of the 7 d before; null: under 48 h of them",
        ),
        sa.PrimaryKeyConstraint("as_of", "platform", "topic", name=op.f("trending_topics_pkey")),
        comment="Topics that most authors spoke of in the hour before a moment, ranked.",
        postgresql_partition_by="RANGE (as_of)",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("trending_topics")
    op.drop_table("social_metrics")
    op.drop_table("post_sentiments")
    op.drop_table("mentions")
