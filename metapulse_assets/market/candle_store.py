"""Reading and writing candles. A candle is stored once: whoever comes first stays, and nothing rewrites it."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from metapulse_assets.market.candle_building import (
    CLOSE_GRACE,
    FIVE_MINUTES,
    candle_of_snapshot,
    candles_from_snapshots,
    roll_up,
)
from metapulse_assets.market.tables import candle_requests, candles, token_metrics, tokens, tracked_tokens
from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.platform.bulk import Array, Columns, read_columns, to_datetime64, write_columns
from metapulse_assets.platform.day_partitions import day_bounds, days_of, ensure_days
from metapulse_assets.platform.progress import progress_of, set_progress

# Timeframes whose candles lie in one partition a UTC day; 1d candles are few and lie in one table.
DAY_PARTITIONED = ("5m", "1h")
# After a pause longer than this, vendors are asked for the candles in between.
LONGEST_PAUSE_IN_CANDLES = 2
# Snapshots older than this are no longer turned into candles: history from a vendor is better by then.
OLDEST_SNAPSHOTS = timedelta(days=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def insert_candles(connection: sa.Connection, timeframe: str, columns: Columns, source: str, recorded_at: datetime) -> int:
    """Store candles that are not there yet; returns how many that were. Adds `recorded_at`, `timeframe` and `source`."""
    if not len(columns["token_id"]):
        return 0
    if timeframe in DAY_PARTITIONED:
        ensure_days(connection, f"candles_{timeframe}", days_of(columns["opened_at"]))
    return write_columns(
        connection,
        candles,
        {**columns, "recorded_at": recorded_at, "timeframe": timeframe, "source": source},
        conflict="keep",
    )


def read_candles(
    connection: sa.Connection,
    timeframe: str,
    start: datetime,
    end: datetime,
    token_ids: Collection[int] | None = None,
) -> Columns:
    """Candles opened in [start, end), sorted by token and time: token_id, opened_at, available_at, open … volume_usd.

    `token_ids` narrows to some tokens; a `range` of ids takes in all that lie in it.
    """
    statement = sa.select(
        candles.c.token_id,
        candles.c.opened_at,
        candles.c.available_at,
        candles.c.open,
        candles.c.high,
        candles.c.low,
        candles.c.close,
        candles.c.volume_usd,
    ).where(candles.c.timeframe == timeframe, candles.c.opened_at >= start, candles.c.opened_at < end)
    if isinstance(token_ids, range):
        statement = statement.where(candles.c.token_id >= token_ids.start, candles.c.token_id < token_ids.stop)
    elif token_ids is not None:
        statement = statement.where(candles.c.token_id.in_([int(token_id) for token_id in token_ids]))
    rows = read_columns(connection, statement)
    order = np.lexsort((rows["opened_at"], rows["token_id"]))
    return {name: values[order] for name, values in rows.items()}


def build_from_snapshots(connection: sa.Connection, as_of: datetime) -> int:
    """Store the 5-minute candles that have closed since the last time, out of the snapshots; returns how many.

    The newest span of the last time is looked at again: it may have been closed before the snapshots of its last seconds and
    of `CLOSE_GRACE` were in. Who has a candle there keeps it.
    """
    timeframe = TIMEFRAMES["5m"]
    start, end = closed_since(connection, as_of)
    if start >= end:
        return 0
    snapshots = _snapshots(connection, start, end, as_of)
    slot_of = candle_of_snapshot(snapshots["observed_at"])
    previous = read_candles(connection, "5m", start - timeframe.interval, end)
    stored = 0
    for slot in np.unique(slot_of):
        built = candles_from_snapshots({k: v[slot_of == slot] for k, v in snapshots.items()}, previous, to_datetime64(as_of))
        stored += insert_candles(connection, "5m", built, "snapshots", as_of)
        previous = {name: np.concatenate((previous[name], built[name])) for name in ("token_id", "opened_at", "close")}
    set_progress(connection, made_until_mark("5m"), max(end, progress_of(connection, made_until_mark("5m")) or end))
    return stored


def closed_since(connection: sa.Connection, as_of: datetime) -> tuple[datetime, datetime]:
    """From when to when 5-minute candles have closed since some were last made of snapshots, the newest of them included."""
    timeframe = TIMEFRAMES["5m"]
    oldest = timeframe.floor(as_of - OLDEST_SNAPSHOTS)
    made_until = progress_of(connection, made_until_mark("5m"))
    return (oldest if made_until is None else max(made_until - timeframe.interval, oldest)), timeframe.floor(as_of)


def roll_up_closed(connection: sa.Connection, timeframe: Timeframe, as_of: datetime) -> int:
    """Store the candles of a timeframe that have closed since the last time, out of finer ones; returns how many."""
    end = timeframe.floor(as_of)
    start = progress_of(connection, made_until_mark(timeframe.name))
    set_progress(connection, made_until_mark(timeframe.name), max(end, start or end))
    if start is None or start >= end:
        # A first run has only part of the span that just closed; a vendor's history covers it.
        return 0
    return roll_up_span(connection, timeframe, start, end, as_of)


def roll_up_again(connection: sa.Connection, timeframe: Timeframe, day: date, as_of: datetime) -> int:
    """Store the closed candles of a day that are not there yet, out of finer ones; returns how many."""
    start, end = day_bounds(day)
    stored = roll_up_span(connection, timeframe, start, min(end, timeframe.floor(as_of)), as_of)
    if stored:
        set_progress(connection, filled_in_mark(timeframe.name), as_of)
    return stored


def roll_up_span(connection: sa.Connection, timeframe: Timeframe, start: datetime, end: datetime, recorded_at: datetime) -> int:
    """Store the candles of a timeframe that opened in [start, end), for tokens seen through the whole of each.

    Usable from now on; but one made of imported history alone, and newer than all that its token has, from its close on, as
    the history is: nothing was derived without it.
    """
    assert timeframe.finer is not None  # noqa: S101 - callers pass timeframes that can be rolled up
    finer = read_candles(connection, timeframe.finer, start - timeframe.interval, end)
    whole = _spans_seen_whole(connection, finer, timeframe)
    within = finer["opened_at"] >= to_datetime64(start)
    parts = {k: v[within & whole] for k, v in finer.items()}
    rolled = roll_up(parts, np.timedelta64(timeframe.interval), to_datetime64(recorded_at))
    as_history = _made_of_history(parts, rolled, timeframe) & ~_older_than_known(connection, timeframe, rolled)
    closed_at = rolled["opened_at"] + np.timedelta64(timeframe.interval)
    rolled["available_at"] = np.where(as_history, closed_at, rolled["available_at"])
    return insert_candles(connection, timeframe.name, rolled, "rollup", recorded_at)


def _made_of_history(parts: Columns, rolled: Columns, timeframe: Timeframe) -> Array:
    """Which rolled-up candles have only parts that could have been used when each closed, as a first import's can."""
    assert timeframe.finer is not None  # noqa: S101 - callers pass timeframes that can be rolled up
    live = parts["available_at"] != parts["opened_at"] + np.timedelta64(TIMEFRAMES[timeframe.finer].interval)
    seen_live = _token_and_span({name: parts[name][live] for name in ("token_id", "opened_at")}, timeframe)
    return np.isin(_token_and_span(rolled, timeframe), seen_live, invert=True)


def _token_and_span(candles: Columns, timeframe: Timeframe) -> Array:
    """One number for each token and span of a timeframe."""
    number: Array = candles["opened_at"].astype(np.int64) // (timeframe.seconds * 1_000_000)
    return candles["token_id"].astype(np.int64) * 2**32 + number


def _older_than_known(connection: sa.Connection, timeframe: Timeframe, rolled: Columns) -> Array:
    """Which rolled-up candles are older than a stored one of their token: something may have been derived without them."""
    rows = connection.execute(
        sa.select(candles.c.token_id, sa.func.max(candles.c.opened_at).label("newest"))
        .where(
            candles.c.timeframe == timeframe.name,
            candles.c.token_id.in_([int(token) for token in np.unique(rolled["token_id"])]),
        )
        .group_by(candles.c.token_id)
    )
    newest = {row.token_id: to_datetime64(row.newest) for row in rows}
    long_ago = to_datetime64(LONG_AGO)
    known = np.array([newest.get(token, long_ago) for token in rolled["token_id"].tolist()], "datetime64[us]")
    older: Array = rolled["opened_at"] < known
    return older


def made_until_mark(timeframe: str) -> str:
    """Name of the mark up to which candles have been made of what was seen; those of vendors may lie beyond."""
    return f"candles:{timeframe}"


def pause_ended_mark(timeframe: str) -> str:
    """Name of the mark that says when the pipeline last came back after a pause."""
    return f"candle_gap:{timeframe}"


def filled_in_mark(timeframe: str) -> str:
    """Name of the mark that says when a backfill last added candles among older ones."""
    return f"candles_filled_in:{timeframe}"


def tokens_with_candles(connection: sa.Connection, timeframe: str, token_ids: Collection[int], since: datetime) -> set[int]:
    """Which of the tokens have any candle of this timeframe since a moment."""
    rows = connection.execute(
        sa.select(candles.c.token_id)
        .distinct()
        .where(
            candles.c.timeframe == timeframe,
            candles.c.opened_at >= since,
            candles.c.token_id.in_(list(token_ids)),
        )
    )
    return {row.token_id for row in rows}


def paused_since(connection: sa.Connection, timeframe: Timeframe, as_of: datetime) -> datetime | None:
    """Since when no candle of this timeframe was made, if that is longer than a missed tick explains."""
    through = progress_of(connection, made_until_mark(timeframe.name))
    if through and as_of - through > (LONGEST_PAUSE_IN_CANDLES + 1) * timeframe.interval:
        return through
    return None


def _snapshots(connection: sa.Connection, start: datetime, end: datetime, as_of: datetime) -> Columns:
    grace = timedelta(seconds=int(CLOSE_GRACE / np.timedelta64(1, "s")))
    return read_columns(
        connection,
        sa.select(
            token_metrics.c.token_id,
            token_metrics.c.observed_at,
            token_metrics.c.price_usd,
            token_metrics.c.volume_m5_usd,
            token_metrics.c.buys_m5,
            token_metrics.c.sells_m5,
        ).where(
            token_metrics.c.observed_at >= start + grace,
            token_metrics.c.observed_at < end + grace,
            token_metrics.c.recorded_at <= as_of,
        ),
    )


def _spans_seen_whole(connection: sa.Connection, finer: Columns, timeframe: Timeframe) -> Array:
    """For each finer candle, sorted by token: whether nothing of the longer candle around it is missing.

    Either the token was watched without a pause since that one began, or a vendor was asked for what was before.
    """
    began = _span_of(finer["opened_at"], timeframe)
    token_ids, first_row, place = np.unique(finer["token_id"], return_index=True, return_inverse=True)
    since, asked = _watched_since(connection, token_ids.tolist())
    reaches_back = finer["opened_at"][first_row][place] < began + FIVE_MINUTES
    whole: Array = (since[place] <= began) | ((asked >= since)[place] & reaches_back)
    return whole


def _watched_since(connection: sa.Connection, token_ids: Sequence[int]) -> tuple[Array, Array]:
    """Since when each token has been watched without a pause, and when a vendor was last asked for its history."""
    asked = sa.and_(
        candle_requests.c.token_id == tokens.c.token_id,
        candle_requests.c.timeframe == "5m",
        candle_requests.c.candles_received > 0,
    )
    stored = {
        row.token_id: row
        for row in connection.execute(
            sa.select(
                tokens.c.token_id,
                sa.func.coalesce(tracked_tokens.c.tracked_since, tokens.c.first_recorded_at).label("since"),
                candle_requests.c.asked_at,
            )
            .outerjoin(tracked_tokens, tracked_tokens.c.token_id == tokens.c.token_id)
            .outerjoin(candle_requests, asked)
            .where(tokens.c.token_id.in_(token_ids))
        )
    }
    rows = [stored[token_id] for token_id in token_ids]
    pause_ended = progress_of(connection, pause_ended_mark("5m")) or LONG_AGO
    since = [to_datetime64(max(row.since, pause_ended)) for row in rows]
    return np.array(since, "datetime64[us]"), np.array(
        [to_datetime64(row.asked_at or LONG_AGO) for row in rows], "datetime64[us]"
    )


def _span_of(opened_at: Array, timeframe: Timeframe) -> Array:
    interval = timeframe.seconds * 1_000_000
    return (opened_at.astype(np.int64) // interval * interval).view("datetime64[us]")
