"""Tables of what posts say: mentions of tokens, sentiment, social metrics a token, trending topics.

The posts themselves and how they were received are in `post_tables.py`.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_UNIT = {"min": 0, "max": 1}
_SIGNED_UNIT = {"min": -1, "max": 1}
_COUNT = {"min": 0}

mentions = sa.Table(
    "mentions",
    metadata,
    sa.Column("observed_at", _TIME, primary_key=True, comment="when the post was written; UTC"),
    sa.Column("platform", sa.Text, primary_key=True, comment="where it was posted: x"),
    sa.Column("post_id", sa.Text, primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True, comment="place among the post's mentions, from 0", info=_COUNT),
    sa.Column("available_at", _TIME, nullable=False, comment="when the post could have been used; UTC"),
    sa.Column("token_id", sa.Integer, comment="the token meant; null: nobody, or not decidable"),
    sa.Column("kind", sa.Text, nullable=False, comment="cashtag, hashtag, name, address or link"),
    sa.Column("matched", sa.Text, nullable=False, comment="what was matched, cleaned and in its normal form: $PEPE, #pepe, …"),
    sa.Column("starts_at", sa.Integer, nullable=False, comment="first code point of it in the post's text", info=_COUNT),
    sa.Column("ends_at", sa.Integer, nullable=False, comment="code point after it in the post's text", info=_COUNT),
    sa.Column(
        "resolution",
        sa.Text,
        nullable=False,
        comment="why this token: address, link, ticker_and_name, ticker_and_chain, ticker_and_handle, "
        "dominant_ticker or dominant_name; "
        "why none: ambiguous or unknown",
    ),
    sa.Column("candidates", ARRAY(sa.Integer), comment="tokens it could have meant, where that was to be decided"),
    sa.Column("confidence", sa.REAL, nullable=False, comment="how sure the resolution is, 0 to 1", info=_UNIT),
    sa.CheckConstraint("kind IN ('cashtag', 'hashtag', 'name', 'address', 'link')", name="kind"),
    sa.CheckConstraint(
        "(token_id IS NULL) = (resolution IN ('ambiguous', 'unknown'))",
        name="resolution",
    ),
    sa.CheckConstraint("ends_at > starts_at", name="span"),
    postgresql_partition_by="RANGE (observed_at)",
    comment="Every mention of a token or topic in a post, and which token it means; a ticker alone decides nothing.",
)

post_sentiments = sa.Table(
    "post_sentiments",
    metadata,
    sa.Column("observed_at", _TIME, primary_key=True, comment="when the post was written; UTC"),
    sa.Column("platform", sa.Text, primary_key=True, comment="where it was posted: x"),
    sa.Column("post_id", sa.Text, primary_key=True),
    sa.Column("available_at", _TIME, nullable=False, comment="when the post could have been used; UTC"),
    sa.Column("score", sa.REAL, nullable=False, comment="-1 bearish to 1 bullish, from the text alone", info=_SIGNED_UNIT),
    sa.Column("label", sa.Text, nullable=False, comment="positive, negative or neutral"),
    sa.Column("strength", sa.REAL, nullable=False, comment="probability that the text takes a side, 0 to 1", info=_UNIT),
    sa.Column("coverage", sa.REAL, nullable=False, comment="share of the words that the model knows, 0 to 1", info=_UNIT),
    sa.Column("scam_probability", sa.REAL, nullable=False, comment="that the text is a scam or phishing, 0 to 1", info=_UNIT),
    sa.Column("bot_likeness", sa.REAL, nullable=False, comment="signs of automation in author and post, 0 to 1", info=_UNIT),
    sa.Column(
        "text_key", sa.BigInteger, nullable=False, comment="hash of the text without tickers, links, handles and figures"
    ),
    sa.Column("model", sa.Text, nullable=False, comment="version of the models that judged"),
    sa.CheckConstraint("label IN ('positive', 'negative', 'neutral')", name="label"),
    postgresql_partition_by="RANGE (observed_at)",
    comment="What each post's text says: sentiment, likeness to a scam, signs of automation. One row a post.",
)

social_metrics = sa.Table(
    "social_metrics",
    metadata,
    sa.Column("as_of", _TIME, primary_key=True, comment="end of a collection pass, or a 10-minute grid point; UTC"),
    sa.Column("token_id", sa.Integer, primary_key=True),
    sa.Column("platform", sa.Text, nullable=False, comment="where it was posted: x"),
    sa.Column("available_at", _TIME, nullable=False, comment="when it could have been used: as_of; UTC"),
    sa.Column("mentions_1h", sa.Integer, nullable=False, comment="posts that mention it, at most 3 an author", info=_COUNT),
    sa.Column(
        "unique_posts_1h", sa.Integer, nullable=False, comment="distinct texts, one post an author: the volume", info=_COUNT
    ),
    sa.Column("authors_1h", sa.Integer, nullable=False, comment="distinct authors", info=_COUNT),
    sa.Column("mentions_24h", sa.Integer, nullable=False, comment="posts that mention it, at most 3 an author", info=_COUNT),
    sa.Column("authors_24h", sa.Integer, nullable=False, comment="distinct authors", info=_COUNT),
    sa.Column(
        "baseline_hourly",
        sa.REAL,
        comment="median hourly volume (as unique_posts_1h) of the 24 h before the last hour; null: under 12 h collected",
        info=_COUNT,
    ),
    sa.Column("velocity", sa.REAL, comment="log((unique_posts_1h + 1) / (baseline_hourly + 1)); null: no baseline"),
    sa.Column(
        "velocity_z", sa.REAL, comment="velocity in deviations from its mean over the 7 d before; null: under 48 h of them"
    ),
    sa.Column(
        "sentiment",
        sa.REAL,
        comment="mean score over unique posts of the hour, one an author, without bots and scams; null: none",
        info=_SIGNED_UNIT,
    ),
    sa.Column("sentiment_24h", sa.REAL, comment="as sentiment, over 24 h; null: none", info=_SIGNED_UNIT),
    sa.Column("heard_1h", sa.Integer, comment="posts that sentiment is the mean of", info=_COUNT),
    sa.Column("heard_24h", sa.Integer, comment="posts that sentiment_24h is the mean of", info=_COUNT),
    sa.Column(
        "sentiment_balance",
        sa.REAL,
        comment="sum of the scores of at least 0.7 either way over the same posts as sentiment; null: no post",
    ),
    sa.Column(
        "weighted_sentiment",
        sa.REAL,
        comment="unique_posts_1h x sentiment in deviations from its mean over the 7 d before; null: under 48 h of them",
    ),
    sa.Column("dominance", sa.REAL, comment="share of all tokens' unique_posts_1h, 0 to 1; null: none at all", info=_UNIT),
    sa.Column(
        "engagement_1h",
        sa.BigInteger,
        comment="likes, replies, reposts and quotes of the posts, one an author, as last seen; null: not known",
        info=_COUNT,
    ),
    sa.Column("bot_share", sa.REAL, comment="share of authors whose post looks automated; null: no author", info=_UNIT),
    sa.Column("scam_share", sa.REAL, comment="share of authors whose post looks like a scam; null: no author", info=_UNIT),
    sa.Column("followers_1h", sa.BigInteger, comment="followers of the authors, summed; null: not known", info=_COUNT),
    sa.Column(
        "influencer_mentions_1h",
        sa.Integer,
        comment="authors with at least 10,000 followers; null: no author's followers are known",
        info=_COUNT,
    ),
    sa.Column("hashtags_1h", sa.Integer, nullable=False, comment="authors who named it by a hashtag", info=_COUNT),
    postgresql_partition_by="RANGE (as_of)",
    comment="Social volume, sentiment and engagement of each token mentioned in the 24 h before a moment.",
)

trending_topics = sa.Table(
    "trending_topics",
    metadata,
    sa.Column("as_of", _TIME, primary_key=True, comment="end of a collection pass, or a 10-minute grid point; UTC"),
    sa.Column("platform", sa.Text, primary_key=True, comment="where it was posted: x"),
    sa.Column("topic", sa.Text, primary_key=True, comment="cashtag ($PEPE), hashtag (#pepe) or name, in its normal form"),
    sa.Column("available_at", _TIME, nullable=False, comment="when it could have been used: as_of; UTC"),
    sa.Column("token_id", sa.Integer, comment="the token that most of its mentions mean; null: none"),
    sa.Column("rank", sa.Integer, nullable=False, comment="place by authors of the last hour, from 1", info={"min": 1}),
    sa.Column("mentions_1h", sa.Integer, nullable=False, comment="posts of the last hour, at most 3 an author", info=_COUNT),
    sa.Column("authors", sa.Integer, nullable=False, comment="distinct authors of the last hour", info=_COUNT),
    sa.Column("sentiment", sa.REAL, comment="mean score as in social_metrics; null: none", info=_SIGNED_UNIT),
    sa.Column("engagement", sa.BigInteger, comment="as engagement_1h of social_metrics; null: not known", info=_COUNT),
    sa.Column("volume_24h", sa.Integer, nullable=False, comment="posts of the last 24 h, at most 3 an author", info=_COUNT),
    sa.Column(
        "volume_change", sa.REAL, comment="volume_24h against the 24 h before, as a share: 0.5 is half more; null: none then"
    ),
    sa.Column(
        "z", sa.REAL, comment="authors of the hour in deviations from the mean of the 7 d before; null: under 48 h of them"
    ),
    postgresql_partition_by="RANGE (as_of)",
    comment="Topics that most authors spoke of in the hour before a moment, ranked.",
)
