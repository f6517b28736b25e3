"""Frames of PumpPortal made for tests: every field the vendor sends, all values our own."""

import json
from typing import Any

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def base58(number: int, length: int) -> str:
    """A number as a base58 text of a fixed length."""
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(length, ALPHABET[0])


def signature(number: int) -> str:
    return base58(number, 88)


def mint(number: int) -> str:
    return base58(number + 1_000_000, 44)


def create(number: int, **changes: Any) -> dict[str, Any]:
    """A launch on pump.fun's curve."""
    return {
        "signature": signature(number),
        "mint": mint(number),
        "traderPublicKey": mint(7),
        "txType": "create",
        "initialBuy": 1_000.5,
        "solAmount": 0.5,
        "bondingCurveKey": mint(8),
        "vTokensInBondingCurve": 1_000_000_000,
        "vSolInBondingCurve": 30.5,
        "marketCapSol": 30.5,
        "name": f"Coin {number}",
        "symbol": "COIN",
        "uri": "https://example.invalid/c",
        "is_mayhem_mode": False,
        "pool": "pump",
        **changes,
    }


def bonk_create(number: int, **changes: Any) -> dict[str, Any]:
    """A launch on bonk, which has a pool's fields in place of a curve's."""
    whole = create(number, pool="bonk", solInPool=0.9, tokensInPool=967e6, newTokenBalance=1_000.5, **changes)
    absent = ("bondingCurveKey", "vTokensInBondingCurve", "vSolInBondingCurve", "is_mayhem_mode")
    return {name: value for name, value in whole.items() if name not in absent}


def migrate(number: int, **changes: Any) -> dict[str, Any]:
    return {"signature": signature(number), "mint": mint(number), "txType": "migrate", "pool": "pump-amm", **changes}


def trade(number: int, side: str = "buy", **changes: Any) -> dict[str, Any]:
    """A trade on the curve."""
    return {
        "signature": signature(number),
        "mint": mint(3),
        "traderPublicKey": mint(number % 5),
        "txType": side,
        "tokenAmount": 2_000.0,
        "solAmount": 0.25,
        "newTokenBalance": 2_000,
        "bondingCurveKey": mint(9),
        "vTokensInBondingCurve": 9e8,
        "vSolInBondingCurve": 35,
        "marketCapSol": 38.9,
        "pool": "pump",
        **changes,
    }


def amm_trade(number: int, side: str = "sell", **changes: Any) -> dict[str, Any]:
    """A trade on an AMM."""
    whole = trade(number, side, pool="pump-amm", tokensInPool=5e8, solInPool=80.5, **changes)
    absent = ("bondingCurveKey", "vTokensInBondingCurve", "vSolInBondingCurve")
    return {name: value for name, value in whole.items() if name not in absent}


def raw(frame: object) -> bytes:
    """A frame as it comes over the wire."""
    return json.dumps(frame, separators=(",", ":")).encode()
