"""The warm-up report on stored candles: which series, and keeping the table."""

from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.indicators.warm_up import REQUIRED_BARS, warm_up_report
from metapulse_assets.indicators.warm_up_tables import warm_up_report as table
from metapulse_assets.market.candle_store import read_candles
from metapulse_assets.market.tables import candles
from metapulse_assets.platform.bulk import Columns

TIMEFRAME = "1h"
MOST_TOKENS = 50
MOST_BARS = 5_000
FEWEST_BARS = 300
"""Below this even an EMA 50 has no reference worth the name. Own choice."""
LENGTHS = (50, 100, 150, 199, 250, 399, 499, 800, 999, 1999)
KEPT = timedelta(hours=24)


def computed_lately(connection: sa.Connection, now: datetime) -> datetime | None:
    """When the report was made, if that is less than a day ago."""
    made: datetime | None = connection.execute(sa.select(sa.func.max(table.c.computed_at))).scalar()
    return made if made is not None and now - made < KEPT else None


def measure(connection: sa.Connection, now: datetime) -> int:
    """Make the report anew from the longest hourly histories stored; returns how many rows it has.

    All series are cut to the length that the shortest of them has. Without a history of `FEWEST_BARS` it is empty.
    """
    connection.execute(sa.delete(table))
    lengths = _longest(connection, now)
    if not lengths:
        return 0
    bars = min(min(lengths.values()), MOST_BARS)
    rows = read_candles(connection, TIMEFRAME, datetime.fromisoformat("2009-01-03T00:00:00+00:00"), now, list(lengths))
    series = {name: _last_bars(rows, name, bars) for name in ("close", "high", "low", "volume_usd")}
    report = warm_up_report(
        series["close"], series["high"], series["low"], np.nan_to_num(series["volume_usd"]), [n for n in LENGTHS if n < bars]
    )
    if report:
        connection.execute(
            sa.insert(table),
            [
                {
                    "indicator": row.column,
                    "bars": row.bars,
                    "reference_bars": bars,
                    "series": row.series,
                    "p95_error": None if np.isnan(row.p95_error) else row.p95_error,
                    "error_unit": row.error_unit,
                    "required_bars": REQUIRED_BARS[row.column],
                    "computed_at": now,
                }
                for row in report
            ],
        )
    return len(report)


def _longest(connection: sa.Connection, now: datetime) -> dict[int, int]:
    """The tokens with the most candles: at least half as many as the one with most, so that few short ones cut no long one."""
    c = candles.c
    found = connection.execute(
        sa.select(c.token_id, sa.func.count().label("bars"))
        .where(c.timeframe == TIMEFRAME, c.available_at <= now)
        .group_by(c.token_id)
        .having(sa.func.count() >= FEWEST_BARS)
        .order_by(sa.desc("bars"), c.token_id)
        .limit(MOST_TOKENS)
    ).all()
    return {row.token_id: row.bars for row in found if 2 * row.bars >= found[0].bars}


def _last_bars(rows: Columns, name: str, bars: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    ends = np.flatnonzero(np.append(np.diff(rows["token_id"]) != 0, True)) + 1
    return np.stack([rows[name][end - bars : end] for end in ends.tolist()], axis=1).astype(np.float64)
