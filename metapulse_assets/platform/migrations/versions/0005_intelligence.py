"""Questions put to language models, their answers, and the analyses made of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ai_requests",
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="moment the snapshot was cut: only rows usable by then are in it; UTC",
        ),
        sa.Column("request_id", sa.Text(), nullable=False, comment="hash of kind, token and as_of"),
        sa.Column("kind", sa.Text(), nullable=False, comment="technical, sentiment, comprehensive or market_overview"),
        sa.Column("token_id", sa.Integer(), nullable=True, comment="null: the market as a whole"),
        sa.Column("place", sa.Integer(), nullable=False, comment="place in the queue of its moment, 0 first"),
        sa.Column(
            "trigger",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the rules that asked for it, with the values that fired them",
        ),
        sa.Column(
            "snapshot",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what the prompt shows, exactly: numbers, and posts where it asks of posts",
        ),
        sa.Column(
            "snapshot_hash", sa.Text(), nullable=False, comment="SHA-256 of kind and snapshot; equal ones are not asked again"
        ),
        sa.Column("prompt_hash", sa.Text(), nullable=False, comment="SHA-256 of system, prompt, schema and their version"),
        sa.Column("system", sa.Text(), nullable=False, comment="the instructions, the same for every token"),
        sa.Column("prompt", sa.Text(), nullable=False, comment="the question with the snapshot in it"),
        sa.Column(
            "question_swapped",
            sa.Boolean(),
            nullable=False,
            comment="whether the complement was asked, to cancel a bias to yes",
        ),
        sa.Column(
            "inputs", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="keys of the rows it rests on, by table"
        ),
        sa.Column("price_usd", sa.Double(), nullable=True, comment="price the question starts from, USD; null: the market"),
        sa.Column(
            "atr_usd", sa.Double(), nullable=True, comment="average true range of the hourly candles, USD; null: not known"
        ),
        sa.Column("horizon_seconds", sa.Integer(), nullable=False, comment="time the question is about, s"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored; UTC"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run that stored it"),
        sa.CheckConstraint("(kind = 'market_overview') = (token_id IS NULL)", name=op.f("ai_requests_token_id_check")),
        sa.CheckConstraint(
            "kind IN ('technical', 'sentiment', 'comprehensive', 'market_overview')", name=op.f("ai_requests_kind_check")
        ),
        sa.PrimaryKeyConstraint("as_of", "request_id", name=op.f("ai_requests_pkey")),
        comment="Questions put to language models, whole: with them and the answers a past day is made again without a call.",
        postgresql_partition_by="RANGE (as_of)",
    )
    op.create_table(
        "ai_answers",
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), nullable=False, comment="when it was stored, and could be used; UTC"
        ),
        sa.Column("request_id", sa.Text(), nullable=False, comment="the question"),
        sa.Column("provider", sa.Text(), nullable=False, comment="groq or gemini"),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False, comment="as_of of the question; UTC"),
        sa.Column("asked_model", sa.Text(), nullable=False, comment="the model that was asked, or was to be"),
        sa.Column("model", sa.Text(), nullable=False, comment="the model that answered, as it names itself"),
        sa.Column("prompt_hash", sa.Text(), nullable=False, comment="what was asked, as in ai_requests"),
        sa.Column("status", sa.Text(), nullable=False, comment="ok, or why there is no usable answer"),
        sa.Column("reason", sa.Text(), nullable=True, comment="what exactly; null: ok"),
        sa.Column("raw", sa.Text(), nullable=True, comment="the model's text as it came, usable or not; null: none came"),
        sa.Column(
            "parsed",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="the typed answer; null: none",
        ),
        sa.Column("tokens_in", sa.Integer(), nullable=True, comment="prompt tokens as the vendor counts; null: not said"),
        sa.Column("tokens_out", sa.Integer(), nullable=True, comment="answer tokens, thoughts included; null: not said"),
        sa.Column(
            "tokens_cached", sa.Integer(), nullable=True, comment="prompt tokens that the vendor had cached; null: not said"
        ),
        sa.Column(
            "latency_ms",
            sa.Integer(),
            nullable=True,
            comment="from asking to the answer, waiting included, ms; null: not asked",
        ),
        sa.Column("cost_usd", sa.Double(), nullable=False, comment="what it cost by the price list, USD"),
        sa.Column(
            "cost_known", sa.Boolean(), nullable=False, comment="false: the price list does not hold the model, cost is 0"
        ),
        sa.Column("payload_id", sa.BigInteger(), nullable=True, comment="raw_payloads row of the answer; null: none came"),
        sa.Column(
            "reused_from",
            sa.Text(),
            nullable=True,
            comment="request whose answer this repeats, as nothing had changed; null: asked",
        ),
        sa.Column(
            "available_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="rate_limited: when the vendor may be asked again; UTC",
        ),
        sa.CheckConstraint("(status = 'ok') = (parsed IS NOT NULL)", name=op.f("ai_answers_parsed_check")),
        sa.CheckConstraint("(status = 'ok') = (reason IS NULL)", name=op.f("ai_answers_reason_check")),
        sa.CheckConstraint(
            "status IN ('ok', 'blocked', 'cut', 'empty', 'invalid', 'refused', 'failed', 'budget', 'rate_limited',"
            " 'switched_off')",
            name=op.f("ai_answers_status_check"),
        ),
        sa.PrimaryKeyConstraint("recorded_at", "request_id", "provider", name=op.f("ai_answers_pkey")),
        comment="What each model answered to each question, or why it did not. Stored once, never changed.",
        postgresql_partition_by="RANGE (recorded_at)",
    )
    op.create_index("ai_answers_request_id_idx", "ai_answers", ["request_id"], unique=False)
    op.create_table(
        "ai_analyses",
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False, comment="moment it speaks of; UTC"),
        sa.Column("analysis_id", sa.Text(), nullable=False, comment="hash of the question it answers"),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="when the last answer it uses was stored; UTC"
        ),
        sa.Column("request_id", sa.Text(), nullable=False, comment="the question"),
        sa.Column("kind", sa.Text(), nullable=False, comment="technical, sentiment, comprehensive or market_overview"),
        sa.Column("token_id", sa.Integer(), nullable=True, comment="null: the market as a whole"),
        sa.Column("status", sa.Text(), nullable=False, comment="agreed, disagreement, single_model, abstained or waiting"),
        sa.Column("direction", sa.Text(), nullable=True, comment="buy, sell or neutral; null: no answer"),
        sa.Column(
            "probability_up",
            sa.REAL(),
            nullable=True,
            comment="that the return within the horizon exceeds the cost; null: no answer",
        ),
        sa.Column(
            "confidence", sa.REAL(), nullable=True, comment="probability of the direction it names, 0 to 1; null: no answer"
        ),
        sa.Column(
            "disagreement", sa.REAL(), nullable=True, comment="distance of the models' logits, 0 to 1; null: fewer than two"
        ),
        sa.Column("horizon_seconds", sa.Integer(), nullable=False, comment="s"),
        sa.Column(
            "risk_level", sa.Text(), nullable=True, comment="the gravest that a model named: low, medium or high; null: none"
        ),
        sa.Column("price_usd", sa.Double(), nullable=True, comment="price it starts from, USD; null: the market"),
        sa.Column(
            "target_usd", sa.Double(), nullable=True, comment="price it expects, USD; null: no direction, or no range known"
        ),
        sa.Column("stop_usd", sa.Double(), nullable=True, comment="price at which it is wrong, USD; null likewise"),
        sa.Column(
            "recommendation", sa.Text(), nullable=True, comment="strong_buy, buy, hold, sell or strong_sell; null: no answer"
        ),
        sa.Column("summary", sa.Text(), nullable=True, comment="a model's own words; null: no answer"),
        sa.Column(
            "key_points",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="list of {provider, text}: the models' own words",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is not agreed; null: agreed"),
        sa.Column(
            "models",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by provider: status, reason, probability, calibrated, weight, answer",
        ),
        sa.Column("snapshot_hash", sa.Text(), nullable=False, comment="what was shown, as in ai_requests"),
        sa.CheckConstraint("(status = 'agreed') = (reason IS NULL)", name=op.f("ai_analyses_reason_check")),
        sa.CheckConstraint(
            "(status IN ('abstained', 'waiting')) = (probability_up IS NULL)", name=op.f("ai_analyses_probability_up_check")
        ),
        sa.CheckConstraint("direction IN ('buy', 'sell', 'neutral')", name=op.f("ai_analyses_direction_check")),
        sa.CheckConstraint(
            "kind IN ('technical', 'sentiment', 'comprehensive', 'market_overview')", name=op.f("ai_analyses_kind_check")
        ),
        sa.CheckConstraint(
            "status IN ('agreed', 'disagreement', 'single_model', 'abstained', 'waiting')",
            name=op.f("ai_analyses_status_check"),
        ),
        sa.CheckConstraint(
            "stop_usd IS NULL OR (direction = 'buy' AND stop_usd < price_usd AND price_usd < target_usd)"
            " OR (direction = 'sell' AND stop_usd > price_usd AND price_usd > target_usd)",
            name=op.f("ai_analyses_target_and_stop_check"),
        ),
        sa.CheckConstraint("(probability_up IS NULL) = (direction IS NULL)", name=op.f("ai_analyses_direction_known_check")),
        sa.PrimaryKeyConstraint("as_of", "analysis_id", name=op.f("ai_analyses_pkey")),
        comment="What the models together say of a token or the market; made of stored questions and answers only.",
        postgresql_partition_by="RANGE (as_of)",
    )
    op.create_table(
        "ai_model_calibration",
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day whose analyses use it"),
        sa.Column("provider", sa.Text(), nullable=False, comment="groq or gemini"),
        sa.Column("model", sa.Text(), nullable=False, comment="the model, as it names itself"),
        sa.Column("horizon_seconds", sa.Integer(), nullable=False, comment="s"),
        sa.Column("slope", sa.Double(), nullable=False, comment="a of calibrated logit = a * logit + b; 1: identity"),
        sa.Column("intercept", sa.Double(), nullable=False, comment="b of it; 0: identity"),
        sa.Column("n", sa.Integer(), nullable=False, comment="answers with an outcome that it was fitted on"),
        sa.Column("hits", sa.Integer(), nullable=False, comment="of those, how many rose more than the cost"),
        sa.Column("brier", sa.Double(), nullable=True, comment="mean squared distance of what the model said and the outcome"),
        sa.Column("base_brier", sa.Double(), nullable=True, comment="the same for the share of hits as a constant"),
        sa.Column("weight", sa.Double(), nullable=False, comment="say in the ensemble before it is shared out"),
        sa.Column(
            "fitted_through",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="newest outcome that took part became usable then; null: none; UTC",
        ),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="start of the day: all it rests on was usable by then; UTC",
        ),
        sa.PrimaryKeyConstraint("day", "provider", "model", "horizon_seconds", name=op.f("ai_model_calibration_pkey")),
        comment="How each model's probabilities are read, fitted every UTC day on what became of its earlier answers.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("ai_model_calibration")
    op.drop_table("ai_analyses")
    op.drop_index("ai_answers_request_id_idx", table_name="ai_answers")
    op.drop_table("ai_answers")
    op.drop_table("ai_requests")
