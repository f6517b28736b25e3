"""DexScreener's pairs as the tests of this room write them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.vendors.dexscreener import Pair

SOLANA_MINT = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
EVM_MIXED_CASE = "0xAbCdEf0123456789aBcDeF0123456789AbCdEf01"


def a_pair(
    address: str = "pool",
    *,
    chain: str = "solana",
    token: str = SOLANA_MINT,
    price: float = 1.0,
    liquidity: float | None = 50_000.0,
    volume: float | None = 10_000.0,
    symbol: str | None = "BONK",
    name: str | None = "Bonk",
    **others: Any,
) -> Pair:
    """A pair; `liquidity` and `volume` None leave them out, as the vendor does."""
    return Pair.model_validate(
        {
            "chainId": chain,
            "dexId": "raydium",
            "pairAddress": address,
            "baseToken": {"address": token, "symbol": symbol, "name": name},
            "quoteToken": {"address": "So1", "symbol": "SOL"},
            "priceUsd": str(price),
            **({} if liquidity is None else {"liquidity": {"usd": liquidity}}),
            **({} if volume is None else {"volume": {"h24": volume}}),
            **others,
        }
    )


def a_payload(body: bytes = b"[]", at: datetime = datetime(2026, 3, 4, 12, tzinfo=UTC)) -> RawPayload:
    """An answer."""
    return RawPayload("dexscreener", "http://vendor/", 200, at, body)


def addresses(pairs: Iterable[Pair]) -> list[str]:
    """Which pools these are."""
    return [pair.address for pair in pairs]
