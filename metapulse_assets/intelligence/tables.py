"""Tables of the language models: what they were asked, what they answered, and the analyses made of it."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from metapulse_assets.platform.database import metadata

_TIME = sa.DateTime(timezone=True)
_JSON = JSONB(none_as_null=True)
_UNIT = {"min": 0, "max": 1}
_COUNT = {"min": 0}
_PRICE = {"above": 0}
_KINDS = "kind IN ('technical', 'sentiment', 'comprehensive', 'market_overview')"

ai_requests = sa.Table(
    "ai_requests",
    metadata,
    sa.Column("as_of", _TIME, primary_key=True, comment="moment the snapshot was cut: only rows usable by then are in it; UTC"),
    sa.Column("request_id", sa.Text, primary_key=True, comment="hash of kind, token and as_of"),
    sa.Column("kind", sa.Text, nullable=False, comment="technical, sentiment, comprehensive or market_overview"),
    sa.Column("token_id", sa.Integer, comment="null: the market as a whole"),
    sa.Column("place", sa.Integer, nullable=False, comment="place in the queue of its moment, 0 first", info=_COUNT),
    sa.Column("trigger", JSONB, nullable=False, comment="the rules that asked for it, with the values that fired them"),
    sa.Column(
        "snapshot", JSONB, nullable=False, comment="what the prompt shows, exactly: numbers, and posts where it asks of posts"
    ),
    sa.Column("snapshot_hash", sa.Text, nullable=False, comment="SHA-256 of kind and snapshot; equal ones are not asked again"),
    sa.Column("prompt_hash", sa.Text, nullable=False, comment="SHA-256 of system, prompt, schema and their version"),
    sa.Column("system", sa.Text, nullable=False, comment="the instructions, the same for every token"),
    sa.Column("prompt", sa.Text, nullable=False, comment="the question with the snapshot in it"),
    sa.Column(
        "question_swapped", sa.Boolean, nullable=False, comment="whether the complement was asked, to cancel a bias to yes"
    ),
    sa.Column("inputs", JSONB, nullable=False, comment="keys of the rows it rests on, by table"),
    sa.Column("price_usd", sa.Double, comment="price the question starts from, USD; null: the market", info=_PRICE),
    sa.Column("atr_usd", sa.Double, comment="average true range of the hourly candles, USD; null: not known", info=_COUNT),
    sa.Column("horizon_seconds", sa.Integer, nullable=False, comment="time the question is about, s", info=_PRICE),
    sa.Column("recorded_at", _TIME, nullable=False, comment="when it was stored; UTC"),
    sa.Column("run_id", sa.Text, nullable=False, comment="Dagster run that stored it"),
    sa.CheckConstraint(_KINDS, name="kind"),
    sa.CheckConstraint("(kind = 'market_overview') = (token_id IS NULL)", name="token_id"),
    postgresql_partition_by="RANGE (as_of)",
    comment="Questions put to language models, whole: with them and the answers a past day is made again without a call.",
)

ai_answers = sa.Table(
    "ai_answers",
    metadata,
    sa.Column("recorded_at", _TIME, primary_key=True, comment="when it was stored, and could be used; UTC"),
    sa.Column("request_id", sa.Text, primary_key=True, comment="the question"),
    sa.Column("provider", sa.Text, primary_key=True, comment="groq or gemini"),
    sa.Column("as_of", _TIME, nullable=False, comment="as_of of the question; UTC"),
    sa.Column("asked_model", sa.Text, nullable=False, comment="the model that was asked, or was to be"),
    sa.Column("model", sa.Text, nullable=False, comment="the model that answered, as it names itself"),
    sa.Column("prompt_hash", sa.Text, nullable=False, comment="what was asked, as in ai_requests"),
    sa.Column("status", sa.Text, nullable=False, comment="ok, or why there is no usable answer"),
    sa.Column("reason", sa.Text, comment="what exactly; null: ok"),
    sa.Column("raw", sa.Text, comment="the model's text as it came, usable or not; null: none came"),
    sa.Column("parsed", _JSON, comment="the typed answer; null: none"),
    sa.Column("tokens_in", sa.Integer, comment="prompt tokens as the vendor counts; null: not said", info=_COUNT),
    sa.Column("tokens_out", sa.Integer, comment="answer tokens, thoughts included; null: not said", info=_COUNT),
    sa.Column("tokens_cached", sa.Integer, comment="prompt tokens that the vendor had cached; null: not said", info=_COUNT),
    sa.Column(
        "latency_ms", sa.Integer, comment="from asking to the answer, waiting included, ms; null: not asked", info=_COUNT
    ),
    sa.Column("cost_usd", sa.Double, nullable=False, comment="what it cost by the price list, USD", info=_COUNT),
    sa.Column("cost_known", sa.Boolean, nullable=False, comment="false: the price list does not hold the model, cost is 0"),
    sa.Column("payload_id", sa.BigInteger, comment="raw_payloads row of the answer; null: none came"),
    sa.Column("reused_from", sa.Text, comment="request whose answer this repeats, as nothing had changed; null: asked"),
    sa.Column("available_until", _TIME, comment="rate_limited: when the vendor may be asked again; UTC"),
    sa.CheckConstraint(
        "status IN ('ok', 'blocked', 'cut', 'empty', 'invalid', 'refused', 'failed', 'budget', 'rate_limited', 'switched_off')",
        name="status",
    ),
    sa.CheckConstraint("(status = 'ok') = (parsed IS NOT NULL)", name="parsed"),
    sa.CheckConstraint("(status = 'ok') = (reason IS NULL)", name="reason"),
    sa.Index("ai_answers_request_id_idx", "request_id"),
    postgresql_partition_by="RANGE (recorded_at)",
    comment="What each model answered to each question, or why it did not. Stored once, never changed.",
)

ai_analyses = sa.Table(
    "ai_analyses",
    metadata,
    sa.Column("as_of", _TIME, primary_key=True, comment="moment it speaks of; UTC"),
    sa.Column("analysis_id", sa.Text, primary_key=True, comment="hash of the question it answers"),
    sa.Column("available_at", _TIME, nullable=False, comment="when the last answer it uses was stored; UTC"),
    sa.Column("request_id", sa.Text, nullable=False, comment="the question"),
    sa.Column("kind", sa.Text, nullable=False, comment="technical, sentiment, comprehensive or market_overview"),
    sa.Column("token_id", sa.Integer, comment="null: the market as a whole"),
    sa.Column("status", sa.Text, nullable=False, comment="agreed, disagreement, single_model, abstained or waiting"),
    sa.Column("direction", sa.Text, comment="buy, sell or neutral; null: no answer"),
    sa.Column(
        "probability_up", sa.REAL, comment="that the return within the horizon exceeds the cost; null: no answer", info=_UNIT
    ),
    sa.Column("confidence", sa.REAL, comment="probability of the direction it names, 0 to 1; null: no answer", info=_UNIT),
    sa.Column("disagreement", sa.REAL, comment="distance of the models' logits, 0 to 1; null: fewer than two", info=_UNIT),
    sa.Column("horizon_seconds", sa.Integer, nullable=False, comment="s", info=_PRICE),
    sa.Column("risk_level", sa.Text, comment="the gravest that a model named: low, medium or high; null: none"),
    sa.Column("price_usd", sa.Double, comment="price it starts from, USD; null: the market", info=_PRICE),
    sa.Column("target_usd", sa.Double, comment="price it expects, USD; null: no direction, or no range known", info=_PRICE),
    sa.Column("stop_usd", sa.Double, comment="price at which it is wrong, USD; null likewise", info=_PRICE),
    sa.Column("recommendation", sa.Text, comment="strong_buy, buy, hold, sell or strong_sell; null: no answer"),
    sa.Column("summary", sa.Text, comment="a model's own words; null: no answer"),
    sa.Column("key_points", JSONB, nullable=False, comment="list of {provider, text}: the models' own words"),
    sa.Column("reason", sa.Text, comment="why it is not agreed; null: agreed"),
    sa.Column("models", JSONB, nullable=False, comment="by provider: status, reason, probability, calibrated, weight, answer"),
    sa.Column("snapshot_hash", sa.Text, nullable=False, comment="what was shown, as in ai_requests"),
    sa.CheckConstraint(_KINDS, name="kind"),
    sa.CheckConstraint("status IN ('agreed', 'disagreement', 'single_model', 'abstained', 'waiting')", name="status"),
    sa.CheckConstraint("direction IN ('buy', 'sell', 'neutral')", name="direction"),
    sa.CheckConstraint("(status IN ('abstained', 'waiting')) = (probability_up IS NULL)", name="probability_up"),
    sa.CheckConstraint("(probability_up IS NULL) = (direction IS NULL)", name="direction_known"),
    sa.CheckConstraint("(status = 'agreed') = (reason IS NULL)", name="reason"),
    sa.CheckConstraint(
        "stop_usd IS NULL OR (direction = 'buy' AND stop_usd < price_usd AND price_usd < target_usd)"
        " OR (direction = 'sell' AND stop_usd > price_usd AND price_usd > target_usd)",
        name="target_and_stop",
    ),
    postgresql_partition_by="RANGE (as_of)",
    comment="What the models together say of a token or the market; made of stored questions and answers only.",
)

ai_model_calibration = sa.Table(
    "ai_model_calibration",
    metadata,
    sa.Column("day", sa.Date, primary_key=True, comment="UTC day whose analyses use it"),
    sa.Column("provider", sa.Text, primary_key=True, comment="groq or gemini"),
    sa.Column("model", sa.Text, primary_key=True, comment="the model, as it names itself"),
    sa.Column("horizon_seconds", sa.Integer, primary_key=True, comment="s", info=_PRICE),
    sa.Column("slope", sa.Double, nullable=False, comment="a of calibrated logit = a * logit + b; 1: identity", info=_COUNT),
    sa.Column("intercept", sa.Double, nullable=False, comment="b of it; 0: identity"),
    sa.Column("n", sa.Integer, nullable=False, comment="answers with an outcome that it was fitted on", info=_COUNT),
    sa.Column("hits", sa.Integer, nullable=False, comment="of those, how many rose more than the cost", info=_COUNT),
    sa.Column("brier", sa.Double, comment="mean squared distance of what the model said and the outcome", info=_UNIT),
    sa.Column("base_brier", sa.Double, comment="the same for the share of hits as a constant", info=_UNIT),
    sa.Column("weight", sa.Double, nullable=False, comment="say in the ensemble before it is shared out", info=_PRICE),
    sa.Column("fitted_through", _TIME, comment="newest outcome that took part became usable then; null: none; UTC"),
    sa.Column("available_at", _TIME, nullable=False, comment="start of the day: all it rests on was usable by then; UTC"),
    comment="How each model's probabilities are read, fitted every UTC day on what became of its earlier answers.",
)
