"""Candle history from a vendor: which tokens to ask for, and the answers as columns of `candles`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.market.candle_store import insert_candles, paused_since, tokens_with_candles
from metapulse_assets.market.tables import candle_requests, candles
from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.bulk import Columns, to_datetime64
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.raw_payloads import RawPayload, store_payloads
from metapulse_assets.vendors.geckoterminal import GeckoTerminal, History

# Asked in this order: hours warm up the slow indicators, five minutes the fast ones, days are context.
ORDER = ("5m", "1h", "1d")
# How far back a stored candle counts as "this token already has candles".
LOOK_BACK = timedelta(days=60)


@dataclass(frozen=True)
class HistoryRequest:
    """One question: a token's candles of a timeframe that opened before a moment."""

    token: TrackedToken
    timeframe: Timeframe
    before: datetime


@dataclass
class Imported:
    """What a round of questions brought."""

    requests: int = 0
    candles: int = 0
    refused: list[DeadLetter] = field(default_factory=list)
    left_for_later: int = 0


def plan_requests(
    connection: sa.Connection, tokens: Sequence[TrackedToken], as_of: datetime, budget: int
) -> tuple[list[HistoryRequest], int]:
    """The questions that are due, at most `budget` of them, and how many are left for the next run.

    Due: a token never asked for, and every token after a pause of the pipeline, whose candles in between only a vendor has.
    """
    asked = {(row.token_id, row.timeframe): row.asked_at for row in connection.execute(sa.select(candle_requests))}
    due = []
    for name in ORDER:
        timeframe = TIMEFRAMES[name]
        if paused_since(connection, timeframe, as_of):
            set_progress(connection, f"candle_gap:{name}", as_of)
        gap_ended = progress_of(connection, f"candle_gap:{name}")
        for token in tokens:
            last = asked.get((token.token_id, name))
            if token.pool_address and (last is None or (gap_ended is not None and last < gap_ended)):
                due.append(HistoryRequest(token, timeframe, timeframe.floor(as_of)))
    return due[:budget], max(len(due) - budget, 0)


def plan_past_days(
    connection: sa.Connection, tokens: Sequence[TrackedToken], days: Sequence[date], as_of: datetime, budget: int
) -> tuple[list[HistoryRequest], int]:
    """The questions that fill past days: each token that has no candle of a timeframe in a day, at most `budget`."""
    due = []
    for name in ("5m", "1h"):
        timeframe = TIMEFRAMES[name]
        for day in days:
            start, end = day_bounds(day)
            rows = connection.execute(
                sa.select(candles.c.token_id)
                .distinct()
                .where(candles.c.timeframe == name, candles.c.opened_at >= start, candles.c.opened_at < end)
            )
            present = {row.token_id for row in rows}
            due += [
                HistoryRequest(token, timeframe, min(end, timeframe.floor(as_of)))
                for token in tokens
                if token.pool_address and token.token_id not in present
            ]
    return due[:budget], max(len(due) - budget, 0)


async def fetch_and_store(
    engine: sa.Engine,
    geckoterminal: GeckoTerminal,
    requests: Sequence[HistoryRequest],
    clock: Callable[[], datetime],
    report: Callable[[int, int], None],
) -> Imported:
    """Ask one question after the other and store each answer at once, so that a stop loses none of them.

    `report(done, of)` is called after each question.
    """
    result = Imported()
    for done, request in enumerate(requests, 1):
        token = request.token
        assert token.pool_address  # noqa: S101 - planned only for tokens with a pool
        history = await geckoterminal.candles(token.key[0], token.pool_address, request.timeframe.name, before=request.before)
        result.requests += 1
        result.refused += history.refused
        if history.answered:
            with engine.begin() as connection:
                result.candles += store_history(connection, request, history, clock())
        report(done, len(requests))
    return result


def store_history(connection: sa.Connection, request: HistoryRequest, history: History, recorded_at: datetime) -> int:
    """Store an answer; returns how many candles were new.

    A token's first candles of a timeframe could have been used when each closed: nothing was derived without them. Once it has
    candles, older ones that turn up later became usable only now, or a replay would know more than the live run did.
    """
    name, token_id = request.timeframe.name, request.token.token_id
    late = bool(tokens_with_candles(connection, name, [token_id], recorded_at - LOOK_BACK))
    stored = 0
    columns = history_columns(request, history.rows, recorded_at if late else None)
    if history.payload is not None and len(columns["token_id"]):
        columns["payload_id"] = np.full(len(columns["token_id"]), _payload_id(connection, history.payload), dtype=np.int64)
        stored = insert_candles(connection, name, columns, "vendor history", recorded_at)
    statement = insert(candle_requests).values(
        token_id=token_id,
        timeframe=name,
        asked_at=recorded_at,
        candles_received=len(history.rows),
        late_at=recorded_at if late and stored else None,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["token_id", "timeframe"],
            set_={
                "asked_at": statement.excluded.asked_at,
                "candles_received": statement.excluded.candles_received,
                "late_at": sa.func.coalesce(statement.excluded.late_at, candle_requests.c.late_at),
            },
        )
    )
    return stored


def history_columns(
    request: HistoryRequest, rows: Sequence[tuple[int, float, float, float, float, float]], available_at: datetime | None
) -> Columns:
    """Vendor rows as columns; only candles closed by the time of the question. `available_at` None: at each one's close."""
    values = np.array(rows, dtype=np.float64).reshape(-1, 6)
    opened_at = values[:, 0].astype("int64").astype("datetime64[s]").astype("datetime64[us]")
    close_at = opened_at + np.timedelta64(request.timeframe.interval)
    closed = close_at <= to_datetime64(request.before)
    values, opened_at, close_at = values[closed], opened_at[closed], close_at[closed]
    available = close_at if available_at is None else np.full(len(opened_at), to_datetime64(available_at))
    return {
        "token_id": np.full(len(opened_at), request.token.token_id, np.int32),
        "opened_at": opened_at,
        "available_at": available,
        "open": values[:, 1],
        "high": values[:, 2],
        "low": values[:, 3],
        "close": values[:, 4],
        "volume_usd": values[:, 5],
    }


def _payload_id(connection: sa.Connection, payload: RawPayload) -> int:
    return store_payloads(connection, [payload])[payload.sha256]
