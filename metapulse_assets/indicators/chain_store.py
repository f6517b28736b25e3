"""Keeping `technical_analyses` in step with the candles: a tick goes on from the cached states, a backfill starts afresh."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.indicators.chain import (
    RECOMMENDATION_LABELS,
    TOKENS_AT_A_TIME,
    TREND_LABELS,
    Chain,
    analyse_from_anchor,
    anchor_of,
    came_late,
    run_chain,
    split_tokens,
)
from metapulse_assets.indicators.kernel import STATE_VERSION, STATE_WIDTH, State
from metapulse_assets.indicators.tables import indicator_chains, indicator_states, technical_analyses
from metapulse_assets.market.candle_store import filled_in_mark, made_until_mark, read_candles
from metapulse_assets.market.tables import candle_requests, candles
from metapulse_assets.market.timeframes import Timeframe
from metapulse_assets.platform.bulk import (
    Array,
    Columns,
    Labels,
    from_datetime64,
    read_columns,
    replace_rows,
    to_datetime64,
    write_columns,
)
from metapulse_assets.platform.day_partitions import day_bounds, day_start, days_of, ensure_days, utc_day
from metapulse_assets.platform.progress import progress_of, set_progress

# A tick brings a candle or two a token, so many tokens fit into memory at once.
TOKENS_ADVANCED_AT_A_TIME = 15_000
# An import is stamped before it is stored, so one stamped shortly before the last call may have been stored after it.
IMPORT_OVERLAP = timedelta(minutes=1)
# How far back imported candles may lie and still be the newest of their token.
LONGEST_ABSENCE = timedelta(days=60)


@dataclass(frozen=True)
class Analysed:
    """What an update came to: rows stored or changed, tokens whose chain was started from its anchor."""

    rows: int
    tokens_rebuilt: int


@dataclass(frozen=True)
class _Position:
    day: date
    through: datetime
    updated_at: datetime


def advance(connection: sa.Connection, timeframe: Timeframe, as_of: datetime) -> Analysed:
    """Analyse the candles that became usable since the last call, in as many days as they lie in.

    Goes as far as the market has made its candles: what it adds later comes after, or is known to have been imported.
    """
    made_until = progress_of(connection, made_until_mark(timeframe.name))
    if made_until is None:
        return Analysed(0, 0)
    reached = min(timeframe.floor(as_of), made_until)
    position = _position(connection, timeframe) or _restart(connection, timeframe, reached)
    imported = _imported_since(connection, timeframe, position.updated_at - IMPORT_OVERLAP)
    results = [_analyse_earlier_days(connection, timeframe, position, imported, as_of)]
    results.append(_advance_day(connection, timeframe, position, imported, reached, as_of))
    # The last candles of a day close with the next day's first tick, and belong to the chain that has run so far.
    while (next_day := day_bounds(position.day)[1]) < reached:
        _forget_states(connection, timeframe)
        position = _Position(utc_day(next_day), next_day, position.updated_at)
        results.append(_advance_day(connection, timeframe, position, imported, reached, as_of))
    return Analysed(sum(r.rows for r in results), sum(r.tokens_rebuilt for r in results))


def recompute(
    connection: sa.Connection, timeframe: Timeframe, days: Sequence[date], as_of: datetime, report: Callable[[date, int], None]
) -> Analysed:
    """Make the analyses of days (ascending) from their candles, whatever is stored; rows that come out equal stay untouched.

    Rows that know more than was usable at `as_of` are another tick's work and left alone. `report` is told a day and how
    many of its tokens are done.
    """
    if not days:
        return Analysed(0, 0)
    ensure_days(connection, technical_analyses.name, days)
    changed, done = 0, dict.fromkeys(days, 0)
    for some in _blocks_of_tokens(connection, timeframe, day_start(days[0]), day_bounds(days[-1])[1]):
        for day, past in _candles_of_days(connection, timeframe, days, some, as_of):
            start, end = day_bounds(day)
            chain = analyse_from_anchor(past, timeframe.interval, start)
            rows = _rows_to_keep(connection, timeframe, chain, start, end)
            within = _stored_rows(timeframe, some, start, end, as_of)
            changed += replace_rows(connection, technical_analyses, _stored(rows, timeframe), within)
            done[day] += len(chain.token_ids)
            report(day, done[day])
    return Analysed(changed, sum(done.values()))


def _candles_of_days(
    connection: sa.Connection, timeframe: Timeframe, days: Sequence[date], some: range, as_of: datetime
) -> Iterator[tuple[date, Columns]]:
    """Each day's usable candles from its anchor to its end. What it has in common with the day before is not read again."""
    held: Columns = {}
    until = anchor_of(timeframe.name, days[0])
    for day in days:
        anchor, end = anchor_of(timeframe.name, day), day_bounds(day)[1]
        fresh = _usable(read_candles(connection, timeframe.name, max(anchor, until), end, some), as_of)
        kept = {name: values[held["opened_at"] >= to_datetime64(anchor)] for name, values in held.items()}
        joined = {name: np.concatenate([kept[name], fresh[name]]) for name in kept} or fresh
        order = np.lexsort((joined["opened_at"], joined["token_id"]))
        held, until = {name: values[order] for name, values in joined.items()}, end
        yield day, held


def _stored_rows(timeframe: Timeframe, some: range, start: datetime, end: datetime, as_of: datetime) -> sa.ColumnElement[bool]:
    c = technical_analyses.c
    of_the_day = sa.and_(c.opened_at >= start, c.opened_at < end, c.timeframe == timeframe.name)
    return sa.and_(of_the_day, c.available_at <= as_of, c.token_id >= some.start, c.token_id < some.stop)


def _advance_day(
    connection: sa.Connection,
    timeframe: Timeframe,
    position: _Position,
    imported: Sequence[int],
    reached: datetime,
    as_of: datetime,
) -> Analysed:
    start, end = day_bounds(position.day)
    end = min(reached, end)
    fresh = _fresh_candles(connection, timeframe, position, end, as_of)
    rows = 0
    apart = np.array(imported, np.int32)
    if len(fresh["token_id"]):
        known = _read_states(connection, timeframe)
        apart = np.union1d(apart, _cannot_go_on(fresh, known, position.updated_at))
        going_on = ~np.isin(fresh["token_id"], apart)
        for part in split_tokens({name: values[going_on] for name, values in fresh.items()}, TOKENS_ADVANCED_AT_A_TIME):
            place = np.searchsorted(known["token_id"], np.unique(part["token_id"]))
            previous = known["last_opened_at"][place].astype(np.int64) / 1e6
            chain = run_chain(part, timeframe.interval, _as_state(known["state"][place]), previous)
            rows += _store(connection, timeframe, chain, start, end)
    for some in _some_at_a_time(apart.tolist()):
        chain = _chain_of_day(connection, timeframe, position.day, some, end, as_of)
        # From the day's start: a token that came into view today brings its earlier candles of today along.
        rows += _store(connection, timeframe, chain, start, end)
    _set_position(connection, timeframe, _Position(position.day, max(end, position.through), as_of))
    return Analysed(rows, len(apart))


def _fresh_candles(
    connection: sa.Connection, timeframe: Timeframe, position: _Position, end: datetime, as_of: datetime
) -> Columns:
    """Candles of the day not passed yet, and what was added since to the newest span passed; others come by imports."""
    start = max(day_start(position.day), position.through - timeframe.interval)
    candles = _usable(read_candles(connection, timeframe.name, start, end), as_of)
    fresh = (candles["opened_at"] >= to_datetime64(position.through)) | (
        candles["available_at"] > to_datetime64(position.updated_at)
    )
    return {name: values[fresh] for name, values in candles.items()}


def _cannot_go_on(fresh: Columns, known: Columns, updated_at: datetime) -> Array:
    """Tokens whose chain has to start over: they have no state, or not only candles that come after all it holds."""
    token_ids = fresh["token_id"]
    if not len(known["token_id"]):
        return np.unique(token_ids)
    place = np.clip(np.searchsorted(known["token_id"], token_ids), 0, len(known["token_id"]) - 1)
    goes_on = known["token_id"][place] == token_ids
    goes_on &= fresh["opened_at"] > known["last_opened_at"][place]
    goes_on &= fresh["available_at"] > to_datetime64(updated_at)
    goes_on &= ~came_late(fresh)
    return np.unique(token_ids[~goes_on])


def _analyse_earlier_days(
    connection: sa.Connection, timeframe: Timeframe, position: _Position, imported: Sequence[int], as_of: datetime
) -> Analysed:
    """Rows for imported candles of days that were left already, where they are still the newest of their token."""
    start = day_start(position.day)
    since = to_datetime64(max(position.updated_at - IMPORT_OVERLAP, start))
    rows = 0
    for some in _some_at_a_time(imported):
        candles = _usable(read_candles(connection, timeframe.name, start - LONGEST_ABSENCE, as_of, some), as_of)
        in_time = ~came_late(candles) & (candles["available_at"] > since) & (candles["opened_at"] < to_datetime64(start))
        for day in days_of(candles["opened_at"][in_time]):
            of_day = in_time & (candles["opened_at"].astype("datetime64[D]") == np.datetime64(day))
            chain = _chain_of_day(
                connection, timeframe, day, np.unique(candles["token_id"][of_day]).tolist(), day_bounds(day)[1], as_of
            )
            rows += _store_rows(connection, timeframe, chain, *day_bounds(day))
    return Analysed(rows, 0)


def _chain_of_day(
    connection: sa.Connection, timeframe: Timeframe, day: date, token_ids: Collection[int], end: datetime, as_of: datetime
) -> Chain:
    candles = read_candles(connection, timeframe.name, anchor_of(timeframe.name, day), end, token_ids)
    return analyse_from_anchor(_usable(candles, as_of), timeframe.interval, day_start(day))


def _some_at_a_time(token_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (token_ids[first : first + TOKENS_AT_A_TIME] for first in range(0, len(token_ids), TOKENS_AT_A_TIME))


def _blocks_of_tokens(connection: sa.Connection, timeframe: Timeframe, start: datetime, end: datetime) -> Iterator[range]:
    """Ranges that hold all possible tokens, each with not too many that have candles in a span of days."""
    c = candles.c
    with_candles = connection.execute(
        sa.select(c.token_id).distinct().where(c.timeframe == timeframe.name, c.opened_at >= start, c.opened_at < end)
    ).scalars()
    firsts = [0, *sorted(with_candles)[TOKENS_AT_A_TIME::TOKENS_AT_A_TIME], 2**31 - 1]
    return (range(first, after) for first, after in pairwise(firsts))


def _store(connection: sa.Connection, timeframe: Timeframe, chain: Chain, start: datetime, end: datetime) -> int:
    stored = _store_rows(connection, timeframe, chain, start, end)
    write_columns(
        connection,
        indicator_states,
        {
            "timeframe": timeframe.name,
            "token_id": chain.token_ids.astype(np.int32),
            "last_opened_at": chain.last_opened_at,
            "state": np.ascontiguousarray(chain.state.to_matrix()).view(f"V{8 * STATE_WIDTH}").ravel(),
        },
        conflict="replace_changed",
    )
    return stored


def _store_rows(connection: sa.Connection, timeframe: Timeframe, chain: Chain, start: datetime, end: datetime) -> int:
    rows = _rows_to_keep(connection, timeframe, chain, start, end)
    ensure_days(connection, technical_analyses.name, days_of(rows["opened_at"]))
    return write_columns(connection, technical_analyses, _stored(rows, timeframe), conflict="replace_changed")


def _rows_to_keep(connection: sa.Connection, timeframe: Timeframe, chain: Chain, start: datetime, end: datetime) -> Columns:
    """The chain's rows of a span, without those of candles that came later than a newer one beyond the span did."""
    rows = _within(chain.rows, start, end)
    # Nothing opened at the end or later could be used before it closed.
    overtaken = rows["available_at"] > to_datetime64(end + timeframe.interval)
    if not overtaken.any():
        return rows
    newer = read_candles(
        connection,
        timeframe.name,
        end,
        from_datetime64(rows["available_at"].max()),
        np.unique(rows["token_id"][overtaken]).tolist(),
    )
    token_ids, first = np.unique(newer["token_id"], return_index=True)
    if len(token_ids):
        earliest = np.minimum.reduceat(newer["available_at"].astype(np.int64), first)
        place = np.clip(np.searchsorted(token_ids, rows["token_id"]), 0, len(token_ids) - 1)
        overtaken &= (token_ids[place] == rows["token_id"]) & (earliest[place] < rows["available_at"].astype(np.int64))
        rows = {name: values[~overtaken] for name, values in rows.items()}
    return rows


def _stored(rows: Columns, timeframe: Timeframe) -> dict[str, Array | Labels | str]:
    return {
        **rows,
        "trend": Labels(rows["trend"], TREND_LABELS),
        "recommendation": Labels(rows["recommendation"], RECOMMENDATION_LABELS),
        "timeframe": timeframe.name,
    }


def _within(rows: Columns, start: datetime, end: datetime) -> Columns:
    # A row with no usable price in its candle says nothing.
    chosen = (rows["opened_at"] >= to_datetime64(start)) & (rows["opened_at"] < to_datetime64(end)) & (rows["bar_count"] > 0)
    return {name: values[chosen] for name, values in rows.items()}


def _usable(candles: Columns, as_of: datetime) -> Columns:
    usable = candles["available_at"] <= to_datetime64(as_of)
    return candles if usable.all() else {name: values[usable] for name, values in candles.items()}


def _as_state(raw: Array) -> State:
    return State.from_matrix(np.frombuffer(raw.tobytes(), np.float64).reshape(-1, STATE_WIDTH), STATE_VERSION)


def _read_states(connection: sa.Connection, timeframe: Timeframe) -> Columns:
    """The cached states, ascending by token."""
    c = indicator_states.c
    states = read_columns(connection, sa.select(c.token_id, c.last_opened_at, c.state).where(c.timeframe == timeframe.name))
    order = np.argsort(states["token_id"])
    return {name: values[order] for name, values in states.items()}


def _imported_since(connection: sa.Connection, timeframe: Timeframe, since: datetime) -> list[int]:
    """Tokens whose history was imported since. After a backfill nobody's state holds all candles any more: none is kept."""
    filled_in = progress_of(connection, filled_in_mark(timeframe.name))
    if filled_in is not None and filled_in > since:
        _forget_states(connection, timeframe)
    c = candle_requests.c
    imported = sa.select(c.token_id).where(c.timeframe == timeframe.name, c.asked_at > since, c.candles_received > 0)
    return list(connection.execute(imported.order_by(c.token_id)).scalars())


def _forget_states(connection: sa.Connection, timeframe: Timeframe) -> None:
    connection.execute(sa.delete(indicator_states).where(indicator_states.c.timeframe == timeframe.name))


def _restart(connection: sa.Connection, timeframe: Timeframe, reached: datetime) -> _Position:
    """Without a cache: the start of the day of the newest candle passed, or at first of the newest candle there may be."""
    _forget_states(connection, timeframe)
    newest = (progress_of(connection, _reached_mark(timeframe)) or reached) - timeframe.interval
    start = day_start(utc_day(newest))
    return _Position(utc_day(start), start, start)


def _reached_mark(timeframe: Timeframe) -> str:
    return f"technical_analyses:{timeframe.name}"


def _position(connection: sa.Connection, timeframe: Timeframe) -> _Position | None:
    row = connection.execute(
        sa.select(indicator_chains).where(indicator_chains.c.timeframe == timeframe.name).with_for_update()
    ).one_or_none()
    if row is None or row.state_version != STATE_VERSION:
        return None
    return _Position(row.chain_day, row.through, row.updated_at)


def _set_position(connection: sa.Connection, timeframe: Timeframe, position: _Position) -> None:
    statement = insert(indicator_chains).values(
        timeframe=timeframe.name,
        chain_day=position.day,
        state_version=STATE_VERSION,
        through=position.through,
        updated_at=position.updated_at,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["timeframe"],
            set_={name: statement.excluded[name] for name in ("chain_day", "state_version", "through", "updated_at")},
        )
    )
    set_progress(connection, _reached_mark(timeframe), position.through)
