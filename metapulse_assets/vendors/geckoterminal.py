"""GeckoTerminal: candle history of pools, and the pools that trend. Needs no key; 30 requests a minute on the public plan."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from metapulse_assets.platform.circuit_breaker import CircuitOpenError
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import CallPolicy, VendorClient, VendorError
from metapulse_assets.vendors.answers import Batch, PlainText, read_items, unwrapped
from metapulse_assets.vendors.chains import BY_GECKOTERMINAL, CHAINS

VENDOR = "geckoterminal"
CANDLES_PER_CALL = 1000
# Our timeframes in the vendor's words: unit, and how many of it.
TIMEFRAMES = {"5m": ("minute", 5), "1h": ("hour", 1), "1d": ("day", 1)}
_WIRE = ConfigDict(extra="ignore", frozen=True)


class _Reference(BaseModel):
    model_config = _WIRE
    id: Annotated[PlainText, Field(pattern=r"._.", max_length=300)]


class _Related(BaseModel):
    model_config = _WIRE
    data: _Reference


class _Relationships(BaseModel):
    model_config = _WIRE
    base_token: _Related


class TrendingPool(BaseModel):
    """A pool on the list of those that trend."""

    model_config = _WIRE
    relationships: _Relationships

    @property
    def chain(self) -> str | None:
        """DexScreener's name of its chain, None if we do not know it."""
        known = BY_GECKOTERMINAL.get(self._parts[0])
        return known.dexscreener if known else None

    @property
    def token_address(self) -> str:
        """Address of the token that the pool trades."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str]:
        # The id is "network_address", and either may hold an underscore, a hexadecimal address excepted.
        text = self.relationships.base_token.data.id
        for network, chain in BY_GECKOTERMINAL.items():
            if not chain.hex_addresses and text.startswith(f"{network}_"):
                return network, text.removeprefix(f"{network}_")
        network, _, address = text.rpartition("_")
        return network, address


Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Up to the year 2100: a later one is a mistake, and would not fit into a column.
EpochSecond = Annotated[int, Field(ge=0, lt=4_102_444_800)]
CandleRow = tuple[EpochSecond, Price, Price, Price, Price, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
_TRENDING = TypeAdapter(list[TrendingPool])
_ROW = TypeAdapter(CandleRow)


@dataclass(frozen=True)
class History:
    """Candles of one pool, ascending in time: (open time in epoch s, open, high, low, close, volume in USD)."""

    rows: list[CandleRow]
    refused: list[DeadLetter]
    payload: RawPayload | None
    answered: bool


class GeckoTerminal:
    """The typed client. Use as an async context manager."""

    def __init__(self, settings: Settings, engine: sa.Engine, clock: Clock = system_clock) -> None:
        """Opens no connection yet."""
        self.gate = Gate("geckoterminal", (Limit(settings.geckoterminal_per_minute, 60.0),))
        self.client = VendorClient(VENDOR, settings.geckoterminal_url, engine, CallPolicy.from_settings(settings), clock=clock)

    async def __aenter__(self) -> "GeckoTerminal":
        """Open the connections."""
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self.client.__aexit__(*error)

    async def trending(self, chains: Sequence[str]) -> Batch[TrendingPool]:
        """Pools that trend on these chains (DexScreener's names)."""
        result: Batch[TrendingPool] = Batch()
        for chain in chains:
            if chain not in CHAINS:
                result.refused.append(DeadLetter(VENDOR, "request", f"trending:{chain}", "unknown chain", chain))
                continue
            path = f"/networks/{CHAINS[chain].geckoterminal}/trending_pools"
            try:
                answer = await self.client.get_json(path, self.gate)
            except VendorError as error:
                result.refused.append(error.dead_letter())
            except CircuitOpenError as error:
                result.refused.append(self._not_called(path, error))
            else:
                result.extend(read_items(answer.payload, _TRENDING, VENDOR, lambda raw: str(raw["id"])[:200], _data_of))
        return result

    async def candles(
        self, chain: str, pool_address: str, timeframe: str, before: datetime | None = None, limit: int = CANDLES_PER_CALL
    ) -> History:
        """Candles of a pool that opened before a moment, newest `limit` of them; intervals without a trade are absent."""
        unit, aggregate = TIMEFRAMES[timeframe]
        path = f"/networks/{CHAINS[chain].geckoterminal}/pools/{quote(pool_address, safe='')}/ohlcv/{unit}"
        params: dict[str, Any] = {"aggregate": aggregate, "limit": limit, "currency": "usd", "token": "base"}
        if before is not None:
            params["before_timestamp"] = int(before.timestamp())
        try:
            answer = await self.client.get_json(path, self.gate, params)
        except VendorError as error:
            return History([], [error.dead_letter()], None, answered=False)
        except CircuitOpenError as error:
            return History([], [self._not_called(path, error)], None, answered=False)
        return read_history(answer.payload, f"{chain}:{pool_address}:{timeframe}", interval_of(timeframe))

    def _not_called(self, path: str, error: CircuitOpenError) -> DeadLetter:
        return DeadLetter(VENDOR, "request", self.client.shown_url(path, None), "circuit open: not called", str(error))


def interval_of(timeframe: str) -> timedelta:
    """Length of a candle."""
    unit, aggregate = TIMEFRAMES[timeframe]
    return aggregate * timedelta(**{f"{unit}s": 1})


def read_history(payload: RawPayload, key: str, interval: timedelta) -> History:
    """The candles of an answer: each checked by itself, repetitions dropped, ascending whatever order they came in."""
    body = json.loads(payload.body)
    try:
        raw_rows = body["data"]["attributes"]["ohlcv_list"]
        assert isinstance(raw_rows, list)  # noqa: S101 - caught below with the other wrong shapes
    except (KeyError, TypeError, AssertionError):
        letter = DeadLetter(VENDOR, "request", payload.url, "data.attributes.ohlcv_list is not a list", body)
        return History([], [letter], payload, answered=False)
    rows: dict[int, CandleRow] = {}
    refused = []
    for position, raw in enumerate(raw_rows):
        try:
            row = _ROW.validate_python(raw)
            _check_row(row, interval)
        except ValueError as error:
            reason = str(error).splitlines()[0] if not hasattr(error, "errors") else _first_problem(error)
            refused.append(DeadLetter(VENDOR, "item", key, f"ohlcv_list[{position}]: {reason}", raw))
        else:
            rows.setdefault(row[0], row)
    return History([rows[at] for at in sorted(rows)], refused, payload, answered=True)


def _check_row(row: CandleRow, interval: timedelta) -> None:
    at, opened, high, low, close, _ = row
    if at % int(interval.total_seconds()):
        raise ValueError(f"time {datetime.fromtimestamp(at, UTC).isoformat()} is no multiple of {interval}")
    if not low <= min(opened, close) or not high >= max(opened, close):
        raise ValueError("open or close lies outside of low and high")


def _first_problem(error: Any) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"field {place}: {problem['msg']}" if place else str(problem["msg"])


def _data_of(body: Any) -> Any:
    return unwrapped(body, "data")
