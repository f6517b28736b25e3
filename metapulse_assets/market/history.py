"""Candle history from a vendor: which tokens to ask for, and the answers as columns of `candles`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.market.candle_store import (
    filled_in_mark,
    insert_candles,
    pause_ended_mark,
    paused_since,
    tokens_with_candles,
)
from metapulse_assets.market.tables import candle_requests, candles, tracked_tokens
from metapulse_assets.market.timeframes import TIMEFRAMES, Timeframe
from metapulse_assets.market.token_store import TrackedToken
from metapulse_assets.platform.bulk import Columns, to_datetime64
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.progress import progress_of, set_progress
from metapulse_assets.platform.raw_payloads import RawPayload, store_payloads
from metapulse_assets.vendors.geckoterminal import CANDLES_PER_CALL, GeckoTerminal, History

# Asked in this order: hours warm up the slow indicators, five minutes the fast ones, days are context.
ORDER = ("5m", "1h", "1d")
# How far back a stored candle counts as "this token already has candles".
LOOK_BACK = timedelta(days=60)
# No chain of blocks is older (Bitcoin's first block); what a vendor dates before it is a mistake.
OLDEST_CANDLE = datetime(2009, 1, 3, tzinfo=UTC)
# What the client says where the vendor has nothing for this pool and never will, and of a vendor that is not being called.
NOT_KNOWN = frozenset({"HTTP 400", "HTTP 404", "HTTP 410", "HTTP 422"})
NOT_CALLED = "circuit open"


@dataclass(frozen=True)
class HistoryRequest:
    """One question: a token's candles of a timeframe that opened before a moment.

    `fills_in`: asked by a backfill, for a past day; whether the token was ever asked for up to now is another matter.
    """

    token: TrackedToken
    timeframe: Timeframe
    before: datetime
    fills_in: bool = False


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

    Due: a token never asked for, and one asked for before it was let go and taken back; after a pause of the pipeline every
    token. The candles in between only a vendor has.
    """
    asked = {(row.token_id, row.timeframe): row.asked_at for row in connection.execute(sa.select(candle_requests))}
    since = {
        row.token_id: row.tracked_since
        for row in connection.execute(sa.select(tracked_tokens.c.token_id, tracked_tokens.c.tracked_since))
    }
    due = []
    for name in ORDER:
        timeframe = TIMEFRAMES[name]
        if paused_since(connection, timeframe, as_of):
            set_progress(connection, pause_ended_mark(name), as_of)
        pause_ended = progress_of(connection, pause_ended_mark(name))
        for token in tokens:
            last = asked.get((token.token_id, name))
            began_again = [moment for moment in (since.get(token.token_id), pause_ended) if moment is not None]
            if token.pool_address and (last is None or any(last < moment for moment in began_again)):
                due.append(HistoryRequest(token, timeframe, timeframe.floor(as_of)))
    return due[:budget], max(len(due) - budget, 0)


def plan_past_days(
    connection: sa.Connection, tokens: Sequence[TrackedToken], days: Sequence[date], as_of: datetime, budget: int
) -> tuple[list[HistoryRequest], int]:
    """The questions that fill past days: each token that has no candle of a timeframe in a day, at most `budget`.

    The newest day comes first: its answer reaches back over days before it, which need no question of their own.
    """
    due = []
    for name in ("5m", "1h"):
        timeframe = TIMEFRAMES[name]
        reached: dict[int, datetime] = {}
        for day in sorted(days, reverse=True):
            start, end = day_bounds(day)
            before = min(end, timeframe.floor(as_of))
            rows = connection.execute(
                sa.select(candles.c.token_id)
                .distinct()
                .where(candles.c.timeframe == name, candles.c.opened_at >= start, candles.c.opened_at < end)
            )
            present = {row.token_id for row in rows}
            for token in tokens:
                known = token.token_id in present or reached.get(token.token_id, end) <= start
                if token.pool_address and not known:
                    due.append(HistoryRequest(token, timeframe, before, fills_in=True))
                    reached[token.token_id] = before - CANDLES_PER_CALL * timeframe.interval
    return due[:budget], max(len(due) - budget, 0)


async def fetch_and_store(
    engine: sa.Engine,
    geckoterminal: GeckoTerminal,
    requests: Sequence[HistoryRequest],
    clock: Callable[[], datetime],
    report: Callable[[int, int], None],
) -> Imported:
    """Ask one question after the other and store each answer at once, so that a stop loses none of them.

    Stops when the vendor is no longer called; what is left is due again next time. `report(done, of)` is called after each
    question.
    """
    result = Imported()
    for done, request in enumerate(requests, 1):
        token = request.token
        assert token.pool_address  # noqa: S101 - planned only for tokens with a pool
        history = await geckoterminal.candles(token.key[0], token.pool_address, request.timeframe.name, before=request.before)
        result.refused += history.refused
        reasons = [letter.reason for letter in history.refused if letter.kind == "request"]
        if any(reason.startswith(NOT_CALLED) for reason in reasons):
            result.left_for_later = len(requests) - done + 1
            break
        result.requests += 1
        # A pool that the vendor does not have is an answer: asked for at each tick it would use up what others need.
        if history.answered or NOT_KNOWN.intersection(reasons):
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
    columns = history_columns(request, history.rows, recorded_at, recorded_at if late else None)
    if history.payload is not None and len(columns["token_id"]):
        columns["payload_id"] = np.full(len(columns["token_id"]), _payload_id(connection, history.payload), dtype=np.int64)
        stored = insert_candles(connection, name, columns, "vendor history", recorded_at)
    if request.fills_in:
        if stored:
            set_progress(connection, filled_in_mark(name), recorded_at)
        return stored
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
    request: HistoryRequest,
    rows: Sequence[tuple[int, float, float, float, float, float]],
    recorded_at: datetime,
    available_at: datetime | None,
) -> Columns:
    """Vendor rows as columns; only candles that were asked for and closed. `available_at` None: at each one's close."""
    newest = min(request.before, recorded_at) - request.timeframe.interval
    first, last = int(OLDEST_CANDLE.timestamp()), int(newest.timestamp())
    values = np.array([row for row in rows if first <= row[0] <= last], dtype=np.float64).reshape(-1, 6)
    opened_at = values[:, 0].astype("int64").astype("datetime64[s]").astype("datetime64[us]")
    close_at = opened_at + np.timedelta64(request.timeframe.interval)
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
