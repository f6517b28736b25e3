"""What tables take on disk, indexes and TOAST included, and a day that is full already."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.market.tables import token_metrics
from metapulse_assets.platform.day_partitions import day_start, utc_day

# Caches of constant size, and tables with one row a token (or rule, or migration): a tick does not make them grow.
CONSTANT = (
    *("indicator_states", "indicator_chains", "progress_marks", "rate_limits", "circuit_breakers"),
    *("tokens", "pools", "tracked_tokens", "candle_requests", "database_identity", "alembic_version"),
)


def bytes_of_growing(engine: sa.Engine) -> dict[str, int]:
    """Bytes of each table that ticks add to, with all its partitions; nothing is vacuumed before."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                # The tree of a table without partitions is empty.
                "SELECT relname, coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(oid)"
                " WHERE isleaf), pg_total_relation_size(oid)) AS size"
                " FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                " AND relnamespace = 'public'::regnamespace ORDER BY relname"
            )
        ).all()
    return {row.relname: int(row.size) for row in rows if row.relname not in CONSTANT}


def fill_day(engine: sa.Engine, until: datetime) -> None:
    """Make a day as full as it is by `until`: a snapshot for each candle, a hit and a signal for every sixth analysis.

    The candles and analyses must be there already, and one tick's snapshots. The rows pass every check: each signal has a
    rule of its own, so none repeats another.
    """
    start = day_start(utc_day(until))
    with engine.begin() as connection:
        kept = [c.name for c in token_metrics.columns if c.name not in ("observed_at", "recorded_at", "token_id")]
        connection.execute(
            sa.text(
                f"INSERT INTO token_metrics (observed_at, recorded_at, token_id, {', '.join(kept)})"
                " SELECT candles.available_at, candles.available_at, seen.token_id, "
                f"{', '.join(f'seen.{name}' for name in kept)} FROM candles JOIN token_metrics AS seen USING (token_id)"
                " WHERE timeframe = '5m' AND opened_at >= :start AND candles.available_at < :until"
            ),
            {"start": start, "until": until - timedelta(minutes=1)},
        )
        connection.execute(
            sa.text(
                "INSERT INTO technical_signals (opened_at, token_id, timeframe, rule, available_at, direction, strength,"
                " confidence, price_usd, atr_usd, inputs) SELECT opened_at, token_id, timeframe, 'rsi_oversold', available_at,"
                " 'buy', 0.5, 0.5, close, atr_14, '{\"rsi_14\": 29.5, \"close\": 1.25}' FROM technical_analyses"
                " WHERE opened_at >= :start AND timeframe = '5m'"
                " AND mod(token_id + extract(epoch FROM opened_at)::bigint / 300, 6) = 0 ON CONFLICT DO NOTHING"
            ),
            {"start": start},
        )
        connection.execute(
            sa.text(
                "INSERT INTO signals (signal_id, token_id, kind, rule, timeframe, direction, strength, confidence, risk,"
                " price_usd, horizon_seconds, reasons, opened_at, observed_at, emitted_at, expires_at, recorded_at, origin,"
                " mode, run_id) SELECT md5(token_id::text || opened_at::text), token_id, 'technical',"
                " 'rule ' || extract(epoch FROM opened_at), timeframe, direction, strength, confidence, 'low', price_usd, 3600,"
                " jsonb_build_array(jsonb_build_object('text', repeat('made up ', 12), 'inputs', inputs)), opened_at,"
                " opened_at + interval '5 minutes', available_at, available_at + interval '24 hours', available_at, 'live',"
                " 'sandbox', 'a full day' FROM technical_signals WHERE opened_at >= :start ON CONFLICT DO NOTHING"
            ),
            {"start": start},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
