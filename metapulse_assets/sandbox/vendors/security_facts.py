"""What a scanner would find in a token of the sandbox: drawn once a token, in keeping with the part that it plays.

Both scanners' stand-ins read it, so that they never contradict each other or the market. Their shapes are their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from metapulse_assets.sandbox.market import Pool, address_key
from metapulse_assets.sandbox.standin import Backstage
from metapulse_assets.sandbox.synthetic.noise import draw, hashed, stream

_ESTABLISHED: Final = ("native", "major", "stable")
_PULLED_BELOW_USD: Final = 200.0
# Share of the tokens of a part that have the trait.
_IMPOSTORS_MINTING: Final = 0.7
_HOSTILE_FREEZING: Final = 0.5
_RUGS_MINTING: Final = 0.4
_PLAIN_TAXED: Final = 0.15


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What is found. Shares are of 1; ``holders`` and ``lp_holders`` are the largest ten, largest first."""

    pool: Pool
    established: bool
    mint_authority: bool
    freeze_authority: bool
    honeypot: bool
    rugged: bool
    buy_tax: float
    sell_tax: float
    holders: Sequence[float]
    lp_locked: float
    liquidity_usd: float
    price_usd: float
    score: int
    luck: float


def contract_facts(backstage: Backstage, chain: str, address: str) -> ContractFacts | None:
    """Return what a scanner finds now, None for a token that does not exist."""
    t = backstage.clock.now()
    catalogue = backstage.market.catalogue(t)
    pools = catalogue.of_token(chain, address)
    if not pools:
        return None
    snapshot = backstage.market.snapshot(pools, t)
    liquidity = np.nan_to_num(snapshot.liquidity_usd)
    best = int(np.argmax(liquidity))
    pool = catalogue.pools[pools[best]]
    key = stream(np.full(1, _seed(chain, pool.base.address), dtype=np.uint64), "contract")

    def luck(name: str) -> float:
        return float(draw(key, name)[0])

    kind = pool.kind
    established = kind in _ESTABLISHED
    bought_only = int(snapshot.buys[best, -1]) > 0 and int(snapshot.sells[:, -1].sum()) == 0
    honeypot = kind == "rug" and bought_only
    figure = float(snapshot.liquidity_usd[best])
    rugged = kind == "rug" and np.isfinite(figure) and figure < _PULLED_BELOW_USD
    minting = kind == "stable" or (kind == "rug" and luck("mint") < _RUGS_MINTING)
    minting = minting or (kind == "impostor" and luck("mint") < _IMPOSTORS_MINTING)
    freezing = kind == "stable" or (kind == "hostile" and luck("freeze") < _HOSTILE_FREEZING)
    sell_tax = _tax(kind, luck("tax"))
    top10 = _top10(kind, luck("holders"))
    locked = _locked(kind, luck("lock"))
    return ContractFacts(
        pool=pool,
        established=established,
        mint_authority=minting,
        freeze_authority=freezing,
        honeypot=honeypot,
        rugged=bool(rugged),
        buy_tax=round(sell_tax / 2, 3),
        sell_tax=sell_tax,
        holders=_spread(top10),
        lp_locked=locked,
        liquidity_usd=figure if np.isfinite(figure) else 0.0,
        price_usd=float(np.nan_to_num(snapshot.price_usd[best])),
        score=_score(established, minting or freezing, top10, locked, bool(rugged)),
        luck=luck("rest"),
    )


def _seed(chain: str, address: str) -> int:
    text = f"{chain}:{address_key(chain, address)}".encode()
    return int(hashed(np.frombuffer(text, dtype=np.uint8).astype(np.uint64), np.arange(len(text))).sum())


def _tax(kind: str, luck: float) -> float:
    if kind in _ESTABLISHED or kind in ("launch", "curve"):
        return 0.0
    if kind in ("hostile", "rug"):
        return round(0.1 + 0.5 * luck, 3)
    return 0.05 if luck < _PLAIN_TAXED else 0.0


def _top10(kind: str, luck: float) -> float:
    low, high = {
        "native": (0.05, 0.2), "major": (0.1, 0.28), "stable": (0.1, 0.3), "rug": (0.5, 0.95), "launch": (0.2, 0.6),
        "curve": (0.3, 0.85), "impostor": (0.8, 0.98), "thin": (0.4, 0.9), "dead": (0.5, 0.9), "hostile": (0.3, 0.8),
    }.get(kind, (0.12, 0.45))  # fmt: skip
    return low + (high - low) * luck


def _locked(kind: str, luck: float) -> float:
    if kind in ("launch", "curve"):
        return 1.0
    if kind in ("rug", "impostor"):
        return 0.0
    low, high = (0.0, 0.2) if kind in _ESTABLISHED or kind in ("thin", "dead", "hostile") else (0.5, 1.0)
    return round(low + (high - low) * luck, 4)


def _spread(total: float) -> tuple[float, ...]:
    """Ten shares that halve slowly and add up to the total."""
    weights = 0.8 ** np.arange(10)
    return tuple(round(float(share), 6) for share in total * weights / weights.sum())


def _score(established: bool, authority: bool, top10: float, locked: float, rugged: bool) -> int:
    if established:
        return 1
    return min(100, round(50 * authority + 30 * top10 + 20 * (1 - locked) + 60 * rugged) + 1)
