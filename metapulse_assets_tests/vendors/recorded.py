"""Recorded answers of the vendors, and answers that a test makes up, as the payloads that the parsers take."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metapulse_assets.platform.raw_payloads import RawPayload

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
URL = "https://vendor/asked"


def payload_of(body: Any) -> RawPayload:
    """An answer with this body."""
    return RawPayload("vendor", URL, 200, NOON, json.dumps(body).encode())


def recorded(recordings: Path, name: str) -> Any:
    """The body of a recorded answer, out of the envelope that some recorders put around it."""
    content = json.loads((recordings / name).read_text())
    return content["body"] if isinstance(content, dict) and "headers" in content else content


def a_pair(**changes: Any) -> dict[str, Any]:
    """A good pair in the vendor's words, with changes by the vendor's names; None stands for null, `...` for absent."""
    pair: dict[str, Any] = {
        "chainId": "solana",
        "dexId": "raydium",
        "url": "https://dexscreener.com/solana/pool1",
        "pairAddress": "Pool1",
        "labels": ["CLMM"],
        "baseToken": {"address": "Token1", "name": "Token One", "symbol": "ONE"},
        "quoteToken": {"address": "So1", "name": "Wrapped SOL", "symbol": "SOL"},
        "priceNative": "0.00000005",
        "priceUsd": "0.000004",
        "txns": {w: {"buys": 3, "sells": 1} for w in ("m5", "h1", "h6", "h24")},
        "volume": {"h24": 1200.5, "h6": 300, "h1": 50, "m5": 4},
        "priceChange": {"h1": -1.2, "h24": 5},
        "liquidity": {"usd": 5000.25, "base": 1, "quote": 2},
        "fdv": 4000,
        "marketCap": 4000,
        "pairCreatedAt": 1751500000000,
    }
    return {name: value for name, value in {**pair, **changes}.items() if value is not ...}
