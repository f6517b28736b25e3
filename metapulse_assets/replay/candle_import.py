"""Recorded candle files as stored history: tokens, candles, and the files' own bytes to walk back to.

Times are the recorded ones. A candle of a file could have been used when it closed: nothing was derived before the import.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.market.candle_store import insert_candles
from metapulse_assets.market.tables import tokens, tracked_tokens
from metapulse_assets.market.timeframes import TIMEFRAMES
from metapulse_assets.platform.bulk import Columns
from metapulse_assets.replay.coin_names import name_of
from metapulse_assets.replay.stored_files import store_file
from metapulse_assets.sandbox.market import Candles
from metapulse_assets.sandbox.recorded.candle_files import CandleFile, find_candle_files, read_candles

SOURCE = "recording"
FRAME_NAMES = {timeframe.seconds: name for name, timeframe in TIMEFRAMES.items()}


@dataclass(frozen=True)
class ImportedCandles:
    """What an import brought: tokens by ticker with their ids, and how many candles were new."""

    token_ids: dict[str, int]
    candles: int


class NothingToImportError(ValueError):
    """Nothing to import; the message says what was looked for where."""


def choose_files(recordings: Path, folder: str, quote: str | None, tickers: Iterable[str]) -> list[CandleFile]:
    """The candle files of a folder in one quote currency (None: dollars), of these tickers (none: all).

    Raises `NothingToImportError` naming the folder, or the tickers that have no file there.
    """
    wanted = set(tickers)
    files = [
        file
        for file in find_candle_files(recordings)
        if file.folder == folder
        and file.seconds in FRAME_NAMES
        and (file.quote == quote if quote else file.in_dollars)
        and (not wanted or file.base in wanted)
    ]
    if not files:
        raise NothingToImportError(
            f"{recordings / folder}: no candle files in {quote or 'dollars'} of 5 minutes, hours or days"
        )
    if missing := sorted(wanted - {file.base for file in files}):
        raise NothingToImportError(f"{recordings / folder}: no candle file of {', '.join(missing)}")
    return files


def import_candles(
    connection: sa.Connection,
    files: Iterable[CandleFile],
    start: datetime,
    end: datetime,
    recorded_at: datetime,
    quote_usd: float = 1.0,
) -> ImportedCandles:
    """Store the candles of [start, end) of these files; what is stored already stays.

    Prices stay in the files' quote currency; volumes become dollars at `quote_usd` dollars a unit of it, since how much is
    traded is evidence for which token a ticker means.
    """
    ids: dict[str, int] = {}
    stored = 0
    for file in files:
        candles = read_candles(file)
        within = _within(candles, file.seconds, start, end)
        if not within.size:
            continue
        first = datetime.fromtimestamp(int(candles.start[within[0]]), UTC)
        ids[file.base] = _token(connection, file, first)
        columns = _columns(candles, file.seconds, within, ids[file.base], quote_usd)
        columns["payload_id"] = np.full(within.size, store_file(connection, file.path, recorded_at), np.int64)
        stored += insert_candles(connection, FRAME_NAMES[file.seconds], columns, SOURCE, recorded_at)
    return ImportedCandles(ids, stored)


def _within(candles: Candles, seconds: int, start: datetime, end: datetime) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Places of the traded candles that open in the span and close before its end; where nothing traded there is no price."""
    traded = (candles.volume > 0) & (candles.close > 0)
    inside = (candles.start >= start.timestamp()) & (candles.start + seconds <= end.timestamp())
    return np.flatnonzero(traded & inside)


def _token(connection: sa.Connection, file: CandleFile, first: datetime) -> int:
    """The token's id; known since its first imported candle, and tracked from then on."""
    exchange = "bybit" if "bybit" in file.folder else "binance"
    address = f"{file.base}/{file.quote}"
    statement = insert(tokens).values(
        chain=exchange, address=address, symbol=file.base, name=name_of(file.base), first_recorded_at=first
    )
    earliest = sa.func.least(tokens.c.first_recorded_at, statement.excluded.first_recorded_at)
    token_id: int = connection.execute(
        statement.on_conflict_do_update(index_elements=["chain", "address"], set_={"first_recorded_at": earliest}).returning(
            tokens.c.token_id
        )
    ).scalar_one()
    tracked = insert(tracked_tokens).values(
        token_id=token_id,
        active=True,
        sources=["import"],
        tracked_since=first,
        last_listed_at=first,
        reason=f"imported from {file.folder}",
    )
    since = sa.func.least(tracked_tokens.c.tracked_since, tracked.excluded.tracked_since)
    connection.execute(tracked.on_conflict_do_update(index_elements=["token_id"], set_={"tracked_since": since}))
    return token_id


def _columns(
    candles: Candles, seconds: int, within: np.ndarray[tuple[int], np.dtype[np.intp]], token_id: int, quote_usd: float
) -> Columns:
    opened_at = candles.start[within].astype("datetime64[s]").astype("datetime64[us]")
    return {
        "token_id": np.full(within.size, token_id, np.int32),
        "opened_at": opened_at,
        "available_at": opened_at + np.timedelta64(timedelta(seconds=seconds)),
        "open": candles.open[within],
        "high": candles.high[within],
        "low": candles.low[within],
        "close": candles.close[within],
        "volume_usd": candles.volume[within] * quote_usd,
    }
