"""Keeping `technical_signals` in step with the analyses: what the rules find on each closed candle."""

import json
from datetime import date, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.indicators.bars import MAX_GAP_INTERVALS
from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.market.tables import candles
from metapulse_assets.market.timeframes import Timeframe
from metapulse_assets.platform.bulk import (
    Array,
    Column,
    Columns,
    JsonTexts,
    append_columns,
    from_datetime64,
    read_columns,
    to_datetime64,
)
from metapulse_assets.platform.day_partitions import day_bounds, day_start, days_of, ensure_days, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.signals.analysed_candles import VALUE_COLUMNS
from metapulse_assets.signals.tables import technical_signals
from metapulse_assets.signals.technical import RuleHits, find_rule_hits


def find_new(connection: sa.Connection, timeframe: Timeframe, as_of: datetime) -> int:
    """Apply the rules to the candles analysed since the last call; returns how many hits are stored."""
    mark = f"technical_signals:{timeframe.name}"
    end = timeframe.floor(as_of)
    start = progress_of(connection, mark) or day_start(utc_day(as_of))
    found = _find(connection, timeframe, start, end) if start < end else 0
    set_progress(connection, mark, max(start, end))
    return found


def find_again(connection: sa.Connection, timeframe: Timeframe, day: date) -> int:
    """Apply the rules to all analysed candles of a day, in place of what is stored; returns how many hits there are."""
    start, end = day_bounds(day)
    return _find(connection, timeframe, start, end)


def _find(connection: sa.Connection, timeframe: Timeframe, start: datetime, end: datetime) -> int:
    # A cross needs the candle before, which may be some gaps older.
    analyses = _read_analyses(connection, timeframe, start - (MAX_GAP_INTERVALS + 1) * timeframe.interval, end)
    hits = find_rule_hits(
        {**analyses, "opened_at": analyses["opened_at"].astype(np.int64) / 1e6}, timeframe.interval.total_seconds()
    )
    usable = analyses["available_at"].astype(np.int64)
    known_at = np.maximum(usable[hits.row], np.where(hits.previous_row >= 0, usable[hits.previous_row], 0))
    wanted = np.flatnonzero(analyses["opened_at"][hits.row] >= to_datetime64(start))
    wanted = wanted[~_lacks_analysis_before(connection, timeframe, analyses, hits, known_at, wanted)]
    row = hits.row[wanted]
    found: dict[str, Column] = {
        "opened_at": analyses["opened_at"][row],
        "token_id": analyses["token_id"][row],
        "timeframe": timeframe.name,
        "rule": hits.rule[wanted],
        "available_at": known_at[wanted].astype("datetime64[us]"),
        "direction": hits.direction[wanted],
        "strength": hits.strength[wanted],
        "confidence": hits.confidence[wanted],
        "price_usd": analyses["close"][row],
        "atr_usd": analyses["atr_14"][row],
        "inputs": JsonTexts([json.dumps(hits.inputs[hit]) for hit in wanted.tolist()]),
    }
    ensure_days(
        connection, technical_signals.name, {*days_of(analyses["opened_at"][row]), utc_day(end - timedelta(microseconds=1))}
    )
    t = technical_signals.c
    connection.execute(
        sa.delete(technical_signals).where(t.timeframe == timeframe.name, t.opened_at >= start, t.opened_at < end)
    )
    return append_columns(connection, technical_signals, found)


def _lacks_analysis_before(
    connection: sa.Connection, timeframe: Timeframe, analyses: Columns, hits: RuleHits, known_at: Array, wanted: Array
) -> Array:
    """Which hits have no analysis of the candle before though there is such a candle: its day was never analysed.

    Whether the state that they found is new cannot be told then.
    """
    result = np.zeros(len(wanted), np.bool_)
    alone = np.flatnonzero(hits.previous_row[wanted] < 0)
    if not alone.size:
        return result
    opened_at = analyses["opened_at"][hits.row[wanted]]
    reach = np.timedelta64((MAX_GAP_INTERVALS + 1) * timeframe.interval)
    c = candles.c
    rows = read_columns(
        connection,
        sa.select(c.token_id, c.opened_at, c.available_at).where(
            c.timeframe == timeframe.name,
            c.opened_at >= from_datetime64(opened_at[alone].min() - reach),
            c.opened_at < from_datetime64(opened_at[alone].max()),
            c.token_id.in_(np.unique(analyses["token_id"][hits.row[wanted[alone]]]).tolist()),
        ),
    )
    usable = rows["available_at"].astype(np.int64)
    for place in alone.tolist():
        row = hits.row[wanted[place]]
        before = (rows["token_id"] == analyses["token_id"][row]) & (rows["opened_at"] < opened_at[place])
        before &= (rows["opened_at"] >= opened_at[place] - reach) & (usable <= known_at[wanted[place]])
        result[place] = before.any()
    return result


def _read_analyses(connection: sa.Connection, timeframe: Timeframe, start: datetime, end: datetime) -> Columns:
    table = technical_analyses
    names = ("token_id", "opened_at", "available_at", "bar_count", *VALUE_COLUMNS)
    rows = read_columns(
        connection,
        sa.select(*(table.c[name] for name in names)).where(
            table.c.timeframe == timeframe.name, table.c.opened_at >= start, table.c.opened_at < end
        ),
    )
    order = np.lexsort((rows["opened_at"], rows["token_id"]))
    return {name: values[order] for name, values in rows.items()}
