"""DexScreener: pairs of tokens, and the lists of boosted and profiled tokens. Needs no key.

Documented limits: 300 requests a minute for pairs and search, 60 for profiles and boosts, counted apart.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, field_validator

from metapulse_assets.platform.circuit_breaker import CircuitOpenError
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import CallPolicy, VendorClient, VendorError
from metapulse_assets.vendors.answers import Batch, PlainText, read_items, unwrapped
from metapulse_assets.vendors.chains import CHAINS

VENDOR = "dexscreener"
# More addresses than this in one call are not documented to be answered.
ADDRESSES_PER_CALL = 30
CALLS_IN_FLIGHT = 8

# Exchanges that are a launchpad's bonding curve: their pairs have no liquidity figure until they migrate to a pool.
BONDING_CURVE_DEXES = frozenset({"pumpfun", "launchlab", "moonshot", "moonit", "fourmeme", "meteoradbc", "boop", "zora"})

LONGEST_NAME = 1_000
# A pair on a bonding curve can rise ten-thousandfold in a day (500,822 % is on record); beyond this it is a parsing accident.
LARGEST_CHANGE_PCT = 1e9
LARGEST_USD = 1e18


def _known_chain(chain: str) -> str:
    if chain not in CHAINS:
        raise ValueError(f"unknown chain {chain[:40]!r}")
    return chain


ChainId = Annotated[str, AfterValidator(_known_chain)]
Address = Annotated[PlainText, Field(min_length=1, max_length=200)]
Text = Annotated[PlainText, Field(max_length=LONGEST_NAME)]
Usd = Annotated[float, Field(ge=0, le=LARGEST_USD, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Percent = Annotated[float, Field(ge=-100.0001, le=LARGEST_CHANGE_PCT, allow_inf_nan=False)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TokenNames(_Wire):
    """A token as a pair names it."""

    address: Address
    name: Text | None = None
    symbol: Text | None = None


class QuoteToken(_Wire):
    """What a pair is priced in; the vendor leaves parts out."""

    address: Address | None = None
    symbol: Text | None = None


class Trades(_Wire):
    """Number of trades in one window."""

    buys: Count | None = None
    sells: Count | None = None


def _empty_for_null(value: Any) -> Any:
    return {} if value is None else value


WindowTrades = Annotated[Trades, BeforeValidator(_empty_for_null)]


class Windows(_Wire):
    """Trades by window."""

    m5: WindowTrades = Trades()
    h1: WindowTrades = Trades()
    h6: WindowTrades = Trades()
    h24: WindowTrades = Trades()


class Volumes(_Wire):
    """USD volume by window."""

    m5: Usd | None = None
    h1: Usd | None = None
    h6: Usd | None = None
    h24: Usd | None = None


class PriceChanges(_Wire):
    """Percent by window; a window without a trade is absent."""

    m5: Percent | None = None
    h1: Percent | None = None
    h6: Percent | None = None
    h24: Percent | None = None


class Liquidity(_Wire):
    """What lies in the pool."""

    usd: Usd | None = None


class Pair(_Wire):
    """One pair (pool). Prices come as strings; liquidity is absent on a bonding curve, which is not zero."""

    chain: ChainId = Field(alias="chainId")
    dex: Annotated[PlainText, Field(max_length=100)] = Field(alias="dexId")
    address: Address = Field(alias="pairAddress")
    base: TokenNames = Field(alias="baseToken")
    quote: QuoteToken = Field(QuoteToken(), alias="quoteToken")
    price_usd: Annotated[float, Field(gt=0, le=LARGEST_USD, allow_inf_nan=False)] = Field(alias="priceUsd")
    price_native: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(None, alias="priceNative")
    trades: Windows = Field(Windows(), alias="txns")
    volume: Volumes = Volumes()
    price_change: PriceChanges = Field(PriceChanges(), alias="priceChange")
    liquidity: Liquidity | None = None
    fdv: Usd | None = None
    market_cap: Usd | None = Field(None, alias="marketCap")
    created_at_ms: Annotated[int, Field(ge=0, le=32_503_680_000_000)] | None = Field(None, alias="pairCreatedAt")

    @field_validator("quote", "trades", "volume", "price_change", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return _empty_for_null(value)

    @property
    def liquidity_usd(self) -> float | None:
        """USD in the pool; None: not known."""
        return self.liquidity.usd if self.liquidity else None

    @property
    def created_at(self) -> datetime | None:
        """When the pool was made, if the vendor knows."""
        return datetime.fromtimestamp(self.created_at_ms / 1000, UTC) if self.created_at_ms else None


class ListedToken(_Wire):
    """A token on a list of boosts or profiles."""

    chain: ChainId = Field(alias="chainId")
    address: Address = Field(alias="tokenAddress")


PAIRS = TypeAdapter(list[Pair])
LISTED_TOKENS = TypeAdapter(list[ListedToken])


def pairs_of(body: Any) -> Any:
    """The list of pairs, which older endpoints wrap and may give as null."""
    return unwrapped(body, "pairs")


def pair_key(raw: Any) -> str:
    """Chain and pool of a pair that may be malformed."""
    return f"{str(raw['chainId'])[:40]}:{str(raw['pairAddress'])[:200]}"


def listed_key(raw: Any) -> str:
    """Chain and token of a list entry that may be malformed."""
    return f"{str(raw['chainId'])[:40]}:{str(raw['tokenAddress'])[:200]}"


def _joined(addresses: Sequence[str]) -> str:
    # An address comes from outside: with a sign of URLs in it, it would cut off those behind it.
    return ",".join(quote(address, safe="") for address in addresses)


class DexScreener:
    """The typed client. Use as an async context manager."""

    def __init__(self, settings: Settings, engine: sa.Engine, clock: Clock = system_clock) -> None:
        """Opens no connection yet."""
        per_second = Limit(settings.dexscreener_rate_limit, 1.0)
        self.pairs_gate = Gate("dexscreener.pairs", (per_second, Limit(settings.dexscreener_pairs_per_minute, 60.0)))
        self.profiles_gate = Gate("dexscreener.profiles", (per_second, Limit(settings.dexscreener_profiles_per_minute, 60.0)))
        self.client = VendorClient(VENDOR, settings.dexscreener_url, engine, CallPolicy.from_settings(settings), clock=clock)

    async def __aenter__(self) -> "DexScreener":
        """Open the connections."""
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self.client.__aexit__(*error)

    async def boosted(self) -> Batch[ListedToken]:
        """Tokens with a boost: the latest and the biggest."""
        return await self._listed("/token-boosts/latest/v1", "/token-boosts/top/v1")

    async def profiled(self) -> Batch[ListedToken]:
        """Tokens whose profile was made or changed last."""
        return await self._listed("/token-profiles/latest/v1")

    async def pairs_of_tokens(self, chain: str, addresses: Sequence[str]) -> Batch[Pair]:
        """Pairs of any number of tokens of one chain, in batches of 30.

        A batch that fails for good becomes a dead letter; an address that is not answered is simply absent.
        """
        batches = [addresses[i : i + ADDRESSES_PER_CALL] for i in range(0, len(addresses), ADDRESSES_PER_CALL)]
        slots = asyncio.Semaphore(CALLS_IN_FLIGHT)

        async def one(batch: Sequence[str]) -> Batch[Pair]:
            async with slots:
                return await self._pairs(f"/tokens/v1/{chain}/{_joined(batch)}")

        result: Batch[Pair] = Batch()
        for part in await asyncio.gather(*(one(batch) for batch in batches)):
            result.extend(part)
        return result

    async def pools_of_token(self, chain: str, address: str) -> Batch[Pair]:
        """All pools of one token."""
        return await self._pairs(f"/token-pairs/v1/{chain}/{_joined([address])}")

    async def pools(self, chain: str, pool_addresses: Sequence[str]) -> Batch[Pair]:
        """Up to 30 pools of one chain by their own addresses."""
        return await self._pairs(f"/latest/dex/pairs/{chain}/{_joined(pool_addresses[:ADDRESSES_PER_CALL])}")

    async def search(self, text: str) -> Batch[Pair]:
        """Pairs that match a text. The order means nothing: impostors come first at times."""
        return await self._pairs("/latest/dex/search", {"q": text})

    async def _pairs(self, path: str, params: dict[str, str] | None = None) -> Batch[Pair]:
        try:
            answer = await self.client.get_json(path, self.pairs_gate, params)
        except VendorError as error:
            return Batch(refused=[error.dead_letter()])
        except CircuitOpenError as error:
            return Batch(refused=[self._not_called(path, params, error)])
        return read_items(answer.payload, PAIRS, VENDOR, pair_key, pairs_of)

    async def _listed(self, *paths: str) -> Batch[ListedToken]:
        result: Batch[ListedToken] = Batch()
        for path in paths:
            try:
                answer = await self.client.get_json(path, self.profiles_gate)
            except VendorError as error:
                result.refused.append(error.dead_letter())
            except CircuitOpenError as error:
                result.refused.append(self._not_called(path, None, error))
            else:
                result.extend(read_items(answer.payload, LISTED_TOKENS, VENDOR, listed_key))
        return result

    def _not_called(self, path: str, params: dict[str, str] | None, error: CircuitOpenError) -> DeadLetter:
        return DeadLetter(VENDOR, "request", self.client.shown_url(path, params), "circuit open: not called", str(error))
