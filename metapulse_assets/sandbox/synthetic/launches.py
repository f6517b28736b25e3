"""The simulation's launches, migrations and trades as a launchpad's feed tells of them: a pure function of the time.

Frames have the fields of the vendor's; the numbers of a fresh curve keep its arithmetic: 30 virtual SOL, 1,073,000,000
tokens, a constant product, a supply of a billion.
"""

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import Market
from metapulse_assets.sandbox.synthetic.addresses import solana_addresses
from metapulse_assets.sandbox.synthetic.names import hostile_name, token_name
from metapulse_assets.sandbox.synthetic.noise import Keys, draw, hashed, stream

Frame = dict[str, object]
# 24 launches a minute and a migration of each 28th were recorded on a July day.
SLOT_SECONDS: Final = 2.5
_MIGRATED: Final = 1 / 28
_HOSTILE: Final = 0.03
_TRADED: Final = 0.5
_TRADES_OF_FIVE_MINUTES: Final = 300 / SLOT_SECONDS * _TRADED
_SMALLEST_TRADE: Final = 1e-4
_CURVE_SOL: Final = 30.0
_CURVE_TOKENS: Final = 1_073_000_000.0
_SUPPLY: Final = 1_000_000_000.0
_LARGEST_FIRST_BUY: Final = 5.0
_CHAIN: Final = "solana"


def slot_of(t: float) -> int:
    """The slot that a time (UTC epoch seconds) lies in."""
    return int(t // SLOT_SECONDS)


def frames_of_slot(market: Market, slot: int, mints: Collection[str]) -> Iterator[Frame]:
    """What is told in one slot; trades only of `mints`."""
    key = stream(np.full(1, slot % 2**63, dtype=np.uint64), "launchpad")
    yield _create(key, solana_addresses(key, "mint", "pump")[0], *_names(key))
    if draw(key, "migrates")[0] < _MIGRATED:
        earlier = stream(np.full(1, (slot - 400) % 2**63, dtype=np.uint64), "launchpad")
        yield _migrate(stream(key, "migration"), solana_addresses(earlier, "mint", "pump")[0])
    yield from _of_market(market, slot, key)
    yield from _trades(market, slot, key, mints)


def _of_market(market: Market, slot: int, key: Keys) -> Iterator[Frame]:
    """Tokens of the simulated market itself that begin, or leave their curve, in this slot."""
    begin, end = slot * SLOT_SECONDS, (slot + 1) * SLOT_SECONDS
    catalogue = market.catalogue(end)
    for index in catalogue.on_chain(_CHAIN):
        pool = catalogue.pools[index]
        if pool.created_at is None or not begin <= pool.created_at < end:
            continue
        own = stream(key, pool.address)
        if pool.kind == "curve":
            yield _create(own, pool.base.address, pool.base.name, pool.base.symbol)
        elif pool.kind == "launch":
            yield _migrate(own, pool.base.address)


def _trades(market: Market, slot: int, key: Keys, mints: Collection[str]) -> Iterator[Frame]:
    t = (slot + 1) * SLOT_SECONDS
    catalogue = market.catalogue(t)
    chosen = []
    for mint in sorted(mints):
        own = stream(key, mint)
        indices = catalogue.of_token(_CHAIN, mint)
        if indices and draw(own, "trades")[0] < _TRADED:
            chosen.append((indices[0], mint, own))
    if not chosen:
        return
    figures = market.snapshot([index for index, _, _ in chosen], t)
    for place, (index, mint, own) in enumerate(chosen):
        price = float(figures.price_usd[place] / figures.native_usd[place])
        if not np.isfinite(price) or price <= 0:
            continue
        # Together they move about what the market's own figures say that five minutes moved.
        usual = float(figures.volume[place, 0] / figures.native_usd[place]) / _TRADES_OF_FIVE_MINUTES
        sol = round(max(usual, _SMALLEST_TRADE) * float(0.4 + 1.2 * draw(own, "size")[0]), 9)
        liquidity = float(figures.liquidity_usd[place] / figures.native_usd[place])
        # A market without a liquidity figure is one on the curve.
        pooled = max(liquidity / 2, 1.0) if np.isfinite(liquidity) else _CURVE_SOL
        yield {
            "signature": _signature(own),
            "mint": mint,
            "traderPublicKey": solana_addresses(own, "trader")[0],
            "txType": "buy" if draw(own, "side")[0] < 0.52 else "sell",
            "tokenAmount": sol / price,
            "solAmount": sol,
            "tokensInPool": pooled / price,
            "solInPool": pooled,
            "newTokenBalance": sol / price,
            "marketCapSol": price * _SUPPLY,
            "pool": catalogue.pools[index].dex,
        }


def _create(key: Keys, mint: str, name: str, symbol: str) -> Frame:
    sol = round(float(_LARGEST_FIRST_BUY * draw(key, "first buy")[0] ** 3), 9)
    sol_reserve = _CURVE_SOL + sol
    token_reserve = _CURVE_SOL * _CURVE_TOKENS / sol_reserve
    return {
        "signature": _signature(key),
        "mint": mint,
        "traderPublicKey": solana_addresses(key, "maker")[0],
        "txType": "create",
        "initialBuy": _CURVE_TOKENS - token_reserve,
        "solAmount": sol,
        "bondingCurveKey": solana_addresses(key, "curve")[0],
        "vTokensInBondingCurve": token_reserve,
        "vSolInBondingCurve": sol_reserve,
        "marketCapSol": sol_reserve / token_reserve * _SUPPLY,
        "name": name,
        "symbol": symbol,
        "uri": f"https://sandbox.invalid/{mint}",
        "is_mayhem_mode": bool(draw(key, "mayhem")[0] < 0.18),
        "pool": "pump",
    }


def _migrate(key: Keys, mint: str) -> Frame:
    return {"signature": _signature(key), "mint": mint, "txType": "migrate", "pool": "pump-amm"}


def _names(key: Keys) -> tuple[str, str]:
    if draw(key, "hostile")[0] < _HOSTILE:
        return hostile_name(int(hashed(key, np.zeros(1, dtype=np.int64))[0] % 97))
    return token_name(int(key[0]))


def _signature(key: Keys) -> str:
    return "".join(solana_addresses(key, part)[0] for part in ("signature", "second half"))
